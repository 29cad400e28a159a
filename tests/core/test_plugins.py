"""Plug-ins of packages made here: a kind with built-in ones, and another distribution's."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edgespiral.core.errors import MissingExtraError, UsageError
from edgespiral.core.plugins import PluginKind, extra_of

if TYPE_CHECKING:
    from pathlib import Path

    Kind = PluginKind[str]
GROUP = "edgespiral.shapes"


def add_distribution(folder: Path, name: str, entries: str) -> None:
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the package `shapes`, whose modules are plug-ins."""
    package = tmp_path / "shapes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("")
    (package / "_private.py").write_text("")
    (package / "wide_square.py").write_text('"""Four corners.\n\nMore."""\nPLUGIN = "square"\n')
    (package / "circle.py").write_text('PLUGIN = "circle"\n')
    (package / "broken.py").write_text("raise RuntimeError('no\\nluck')\n")
    (package / "extra.py").write_text("import adbutils_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in [
        name for name in sys.modules if name.split(".")[0] in ("shapes", "triangles", "odd")
    ]:
        del sys.modules[module]


@pytest.fixture
def shapes(installed: Path) -> Kind:
    return PluginKind("shape", "shapes", GROUP)


def test_names_are_listed_without_importing_any(shapes: Kind) -> None:
    assert shapes.names() == ["broken", "circle", "extra", "wide-square"]
    assert not [name for name in sys.modules if name.startswith("shapes.")]
    [summary] = [plugin.summary for plugin in shapes.plugins() if plugin.name == "wide-square"]
    assert summary == "Four corners"
    assert shapes.get("wide-square") == "square"


def test_another_distribution_s_entry_point_is_a_plug_in(installed: Path, shapes: Kind) -> None:
    (installed / "triangles.py").write_text('"""Three corners."""\nright = "triangle"\n')
    add_distribution(installed, "acme-shapes", "triangle = triangles:right")
    assert "triangle" in shapes.names()
    [plugin] = [plugin for plugin in shapes.plugins() if plugin.name == "triangle"]
    assert (plugin.distribution, plugin.summary) == ("acme-shapes", "Three corners")
    assert shapes.get("triangle") == "triangle"


def test_a_name_that_is_taken_is_refused(installed: Path, shapes: Kind) -> None:
    add_distribution(installed, "acme-shapes", "circle = triangles:right")
    with pytest.raises(UsageError, match=r"two plug-ins are called 'circle'.*of acme-shapes"):
        shapes.names()


def test_an_unknown_name_is_answered_with_the_nearest(shapes: Kind) -> None:
    with pytest.raises(UsageError, match=r"unknown shape 'circel'; did you mean circle\?"):
        shapes.get("circel")


def test_a_plug_in_that_cannot_be_imported_is_named(installed: Path, shapes: Kind) -> None:
    with pytest.raises(UsageError) as caught:
        shapes.get("broken")
    assert str(caught.value) == (
        "shape broken of edgespiral (shapes.broken:PLUGIN): cannot be imported: RuntimeError: no "
        "luck; edgespiral doctor says which package cannot be loaded here"
    )
    with pytest.raises(UsageError, match="No module named 'adbutils_that_is_missing'"):
        shapes.get("extra")
    add_distribution(installed, "acme-shapes", "ghost = nowhere_at_all:thing")
    with pytest.raises(
        UsageError, match=r"ghost of acme-shapes .*No module named 'nowhere_at_all'"
    ):
        PluginKind("shape", "shapes", GROUP).get("ghost")


@pytest.mark.parametrize(
    ("thing", "problem"),
    [
        ("right", None),
        ("wrong", "has no area"),
        ("Right", "is a class, and an instance is needed"),
        ("nothing", "cannot be imported: AttributeError: module 'odd' has no attribute 'nothing'"),
    ],
)
def test_what_is_no_plug_in_of_its_kind_is_one_line(
    installed: Path, thing: str, problem: str | None
) -> None:
    code = "class Right:\n    area = 1\n\nright, wrong = Right(), object()\n"
    (installed / "odd.py").write_text(code)
    add_distribution(installed, "acme-shapes", f"odd = odd:{thing}")
    kind: PluginKind[object] = PluginKind("shape", "shapes", GROUP, needs=("area",))
    if problem is None:
        assert kind.get("odd")
        return
    with pytest.raises(UsageError) as caught:
        kind.get("odd")
    where = f"shape odd of acme-shapes (odd:{thing})"
    assert str(caught.value) == f"{where}: {problem}; mend or uninstall that package"


def test_a_summary_that_cannot_be_read_is_empty(installed: Path, shapes: Kind) -> None:
    (installed / "failing").mkdir()
    (installed / "failing" / "__init__.py").write_text("raise RuntimeError")
    add_distribution(installed, "acme-shapes", "failing = failing.shape:thing")
    [plugin] = [plugin for plugin in shapes.plugins() if plugin.name == "failing"]
    assert plugin.summary == ""


def test_a_missing_package_of_an_extra_is_told_with_the_extra(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (extra_of("adbutils.errors"), extra_of("torch"), extra_of("")) == ("android", None, None)
    monkeypatch.setitem(sys.modules, "adbutils", None)
    (installed / "shapes" / "phone.py").write_text("import adbutils\n")
    with pytest.raises(MissingExtraError, match=r"the shape phone needs.*'edgespiral\[android\]'"):
        PluginKind("shape", "shapes", GROUP).get("phone")


def test_listing_criteria_loads_no_torch() -> None:
    code = (
        "import sys; from edgespiral.prune.scoring.criteria import CRITERIA; "
        "print(*CRITERIA.names(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "fisher", "fpgm", "l1", "l1-reg", "l2", "random", "taylor", "False",
    ]  # fmt: skip
