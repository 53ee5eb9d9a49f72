"""What the address of a PostgreSQL says: its parameters, and its hosts one by one.

libpq quotes what it cannot read, and takes for a host or a port what stands in their place: either
may be a password. So its words about an address are never passed on, and an address that it would
take apart elsewhere than its writer meant is refused before anything is done with it.
"""

import os
import socket
from typing import TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pesalango_server.storage.database import StorageUnavailable

Parameters: TypeAlias = dict[str, str]
"""libpq's connection parameters by name."""

_SCHEMES = ("postgresql", "postgres")
_PORT_MAX = 65_535

_UNREADABLE = (
    "the database address cannot be read: percent-encode its password, or use "
    "PESALANGO_DATABASE_PASSWORD; and check its hosts and ports"
)

_DEFAULTS = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    # What was sent and is not acknowledged for so long was sent to nobody.
    "tcp_user_timeout": "20000",
}


def read_conninfo(conninfo: str, *, application_name: str) -> Parameters:
    """The parameters of a URL or of `name=value …`, with ours where it says nothing.

    Of several hosts the one that can be written to is meant: a standby would answer reads with what
    was true a moment ago. Raises `StorageUnavailable`, whose text quotes nothing.
    """
    given = None if _has_stray_at(conninfo) else _parse(conninfo)
    if given is None or not _has_true_hosts(given):
        # Raised where no error of libpq's is being handled, which a traceback would show.
        raise StorageUnavailable(_UNREADABLE)
    return {
        **_DEFAULTS,
        "application_name": application_name,
        "target_session_attrs": os.environ.get("PGTARGETSESSIONATTRS", "read-write"),
        **given,
    }


def list_hosts(parameters: Parameters) -> list[Parameters]:
    """The parameters of one host each, in their order.

    Where they name no host libpq knows which it is: the environment says, or it is this machine.
    """
    columns = {
        name: parameters[name].split(",")
        for name in ("host", "hostaddr", "port")
        if name in parameters
    }
    number = max(
        (len(columns[name]) for name in ("host", "hostaddr") if name in columns), default=0
    )
    if number == 0:
        return [parameters]
    return [
        parameters | {name: values[i % len(values)] for name, values in columns.items()}
        for i in range(number)
    ]


def resolve_host(parameters: Parameters) -> list[Parameters]:
    """The parameters of one address each of the one host. Raises `OSError`, `UnicodeError`.

    libpq would look the name up by itself, but while it does no other thread of Python's runs.
    """
    host = parameters.get("host", "")
    if not host or _is_socket(host) or parameters.get("hostaddr"):
        return [parameters]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return [parameters | {"hostaddr": address} for address in addresses]


def describe_unreachable(reasons: str) -> str:
    """What to do when no host would, and why not."""
    advice = (
        "check the user, the password and the name of the database"
        if "FATAL:" in reasons
        else "check that PostgreSQL runs there and that the address is right"
    )
    return f"the database cannot be reached: {advice} ({reasons})"


def _parse(conninfo: str) -> Parameters | None:
    try:
        parameters = conninfo_to_dict(conninfo)
    except (psycopg.Error, UnicodeError):
        return None
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _has_stray_at(conninfo: str) -> bool:
    """Whether a URL has an `@` that libpq does not take for the end of the password.

    It ends the password at the first one, and looks for none behind a slash.
    """
    scheme, separator, rest = conninfo.partition("://")
    if not separator or scheme not in _SCHEMES:
        return False
    authority = rest.partition("/")[0]
    if "@" in authority:
        rest = rest.partition("@")[2]
    return "@" in rest.partition("?")[0]


def _has_true_hosts(parameters: Parameters) -> bool:
    """Whether hosts and ports look like such, and there are as many of the one as of the other."""
    hosts = parameters.get("host", "").split(",")
    addresses = parameters.get("hostaddr", "").split(",")
    ports = parameters.get("port", "").split(",")
    number = max(len(hosts), len(addresses))
    return (
        all(_is_socket(host) or "@" not in host for host in hosts)
        and all(not port or _is_port(port) for port in ports)
        and ("hostaddr" not in parameters or len(addresses) == number)
        and ("host" not in parameters or len(hosts) == number)
        and len(ports) in {1, number}
    )


def _is_socket(host: str) -> bool:
    """Whether it is a directory, or a name of Linux's that is in no directory."""
    return host.startswith(("/", "@"))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) <= _PORT_MAX
