"""`python -m pesalango.cli`: the command where no script of its name is on the path."""

from pesalango.cli import main

if __name__ == "__main__":
    main()
