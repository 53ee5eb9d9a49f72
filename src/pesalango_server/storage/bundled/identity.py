"""As whom the bundled PostgreSQL runs: it refuses root, and must reach its files and programs.

An ordinary user runs it plainly. Root runs it in a user namespace of one user, where it has no
privileges and yet owns root's files: no user is added and no directory is opened. Where the
kernel refuses that (many containers), or where the data already belongs to somebody else, root
becomes that user for it.
"""

import os
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pesalango_server.storage.bundled import child
from pesalango_server.storage.database import StorageError

NOBODY_ID = 65534
"""The user without rights of every Linux distribution, and the id of its group on most."""

_ROOT_ID = 0
_PROBE_TIMEOUT_S = 30


class BundledPostgresError(StorageError):
    """The bundled PostgreSQL cannot be started or stopped; the message says what to do."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """As whom its programs run; `user_id` and `group_id` own its files as the disk sees them."""

    kind: Literal["plain", "mapped", "switched"]
    user_id: int
    group_id: int

    @property
    def argument(self) -> str:
        """IDENTITY as `child.py` wants it."""
        if self.kind == "plain":
            return "plain"
        if self.kind == "mapped":
            return f"mapped:{_find_unprivileged_user_id()}:{NOBODY_ID}"
        return f"switched:{self.user_id}:{self.group_id}"

    @property
    def description(self) -> str:
        """For a message: the user whose rights count."""
        name = f"the user {find_user_name(self.user_id)}"
        return f"{name} without privileges" if self.kind == "mapped" else name


def find_user_name(user_id: int) -> str:
    """The name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _has_name(user_id: int) -> bool:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        return False
    return True


def _find_unprivileged_user_id() -> int:
    """PostgreSQL looks its user up by id, in a namespace too: it must be one with a name."""
    if _has_name(NOBODY_ID):
        return NOBODY_ID
    return next((user.pw_uid for user in pwd.getpwall() if user.pw_uid != _ROOT_ID), NOBODY_ID)


def build_command(
    identity: Identity, directory: Path, arguments: Sequence[str], *, end_signal: signal.Signals
) -> list[str]:
    """The command line that runs `arguments` in `directory`, ended with `end_signal` if we end."""
    return [
        sys.executable,
        "-I",
        "-S",
        child.__file__,
        str(os.getpid()),
        str(int(end_signal)),
        identity.argument,
        str(directory),
        *arguments,
    ]


def build_environment() -> dict[str, str]:
    """What its programs inherit: no PG… variable may steer them, and no secret reaches them."""
    kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {"LC_ALL": "C", **{name: os.environ[name] for name in kept if name in os.environ}}


def run_program(
    identity: Identity,
    directory: Path,
    arguments: Sequence[str],
    *,
    timeout_s: float,
    text: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end with `text` on its standard input; killed if we are."""
    command = build_command(identity, directory, arguments, end_signal=signal.SIGKILL)
    try:
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            env=build_environment(),
            timeout=timeout_s,
            check=False,
            # Ctrl-C is for the server alone, which then ends this one in its own order.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        name = Path(arguments[0]).name
        raise BundledPostgresError(
            f"{name} of the bundled PostgreSQL took longer than {timeout_s:g} s in {directory}; "
            "see whether that disk is full or very slow, then try again"
        ) from error


def find_last_lines(text: str, count: int = 3) -> str:
    """The end of a program's output on one line, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:]) or "it said nothing"


def find_closed_directory(path: Path, *, user_id: int, group_id: int) -> Path | None:
    """The outermost of `path` and its parents that a user may not pass, by its mode bits."""
    for directory in reversed([path, *path.parents]):
        status = directory.stat()
        if status.st_uid == user_id:
            bit = 0o100
        elif status.st_gid == group_id:
            bit = 0o010
        else:
            bit = 0o001
        if not status.st_mode & bit:
            return directory
    return None


def _explain_failure(
    identity: Identity, directory: Path, program: Path, result: subprocess.CompletedProcess[str]
) -> BundledPostgresError:
    is_directory = result.returncode == child.EXIT_DIRECTORY_CLOSED
    wanted = directory if is_directory else program.parent
    closed = find_closed_directory(wanted, user_id=identity.user_id, group_id=identity.group_id)
    if closed is None:
        return BundledPostgresError(
            f"the bundled PostgreSQL {program} does not run on this machine "
            f"({find_last_lines(result.stderr)}); give the address of another PostgreSQL instead"
        )
    return BundledPostgresError(
        f"PostgreSQL does not run as root, and {identity.description} cannot pass {closed} "
        f"to reach {wanted}; start Pesalango as an ordinary user, or choose directories for it "
        "and its data that every user can pass"
    )


def _read_version(identity: Identity, directory: Path, program: Path) -> str | None:
    """Its version, which shows that this identity works; None where namespaces are refused."""
    result = run_program(
        identity, directory, [str(program), "--version"], timeout_s=_PROBE_TIMEOUT_S
    )
    if result.returncode == child.EXIT_NAMESPACE_REFUSED:
        return None
    found = re.search(r"\) (\d+\S*)", result.stdout)
    if result.returncode != 0 or found is None:
        raise _explain_failure(identity, directory, program, result)
    return found.group(1)


def choose_identity(data_dir: Path, program: Path) -> tuple[Identity, str]:
    """Who may run `program` (postgres) on the existing `data_dir`, and the program's version.

    Raises `BundledPostgresError` where nobody can.
    """
    own_id, owner = os.geteuid(), data_dir.stat()
    if own_id not in (_ROOT_ID, owner.st_uid):
        raise BundledPostgresError(
            f"{data_dir} belongs to the user {find_user_name(owner.st_uid)}; start Pesalango as "
            "that user, or choose another data directory"
        )
    kind: Literal["plain", "mapped", "switched"] = "plain"
    if owner.st_uid != own_id:
        kind = "switched"
    elif own_id == _ROOT_ID or not _has_name(own_id):
        kind = "mapped"
    group_id = owner.st_gid if kind == "switched" else os.getegid()
    identity = Identity(kind=kind, user_id=owner.st_uid, group_id=group_id)
    version = _read_version(identity, data_dir, program)
    if version is not None:
        return identity, version
    if own_id != _ROOT_ID:
        raise BundledPostgresError(
            f"PostgreSQL needs a name for the user {own_id} that it runs as, and there is none; "
            "start Pesalango as a user with an entry in /etc/passwd"
        )
    user_id = _find_unprivileged_user_id()
    identity = Identity(kind="switched", user_id=user_id, group_id=NOBODY_ID)
    # The data directory itself is handed over only once its parents are known to be passable.
    version = _read_version(identity, data_dir.parent, program)
    if version is None:
        raise BundledPostgresError(
            "PostgreSQL does not run as root, and this system lets it run as nobody else; start "
            "Pesalango as an ordinary user"
        )
    return identity, version
