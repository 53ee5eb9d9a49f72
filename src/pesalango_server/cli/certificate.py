"""`pesalango-server certificate`: TLS for tests and networks of one's own, without an authority of
the world.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.cli.options import find_data_dir
from pesalango_server.cli.output import print_json
from pesalango_server.main.authority import CERTIFICATE_DAYS_MAX, Issued, issue_certificate
from pesalango_server.main.failures import make_data_dir


def run(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Host names and addresses that clients call the server by."
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Option(help="Where the files are, or are made [tls in the data directory]."),
    ] = None,
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
    days: Annotated[
        int,
        typer.Option(min=1, max=CERTIFICATE_DAYS_MAX, help="How long the certificate is good for."),
    ] = 365,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Make a certificate for TLS, and at the first time the local authority that signs it.

    The same command later makes another certificate in its place, by the same authority; an
    authority is never overwritten. The names localhost, 127.0.0.1 and ::1 are always in it.
    """
    if directory is None:
        place = find_data_dir(data_dir)
        # The first in a data directory sees to it that nobody else can read there.
        make_data_dir(place)
        directory = place / "tls"
    issued = issue_certificate(directory, names, days=days)
    if json:
        print_json(
            {
                "authority": str(issued.authority),
                "tls_certificate": str(issued.certificate),
                "tls_key": str(issued.key),
                "names": issued.names,
                "until": issued.until,
                "is_new_authority": issued.is_new_authority,
            }
        )
        return
    _tell(issued)


def _tell(issued: Issued) -> None:
    authority, certificate, key = (
        shlex.quote(str(path)) for path in (issued.authority, issued.certificate, issued.key)
    )
    age = "made now; clients need it" if issued.is_new_authority else "as before"
    print(f"Authority    {issued.authority} ({age})")
    print(f"Certificate  {issued.certificate}, its key {issued.key}")
    print(f"             for {', '.join(issued.names)}; good until {issued.until:%Y-%m-%d}")
    print()
    print("Serve with it (a server that does already reads it again on kill -HUP):")
    print("  pesalango-server up --listen plain:127.0.0.1:8080 --listen tls:0.0.0.0:8443 \\")
    print(f"    --tls-certificate {certificate} --tls-key {key}")
    print()
    print(f"Hand {issued.authority.name} to clients, and nothing else:")
    print(f"  curl --cacert {authority} https://{_bracket(issued.names[0])}:8443/health/live")
    print(f"  SSL_CERT_FILE={authority}        OpenSSL, Python, Ruby, Go; httpx")
    print(f"  REQUESTS_CA_BUNDLE={authority}   Python's requests")
    print(f"  NODE_EXTRA_CA_CERTS={authority}  Node.js")
    print("  keytool -importcert -cacerts -noprompt -alias pesalango \\")
    print(f"    -file {authority}        Java")
    print()
    print(
        f"Keep {issued.authority.with_suffix('.key')} to yourself: whoever has it can pass for any "
        "host before those who trust this authority."
    )


def _bracket(name: str) -> str:
    return f"[{name}]" if ":" in name else name
