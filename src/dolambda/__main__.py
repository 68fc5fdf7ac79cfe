"""``python -m dolambda``: the command line, in case its script is not on the PATH."""

from dolambda.cli import main

if __name__ == "__main__":
    main()
