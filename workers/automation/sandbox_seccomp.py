"""Which system calls a sandboxed process may make, as two kernel filters.

The first lets through what ordinary programs need and answers everything else, known today or not, with "no such
call", which libraries take as an old kernel. The second refuses by its arguments, or by name with a plain "not
permitted", what would reach out of the sandbox. The kernel takes the stricter answer of the two.
"""

# ruff: noqa: PLC0415 - pyseccomp loads libseccomp, which is only needed where a sandbox is made

from __future__ import annotations

import errno
import os
from functools import lru_cache

_FAMILY_UNIX, _FAMILIES_OF_LOOPBACK = 1, (2, 10)
_MOST_FAMILIES = 64
_MASK_32 = 0xFFFFFFFF
_NEW_NAMESPACES = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_TERMINAL_REQUESTS = (0x5412, 0x541C, 0x540E)
"""TIOCSTI, TIOCLINUX, TIOCSCTTY: put words into a terminal's mouth, or take one over."""
_SET_SECCOMP = 22
_SHARED_AND_NAMELESS = 0x21
"""MAP_SHARED | MAP_ANONYMOUS: pages that stay when a process takes them out of its view, where no limit sees them."""
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8)
"""SO_SNDBUF and SO_RCVBUF."""

_ALLOWED = """
accept accept4 access alarm arch_prctl bind brk capget chdir chmod chown clock_getres clock_gettime clock_nanosleep
clone close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir
fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fstat fstatfs fsync ftruncate
futex futex_waitv futimesat getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername
getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit get_robust_list getrusage getsid
getsockname getsockopt get_thread_area gettid gettimeofday getuid getxattr ioctl ioprio_get
kill lchown lgetxattr link linkat listen listxattr llistxattr lseek lstat madvise
membarrier mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall
munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read
readahead readlink readlinkat readv recvfrom recvmmsg recvmsg rename renameat renameat2 restart_syscall rmdir rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler sched_yield select sendfile sendmmsg sendmsg
sendto setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit set_robust_list
setsid setsockopt set_thread_area set_tid_address setuid shutdown sigaltstack signalfd signalfd4 socketpair splice stat
statfs statx symlink symlinkat sync_file_range sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate ugetrlimit umask uname
unlink unlinkat utime utimensat utimes vfork wait4 waitid waitpid write writev
"""
"""Not among them, since they hold memory that no limit counts: memfd_create, inotify, System V and POSIX message queues
and shared memory."""
_REFUSED = """
acct add_key bpf chroot clock_adjtime clock_settime delete_module finit_module fsconfig fsmount fsopen fspick
init_module io_uring_enter io_uring_register io_uring_setup kcmp kexec_file_load kexec_load keyctl mount mount_setattr
move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_vm_readv
process_vm_writev ptrace quotactl reboot request_key seccomp setdomainname sethostname setns settimeofday swapoff swapon
syslog umount2 unshare userfaultfd vhangup
"""


@lru_cache(maxsize=2)
def filters(loopback: bool) -> tuple[bytes, bytes]:
    """Both filters as BPF programs; ``loopback`` allows TCP and UDP, for an own network that has a loopback only.

    Raises OSError or RuntimeError where libseccomp is missing or cannot make them.
    """
    families = (_FAMILY_UNIX, *(_FAMILIES_OF_LOOPBACK if loopback else ()))
    return _allowing(families), _refusing(families)


def _allowing(families: tuple[int, ...]) -> bytes:
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    for name in _known(_ALLOWED):
        rules.add_rule(seccomp.ALLOW, name)
    for family in families:
        # The kernel reads 32 bits of it: what stands in the others must not make it look like another family.
        rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.MASKED_EQ, _MASK_32, family))
    return _program(rules)


def _refusing(families: tuple[int, ...]) -> bytes:
    import pyseccomp as seccomp

    refuse = seccomp.ERRNO(errno.EPERM)
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in _known(_REFUSED):
        rules.add_rule(refuse, name)
    for flag in _NEW_NAMESPACES:
        rules.add_rule(refuse, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in _TERMINAL_REQUESTS:
        rules.add_rule(refuse, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, _MASK_32, request))
    flags = seccomp.Arg(3, seccomp.MASKED_EQ, _SHARED_AND_NAMELESS, _SHARED_AND_NAMELESS)
    rules.add_rule(refuse, "mmap", flags)
    for option in _BUFFER_SIZES:
        # Not refused but left as it is, as the kernel itself does with sizes that it does not like.
        level, name = (seccomp.Arg(at, seccomp.MASKED_EQ, _MASK_32, it) for at, it in ((1, _SOL_SOCKET), (2, option)))
        rules.add_rule(seccomp.ERRNO(0), "setsockopt", level, name)
    for family in set(range(_MOST_FAMILIES)) - set(families):
        # The first filter lets none of them through; this one says it in the word that programs expect.
        rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.MASKED_EQ, _MASK_32, family))
    rules.add_rule(refuse, "prctl", seccomp.Arg(0, seccomp.MASKED_EQ, _MASK_32, _SET_SECCOMP))
    return _program(rules)


def _known(names: str) -> list[str]:
    """Those that this machine's architecture and library have."""
    import pyseccomp as seccomp

    found = []
    for name in names.split():
        try:
            number = seccomp.resolve_syscall(seccomp.system_arch(), name)
        except (ValueError, OSError):
            continue
        if number >= 0:
            found.append(name)
    return found


def _program(rules: object) -> bytes:
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "w+b") as file:
        rules.export_bpf(file)  # type: ignore[attr-defined]
        file.seek(0)
        return file.read()
