"""`python -m bench`: all questions at once."""

from bench.run import main

if __name__ == "__main__":
    main()
