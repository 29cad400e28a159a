"""A suite: models with their input shapes and limits, in one TOML file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from edgespiral.core.config import load_toml_model
from edgespiral.core.errors import EdgeSpiralError, UsageError, first_few
from edgespiral.core.records.schema import Line, Record
from edgespiral.measure.model_files import find_model

TOLERANCE_PERCENT = 2.5
TIME_LIMIT_S = 20.0

Positive = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(ge=1)]
Shape = Annotated[tuple[Size, ...], Field(strict=False)]
Name = Annotated[Line, Field(min_length=1)]


class Table(Record):
    """A table of the file, where numbers are not taken from text."""

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)


class Case(Table):
    """One model and its limits; what is not given is the suite's."""

    path: Name
    name: Line = ""
    shape: Shape | None = None
    shapes: dict[Line, Shape] = Field(default_factory=dict)
    budget_ms: Positive | None = None
    tolerance_percent: Positive | None = None
    tail_tolerance_percent: Positive | None = None
    allow_interface_change: bool = False
    allow_new: bool = False

    @model_validator(mode="after")
    def _one_way_to_give_shapes(self) -> Case:
        if self.shape is not None and self.shapes:
            raise ValueError("give shape, for an only input, or shapes, by name, not both")
        return self

    @property
    def title(self) -> str:
        """Its name, or that of its file."""
        return self.name or Path(self.path).stem

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by input name; "" is the only input."""
        return dict(self.shapes) if self.shape is None else {"": self.shape}


class Suite(Table):
    """What `edgespiral bench` measures, and the limits that it judges by."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Line = ""
    target: Name = "host-cpu"
    tolerance_percent: Positive = TOLERANCE_PERCENT
    tail_tolerance_percent: Positive | None = None
    time_limit_s: Positive = TIME_LIMIT_S
    models: Annotated[tuple[Case, ...], Field(alias="model", strict=False)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Suite:
        if not self.models:
            raise ValueError("has no [[model]]")
        titles = [case.title for case in self.models]
        twice = sorted(title for title, count in Counter(titles).items() if count > 1)
        if twice:
            raise ValueError(f"several models are called {first_few(twice)}: give each a name")
        return self

    def tolerance(self, case: Case) -> float:
        """By how many percent a model's median may grow."""
        return case.tolerance_percent or self.tolerance_percent

    def tail_tolerance(self, case: Case) -> float | None:
        """By how many percent its p99 may grow; None: reported, not judged."""
        return case.tail_tolerance_percent or self.tail_tolerance_percent


def load_suite(path: Path) -> Suite:
    """The suite of a TOML file, whose models lie relative to it.

    Raises:
        UsageError: all problems of the file in one, models that do not exist among them.
    """
    suite = load_toml_model(path, Suite)
    problems = [
        problem
        for index, case in enumerate(suite.models)
        for problem in _missing(path, index, case)
    ]
    if problems:
        raise UsageError("; ".join(problems), hint="paths are relative to the suite's folder")
    return suite.model_copy(update={"name": suite.name or path.stem})


def model_file(suite_path: Path, case: Case) -> Path:
    """The ONNX file of a case.

    Raises:
        ModelError: there is none.
    """
    return find_model(suite_path.parent / case.path)


def _missing(path: Path, index: int, case: Case) -> list[str]:
    try:
        model_file(path, case)
    except EdgeSpiralError as error:
        return [f"{path}:model.{index}.path: {error.what}: {case.path}"]
    return []
