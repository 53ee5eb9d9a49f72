"""The data directory of the bundled PostgreSQL: what lies in it, and to whom it belongs.

    cluster/   the database cluster, made by initdb      pgpass   the superuser's password, 0600
    socket/    the Unix socket, where its path is short  lock     held by whoever runs the server
    log        what the server has to say                log.1    the end of the log before that

The directory is the launcher's own: nothing else may be kept in it. It may belong to a user with
fewer rights than ours, so nothing here follows a symbolic link that this user may have planted.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from pesalango_server.storage.bundled.identity import BundledPostgresError, Identity
from pesalango_server.storage.bundled.waiting import wait_until

SUPERUSER = "pesalango"
PORT = 5432
"""Only a part of the socket's name: nothing listens on the network."""

_SCRATCH_PREFIX = "new-"


class BundledHome:
    """Paths below one data directory, and what is done to them on behalf of one identity."""

    def __init__(self, data_dir: Path, identity: Identity) -> None:
        self.data_dir, self.identity = data_dir, identity
        self.cluster = data_dir / "cluster"
        self.log = data_dir / "log"
        self.passfile = data_dir / "pgpass"

    def own(self, path: Path) -> None:
        """Hand what we made to the user that the server runs as."""
        if self.identity.kind == "switched":
            user_id, group_id = self.identity.user_id, self.identity.group_id
            os.chown(path, user_id, group_id, follow_symlinks=False)

    def own_all(self) -> None:
        """Hand everything over where it was root's so far, or the directory is new."""
        if self.data_dir.stat().st_uid == self.identity.user_id:
            return
        for directory, directories, files in os.walk(self.data_dir):
            for name in (*directories, *files):
                self.own(Path(directory, name))
        # Last: at the next start its owner says to whom all of it belongs.
        self.own(self.data_dir)

    def lock(self, timeout_ms: int) -> int:
        """Become the only one who runs this server, until the answered descriptor is closed.

        Waits a little, because the children of a killed holder may outlive it by a moment.
        """
        path = self.data_dir / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            self.own(path)
            self._claim(descriptor, timeout_ms)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _claim(self, descriptor: int, timeout_ms: int) -> None:
        if not wait_until(lambda: _try_lock(descriptor), timeout_ms=timeout_ms):
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
            raise BundledPostgresError(
                f"the PostgreSQL in {self.data_dir} is already run by process "
                f"{holder or '?'}; stop that, or choose another data directory"
            )
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)

    def write_file(self, path: Path, text: str) -> None:
        """Write a file of mode 0600 whole or not at all, and on the disk before it returns."""
        temporary = path.with_name(f"{path.name}.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        self.own(temporary)
        temporary.replace(path)
        sync_directory(path.parent)

    def write_password(self) -> str:
        """Make a new password and keep it where libpq looks for it."""
        password = secrets.token_urlsafe(32)
        self.write_file(self.passfile, f"*:*:*:{SUPERUSER}:{password}\n")
        return password

    def make_scratch(self) -> Path:
        """A new directory for what is moved into its place once it is complete."""
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=self.data_dir))
        self.own(scratch)
        return scratch

    def remove_scratch(self) -> None:
        """Remove what we, or an earlier start that was killed, have left half made."""
        for path in self.data_dir.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)

    def open_log(self, bytes_max: int) -> int:
        """A descriptor that appends to the log, which is moved away first once it is long."""
        if self.log.exists() and self.log.stat().st_size > bytes_max:
            self.log.replace(self.log.with_suffix(".1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self.log, flags, 0o600)
        self.own(self.log)
        return descriptor

    def bound_log(self, bytes_max: int) -> None:
        """Keep the end of a log that grew too long as `log.1`, and begin it anew.

        The server goes on writing through its own descriptor, which appends; the few lines that
        it writes between the copy and the cut are lost.
        """
        with os.fdopen(os.open(self.log, os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size <= bytes_max:
                return
            file.seek(size - bytes_max)
            last = file.read(bytes_max).decode("utf-8", "replace")
            file.truncate(0)
        self.write_file(self.log.with_suffix(".1"), last)

    def prepare_socket_directory(self) -> Path:
        """An empty private directory whose sockets have a path that the system accepts.

        Below the data directory, or, where that is too long or its file system has no sockets,
        below the system's directory for temporary files, always under the same name.
        """
        name = f"{SUPERUSER}-{hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]}"
        for directory in (
            self.data_dir / "socket",
            Path(tempfile.gettempdir(), name),
            Path("/tmp", name),  # noqa: S108 - nobody else's directory is taken, see below
        ):
            with contextlib.suppress(OSError):
                directory.mkdir(mode=0o700, exist_ok=True)
                status = directory.lstat()
                is_ours = status.st_uid in (os.geteuid(), self.identity.user_id)
                if is_ours and stat.S_ISDIR(status.st_mode) and _can_hold_socket(directory):
                    directory.chmod(0o700)
                    self.own(directory)
                    return directory
                directory.rmdir()
        raise BundledPostgresError(
            f"no directory can hold the socket of the PostgreSQL in {self.data_dir}: each is too "
            "long, somebody else's, or on a file system without sockets; set TMPDIR to a short one"
        )

    def remove_socket_directory(self, directory: Path) -> None:
        """Leave nothing behind among the system's temporary files."""
        with contextlib.suppress(OSError):
            directory.rmdir()


def build_url(socket_directory: Path, passfile: Path, *, database: str) -> str:
    """A libpq URL that names the file with the password, not the password."""
    return (
        f"postgresql://{SUPERUSER}@/{quote(database, safe='')}"
        f"?host={quote(str(socket_directory), safe='')}&port={PORT}"
        f"&passfile={quote(str(passfile), safe='')}"
    )


def sync_directory(directory: Path) -> None:
    """Have the disk remember what names a directory holds."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _can_hold_socket(directory: Path) -> bool:
    """Empty the directory and try it: the system itself knows how long a path may be."""
    if "," in str(directory):
        return False  # libpq would take it for a list of hosts
    for path in directory.iterdir():
        path.unlink()
    path = directory / f".s.PGSQL.{PORT}"
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.bind(str(path))
        except OSError:
            return False
    path.unlink()
    return True
