"""What a server cannot go on with."""

from pathlib import Path


class ServerFailed(Exception):
    """The server cannot start or go on; the message says what to do."""


def make_data_dir(path: Path) -> None:
    """The data directory, readable by nobody else. Raises `ServerFailed`."""
    try:
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o700)
        elif not any(path.iterdir()):
            path.chmod(0o700)
    except OSError as error:
        raise ServerFailed(
            f"the data directory {path} cannot be made or used: {error.strerror}; "
            "choose another --data-dir"
        ) from error
