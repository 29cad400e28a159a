"""What `make docs` adds to MkDocs: pages and pictures from outside of docs/, and links to them.

On a forge a page links to any file of the repository. A site has docs/ alone, so the pages that
others link to are brought along, and every link is turned into one between pages of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Where each lies in the repository, and on the site.
BESIDE = {
    "CHANGELOG.md": "CHANGELOG.md",
    "CODE_OF_CONDUCT.md": "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "LICENSE": "LICENSE.txt",
    "SECURITY.md": "SECURITY.md",
    **{
        f"bench/results/{path.name}": f"bench/results/{path.name}"
        for path in sorted(ROOT.glob("bench/results/*.svg"))
    },
    "examples/README.md": "examples/README.md",
    **{
        f"examples/{path.parent.name}/README.md": f"examples/{path.parent.name}.md"
        for path in sorted(ROOT.glob("examples/*/README.md"))
    },
}
REPOSITORY_PLACE = {site: place for place, site in BESIDE.items()}
LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?=[#)])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring the pages and pictures beside docs/ along."""
    for place, site in BESIDE.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / place)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source = page.file.src_uri
    place = REPOSITORY_PLACE.get(source, f"docs/{source}")

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link["path"]))
        if (ROOT / target).is_dir():
            target = f"{target}/README.md"
        site = BESIDE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(site, posixpath.dirname(source) or ".")

    return LINK.sub(turned, markdown)
