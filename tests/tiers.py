"""Which tests are quick and which slow, by what was measured.

Seconds on one core of two that others kept busy (`pytest --durations=0`, 2026-11-28): `core` 20,
`models` 16, `data` 8, `export` 8, `report` 2, `tasks` 1, this list's single files 10; to compare,
`gate` 37, `prune` 60, `distill` 180, `cli` over 600.
"""

from pathlib import Path

QUICK = (
    "core",
    "data",
    "export",
    "models",
    "report",
    "tasks",
    "test_architecture.py",
    "test_docs.py",
    "test_handing_on.py",
)
SLOW = (
    *("cli", "distill", "spiral", "test_api.py", "test_doctests.py", "test_packaging.py"),
    "test_plugin_example.py",
)
# What takes longest goes first, so that no worker is left with it when the others are done.
LONGEST = ("faults", "test_docs.py", "spiral", *SLOW)
DEVICES = frozenset({"board", "phone", "adb_server"})
# A real Chromium, which takes seconds to begin and a second or more for each page and width.
BROWSER = "browser"


def tier(path: Path, fixtures: frozenset[str], marks: frozenset[str]) -> str | None:
    """The marker of a test, if it has none that settles it.

    Args:
        path: of its file, below the folder of the tests.
        fixtures: that it asks for, directly or not.
        marks: names of the markers that it has.
    """
    if fixtures & DEVICES:
        return "device"
    if path.parts[0] in SLOW or BROWSER in fixtures:
        return "slow"
    settled = marks & {"slow", "faults"}
    return "quick" if path.parts[0] in QUICK and not settled else None


def place(path: Path) -> int:
    """Where a test of the file `path`, below the folder of the tests, stands in the order."""
    first = path.parts[0]
    return LONGEST.index(first) if first in LONGEST else len(LONGEST)


def main() -> None:
    """Print the paths that have quick tests, so that nothing else need be imported for them."""
    print(*(Path("tests", name) for name in QUICK))


if __name__ == "__main__":
    main()
