"""`pesalango-server up` over a disk that a test can break: an entry point of the tests alone.

    python broken_disk_server.py up --data-dir DIR --port PORT

Once the file that `BROKEN_DISK_FILE` names is there, the sandbox's next COMMIT fails with an I/O
error: after it has happened where the file says `after`, else instead of it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from pesalango_server.cli import main
from pesalango_server.storage.database import CommitUnknown, Row, Write
from pesalango_server.storage.sqlite import SqliteWriter

BROKEN_DISK_VARIABLE = "BROKEN_DISK_FILE"


def break_commits(mark: Path) -> None:
    commit = SqliteWriter.commit

    def commit_or_fail(writer: SqliteWriter, writes: Sequence[tuple[Write, Sequence[Row]]]) -> None:
        # A batch of commands writes payments; a probe does not.
        if not mark.exists() or not any(write.name == "insert_payments" for write, _ in writes):
            commit(writer, writes)
            return
        if mark.read_text() == "after":
            commit(writer, writes)
        raise CommitUnknown("the disk failed while committing: disk I/O error")

    SqliteWriter.commit = commit_or_fail  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    break_commits(Path(os.environ[BROKEN_DISK_VARIABLE]))
    main()
