"""Scripts that try to get out of the sandbox, or to take more than their share; test_sandbox.py runs each of them.

A script notes what it saw with ``see(name, attempt)``: what the attempt returned, or the name of the error that it
met. ``given`` in ``expect`` stands for what a test hands in.
"""

# ruff: noqa: E501 - the scripts read best with one attempt in a line

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TOOLS = """
import ctypes, errno, json, os, signal, socket, stat, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
result = seen = {}

def see(name, attempt):
    try:
        seen[name] = attempt()
    except OSError as error:
        seen[name] = errno.errorcode.get(error.errno, type(error).__name__) if error.errno else type(error).__name__
    except Exception as error:
        seen[name] = type(error).__name__

def call(number, *args):
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in args]
    done = libc.syscall(ctypes.c_long(number), *words)
    return "done" if done >= 0 else errno.errorcode[ctypes.get_errno()]

def read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size).decode(errors="replace")

def held(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False

def write(path, data="x"):
    with open(path, "w") as file:
        file.write(data)
    return "done"
"""


@dataclass(frozen=True)
class Attack:
    """A script, and what must come of it: what it saw (a part of it), or the error that it ended with."""

    name: str
    code: str
    sees: dict[str, Any] = field(default_factory=dict)
    ends: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)


GONE, REFUSED, READ_ONLY, NO_CALL = "ENOENT", "EPERM", "EROFS", "ENOSYS"

FILES = [
    Attack(
        "reads the accounts and the home folders of the machine",
        """
see("passwd", lambda: read("/etc/passwd"))
for path in ("/etc/shadow", "/etc/hostname", "/etc/hosts", "/etc/ssl", "/root", "/home", "/var", "/opt", "/srv", "/sys", "/boot"):
    see(path, lambda: os.listdir(path) if os.path.isdir(path) else read(path))
""",
        {"passwd": "sandbox:x:1000:1000::/work:/bin/sh\n"}
        | dict.fromkeys(("/etc/shadow", "/etc/hosts", "/root", "/home", "/var", "/srv", "/sys", "/boot"), GONE),
    ),
    Attack(
        "reads a file of the machine by its path, by links, and through other processes",
        """
path = input["file"]
os.symlink(path, "soft")
see("path", lambda: read(path))
see("symlink", lambda: read("soft"))
see("hardlink", lambda: os.link(path, "hard"))
see("root of number 1", lambda: read("/proc/1/root" + path))
see("folder of number 1", lambda: read("/proc/1/cwd/../.." + path))
see("dots", lambda: read("../" * 40 + path))
see("handle", lambda: call(304, -100, 0, 0))
""",
        {
            "path": GONE,
            "symlink": GONE,
            "hardlink": GONE,
            "root of number 1": GONE,
            "folder of number 1": GONE,
            "dots": GONE,
            "handle": REFUSED,
        },
    ),
    Attack(
        "writes to what it can see of the machine",
        """
for path in ("/usr/x", "/usr/bin/x", "/x", "/etc/x", "/dev/x", "/run/x", "/bin/x", "/run/inside.py", "/etc/passwd"):
    see(path, lambda: write(path))
see("remove", lambda: os.unlink("/usr/bin/env"))
see("mode", lambda: os.chmod("/usr/bin/env", 0o777))
""",
        dict.fromkeys(("/usr/x", "/usr/bin/x", "/x", "/etc/x", "/dev/x", "/run/x", "remove", "mode"), READ_ONLY),
    ),
    Attack(
        "opens raw devices, or makes some",
        """
for path in ("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/kvm", "/dev/fuse", "/dev/ptmx", "/dev/tty"):
    see(path, lambda: read(path, 1))
see("block device", lambda: os.mknod("disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0)))
see("character device", lambda: os.mknod("mem", 0o666 | stat.S_IFCHR, os.makedev(1, 1)))
see("devices", lambda: sorted(os.listdir("/dev")))
""",
        dict.fromkeys(("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/kvm", "/dev/ptmx", "/dev/tty"), GONE)
        | {"block device": REFUSED, "character device": REFUSED}
        | {"devices": ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]},
    ),
    Attack(
        "turns the knobs of /proc",
        """
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/hostname"):
    see(path, lambda: held(lambda: write(path)))
for path in ("/proc/kcore", "/proc/kmsg", "/proc/1/mem"):
    see(path, lambda: held(lambda: read(path)))
see("oom", lambda: held(lambda: write("/proc/self/oom_score_adj", "-1000")))
see("uid map", lambda: held(lambda: write("/proc/self/uid_map", "0 0 1")))
see("groups", lambda: held(lambda: write("/proc/self/setgroups", "allow")))
""",
        dict.fromkeys(
            (
                "/proc/sys/kernel/core_pattern",
                "/proc/sysrq-trigger",
                "/proc/sys/vm/drop_caches",
                "/proc/sys/kernel/hostname",
                "/proc/kcore",
                "/proc/kmsg",
                "/proc/1/mem",
                "oom",
                "uid map",
                "groups",
            ),
            True,
        ),
    ),
    Attack(
        "leaves a link as its result file",
        """
os.symlink("/etc/passwd", os.environ["RESULT_FILE"])
os._exit(0)
""",
        ends="bad_result",
    ),
    Attack(
        "leaves a pipe as its result file, for the reader to wait at",
        """
os.mkfifo(os.environ["RESULT_FILE"])
os._exit(0)
""",
        ends="bad_result",
    ),
    Attack(
        "leaves more than anybody wants to read as its result",
        """
with open(os.environ["RESULT_FILE"], "wb") as file:
    file.write(b"[" + b"1," * (10 << 20))
os._exit(0)
""",
        ends="bad_result",
    ),
]

SECRETS = [
    Attack(
        "looks for the secrets of the worker in every environment",
        """
found = ""
for number in [n for n in os.listdir("/proc") if n.isdigit()]:
    for name in ("environ", "cmdline"):
        try:
            found += read(f"/proc/{number}/{name}", 1 << 20)
        except OSError:
            pass
see("variables", lambda: sorted(name for name in os.environ if name not in ("MARK", "LC_CTYPE")))
see("secret", lambda: input["secret"] in found + str(dict(os.environ)))
see("own mark", lambda: os.environ["MARK"] in found)
""",
        {
            "variables": ["HOME", "LANG", "PATH", "RESULT_FILE", "TMPDIR", "USER"],
            "secret": False,
            "own mark": True,
        },
    ),
    Attack(
        "looks for open descriptors that the worker left it",
        """
see("descriptors", lambda: sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0].split(" ")[0] for n in os.listdir("/proc/self/fd") if n != "3"))
""",
        {"descriptors": ["/run/input.json", "pipe", "pipe"]},
    ),
    Attack(
        "waits for more at stdin, and writes to it",
        """
see("first", lambda: sorted(json.loads(sys.stdin.read())))
see("more", lambda: sys.stdin.read())
see("terminal", lambda: os.isatty(0))
see("write", lambda: os.write(0, b"x"))
""",
        {
            "first": ["file", "port", "secret", "socket", "udp", "worker"],
            "more": "",
            "terminal": False,
            "write": "EBADF",
        },
    ),
    Attack(
        "puts words into the worker's terminal",
        """
import fcntl
see("TIOCSTI", lambda: fcntl.ioctl(0, 0x5412, b"x"))
see("TIOCSTI, disguised", lambda: call(16, 0, 0x100005412, b"x"))
see("TIOCLINUX", lambda: fcntl.ioctl(0, 0x541C, b"x"))
see("pseudo terminal", lambda: os.openpty())
""",
        {"TIOCSTI": REFUSED, "TIOCSTI, disguised": REFUSED, "TIOCLINUX": REFUSED, "pseudo terminal": GONE},
    ),
]

NETWORK = [
    Attack(
        "calls a server on this machine",
        """
for host in ("127.0.0.1", "localhost", "::1", "10.0.0.1", "8.8.8.8"):
    see(host, lambda: socket.create_connection((host, input["port"]), 2))
""",
        {"127.0.0.1": REFUSED, "8.8.8.8": REFUSED},
    ),
    Attack(
        "sends a datagram",
        """
see("datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", input["udp"])))
see("datagram 6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
""",
        {"datagram": REFUSED, "datagram 6": REFUSED},
    ),
    Attack(
        "looks names up",
        """
see("name", lambda: socket.gethostbyname("example.com"))
see("own name", lambda: socket.gethostname())
""",
        {"name": "gaierror", "own name": "sandbox"},
    ),
    Attack(
        "speaks to a socket in the machine's files, or in no file",
        """
def connect(address):
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(address)
see("file", lambda: connect(input["socket"]))
see("abstract", lambda: connect("\\0" + input["secret"]))
""",
        {"file": GONE, "abstract": "ECONNREFUSED"},
    ),
    Attack(
        "opens sockets of other families",
        """
for name, family, kind in (("raw", 2, 3), ("packet", 17, 3), ("netlink", 16, 3), ("vsock", 40, 1), ("crypto", 38, 5), ("xdp", 44, 3)):
    see(name, lambda: socket.socket(family, kind))
see("disguised", lambda: call(41, 0x100000002, 1, 0))
see("links", lambda: sorted(line.split(":")[0].strip() for line in read("/proc/net/dev").splitlines() if ":" in line))
""",
        dict.fromkeys(("raw", "packet", "netlink", "vsock", "crypto", "xdp", "disguised"), REFUSED) | {"links": ["lo"]},
    ),
]

KERNEL = [
    Attack(
        "becomes root, by itself and by programs that make root",
        """
see("setuid", lambda: os.setuid(0))
see("setgroups", lambda: os.setgroups([0]))
see("su", lambda: subprocess.run(["su", "-c", "id"], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0)
see("newuidmap", lambda: os.path.exists("/usr/bin/passwd") and subprocess.run(["/usr/bin/passwd", "-d", "root"], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0)
see("ids", lambda: [*os.getresuid(), *os.getresgid()])
""",
        {"setuid": "EINVAL", "setgroups": REFUSED, "su": True, "ids": [1000] * 6},
    ),
    Attack(
        "makes namespaces of its own, where it would be root",
        """
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000)):
    see("unshare " + name, lambda: call(272, flag))
    see("clone " + name, lambda: call(56, flag | 17, 0, 0, 0, 0))
see("clone3", lambda: call(435, 0, 0))
see("setns", lambda: call(308, 0, 0))
see("program", lambda: subprocess.run(["unshare", "-r", "true"], capture_output=True).returncode != 0)
""",
        {f"{how} {name}": REFUSED for how in ("unshare", "clone") for name in ("user", "mount", "net", "pid")}
        | {"clone3": NO_CALL, "setns": REFUSED, "program": True},
    ),
    Attack(
        "mounts and moves roots",
        """
for name, number in (("mount", 165), ("umount", 166), ("pivot_root", 155), ("chroot", 161), ("fsopen", 430), ("open_tree", 428), ("move_mount", 429)):
    see(name, lambda: call(number, 0, 0, 0, 0, 0))
""",
        dict.fromkeys(("mount", "umount", "pivot_root", "chroot", "fsopen", "open_tree", "move_mount"), REFUSED),
    ),
    Attack(
        "reaches into other processes",
        """
for name, number in (("ptrace", 101), ("process_vm_readv", 310), ("process_vm_writev", 311), ("kcmp", 312), ("pidfd_getfd", 438)):
    see(name, lambda: call(number, 16, os.getppid(), 0, 0, 0, 0))
""",
        dict.fromkeys(("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"), REFUSED),
    ),
    Attack(
        "uses the parts of the kernel that are for administrators",
        """
for name, number in (("bpf", 321), ("perf_event_open", 298), ("kexec_load", 246), ("init_module", 175), ("reboot", 169), ("swapon", 167), ("settimeofday", 164), ("sethostname", 170), ("userfaultfd", 323), ("syslog", 103), ("acct", 163), ("quotactl", 179)):
    see(name, lambda: call(number, 0, 0, 0, 0, 0))
""",
        dict.fromkeys(
            (
                "bpf",
                "perf_event_open",
                "kexec_load",
                "init_module",
                "reboot",
                "swapon",
                "settimeofday",
                "sethostname",
                "userfaultfd",
                "syslog",
                "acct",
                "quotactl",
            ),
            REFUSED,
        ),
    ),
    Attack(
        "takes keys from the kernel's keyring",
        """
for name, number in (("add_key", 248), ("request_key", 249), ("keyctl", 250)):
    see(name, lambda: call(number, 0, 0, 0, 0, 0))
see("keys", lambda: read("/proc/keys"))
""",
        dict.fromkeys(("add_key", "request_key", "keyctl"), REFUSED),
    ),
    Attack(
        "goes around the filter by io_uring, by calls of another kind, or by numbers of tomorrow",
        """
for name, number in (("io_uring_setup", 425), ("io_uring_enter", 426), ("io_uring_register", 427)):
    see(name, lambda: call(number, 1, 0, 0, 0, 0))
see("tomorrow", lambda: call(600, 0))
see("own filter", lambda: call(317, 1, 0, 0))
child = os.fork()
if child == 0:
    call(0x40000000 + 165, 0, 0, 0, 0, 0)
    os._exit(0)
see("other kind", lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
        {"io_uring_setup": REFUSED, "io_uring_enter": REFUSED, "io_uring_register": REFUSED}
        | {"tomorrow": NO_CALL, "own filter": REFUSED, "other kind": -31},
    ),
    Attack(
        "asks for more of the processor than others",
        """
see("nice", lambda: os.nice(-10))
see("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))
see("limits", lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NPROC, (10000, 10000)))
""",
        {"nice": REFUSED, "real time": REFUSED, "limits": "ValueError"},
    ),
]

PROCESSES = [
    Attack(
        "looks at the processes of the machine, and signals them",
        """
see("processes", lambda: sorted(int(n) for n in os.listdir("/proc") if n.isdigit()))
see("worker", lambda: os.kill(input["worker"], signal.SIGKILL))
see("group", lambda: os.killpg(input["worker"], signal.SIGKILL))
""",
        {"processes": [1, 2, 3], "worker": "ESRCH", "group": "ESRCH"},
    ),
    Attack(
        "kills everything that it can",
        """
os.kill(-1, signal.SIGKILL)
time.sleep(60)
""",
        ends="script_failed",
    ),
    Attack(
        "kills the one that started it",
        """
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(60)
""",
        ends="script_failed",
    ),
    Attack(
        "forges the report about itself",
        """
for number in os.listdir("/proc/2/fd"):
    try:
        with open(f"/proc/2/fd/{number}", "wb", buffering=0) as file:
            file.write(b"\\xff" * 5000 + b"\\n{}\\n")
    except OSError:
        pass
time.sleep(60)
""",
        ends="output_limit",
    ),
    Attack(
        "makes threads in the process that started it, which has no limits",
        """
# Up to 200 times clone() with the flags of a thread; then, as each of them does, pause().
code = bytes.fromhex("bdc8000000" "ffcd" "7414" "bf000f0500" "31f6" "b838000000" "0f05" "85c0" "7402" "ebe8"
                     "b822000000" "0f05" "ebf7")
if os.fork() == 0:
    place = int(read("/proc/2/syscall").split()[-1], 16)
    memory = os.open("/proc/2/mem", os.O_RDWR)
    os.pwrite(memory, code, place)
    os.kill(os.getppid(), signal.SIGKILL)
time.sleep(60)
""",
        ends="process_limit",
    ),
    Attack(
        "leaves a daemon behind that outlives it",
        """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        for number in (0, 1, 2):
            os.close(number)
        time.sleep(600)
    os._exit(0)
os.wait()
see("ended", lambda: "well")
""",
        {"ended": "well"},
    ),
    Attack(
        "leaves a child behind that holds its output open",
        """
subprocess.Popen(["sleep", "600"], start_new_session=True)
see("ended", lambda: "well")
""",
        {"ended": "well"},
    ),
    Attack(
        "forks without end",
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n",
        ends="process_limit",
    ),
    Attack(
        "leaves dead children unburied without end",
        "while True:\n    try:\n        if os.fork() == 0:\n            os._exit(0)\n    except OSError:\n        pass\n",
        ends="process_limit",
    ),
    Attack(
        "starts threads without end",
        """
while True:
    try:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError:
        pass
""",
        ends="process_limit",
    ),
    Attack("dumps its core", "os.abort()\n", ends="script_failed"),
]

SHARES = [
    Attack("fills its memory", "kept = []\nwhile True:\n    kept.append(bytearray(10_000_000))\n", ends="memory_limit"),
    Attack(
        "fills shared memory and looks away from it, so that it is nobody's",
        """
import mmap
zero = os.open("/dev/zero", os.O_RDONLY)
see("nameless", lambda: mmap.mmap(-1, 16 << 20) and "done")
see("nameless by flags", lambda: call(9, 0, 16 << 20, 3, 0x4021, -1, 0))
see("zeros", lambda: mmap.mmap(zero, 16 << 20, prot=mmap.PROT_READ) and "done")
see("read zeros", lambda: os.read(zero, 3) == bytes(3))
""",
        {"nameless": REFUSED, "nameless by flags": REFUSED, "zeros": "ENODEV", "read zeros": True},
    ),
    Attack(
        "fills memory after its first thread has ended",
        """
def fill():
    kept = [bytearray(os.urandom(1 << 20) * 10) for _ in range(60)]
    time.sleep(60)
threading.Thread(target=fill).start()
call(60, 0)
""",
        ends="memory_limit",
    ),
    Attack(
        "fills sockets that nobody reads",
        """
def fill():
    kept = [end for _ in range(100) for end in socket.socketpair()]
    for end in kept:
        end.setblocking(False)
        try:
            while True:
                end.send(b"x" * 65536)
        except BlockingIOError:
            pass
    time.sleep(60)
for _ in range(8):
    if os.fork() == 0:
        fill()
time.sleep(60)
""",
        ends="memory_limit",
        limits={"memoryMb": 128},
    ),
    Attack(
        "makes the buffer of a socket huge",
        """
one, other = socket.socketpair()
one.setblocking(False)
for option in (socket.SO_SNDBUF, socket.SO_RCVBUF, 32, 33):
    see(str(option), lambda: one.setsockopt(socket.SOL_SOCKET, option, 4 << 20))
sent = 0
try:
    while True:
        sent += one.send(b"x" * 65536)
except BlockingIOError:
    see("small", lambda: sent < 1 << 20)
""",
        {"7": None, "8": None, "32": REFUSED, "33": REFUSED, "small": True},
    ),
    Attack(
        "fills memory by many processes, each of which has little",
        """
for _ in range(12):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20) * 30)
        time.sleep(60)
time.sleep(60)
""",
        ends="memory_limit",
        limits={"memoryMb": 128},
    ),
    Attack(
        "fills the kernel's tables of memory",
        """
libc.mmap.restype = ctypes.c_void_p
size = 48 << 30
start = libc.mmap(None, ctypes.c_size_t(size), 1, 0x4022, -1, 0)
for place in range(0, size, 2 << 20):
    ctypes.string_at(start + place, 1)
time.sleep(60)
""",
        ends="memory_limit",
        limits={"memoryMb": 64},
    ),
    Attack(
        "asks for memory that no limit counts",
        """
see("memfd_create", lambda: call(319, b"x", 0))
see("memfd_secret", lambda: call(447, 0))
see("shmget", lambda: call(29, 0, 1 << 30, 0o1600))
see("msgget", lambda: call(68, 0, 0o1600))
see("semget", lambda: call(64, 0, 1000, 0o1600))
see("mq_open", lambda: call(240, b"x", 0o102, 0o600, 0))
see("inotify", lambda: call(294, 0))
""",
        dict.fromkeys(("memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open", "inotify"), NO_CALL),
    ),
    Attack(
        "writes a huge file",
        """
with open("/tmp/huge", "wb") as file:
    while True:
        file.write(b"x" * (1 << 20))
""",
        ends="file_limit",
        limits={"diskMb": 16},
    ),
    Attack(
        "writes many large files into every folder there is",
        """
while True:
    for folder in ("/work", "/tmp", "/dev/shm"):
        try:
            with open(f"{folder}/{time.monotonic_ns()}", "wb") as file:
                file.write(b"x" * (4 << 20))
        except OSError:
            pass
""",
        ends="file_limit",
        limits={"diskMb": 16},
    ),
    Attack(
        "writes to files that have no name any more",
        """
kept = []
while True:
    try:
        kept.append(open("/tmp/x", "wb"))
        os.unlink("/tmp/x")
        kept[-1].write(b"x" * (2 << 20))
        kept[-1].flush()
    except OSError:
        pass
""",
        ends="file_limit",
        limits={"diskMb": 16},
    ),
    Attack(
        "makes a file that is huge by its size only",
        """
with open("sparse", "wb") as file:
    see("sparse", lambda: file.truncate(1 << 40))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    see("far", lambda: os.pwrite(file.fileno(), b"x", 1 << 40))
""",
        {"sparse": "EFBIG", "far": "EFBIG"},
    ),
    Attack(
        "makes files without end",
        "number = 0\nwhile True:\n    number += 1\n    open(f'/tmp/{number}', 'w').close()\n",
        ends="file_limit",
        limits={"files": 2000},
    ),
    Attack(
        "makes folders ever deeper",
        "while True:\n    os.mkdir('d')\n    os.chdir('d')\n",
        ends="file_limit",
        limits={"files": 2000},
    ),
    Attack("prints without end", "while True:\n    print('x' * 1000)\n", ends="output_limit", limits={"outputKb": 100}),
    Attack(
        "prints without end to stderr, with nobody's newline",
        "while True:\n    os.write(2, b'x' * 65536)\n",
        ends="output_limit",
        limits={"outputKb": 100},
    ),
    Attack("computes without end", "while True:\n    pass\n", ends="cpu_limit", limits={"cpuSeconds": 1}),
    Attack(
        "computes without end in children that are done before their own limit",
        """
while True:
    if os.fork() == 0:
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
        os._exit(0)
    os.wait()
""",
        ends="cpu_limit",
        limits={"cpuSeconds": 0.5},
    ),
    Attack(
        "computes without end in children whose ends it does not ask for",
        """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    ours, theirs = os.pipe()
    if os.fork() == 0:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
        os._exit(0)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
""",
        ends="cpu_limit",
        limits={"cpuSeconds": 1},
    ),
    Attack(
        "sleeps past its time and hears no signal",
        """
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(60)
""",
        ends="time_limit",
        limits={"wallSeconds": 0.5},
    ),
    Attack(
        "stops itself, so that it never ends",
        "os.kill(os.getpid(), signal.SIGSTOP)\n",
        ends="time_limit",
        limits={"wallSeconds": 0.3},
    ),
]

ATTACKS = [*FILES, *SECRETS, *NETWORK, *KERNEL, *PROCESSES, *SHARES]
