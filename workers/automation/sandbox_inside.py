"""What runs first inside a sandbox: checks that it is one, lays out the files, sets the limits, starts the program.

It is handed to the sandbox as one file and run by whatever Python is there (3.8 or later), so it imports nothing of
this project. It shares the sandbox with the program, which may well kill or impersonate it: whoever reads what it
reports believes none of it.

It is called with three descriptors: the job (JSON), the report, and an archive to unpack (-1: none). The report is a
sequence of frames: a line of JSON with the length of the bytes that follow it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import stat
import sys
from functools import partial

TYPE_CHECKING = False  # importing typing would cost more than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO, Any

    Member = tuple[str, bool, Callable[[], IO[bytes]]]
    """Name, whether it is a folder, and how to open it."""

WORK = "/work"
RESULT = WORK + "/.result.json"
_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
_CHUNK = 1 << 16


class Refused(Exception):
    """The job cannot be done; ``kind`` says why for machines."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


def main(job_fd: int, report_fd: int, archive_fd: int) -> None:
    """Run the job and report."""
    with open(job_fd, "rb") as file:
        job = json.load(file)
    with open(report_fd, "wb") as report:
        attempt(job, report, archive_fd)


def attempt(job: dict[str, Any], report: IO[bytes], archive_fd: int) -> None:
    """Lay out, run, collect."""
    try:
        check_isolation(job["outside"])
        frame(report, {"event": "isolated"})
        if archive_fd >= 0:
            unpack(archive_fd, job["most_files"], job["most_bytes"])
            if job["flatten"]:
                flatten()
        for path, text in job["files"].items():
            place(path, text)
        frame(report, {"event": "started"})
        status, usage = run(job)
    except Refused as refusal:
        frame(report, {"event": "refused", "kind": refusal.kind, "reason": refusal.reason})
        return
    # What the program left running must not go on changing what is collected.
    with contextlib.suppress(OSError):
        os.kill(-1, signal.SIGKILL)
    for path in [RESULT, *job["collect"]]:
        collect(report, path, job["most_collected_bytes"])
    code, killed_by = (None, os.WTERMSIG(status)) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), None)
    cpu = usage.ru_utime + usage.ru_stime
    frame(report, {"event": "ended", "exit_code": code, "signal": killed_by, "cpu_seconds": cpu})


def frame(report: IO[bytes], head: dict[str, Any], data: bytes = b"") -> None:
    """Write one frame."""
    report.write(json.dumps({**head, "size": len(data)}).encode() + b"\n" + data)
    report.flush()


def check_isolation(outside: dict[str, str]) -> None:
    """Believe no flag: look whether every wall stands."""
    for name in _NAMESPACES:
        if os.readlink("/proc/self/ns/" + name) == outside[name]:
            raise Refused("sandbox", f"the sandbox shares the {name} namespace of the machine")
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    for name, wanted in (("Seccomp", 2), ("NoNewPrivs", 1)):
        if int(status[name]) != wanted:
            raise Refused("sandbox", f"{name} is {status[name].strip()} inside the sandbox")
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            raise Refused("sandbox", f"{name} is not empty inside the sandbox")
    with open("/proc/net/dev") as file:
        links = {line.split(":")[0].strip() for line in file if ":" in line}
    if links - {"lo"}:
        raise Refused("sandbox", f"the sandbox has a network: {', '.join(sorted(links))}")
    for root in ("/", "/dev"):
        if not os.statvfs(root).f_flag & os.ST_RDONLY:
            raise Refused("sandbox", f"{root} can be written inside the sandbox")


def place(path: str, text: str) -> None:
    """Write one of the job's files below the working folder."""
    target = inner(path)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise Refused("files", f"{path} could not be written: {error.strerror}") from None


def inner(path: str) -> str:
    """A path of the working folder; Refused for one that leads out of it."""
    whole = os.path.normpath(os.path.join(WORK, path))
    if not whole.startswith(WORK + "/") or "\0" in path:
        raise Refused("archive", f"{path!r} leads out of the working folder")
    return whole


def unpack(archive_fd: int, most_files: int, most_bytes: int) -> None:
    """Unpack a tar or zip archive: files and folders only, no links, no devices, within the limits."""
    import tarfile  # costly, and mostly not needed
    import zipfile

    with open(archive_fd, "rb") as file:
        try:
            if zipfile.is_zipfile(file):
                members = zip_members(file)
            else:
                file.seek(0)
                members = tar_members(file)
            unpack_members(members, most_files, most_bytes)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise Refused("archive", f"the archive cannot be read: {error}") from None
        except OSError as error:
            raise Refused("archive", f"the archive cannot be unpacked: {error.strerror or error}") from None


def flatten() -> None:
    """Lift everything out of the one folder that holds it, as archives of repositories have it."""
    names = os.listdir(WORK)
    top = os.path.join(WORK, names[0]) if len(names) == 1 else ""
    if not top or not os.path.isdir(top):
        return
    aside = os.path.join(WORK, ".unpacked")
    os.rename(top, aside)
    for name in os.listdir(aside):
        os.rename(os.path.join(aside, name), os.path.join(WORK, name))
    with contextlib.suppress(OSError):
        os.rmdir(aside)


def unpack_members(members: Iterable[Member], most_files: int, most_bytes: int) -> None:
    """Write (name, is a folder, opened) one by one."""
    count = total = 0
    for name, is_folder, opened in members:
        count += 1
        if count > most_files:
            raise Refused("archive", f"the archive holds more than {most_files} files")
        if name.startswith("/") or ".." in name.split("/"):
            raise Refused("archive", f"the archive holds {name!r}, which leads out of its folder")
        target = inner(name) if name.strip("./") else WORK
        os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
        if is_folder:
            continue
        with opened() as source, open(target, "wb") as out:
            while chunk := source.read(_CHUNK):
                total += len(chunk)
                if total > most_bytes:
                    raise Refused("archive", f"the archive unpacks to more than {most_bytes} bytes")
                out.write(chunk)


def tar_members(file: IO[bytes]) -> Iterator[Member]:
    """The members of a tar archive of any compression."""
    import tarfile

    with tarfile.open(fileobj=file) as archive:
        for item in archive:
            if item.type in (tarfile.XGLTYPE, tarfile.XHDTYPE):
                continue
            if not (item.isreg() or item.isdir()):
                raise Refused("archive", f"the archive holds {item.name!r}, a link or a special file")
            yield item.name, item.isdir(), partial(open_in_tar, archive, item)


def open_in_tar(archive: Any, item: Any) -> IO[bytes]:
    """A regular file of a tar archive."""
    file: IO[bytes] = archive.extractfile(item)
    return file


def zip_members(file: IO[bytes]) -> Iterator[Member]:
    """The members of a zip archive."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        for item in archive.infolist():
            mode = item.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused("archive", f"the archive holds {item.filename!r}, a link or a special file")
            yield item.filename, item.is_dir(), partial(archive.open, item)


def run(job: dict[str, Any]) -> tuple[int, Any]:
    """Start the program and wait for its end: its wait status and its resource usage."""
    child = os.fork()
    if child == 0:
        try:
            start(job)
        except BaseException as error:
            os.write(2, f"{job['argv'][0]}: {error}\n".encode("utf-8", "replace"))
        os._exit(127)
    _, status, usage = os.wait4(child, 0)
    return status, usage


def start(job: dict[str, Any]) -> None:
    """Become the program."""
    os.setpgid(0, 0)
    stdin = os.open("/run/input.json", os.O_RDONLY)
    os.dup2(stdin, 0)
    os.closerange(3, 1 << 16)
    with contextlib.suppress(OSError):
        os.nice(5)  # the worker's own threads keep leases alive: they come first
    for name, pair in job["rlimits"].items():
        number = getattr(resource, name, None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            # The worker may have been started with less, and nobody may raise what is above.
            soft, most = (value if hard == resource.RLIM_INFINITY else min(value, hard) for value in pair)
            resource.setrlimit(number, (soft, most))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.umask(0o022)
    os.chdir(job["cwd"])
    os.execve(job["argv"][0], job["argv"], job["env"])


def collect(report: IO[bytes], path: str, most_bytes: int) -> None:
    """Report a regular file of the working folder; links are not followed, at no place of the path."""
    try:
        data = read_plainly(path, most_bytes)
    except (OSError, Refused) as error:
        reason = error.reason if isinstance(error, Refused) else error.strerror
        frame(report, {"event": "no_file", "path": path, "reason": reason})
        return
    frame(report, {"event": "file", "path": path}, data)


def read_plainly(path: str, most_bytes: int) -> bytes:
    """The bytes of a regular file; OSError or Refused for anything else."""
    folder = os.open(WORK, os.O_RDONLY | os.O_DIRECTORY)
    parts = os.path.relpath(inner(path), WORK).split("/")
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        opened = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    with open(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise Refused("files", "it is no regular file")
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise Refused("too_large", f"it has more than {most_bytes} bytes")
    return data


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:4]))
