"""`python -m buildlib`."""

from buildlib.cli.app import main

if __name__ == "__main__":
    main()
