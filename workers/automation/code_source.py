"""Where code to work on comes from: texts in the config, a stored archive, a folder that the operator allows, or a
repository on the network, of which an archive is fetched. All but the texts reach the sandbox as an archive, which is
unpacked inside it: whatever is wrong with one happens there.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from uuid import UUID

from pydantic import AliasChoices, Field, SecretStr, model_validator

from taskengine.delivery.time_limit import time_limit
from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context, HandlerConfig
from workers.automation.program import InnerPath
from workers.automation.sandbox_limits import MEGABYTE, Limits
from workers.integration.http_body import receive
from workers.integration.http_errors import status_error, transport_errors

_FETCH_SECONDS = 120.0
_SKIPPED = frozenset(
    (".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".tox")
)
_ARCHIVE = re.compile(r"\.(tar|tgz|tar\.[a-z0-9]+|zip)$", re.IGNORECASE)
_SSH = re.compile(r"[\w.-]+@[\w.-]+:")
_folders: tuple[Path, ...] = ()


def configure(folders: Sequence[str]) -> None:
    """Say which folders of this machine may be read."""
    global _folders  # noqa: PLW0603 - set once by the worker's start; handlers read no settings
    _folders = tuple(Path(folder).resolve() for folder in folders)


class SourceConfig(HandlerConfig):
    """The code to work on; exactly one of these."""

    repository_url: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="A repository. Of one at http(s)://… an archive is fetched (…/archive/REF.tar.gz, as GitHub, "
        "GitLab, Gitea and Bitbucket have them), or the archive itself if the URL ends like one; file:///… is a "
        "folder of the worker's machine, as `path`.",
    )
    repository_ref: str = Field(
        "HEAD", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$", description="Branch, tag or commit of it."
    )
    repository_token: SecretStr | None = Field(None, description="Bearer token for fetching it.")
    path: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="A folder or archive on the worker's machine, below one that TASKENGINE_CODE_FOLDERS names.",
    )
    archive: UUID | None = Field(
        None,
        validation_alias=AliasChoices("archive", "artifact"),
        description="A stored file: a tar (of any compression) or zip archive. `artifact` works too.",
    )
    files: dict[InnerPath, str] = Field({}, max_length=500, description="Texts by path.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = [self.repository_url is not None, self.path is not None, self.archive is not None, bool(self.files)]
        if sum(named) != 1:
            raise ValueError("exactly one of repositoryUrl, path, archive and files says where the code is")
        return self


@dataclass(frozen=True)
class Source:
    """Code, as a job takes it."""

    files: dict[str, str]
    archive: IO[bytes] | None
    flatten: bool
    """Whether all of the archive may lie in one folder that is to be left out."""


@contextmanager
def opened(ctx: Context, config: SourceConfig, limits: Limits) -> Iterator[Source]:
    """Get the code. Raises PermanentError ``folder_not_allowed``, ``no_such_code``, ``repository_unsupported``,
    ``code_too_large``, and the errors of ``http_errors``.
    """
    if config.archive is not None:
        with ctx.open_artifact(config.archive).file as file:
            yield Source({}, file, flatten=False)
    elif config.path is not None:
        with _of_machine(Path(config.path), limits) as file:
            yield Source({}, file, flatten=False)
    elif config.repository_url is not None:
        with _of_repository(ctx, config, config.repository_url, limits) as file:
            yield Source({}, file, flatten=True)
    else:
        yield Source(dict(config.files), None, flatten=False)


def _of_repository(ctx: Context, config: SourceConfig, url: str, limits: Limits) -> IO[bytes]:
    parts = urlsplit(url)
    if _SSH.match(url):
        raise _unsupported("ssh")
    if parts.scheme == "file" or not parts.scheme:
        return _of_machine(Path(unquote(parts.path)), limits)
    if parts.scheme not in ("http", "https"):
        raise _unsupported(parts.scheme)
    address = archive_address(url, config.repository_ref)
    headers = {}
    if config.repository_token is not None:
        headers["Authorization"] = f"Bearer {config.repository_token.get_secret_value()}"
    left = (ctx.deadline - datetime.now(UTC)).total_seconds()
    what = f"GET {parts.scheme}://{parts.hostname}{urlsplit(address).path}"
    with (
        ctx.step("fetch the repository", type="http") as step,
        time_limit(max(min(_FETCH_SECONDS, left), 0.001)) as limit,
        transport_errors(what, limit),
        ctx.http().get(address, headers=headers, stream=True, timeout=limit.remaining_seconds()) as response,
    ):
        if response.status_code != 200:
            details = {"status": response.status_code, "url": address}
            text = f"{what} answered {response.status_code}; is it a public repository with archives?"
            raise status_error("http_status", text, response.status_code, response.headers, details)
        body = receive(response, limits.disk_mb * MEGABYTE, limit, ctx)
        step.result({"url": address, "size_bytes": body.size_bytes})
    return _on_disk(body.file)


def _unsupported(scheme: str) -> PermanentError:
    return PermanentError(
        "repository_unsupported",
        f"a repository at {scheme}:// cannot be read: give its http(s) address, an archive, or a path",
        {"scheme": scheme},
    )


def archive_address(url: str, ref: str) -> str:
    """Where the hosts of repositories keep an archive of one."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if _ARCHIVE.search(path):
        return url
    path = path.removesuffix(".git")
    name, host, wanted = path.rpartition("/")[2], (parts.hostname or ""), quote(ref)
    if host.startswith("gitlab."):
        path = f"{path}/-/archive/{wanted}/{name}-{wanted.replace('/', '-')}.tar.gz"
    elif host == "bitbucket.org":
        path = f"{path}/get/{wanted}.tar.gz"
    else:
        path = f"{path}/archive/{wanted}.tar.gz"
    return urlunsplit(parts._replace(path=path, query="", fragment=""))


def _of_machine(path: Path, limits: Limits) -> IO[bytes]:
    """A folder, packed, or an archive; only below the folders that the operator names."""
    try:
        whole = path.resolve(strict=True)
    except (OSError, ValueError):
        whole = None
    if whole is None or not any(whole.is_relative_to(folder) for folder in _folders):
        # Whether it is there is nobody's business who may not read it.
        raise PermanentError(
            "folder_not_allowed",
            f"{path} is not below a folder that may be read here; the operator may add one to TASKENGINE_CODE_FOLDERS",
            {"path": str(path)},
        )
    if whole.is_dir():
        return _packed(whole, limits)
    if not _ARCHIVE.search(whole.name):
        raise PermanentError("no_such_code", f"{path} is neither a folder nor an archive", {"path": str(path)})
    return whole.open("rb")


def _packed(folder: Path, limits: Limits) -> IO[bytes]:
    """The folder's regular files as an archive; links are left out, and what tools leave behind."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    count = size = 0
    try:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path in _regular_files(folder):
                count, size = count + 1, size + path.lstat().st_size
                if count > limits.files or size > limits.disk_mb * MEGABYTE:
                    raise PermanentError(
                        "code_too_large",
                        f"the folder holds more than {limits.files} files or {limits.disk_mb} MB "
                        f"(limits.files, limits.diskMb)",
                    )
                _add(archive, path, folder)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _regular_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            path = Path(root, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _add(archive: tarfile.TarFile, path: Path, folder: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise PermanentError("no_such_code", f"{path.relative_to(folder)} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as opened_file:
        info = archive.gettarinfo(arcname=str(path.relative_to(folder)), fileobj=opened_file)
        info.uid = info.gid = 0
        # A second name of the same file is a file of its own here.
        info.type, info.linkname = tarfile.REGTYPE, ""
        info.size = os.fstat(descriptor).st_size
        archive.addfile(info, opened_file)


def _on_disk(file: IO[bytes]) -> IO[bytes]:
    """The same with a descriptor of its own; small bodies are kept in memory."""
    rollover = getattr(file, "rollover", None)
    if rollover is not None:
        rollover()
    file.seek(0)
    return file
