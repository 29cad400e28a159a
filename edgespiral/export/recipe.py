"""Calibration recipes: which samples tell an int8 model its ranges, and how."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field

from edgespiral.core.records.schema import Line, Record
from edgespiral.core.system.named_files import NamedFiles

if TYPE_CHECKING:
    from pathlib import Path

RECIPES = NamedFiles("recipe", "calibration", "EDGESPIRAL_CALIBRATION")
Method = Literal["minmax", "entropy", "percentile", "mse"]


class Recipe(Record):
    """How a model is calibrated; docs/precision.md explains each field."""

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: Line = ""
    data: Annotated[Line, Field(min_length=1)] | None = None
    split: Literal["train", "validation"] = "train"
    samples: Annotated[int, Field(ge=1)] = 512
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    method: Method = "minmax"
    percentile: Annotated[float, Field(ge=90, le=100)] = 99.99
    exclude: Annotated[tuple[str, ...], Field(strict=False)] = ()


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The recipe of a name or of a TOML file.

    A name is looked for in `./calibration`, then in the folders of `$EDGESPIRAL_CALIBRATION`, then
    among those that come with EdgeSpiral.

    Raises:
        UsageError: no such recipe, with the nearest names; or all problems of its file.
    """
    return RECIPES.load(name_or_path, Recipe)


def recipe_sha256(recipe: Recipe) -> str:
    """Hex SHA-256 of everything in a recipe that changes what it does."""
    text = recipe.model_dump_json(exclude={"name", "description"})
    return hashlib.sha256(text.encode()).hexdigest()
