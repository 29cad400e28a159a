"""What conda is told of the package follows from what the package says of itself."""

import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
# As conda-forge calls it.
NAMES = {"torch": "pytorch"}


def project() -> dict[str, list[str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def needed(lines: list[str]) -> dict[str, Requirement]:
    """Requirements that hold here without any extra, by name."""
    parsed = [Requirement(line) for line in lines]
    marked = [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return {canonicalize_name(one.name): one for one in marked}


def unmet(wanted: dict[str, Requirement], given: dict[str, Requirement]) -> list[str]:
    """Those of `wanted` that a list lacks, or has with other bounds."""
    return [
        str(own)
        for name, own in wanted.items()
        if (there := given.get(NAMES.get(name, name))) is None
        or (own.specifier and there.specifier != own.specifier)
    ]


def test_conda_takes_the_pythons_that_the_package_takes() -> None:
    facts = project()
    environment = YAML(typ="safe").load(ROOT / "environment.yml")
    python, _, by_pip = environment["dependencies"]
    assert python == f"python {facts['requires-python']}"
    assert [(ROOT / word).exists() for word in by_pip["pip"][0].split()[1:]] == [True]
    assert by_pip["pip"][1:] == ["."]


def test_the_recipe_brings_all_that_the_package_asks_for() -> None:
    facts, recipe = project(), YAML(typ="safe").load(ROOT / "conda" / "recipe.yaml")
    channel = needed(recipe["requirements"]["run"])
    by_pip = needed(
        recipe["build"]["script"][1].partition("--no-deps ")[2].replace('"', "").split()
    )
    assert unmet(needed(facts["dependencies"]), channel | by_pip) == []
    for name in by_pip:
        own = needed(requires(name) or [])
        bounded = {n: own[n] for n in own.keys() - needed(facts["dependencies"]).keys()}
        assert (name, unmet(bounded, channel | by_pip)) == (name, [])
    assert str(channel["python"].specifier) == str(
        Requirement(f"python{facts['requires-python']}").specifier
    )
    assert recipe["context"]["version"] == facts["version"]
    assert recipe["build"]["script"][0].endswith("--no-deps --no-build-isolation .")


def test_what_a_recipe_lacks_would_be_seen() -> None:
    given = needed(["numpy>=2.0", "pytorch>=2.9"])
    wanted = needed(["numpy>=2.1", "torch>=2.9", "rich", "sphinx; extra == 'docs'"])
    assert unmet(wanted, given) == ["numpy>=2.1", "rich"]
