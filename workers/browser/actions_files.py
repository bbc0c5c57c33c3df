"""Steps about files: upload, download."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from playwright.sync_api import Download, Error, FilePayload, Locator

from taskengine.domain.errors import PermanentError, TransientError
from taskengine.handlers.base import ArtifactRef
from workers.browser.elements import Clock, find
from workers.browser.session import Session
from workers.browser.step_config import DownloadConfig, GivenFile, UploadConfig

_MOST_UPLOAD_BYTES = 45 * 2**20
_LOOK_MS = 50


@dataclass(frozen=True, slots=True)
class Fetched:
    """A stored download."""

    ref: ArtifactRef
    url: str


def upload(session: Session, config: UploadConfig, clock: Clock) -> dict[str, Any]:
    """Put files into a file field, or into the chooser that a button opens."""
    files = _payloads(session, config.files)
    target = config.target()
    assert target is not None, "the config's model asks for one"
    found = find(session, target, "upload", clock)
    if _is_file_field(found.locator):
        found.locator.set_input_files(files, timeout=clock.left_ms())
    else:
        with session.page.expect_file_chooser(timeout=clock.left_ms()) as chooser:
            found.locator.click(timeout=clock.left_ms())
        chooser.value.set_files(files, timeout=clock.left_ms())
    sizes = [{"name": item["name"], "size_bytes": len(item["buffer"])} for item in files]
    made: dict[str, Any] = {"files": sizes}
    return made if found.resolution is None else {**made, "resolved": found.resolution.as_dict()}


def _is_file_field(locator: Locator) -> bool:
    return bool(
        locator.evaluate("e => (e instanceof HTMLLabelElement ? e.control : e)?.matches?.('input[type=file]') === true")
    )


def _payloads(session: Session, files: list[GivenFile]) -> list[FilePayload]:
    made: list[FilePayload] = []
    left = _MOST_UPLOAD_BYTES
    for given in files:
        payload = _payload(session, given, left)
        left -= len(payload["buffer"])
        made.append(payload)
    return made


def _payload(session: Session, given: GivenFile, left: int) -> FilePayload:
    if given.content is not None:
        name, data = str(given.name), _decoded(given)
        content_type = given.content_type or mimetypes.guess_type(name)[0]
    else:
        stored = session.ctx.open_artifact(_artifact_id(given))
        with stored.file:
            data = stored.file.read(left + 1)
        name, content_type = given.name or stored.ref.name, given.content_type or stored.ref.content_type
    if len(data) > left:
        raise PermanentError(
            "upload_too_large", f"the files have more than {_MOST_UPLOAD_BYTES} bytes together", {"file": name}
        )
    return {"name": name, "mimeType": content_type or "application/octet-stream", "buffer": data}


def _artifact_id(given: GivenFile) -> UUID:
    try:
        return UUID(str(given.artifact_id))
    except ValueError:
        raise PermanentError("unknown_artifact", f"{given.artifact_id!r} is no id of a stored file") from None


def _decoded(given: GivenFile) -> bytes:
    content = given.content or ""
    if given.encoding == "text":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise PermanentError("invalid_upload", f"the content of {given.name!r} is no Base64") from None


def download(session: Session, config: DownloadConfig, clock: Clock) -> Fetched:
    """Start a download and store its file. Raises ``download_failed``, ``download_too_large``, ``no_download``."""
    session.downloads.clear()
    if config.url is not None:
        _open(session, config.url, clock)
    else:
        target = config.target()
        assert target is not None, "the config's model asks for one"
        find(session, target, "click", clock).locator.click(timeout=clock.left_ms())
    while not session.downloads:
        if clock.over():
            raise PermanentError(
                "no_download", f"no download began within {clock.timeout_ms / 1000:g} s", {"url": session.page.url}
            )
        session.page.wait_for_timeout(_LOOK_MS)
    return _store(session, session.downloads.pop(0), config)


def _open(session: Session, url: str, clock: Clock) -> None:
    try:
        session.page.goto(url, timeout=clock.left_ms())
    except Error as error:
        if "Download is starting" not in str(error) and "ERR_ABORTED" not in str(error):
            raise


def _store(session: Session, download: Download, config: DownloadConfig) -> Fetched:
    name = config.save_as or download.suggested_filename
    if (failure := download.failure()) is not None:
        raise TransientError("download_failed", f"{name}: {failure}", {"url": download.url})
    path = download.path()
    size = path.stat().st_size
    if size > config.max_bytes:
        raise PermanentError(
            "download_too_large", f"{name} has {size} bytes, at most {config.max_bytes} are stored", {"size": size}
        )
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    with path.open("rb") as file:
        ref = session.ctx.artifact(name, file, content_type)
    download.delete()
    return Fetched(ref, download.url)
