"""`python -m edgespiral`: the same as the `edgespiral` command."""

from edgespiral.cli.app import main

if __name__ == "__main__":
    main()
