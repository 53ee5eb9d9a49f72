"""`python -m pesalango.cli`: the command where no script of its name is on the path."""

from pesalango.cli import main

main()
