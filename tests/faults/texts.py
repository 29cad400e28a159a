"""Damage to the meaning of a text: values, keys and lines of TOML, JSON and files of JSON lines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

DEEP, LONG = 50_000, 1 << 20
NASTY_TEXTS = (
    *("", " ", "\0", "\x1b]0;owned\x07\x1b[31m", "\u202eevil", "\u2066x", "a\nerror: all is well"),
    *(
        "x\n::error::owned",
        "../../../etc/passwd",
        "/etc/passwd",
        "-rf",
        "$HOME",
        "~",
        "[/]",
        "[red]",
    ),
    *("%s%n", "{0}", "${jndi}", "\ud800", "\x85\x9b31m", "nul\0byte", "é" * 300, "NaN", "1e999"),
    *("-o ProxyCommand=touch owned", "$(touch owned)", "; touch owned", "`touch owned`", "'", '"'),
)
NASTY_NUMBERS = (
    *(0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0, 1e308, -1e308),
    *(5e-324, 1e-9, float("nan"), float("inf"), float("-inf"), 0.1, 1e6),
)
NASTY_OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": {}}, [None], {"a": 1})


def nasty(random: Random) -> Any:
    """A value that is not what was asked for, or just about."""
    return random.choice(random.choice((NASTY_TEXTS, NASTY_NUMBERS, NASTY_OTHERS)))


def edit_json(text: str, random: Random) -> tuple[str, str]:
    """Damage a JSON document; says how."""
    return _edited(JSON_EDITS, text, random)


def edit_lines(text: str, random: Random) -> tuple[str, str]:
    """Damage a file of JSON lines: one of its records, or their order; says how."""
    return _edited((*LINE_EDITS, _one_record, _one_record, _one_record), text, random)


def edit_toml(text: str, random: Random) -> tuple[str, str]:
    """Damage a TOML document; says how."""
    return _edited((*TOML_EDITS, *LINE_EDITS), text, random)


def _edited(
    edits: Sequence[Callable[[str, Random], str]], text: str, random: Random
) -> tuple[str, str]:
    edit = random.choice(edits)
    return edit(text, random), edit.__name__.strip("_")


def _place(document: Any, random: Random) -> tuple[Any, Any]:
    """Somewhere inside of a document: what holds it, and by which key or index."""
    holder, key = None, None
    while isinstance(document, dict | list) and document:
        if holder is not None and random.random() < 0.3:
            break
        keys = list(document) if isinstance(document, dict) else range(len(document))
        holder, key = document, random.choice(keys)
        document = document[key]
    return holder, key


def _json(change: Callable[[Any, Any, Random], None]) -> Callable[[str, Random], str]:
    def edit(text: str, random: Random) -> str:
        document = json.loads(text)
        holder, key = _place(document, random)
        if holder is not None:
            change(holder, key, random)
        return json.dumps(document)

    edit.__name__ = change.__name__
    return edit


def _value(holder: Any, key: Any, random: Random) -> None:
    holder[key] = nasty(random)


def _removed(holder: Any, key: Any, _: Random) -> None:
    del holder[key]


def _renamed(holder: Any, key: Any, random: Random) -> None:
    value = holder.pop(key)
    if isinstance(holder, dict):
        holder[random.choice(NASTY_TEXTS)] = value
    else:
        holder.insert(0, value)


def _repeated(holder: Any, key: Any, random: Random) -> None:
    if isinstance(holder, list):
        holder.extend([holder[key]] * random.choice((1, 100)))
    else:
        holder[f"{key}2"] = holder[key]


def _swapped(holder: Any, key: Any, random: Random) -> None:
    other = (
        random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    )
    holder[key], holder[other] = holder[other], holder[key]


def _wrapped(holder: Any, key: Any, _: Random) -> None:
    holder[key] = [holder[key]]


def _many_keys(holder: Any, key: Any, _: Random) -> None:
    if isinstance(holder, dict):
        holder.update({f"unknown{index}": index for index in range(20_000)})
    else:
        holder[key] = list(range(20_000))


def _deep(text: str, random: Random) -> str:
    value = random.choice(("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "[" * DEEP))
    return (
        re.sub(r":\s*[\w.\-\"]+", lambda _: f": {value}", text, count=1) if ":" in text else value
    )


def _digits(text: str, random: Random) -> str:
    digits = "9" * random.choice((400, 5000, 100_000))
    return re.sub(r"(?<=[:\s\[])-?\d+(\.\d+)?(?=[,\s\]}])", digits, text, count=1)


def _duplicate_key(text: str, random: Random) -> str:
    found = list(re.finditer(r'"(\w+)":', text[:20_000]))
    if not found:
        return text
    one = random.choice(found)
    return f"{text[: one.start()]}{one[0]} {json.dumps(nasty(random))}, {text[one.start() :]}"


def _other_document(_: str, random: Random) -> str:
    return json.dumps(nasty(random))


def _marked(text: str, _: Random) -> str:
    return f"\ufeff{text}"


JSON_EDITS: tuple[Callable[[str, Random], str], ...] = (
    *map(_json, (_value, _value, _value, _value, _removed, _removed, _renamed, _repeated)),
    *map(_json, (_swapped, _wrapped, _many_keys)),
    *(_deep, _digits, _duplicate_key, _other_document, _marked),
)


def _one_record(text: str, random: Random) -> str:
    lines = text.splitlines()
    index = random.randrange(len(lines))
    lines[index], _ = edit_json(lines[index], random)
    return "\n".join(lines) + "\n"


def _line_removed(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    return "".join(lines)


def _line_repeated(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    index = random.randrange(len(lines))
    lines.insert(random.randrange(len(lines) + 1), lines[index])
    return "".join(lines)


def _lines_swapped(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _line_torn(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    index = random.randrange(len(lines))
    lines[index] = lines[index][: random.randrange(len(lines[index]))]
    return "".join(lines)


LINE_EDITS: tuple[Callable[[str, Random], str], ...] = (
    *(_line_removed, _line_repeated, _lines_swapped, _line_torn),
)


def _toml_value(text: str, random: Random) -> str:
    lines = text.splitlines()
    places = [index for index, line in enumerate(lines) if "=" in line]
    index = random.choice(places)
    key = lines[index].partition("=")[0]
    lines[index] = f"{key}= {_toml(nasty(random))}"
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {_toml(v)}' for k, v in value.items())} }}"
    if isinstance(value, float):
        return str(value)
    if value is None:
        return random_date()
    return json.dumps(value)


def random_date() -> str:
    """A kind of value that only TOML has."""
    return "1979-05-27T07:32:00Z"


def _toml_bomb(text: str, random: Random) -> str:
    bombs = (
        "a = " + "[" * DEEP + "]" * DEEP,
        "a = " + "{ b = " * 20_000 + "1" + "}" * 20_000,
        "schema = " + "9" * 10_000,
        "a." * DEEP + "b = 1",
        "\n".join(f"unknown{index} = 1" for index in range(50_000)),
        f'name = "{"x" * LONG}"',
        "[" + ".".join("a" * 3000) + "]",
        "a = 1\n" * 1000,
    )
    return random.choice((f"{random.choice(bombs)}\n{text}", random.choice(bombs)))


def _toml_unknown(text: str, random: Random) -> str:
    name = random.choice(("unknown", '"\\u001b[31m"', '"a\\nb"', '""', "model.model", '"[/]"'))
    return f"{name} = 1\n{text}"


TOML_EDITS: tuple[Callable[[str, Random], str], ...] = (
    *(_toml_value, _toml_value, _toml_value, _toml_value, _toml_bomb, _toml_unknown, _marked),
)
