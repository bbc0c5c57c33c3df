"""Hostile scripts are held: what they see inside, and that nothing of them is left outside."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.hostile import ATTACKS, TOOLS, Attack
from tests.integration.workers.peers import Peer
from tests.servers import open_to_all
from tests.stack import eventually
from workers.automation import sandbox
from workers.automation.sandbox_command import DROPPED_ID, drops
from workers.automation.script import Script, ScriptConfig, ScriptOutput

ROOT = Path(__file__).parents[3]
SECRET = "secret-word-of-the-worker"


@pytest.fixture
def mark() -> Iterator[str]:
    """A word in the environment of everything that a script starts; none of it is there when the test ends."""
    word = f"mark-{uuid4().hex}"
    yield word
    assert marked(word) == []


def marked(word: str) -> list[int]:
    """The processes of this machine that have the word in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if word.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def open_descriptors() -> list[str]:
    """Those of this process that are of the kinds that a sandbox needs; other threads come and go with theirs."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith(("pipe:", "/memfd:", "anon_inode:[pidfd]")):
                found.append(target)
    return sorted(found)


@dataclass
class Outside:
    """What a script should not reach: files, servers and a process of this machine."""

    folder: Path
    given: dict[str, Any]
    unix: socket.socket
    abstract: socket.socket
    udp: socket.socket
    neighbour: subprocess.Popen[bytes]

    def assert_untouched(self, peer: Peer) -> None:
        assert peer.requests == []
        for waiting in (self.unix, self.abstract, self.udp):
            waiting.setblocking(False)
            with pytest.raises(BlockingIOError):
                waiting.recv(1) if waiting is self.udp else waiting.accept()
        assert self.neighbour.poll() is None
        assert sorted(path.name for path in self.folder.iterdir()) == ["file", "socket"]
        assert (self.folder / "file").read_text() == SECRET


@pytest.fixture
def outside(tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    folder = tmp_path / "outside"
    folder.mkdir()
    folder.chmod(0o777)
    tmp_path.chmod(0o777)
    (folder / "file").write_text(SECRET)
    (folder / "file").chmod(0o666)
    monkeypatch.setenv("WORKER_SECRET", SECRET)
    user = {"user": DROPPED_ID, "group": DROPPED_ID, "extra_groups": []} if drops() else {}
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        subprocess.Popen(["sleep", "600"], **user) as neighbour,  # type: ignore[call-overload]
    ):
        unix.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        unix.listen()
        abstract.bind("\0" + SECRET)
        abstract.listen()
        udp.bind(("127.0.0.1", 0))
        for left_open in (unix, udp):
            os.set_inheritable(left_open.fileno(), True)
        given = {
            "file": str(folder / "file"),
            "socket": str(folder / "socket"),
            "port": peer.port,
            "udp": udp.getsockname()[1],
            "worker": os.getpid(),
            "secret": SECRET,
        }
        yield Outside(folder, given, unix, abstract, udp, neighbour)
        neighbour.kill()


def config(code: str, mark: str, **fields: Any) -> ScriptConfig:
    return ScriptConfig.model_validate({"code": code, "env": {"MARK": mark}, **fields})


def run(ctx: HandlerContext, wanted: ScriptConfig) -> ScriptOutput:
    outcome = Script().run(ctx, wanted)
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, ScriptOutput)
    return outcome.result


def attack_config(attack: Attack, mark: str, given: dict[str, Any]) -> ScriptConfig:
    limits = {"wallSeconds": 20, "cpuSeconds": 15, "processes": 16, "memoryMb": 256} | attack.limits
    return config(TOOLS + attack.code, mark, input=given, limits=limits)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the scripts name system calls by their numbers")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"a script that {attack.name}")
def test_it_is_held(attack: Attack, ctx: HandlerContext, mark: str, outside: Outside, peer: Peer) -> None:
    wanted = attack_config(attack, mark, outside.given)
    descriptors = open_descriptors()
    children = [child.pid for child in psutil.Process().children()]
    if attack.ends is None:
        seen = run(ctx, wanted).result
        assert isinstance(seen, dict)
        assert {name: seen.get(name) for name in attack.sees} == attack.sees
        assert SECRET not in str(seen)
    else:
        with pytest.raises(PermanentError) as caught:
            run(ctx, wanted)
        assert caught.value.info.code == attack.ends, caught.value.info
        assert SECRET not in str(caught.value.info)
    assert marked(mark) == []
    assert open_descriptors() == descriptors
    assert [child.pid for child in psutil.Process().children()] == children
    outside.assert_untouched(peer)


def test_there_are_enough_of_them() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 25


def test_what_runs_is_seen_from_outside_while_it_runs_and_gone_when_it_is_cancelled(
    ctx: HandlerContext, mark: str
) -> None:
    def cancel() -> None:
        eventually(lambda: marked(mark), 20, "the script runs")
        ctx.stop = True

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(TransientError) as caught:
        run(ctx, config("import subprocess, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)", mark))
    canceller.join()
    assert caught.value.info.code == "interrupted"
    assert marked(mark) == []


WORKER = """
import sys
from workers.automation.program import ProgramConfig, job_for
from workers.automation.sandbox_limits import Limits
from workers.automation.sandbox_run import execute
code = "import os, time\\nif os.fork() == 0: os.setsid()\\ntime.sleep(600)"
config = ProgramConfig.model_validate({"code": code, "env": {"MARK": sys.argv[1]}})
execute(job_for(config, Limits(wall_seconds=600)))
"""


@pytest.mark.parametrize("victim", ["the worker", "bubblewrap"])
def test_nothing_is_left_when_its_owner_is_killed(victim: str, mark: str) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, mark], cwd=ROOT)
    try:
        # Two, since the one that looks at them is there twice: as parent and as child.
        inside = eventually(lambda: len(marked(mark)) >= 2 and marked(mark), 20, "the script runs")
        assert inside
        if victim == "bubblewrap":
            [wrapper] = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            os.kill(int(wrapper), signal.SIGKILL)
            assert worker.wait(20) == 0
        else:
            worker.kill()
            worker.wait(20)
        eventually(lambda: not marked(mark), 20, "everything inside has ended")
    finally:
        worker.kill()
        worker.wait()


PROBE = "from workers.automation.sandbox import probe; found = probe(); print(found.ok, found.reason)"
WITHOUT_NAMESPACES = """
import errno, os, sys
import pyseccomp as seccomp
rules = seccomp.SyscallFilter(seccomp.ALLOW)
rules.add_rule(seccomp.ERRNO(errno.EPERM), "unshare")
rules.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, 0x10000000, 0x10000000))
rules.load()
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def told(*command: str, **environment: str) -> str:
    """What a process says that looks whether it can isolate."""
    done = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ) | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_this_machine_isolates() -> None:
    assert sandbox.probe() == sandbox.Isolation(True)


ORDINARY = """
import os
import pyseccomp
from taskengine.delivery.egress import guarded_session
from workers.automation.program import ProgramConfig, job_for, result_of
from workers.automation.sandbox_limits import Limits
from workers.automation.sandbox_run import execute
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(64000)
    os.setuid(64000)
def run(code, limits):
    return execute(job_for(ProgramConfig(code=code), limits))
print(result_of(run("import os; result = [os.getuid(), os.listdir('/work')]", Limits())))
print(run("import os\\nwhile True:\\n  try: os.fork()\\n  except OSError: pass", Limits(processes=8)).broken)
print(run("x = []\\nwhile True: open('/tmp/' + str(len(x)), 'w'); x.append(1)", Limits(files=500)).broken)
"""


def test_it_holds_for_an_ordinary_user_as_for_root() -> None:
    assert told(sys.executable, "-c", ORDINARY).splitlines() == ["[1000, ['script.py']]", "process", "file"]


def test_limits_that_the_worker_was_started_with_are_not_in_the_way() -> None:
    said = told("prlimit", "--core=0:0", "--memlock=65536:65536", "--nofile=128:128", sys.executable, "-c", PROBE)
    assert said == "True"


def test_a_machine_without_bubblewrap_says_what_to_install(tmp_path: Path) -> None:
    said = told(sys.executable, "-c", PROBE, PATH=str(tmp_path))
    assert said.startswith("False bubblewrap is not installed: install")


def test_a_machine_that_allows_no_user_namespaces_says_so() -> None:
    said = told(sys.executable, "-c", WITHOUT_NAMESPACES, PROBE)
    assert said.startswith("False bubblewrap cannot isolate here:")
    assert "namespace" in said


def test_a_bubblewrap_that_isolates_less_than_it_was_told_is_found_out(tmp_path: Path) -> None:
    """One that leaves a wall out, as bubblewrap does with --unshare-all: seen from inside, and nothing is run."""
    lying = tmp_path / "bwrap"
    lying.write_text(
        "#!/usr/bin/python3\n"
        "import os, sys\n"
        "told = int(sys.argv[2])\n"
        "words = os.read(told, 1 << 20).split(b'\\0')\n"
        "words.remove(b'--unshare-net')\n"
        "made = os.memfd_create('told', 0)\n"
        "os.write(made, b'\\0'.join(words)); os.lseek(made, 0, 0)\n"
        "os.execv('/usr/bin/bwrap', ['bwrap', '--args', str(made), *sys.argv[3:]])\n"
    )
    lying.chmod(0o755)
    open_to_all(tmp_path)
    said = told(sys.executable, "-c", PROBE, PATH=str(tmp_path))
    assert said == "False the sandbox shares the net namespace of the machine"


def test_a_machine_on_which_nobody_could_watch_what_runs_says_so() -> None:
    blind = (
        "import errno, os, sys\n"
        "import pyseccomp as seccomp\n"
        "rules = seccomp.SyscallFilter(seccomp.ALLOW)\n"
        "rules.add_rule(seccomp.ERRNO(errno.EPERM), 'pidfd_open')\n"
        "rules.load()\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])\n"
    )
    said = told(sys.executable, "-c", blind, PROBE)
    assert said.startswith("False what runs in the sandbox cannot be watched from outside:")
    if drops():
        # As root is in most containers.
        said = told("setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-all", sys.executable, "-c", PROBE)
        assert said.startswith("False what runs in the sandbox cannot be watched from outside:")
        assert said.endswith("run the worker as an ordinary user, or with CAP_SYS_PTRACE")


def test_a_script_is_refused_where_nothing_isolates(
    ctx: HandlerContext, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        sandbox.isolation(again=True)
    try:
        with pytest.raises(HandlerError) as caught:
            run(ctx, config("open('/tmp/x', 'w')", mark))
    finally:
        sandbox.isolation(again=True)
    assert isinstance(caught.value, PermanentError)
    assert caught.value.info.code == "sandbox_unavailable"
    assert "bubblewrap is not installed" in caught.value.info.message
