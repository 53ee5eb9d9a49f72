"""Whether the databases of an installation belong together, asked before a server starts."""

from collections.abc import Mapping
from typing import Final

import msgspec

from pesalango_server.applications.model import Configuration
from pesalango_server.applications.store import read_configuration
from pesalango_server.kernel.clock import SystemClock
from pesalango_server.main.failures import ServerFailed
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.address import DatabaseAddress, open_database_reader
from pesalango_server.storage.database import Read, Reader, Schema, declare_query

FIND_LEDGER: Final = declare_query(
    "find_ledger",
    Schema.ENVIRONMENT,
    columns="ledger",
    text="SELECT ledger FROM ledgers ORDER BY ledger LIMIT 1",
    may_scan="one row, from the front of the primary key",
)

FIND_LAST_PAYMENT: Final = declare_query(
    "find_last_payment",
    Schema.ENVIRONMENT,
    columns="ledger, application, operation, third_party_conversation_id",
    text=(
        "SELECT ledger, application, operation, third_party_conversation_id FROM payments"
        " ORDER BY ledger DESC, id DESC LIMIT 1"
    ),
    may_scan="one row, from the end of the primary key",
)

# One key at a start: on SQLite a search of every segment takes less than loading their filters.
FIND_KEY: Final = declare_query(
    "find_key",
    Schema.ENVIRONMENT,
    columns="payment",
    text=(
        "SELECT d.payment AS payment FROM {input} CROSS JOIN duplicates AS d"
        " WHERE d.ledger = input.ledger AND d.key = input.key"
    ),
    set_columns="ledger bigint, key hex",
)

_decode_last = msgspec.json.Decoder(list[tuple[int, int, int, str]]).decode
_decode_rows = msgspec.json.Decoder(list[tuple[int]]).decode


def require_one_installation(addresses: Mapping[str, DatabaseAddress]) -> None:
    """Raise `ServerFailed` where an environment's keys were made with other secrets.

    The platform's database was lost, or is another installation's: its start would make new
    secrets, no request of before would be known as sent, and a repeated one would pay again.
    """
    for name, address in addresses.items():
        if name == "platform":
            continue
        reader = open_database_reader(address)
        try:
            is_right = _is_of(reader, addresses["platform"])
        finally:
            reader.close()
        if not is_right:
            raise ServerFailed(
                f"the {name} database does not belong to this platform database: what is recorded "
                "there was recorded under other secrets; put the databases of one backup together, "
                "as docs/running/backup-and-restore.md says"
            )


def _is_of(environment: Reader, platform: DatabaseAddress) -> bool:
    if not _decode_rows(environment.read(Read(FIND_LEDGER))):
        return True
    # Read after the ledger was found: another server may be making the first of both now.
    secret = read_platform(platform).secrets.get("duplicates")
    if secret is None:
        return False
    for ledger, application, operation, reference in _decode_last(
        environment.read(Read(FIND_LAST_PAYMENT))
    ):
        key = DuplicateKeys(secret).make(
            application=application, operation=operation, reference=reference
        )
        return bool(_decode_rows(environment.read(Read(FIND_KEY, rows=[(ledger, key)]))))
    return True


def read_platform(address: DatabaseAddress) -> Configuration:
    """The platform's configuration as it stands."""
    reader = open_database_reader(address)
    try:
        return read_configuration(reader, wall_ms=SystemClock().wall_ms())
    finally:
        reader.close()
