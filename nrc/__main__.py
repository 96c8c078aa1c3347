"""`python -m nrc`: the command line, as `nrc`."""

from nrc.cli import main

if __name__ == "__main__":
    main()
