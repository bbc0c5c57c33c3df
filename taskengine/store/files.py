"""Files of artifacts, below the data directory, two levels deep by id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from uuid import UUID

_CHUNK = 1 << 20


class ArtifactFiles:
    """Writes a file completely before it gets its name, so that a crash leaves no half artifact."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, artifact_id: UUID) -> Path:
        """Where an artifact lies."""
        # The last digits of a UUIDv7 are random: folders fill evenly.
        name = artifact_id.hex
        return self._folder / name[-2:] / name[-4:-2] / str(artifact_id)

    def write(self, artifact_id: UUID, data: bytes | IO[bytes]) -> tuple[int, str]:
        """Store; returns size in bytes and SHA-256. OSError when the disk is full."""
        target = self.path(artifact_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        digest, size = hashlib.sha256(), 0
        try:
            with part.open("wb") as file:
                for chunk in [data] if isinstance(data, bytes) else iter(lambda: data.read(_CHUNK), b""):
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.rename(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return size, digest.hexdigest()

    def remove(self, artifact_ids: Sequence[UUID]) -> None:
        """Delete files; those that are gone already are no fault."""
        for artifact_id in artifact_ids:
            self.path(artifact_id).unlink(missing_ok=True)
