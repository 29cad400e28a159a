import shutil
from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.export.recipe import RECIPES, Recipe, load_recipe, recipe_sha256

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["default", "entropy", "mse", "percentile"])
def test_the_bundled_recipes_are_found_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGESPIRAL_CALIBRATION", raising=False)
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.method == {"default": "minmax"}.get(name, name)
    assert set(RECIPES.by_name()) == {path.stem for path in (ROOT / "calibration").glob("*.toml")}


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('schema = 1\nname = "bad"\nsamples = 0\nmethod = "minmx"\nsample = 3\n')
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert f"{path}:samples: must be >= 1, is 0" in str(caught.value)
    assert "unknown method 'minmx', did you mean minmax?" in str(caught.value)
    assert "unknown key 'sample', did you mean samples" in str(caught.value)


def test_an_unknown_name_has_its_neighbours():
    with pytest.raises(UsageError, match="unknown recipe 'defalt'; did you mean default"):
        load_recipe("defalt")


def test_the_hash_is_of_what_a_recipe_does_and_not_of_its_name(tmp_path):
    copy = tmp_path / "copy.toml"
    shutil.copyfile(ROOT / "calibration" / "default.toml", copy)
    copy.write_text(copy.read_text().replace('"default"', '"copy"'))
    default = load_recipe("default")
    assert recipe_sha256(load_recipe(copy)) == recipe_sha256(default)
    other = Recipe.model_validate({**default.model_dump(by_alias=True), "seed": 1})
    assert recipe_sha256(other) != recipe_sha256(default)
