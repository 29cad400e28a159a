"""Where the `edgespiral` command begins, and `python -m edgespiral`, which is the same."""

import sys

from edgespiral.core.system.stopping import STOP


def main() -> None:
    """Run the command line; a signal is heard before the rest of it is imported."""
    STOP.listen()
    try:
        from edgespiral.cli.app import main as command
    except KeyboardInterrupt:
        STOP.deafen()
        sys.exit(STOP.exit_code)
    command()


if __name__ == "__main__":
    main()
