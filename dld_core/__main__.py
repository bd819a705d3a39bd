"""`python -m dld_core` is `dld`."""

from dld_core.cli import main

if __name__ == "__main__":
    main()
