"""Lists the versions of the site for its menu: `python docs/site_versions.py build/site`.

`make docs VERSION=0.2` builds one version into a folder of its name. Its pages read `versions.json`
beside these folders, as mike writes it, and whoever opens the site's root is led to the newest.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

LEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>EdgeSpiral</title>\n'
    '<meta http-equiv="refresh" content="0; url={newest}/index.html"></head>\n'
    '<body><a href="{newest}/index.html">EdgeSpiral {newest}</a></body></html>\n'
)


def written(site: Path) -> list[str]:
    """Write `versions.json` and `index.html` of a site; its versions, the newest release first.

    Args:
        site: a folder with a folder for each version; those that are no numbers come last.

    Raises:
        FileNotFoundError: it has none.
    """
    names = sorted((page.parent.name for page in site.glob("*/index.html")), key=_age)
    if not names:
        raise FileNotFoundError(f"{site}: no version was built there")
    newest = names[0]
    entries = [
        {"version": name, "title": name, "aliases": ["latest"] if name == newest else []}
        for name in names
    ]
    (site / "versions.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    (site / "index.html").write_text(LEAD.format(newest=newest), encoding="utf-8")
    return names


def _age(name: str) -> tuple[int, tuple[int, ...], str]:
    """What a version is sorted by: releases before others, larger numbers first."""
    try:
        version = Version(name)
    except InvalidVersion:
        return (2, (), name)
    release = (*version.release, 0, 0, 0)[:4]
    return (int(version.is_prerelease), tuple(-part for part in release), name)


if __name__ == "__main__":
    print(", ".join(written(Path(sys.argv[1]))))  # noqa: T201
