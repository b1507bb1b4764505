"""`python -m buildlib`, where the console script is not installed: in the containers that compile."""

from buildlib.program import main

if __name__ == "__main__":
    main()
