"""A grammar of what a forged or broken device says: to the host's question, and in a tool's place.

Examples are drawn by hypothesis from a seed. `is_honest` says, by a reading of its own, whether an
answer holds samples that a host may make a figure of.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.faults import texts

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, ROUND_SAMPLES = 6, 2
SHORTEST_MS, LONGEST_MS = 1e-6, 1e8
DEEP = 100_000
Document = dict[str, Any]

numbers = st.one_of(
    st.sampled_from(texts.NASTY_NUMBERS), st.integers(), st.floats(), st.floats(1e-3, 10)
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(texts.NASTY_TEXTS), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
errors = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.one_of(st.sampled_from(("measurement", "model", "target", "usage")), values),
        "what": st.one_of(st.sampled_from(texts.NASTY_TEXTS), values),
        "hint": values,
        "model": st.one_of(st.integers(-3, 3), values),
    },
)


def drawn(strategy: st.SearchStrategy[Any], number: int) -> Any:
    """One example of a strategy, the same for a number."""
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=4,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    # The first that hypothesis tries is always the simplest.
    return found[-1]


def honest(runtime: str = "onnxruntime") -> Document:
    """What a well-behaved device says of one model, with samples of some hundredths of a ms."""
    state = {"governor": "performance", "temperature_c": 40.0}
    return {
        "device": {
            "device": "Board",
            "architecture": "aarch64",
            "operating_system": "Linux",
            "cores": 4,
        },
        "runtime": {
            "runtime": runtime,
            "runtime_version": "1.0",
            "provider": "CPUExecutionProvider",
            "threads": 1,
        },
        "before": state,
        "after": dict(state),
        "placed": [],
        "samples": [
            {"warmup_count": 10, "rounds_ms": [[0.011 + i / 1e3] * ROUND_SAMPLES for i in range(6)]}
        ],
    }


@st.composite
def documents(draw: Callable[..., Any]) -> Document:
    """An answer of which something is wrong."""
    document = honest()
    for _ in range(draw(st.integers(1, 3))):
        draw(st.sampled_from((_samples, _samples, _any_value, _any_value, _lost, _told)))(
            draw, document
        )
    return document


def _samples(draw: Callable[..., Any], document: Document) -> None:
    samples = {
        "rounds_ms": draw(
            st.one_of(
                st.lists(st.lists(numbers, max_size=4), max_size=8),
                st.lists(st.just([0.01, 0.02]), min_size=1, max_size=9),
                st.lists(st.just([draw(numbers)] * 2), min_size=6, max_size=6),
                st.just([[str(0.01)] * 2] * 6),
                st.just([[True] * 2] * 6),
                st.just([[0.01]] * 6),
                st.just([[0.01, 0.01]] * 5 + [[]]),
            )
        ),
        "warmup_count": draw(st.one_of(st.just(10), numbers)),
    }
    document["samples"] = [samples] * draw(st.sampled_from((1, 1, 1, 1, 0, 2)))


def _any_value(draw: Callable[..., Any], document: Document) -> None:
    part = draw(st.sampled_from(sorted(document)))
    inside = document[part]
    if isinstance(inside, dict) and inside and draw(st.booleans()):
        inside[draw(st.sampled_from(sorted(inside)))] = draw(values)
    else:
        document[part] = draw(values)


def _lost(draw: Callable[..., Any], document: Document) -> None:
    if document:
        del document[draw(st.sampled_from(sorted(document)))]


def _told(draw: Callable[..., Any], document: Document) -> None:
    document["error"] = draw(st.one_of(errors, values))


@st.composite
def outputs(draw: Callable[..., Any]) -> bytes:
    """All that a device prints."""
    text = json.dumps(draw(documents())).encode("utf-8", "surrogatepass")
    edit = draw(st.sampled_from((*[_as_it_is] * 12, *OUTPUT_EDITS)))
    output: bytes = edit(draw, text)
    return output


def _as_it_is(_: Callable[..., Any], text: bytes) -> bytes:
    return text + b"\n"


def _cut_off(draw: Callable[..., Any], text: bytes) -> bytes:
    return text[: int(draw(st.integers(0, len(text))))]


def _with_noise(draw: Callable[..., Any], text: bytes) -> bytes:
    noise = draw(st.one_of(st.binary(max_size=50), st.sampled_from((b"\x1b[2J", b"bye\n", b"\0"))))
    return bytes(draw(st.sampled_from((noise + b"\n" + text, text + noise, text + b"\n" + noise))))


def _deep(draw: Callable[..., Any], _: bytes) -> bytes:
    return bytes(draw(st.sampled_from((b"[", b'{"a":', b'{"samples":['))) * DEEP)


def _digits(draw: Callable[..., Any], text: bytes) -> bytes:
    return text.replace(b": 10", b": 1" + b"0" * draw(st.sampled_from((400, 5000, 10**6))))


def _large(_: Callable[..., Any], text: bytes) -> bytes:
    return text + b" " * (64 << 20) + b"\n" + text


def _silent(_: Callable[..., Any], __: bytes) -> bytes:
    return b""


OUTPUT_EDITS = (_cut_off, _cut_off, _with_noise, _with_noise, _deep, _digits, _large, _silent)


def is_honest(output: bytes) -> bool:
    """Whether an output is an answer with as many plausible samples as were asked for."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    try:
        document = json.loads(lines[-1])
        if "error" in document or len(document["samples"]) != 1:
            return False
        rounds = document["samples"][0]["rounds_ms"]
        return len(rounds) == ROUNDS and all(
            isinstance(one, list) and len(one) >= ROUND_SAMPLES and all(map(is_time, one))
            for one in rounds
        )
    except (LookupError, ValueError, TypeError, RecursionError):
        return False


def is_time(value: Any) -> bool:
    """Whether a value is a time that a model can take, in ms."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(SHORTEST_MS <= value <= LONGEST_MS)


@st.composite
def perf_test(draw: Callable[..., Any]) -> bytes:
    """What the script on a phone prints, line by line, with something wrong."""
    lines = perf_test_honest().splitlines()
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(("line", "field", "lost", "twice", "mark", "comma")))
        lines[index : index + 1] = _line(draw, lines[index], change)
    text = "\n".join(lines) + "\n"
    told: str = draw(st.sampled_from((text, text, text, text[: len(text) // 2])))
    return told.encode("utf-8", "replace")


def perf_test_honest() -> str:
    """What the script on a phone prints of one model."""
    facts = "manufacturer=Some\nmodel=Phone\nandroid=14\narchitecture=aarch64\npinned= 4\ncores=8"
    state = "scaling_governor=schedutil\nscaling_cur_freq=2000000\nzone=cpu 40000"
    rounds = "".join(
        "@ round 0\n" + "".join(f"m,0.0000{i + 11},1000,50,{i}\n" for i in range(5))
        for _ in range(ROUNDS)
    )
    return f"@ facts\n{facts}\n@ before\n{state}\n@ warm 0 20\n{rounds}@ after\n{state}\n@ end\n"


def _line(draw: Callable[..., Any], line: str, change: str) -> list[str]:
    nasty = draw(
        st.one_of(st.sampled_from(texts.NASTY_TEXTS), st.text(max_size=20), numbers.map(str))
    )
    fields = line.split(",")
    fields[draw(st.integers(0, len(fields) - 1))] = nasty
    changed = {
        "line": [nasty],
        "field": [",".join(fields)],
        "lost": [],
        "twice": [line, line],
        "mark": [f"@ {draw(st.sampled_from(MARKS))} {nasty}"],
        "comma": [line.replace(".", ",")],
    }
    return changed[change]


MARKS = ("failed 0", "failed", "wordless", "unpinnable", "round", "round 0", "warm", "end", "", "x")
TIMES_KEYS = ("computeMs", "latencyMs", "startComputeMs")


@st.composite
def trtexec_files(draw: Callable[..., Any]) -> dict[str, bytes]:
    """What a forged trtexec writes: the times that it exported, and what it says."""
    rows: list[Any] = [dict.fromkeys(TIMES_KEYS, 0.011 + i / 1000.0) for i in range(40)]
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(rows) - 1))
        rows[index] = draw(
            st.one_of(
                values,
                st.dictionaries(
                    st.sampled_from(TIMES_KEYS), st.one_of(numbers, values), min_size=1
                ),
            )
        )
    shapes: tuple[Any, ...] = (rows, rows, rows, {"rows": rows}, [], rows[:1], [[]], None)
    times = json.dumps(draw(st.sampled_from(shapes))).encode("utf-8", "surrogatepass")
    said = draw(
        st.sampled_from(
            (
                *(b"&&&& PASSED TensorRT.trtexec [TensorRT v100300]\n",) * 4,
                b"[W] [TRT] \x1b[31m\x07 odd\n&&&& PASSED TensorRT.trtexec [TensorRT v100300]\n",
                *(
                    b"&&&& FAILED TensorRT.trtexec [TensorRT vNaN]\n",
                    b"",
                    b"\xff\xfe",
                    b"x" * 100_000,
                ),
            )
        )
    )
    cut = draw(st.sampled_from((None, None, None, len(times) // 2, 0)))
    return {"times": times[:cut], "said": said}
