import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from edgespiral.core.config import load_toml_model, read_toml
from edgespiral.core.errors import UsageError
from edgespiral.core.records.schema import Record


class Wheel(Record):
    kind: Literal["spoked", "solid"]
    size_mm: float = Field(gt=0, lt=1000)


class Cart(Record):
    schema_version: Literal[1] = Field(alias="schema")
    wheel: Wheel
    spare: Wheel | None = None


def load(tmp_path: Path, text: str) -> Cart:
    (tmp_path / "cart.toml").write_text(text, encoding="utf-8")
    return load_toml_model(tmp_path / "cart.toml", Cart)


def test_a_good_file_becomes_a_record(tmp_path: Path) -> None:
    cart = load(tmp_path, 'schema = 1\n[wheel]\nkind = "solid"\nsize_mm = 20\n')
    assert cart.wheel == Wheel(kind="solid", size_mm=20)


def test_problems_in_tables_name_the_dotted_key_and_the_nearest_name(tmp_path: Path) -> None:
    text = """
        schemas = 1
        [wheel]
        kind = "spoke"
        size_mm = 2000
        [spare]
        kind = "solid"
        size_m = 2
    """
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    file = tmp_path / "cart.toml"
    assert str(caught.value).split("; ") == [
        f"{file}:schema: is missing",
        f"{file}:wheel.kind: unknown kind 'spoke', did you mean spoked?",
        f"{file}:wheel.size_mm: must be < 1000, is 2000",
        f"{file}:spare.size_mm: is missing",
        f"{file}:spare.size_m: unknown key 'size_m', did you mean size_mm?",
        f"{file}:schemas: unknown key 'schemas', did you mean schema?",
    ]


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


def test_bytes_that_are_not_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "cart.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_toml(tmp_path / "cart.toml")


class Train(Record):
    carts: tuple[Cart, ...] = Field(alias="cart")


def test_a_key_in_a_list_of_tables_has_its_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text('[[cart]]\nschema = 1\nwheel = { kind = "solid", size_mm = 1 }\nspares = 2\n')
    with pytest.raises(UsageError, match=r"cart\.0\.spares: .* did you mean spare"):
        load_toml_model(path, Train)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 50_000 + "]" * 50_000,
        "a = " + "{ b = " * 20_000 + "1" + "}" * 20_000,
        "schema = " + "9" * 10_000,
        "schema = " + "9" * 30,
        "wheel.size_mm = 1" + "0" * 400,
        "a." * 50_000 + "b = 1",
        '"a".' * 20_000 + "b = 1",
        "'a' . " * 20_000 + "b = 1",
        "[" + "a." * 50_000 + "b]",
        "[[" + "a." * 50_000 + "b]]",
        "\n".join(f"a{index} = 1" for index in range(90_000)),
        "\n".join(f'"{index}" = {{}}' for index in range(60_000)),
        f"{'k' * 900_000} = 1",
        f"schema = '{'v' * 900_000}'",
        "schema = " + "[" * 90 + "]" * 90,
        "#" * 1_000_001,
    ],
    ids=range(16),
)
def test_a_file_made_to_cost_is_refused_on_a_short_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert len(str(caught.value)) < 3000
    assert "\n" not in str(caught.value)


def test_keys_and_text_of_a_sensible_length_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        "a.b.'c d'.\"e.f\".g = 1\n"
        f"numbers = [{', '.join(['1.5'] * 500)}]\n"
        f"text = '{'one. two ' * 500}'\n"
    )
    values = read_toml(path)
    assert values["a"] == {"b": {"c d": {"e.f": {"g": 1}}}}
    assert values["numbers"] == [1.5] * 500


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "cart.toml").write_bytes(b"\xef\xbb\xbfschema = 1\n")
    assert read_toml(tmp_path / "cart.toml") == {"schema": 1}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_device_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "cart.toml")
    with pytest.raises(UsageError, match="cannot be read: not a regular file"):
        read_toml(tmp_path / "cart.toml")
