"""The command `pesalango`. What it is made of comes with the extra `cli`."""

import sys

PROGRAM = "pesalango"
USAGE = 2
"""The exit status of whoever has to change the call, or the installation, before it can work."""


def main() -> None:
    """Run the command. Exit status: 0 done, 1 refused, 2 usage or settings, 3 outcome unknown."""
    try:
        import rich  # noqa: F401, PLC0415 - it is the extra that is asked for
        import typer  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        print(
            f"{PROGRAM}: the command needs the extra: pip install 'pesalango[cli]'", file=sys.stderr
        )
        sys.exit(USAGE)
    from pesalango.cli.app import run  # noqa: PLC0415 - it needs what was looked for above

    sys.exit(run(sys.argv[1:]))
