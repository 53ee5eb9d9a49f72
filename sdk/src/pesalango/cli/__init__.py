"""The command `pesalango`. What it is made of comes with the extra `cli`."""

import sys

PROGRAM = "pesalango"
USAGE = 2
"""The exit status of whoever has to change the call, or the installation, before it can work."""
INTERRUPTED = 130
"""As of a program that Ctrl-C ended."""


def main() -> None:
    """Run the command. Exit status: 0 done, 1 refused, 2 usage or settings, 3 outcome unknown."""
    try:
        status = _run()
    except KeyboardInterrupt:
        # While the modules were loaded; a command takes it in its own way.
        status = INTERRUPTED
    sys.exit(status)


def _run() -> int:
    try:
        import rich  # noqa: F401, PLC0415 - it is the extra that is asked for
        import typer  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        print(
            f"{PROGRAM}: the command needs the extra: pip install 'pesalango[cli]'", file=sys.stderr
        )
        return USAGE
    from pesalango.cli.app import run  # noqa: PLC0415 - it needs what was looked for above

    return run(sys.argv[1:])
