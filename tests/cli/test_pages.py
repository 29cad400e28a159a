"""Errors lead to a page that is there."""

from pathlib import Path

import pytest
from test_docs import anchors

from edgespiral.cli.pages import site_url, with_page
from edgespiral.core import errors
from edgespiral.core.errors import DataError, EdgeSpiralError

DOCS = Path(__file__).parents[2] / "docs"
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EdgeSpiralError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_a_page(kind: type[EdgeSpiralError]) -> None:
    page, _, anchor = kind.page.partition("#")
    text = (DOCS / page).read_text(encoding="utf-8")
    assert not anchor or anchor in anchors(text)


def test_a_kind_without_a_page_of_its_own_has_its_parent_s() -> None:
    assert with_page(DataError("is empty")) == "is empty (see docs/data.md)"


def test_a_hint_that_names_a_page_is_enough() -> None:
    error = DataError("is empty", hint="docs/data.md#texts has the form")
    assert with_page(error) == "is empty; docs/data.md#texts has the form"


def installed(folder: Path, *addresses: str) -> None:
    facts = folder / "stated-1.0.dist-info"
    facts.mkdir()
    lines = ["Metadata-Version: 2.4", "Name: stated", "Version: 1.0"]
    lines += [f"Project-URL: {address}" for address in addresses]
    (facts / "METADATA").write_text("\n".join(lines) + "\n")


def test_pages_are_at_the_address_that_the_package_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "Source, https://example.org/code", "Documentation, https://example.org/d/")
    monkeypatch.syspath_prepend(tmp_path)
    site = site_url("stated")
    assert site == "https://example.org/d"
    assert (
        with_page(DataError("is empty"), site) == "is empty (see https://example.org/d/data.html)"
    )
    told = with_page(DataError("is empty", hint="see docs/data.md#texts"), site)
    assert told == "is empty; see https://example.org/d/data.html#texts"


def test_a_package_that_states_no_address_or_is_not_there_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "Source, https://example.org/code")
    monkeypatch.syspath_prepend(tmp_path)
    assert (site_url("stated"), site_url("nowhere-to-be-found")) == (None, None)
