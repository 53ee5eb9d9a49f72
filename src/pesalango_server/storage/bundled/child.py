"""Turns a new process into a program of the bundled PostgreSQL, under a user that it accepts.

`identity.py` runs this file as a script, in an interpreter of its own that imports nothing
of the package (20 ms), because all of this must happen between fork and exec: in the server's own
process it would run beside other threads, where only async-signal-safe calls are allowed.

    child.py PARENT_PID SIGNAL IDENTITY DIRECTORY PROGRAM [ARGUMENT…]

* PARENT_PID: the process that waits for the program. The program gets SIGNAL when the thread that
  started it ends, however that comes about (Linux only).
* IDENTITY: `plain` (as it is), `switched:UID:GID` (becomes that user; needs root), or
  `mapped:UID:GID` (is called UID in a user namespace: it has no privileges there and owns what
  the caller owns, so that root need not open any directory to another user).
* DIRECTORY: where it runs; entering it shows whether the identity can reach it.

Where it cannot become the program it exits with one of the codes below, the reason on stderr.
"""

import ctypes
import os
import sys

EXIT_NAMESPACE_REFUSED = 121
EXIT_DIRECTORY_CLOSED = 122
EXIT_PROGRAM_CLOSED = 123
EXIT_PARENT_GONE = 124

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """This process cannot become the program; `exit_code` says at which step."""

    def __init__(self, exit_code: int, reason: object) -> None:
        super().__init__(str(reason))
        self.exit_code = exit_code


def call_libc(name: str, *arguments: int) -> None:
    """Call a function of the C library that answers -1 for an error: OSError with its errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*(ctypes.c_ulong(argument) for argument in arguments)) == -1:
        error_number = ctypes.get_errno()
        raise OSError(error_number, os.strerror(error_number))


def write_kernel_file(path: str, text: str) -> None:
    """Write `text` in one call, as the files below /proc ask for."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def enter_namespace(user_id: int, group_id: int) -> None:
    """Be called `user_id` in a new user namespace that knows the present user alone."""
    outer_user_id, outer_group_id = os.geteuid(), os.getegid()
    try:
        call_libc("unshare", _CLONE_NEWUSER)
        # The kernel takes a group map from the process itself only once setgroups is given up.
        write_kernel_file("/proc/self/setgroups", "deny")
        write_kernel_file("/proc/self/uid_map", f"{user_id} {outer_user_id} 1")
        write_kernel_file("/proc/self/gid_map", f"{group_id} {outer_group_id} 1")
    except OSError as error:
        raise ChildFailed(EXIT_NAMESPACE_REFUSED, error) from error


def take_identity(identity: str) -> None:
    """Become `identity`, as the module's text describes it."""
    if identity == "plain":
        return
    kind, user_id, group_id = identity.split(":")
    if kind == "mapped":
        enter_namespace(int(user_id), int(group_id))
    else:
        os.setgroups([])
        os.setgid(int(group_id))
        os.setuid(int(user_id))


def follow_parent(parent_pid: int, signal_number: int) -> None:
    """Ask for `signal_number` at the parent's end. After `take_identity`, which would clear it."""
    if sys.platform == "linux":
        call_libc("prctl", _PR_SET_PDEATHSIG, signal_number)
    # The end of a parent that came before the call above would never be noticed.
    if os.getppid() != parent_pid:
        raise ChildFailed(EXIT_PARENT_GONE, "the process that started it is gone")


def become_program(arguments: list[str]) -> None:
    """Do what the module's text says; returns by an exception only."""
    parent_pid, signal_number, identity, directory, *program = arguments
    os.umask(0o077)
    take_identity(identity)
    follow_parent(int(parent_pid), int(signal_number))
    try:
        os.chdir(directory)
    except OSError as error:
        raise ChildFailed(EXIT_DIRECTORY_CLOSED, error) from error
    try:
        os.execv(program[0], program)
    except OSError as error:
        raise ChildFailed(EXIT_PROGRAM_CLOSED, error) from error


if __name__ == "__main__":
    try:
        become_program(sys.argv[1:])
    except ChildFailed as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)
