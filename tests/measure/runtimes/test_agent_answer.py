import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import EdgeSpiralError, MeasurementError, ModelError, TargetError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.agent_answer import (
    LONGEST_ANSWER,
    agent_document,
    check_clock,
    check_computed,
    finite_number,
    whole_answer,
)
from edgespiral.measure.runtimes.base import Answer, Job

JOB = Job("measure", (Path("a.onnx"), Path("b.onnx")), 5, 1.0, 2.0, 3, 4)


def test_the_last_line_is_the_document() -> None:
    assert agent_document(Completed(0, 'loading\n{"a": 1}\n', ""), JOB) == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "model", "error", "text"),
    [
        ("model", 1, ModelError, "b.onnx: bad; mend it"),
        ("target", None, TargetError, "bad; mend it"),
        ("measurement", 0, MeasurementError, "a.onnx: bad; mend it"),
    ],
)
def test_what_the_agent_says_is_wrong_is_raised(
    kind: str, model: int | None, error: type[EdgeSpiralError], text: str
) -> None:
    told = {"error": {"kind": kind, "what": "bad", "hint": "mend it", "model": model}}
    with pytest.raises(error) as caught:
        agent_document(Completed(1, json.dumps(told), ""), JOB)
    assert str(caught.value) == text


@pytest.mark.parametrize("stdout", ["", "[1]", '{"half": '])
def test_no_document_is_no_measurement(stdout: str) -> None:
    with pytest.raises(MeasurementError, match="the measuring process broke off in its answer"):
        agent_document(Completed(0, stdout, ""), JOB)


def test_an_answer_has_every_part() -> None:
    with pytest.raises(MeasurementError, match="not valid: device: Field required"):
        whole_answer({}, JOB)


ROUND = [1.0, 2.0, 1.5]
GOOD: dict[str, Any] = {
    "device": {"device": "d", "architecture": "a", "operating_system": "o", "cores": 1},
    "runtime": {
        "runtime": "onnxruntime",
        "runtime_version": "1",
        "provider": "CPUExecutionProvider",
        "threads": 1,
    },
    "before": {},
    "after": {},
    "samples": [{"warmup_count": 1, "rounds_ms": [ROUND] * 5}] * 2,
}


def rounds(*others: object) -> str:
    samples = [{"warmup_count": 1, "rounds_ms": [*others, *[ROUND] * (5 - len(others))]}] * 2
    return json.dumps(GOOD | {"samples": samples})


def facts(part: str, **told: object) -> str:
    return json.dumps(GOOD | {part: GOOD[part] | told})


def error(**told: object) -> str:
    whole = {"kind": "model", "what": "w", "hint": "", "model": 0}
    return json.dumps({"error": whole | told})


FORGED = [
    *('{"error": "boo"}', '{"error": {}}', '{"error": []}', '{"error": null}', '{"error": 1}'),
    *(error(kind=kind) for kind in ("zzz", "", None, 3, [], {})),
    *(error(model=model) for model in (2, 99, -1, "0", True, 0.5, [])),
    *(error(what=what) for what in ("", None, 7, ["w"])),
    *(error(hint=hint) for hint in (None, 7, {})),
    *("[" * 200_000, '{"a":' * 100_000, '{"samples": ' + "[" * 5_000 + "]" * 5_000 + "}"),
    *(
        rounds([1.0, 2.0, sample])
        for sample in (
            *(1e308, 5e-324, 1e-7, 1.1e8, 0, -1.0, float("nan"), float("inf"), -float("inf")),
            *("0.5", "0,5", "fast", True, False, None, [], {}, 10**400),
        )
    ),
    *(rounds(other) for other in ([], [1.0], [1.0] * 2, [1.0] * 5, 1.0, "1.0", None, {})),
    *(rounds(*[ROUND] * count) for count in (6, 50)),
    json.dumps(GOOD | {"samples": [{"warmup_count": 1, "rounds_ms": [ROUND] * 4}] * 2}),
    json.dumps(GOOD | {"samples": GOOD["samples"][:1]}),
    json.dumps(GOOD | {"samples": GOOD["samples"] * 2}),
    json.dumps(GOOD | {"samples": {}}),
    *(
        json.dumps(GOOD | {"samples": [{"warmup_count": count, "rounds_ms": [ROUND] * 5}] * 2})
        for count in (-1, "1", 1.5, True, None, 10**20)
    ),
    *(
        json.dumps(GOOD | {"samples": [GOOD["samples"][0] | {"loads_ms": loads}] * 2})
        for loads in ([1.0], [1.0] * 6, [0.0] * 5, ["1"] * 5, [-1.0] * 5, 1.0, None)
    ),
    *(facts("runtime", peak_memory_mib=value) for value in (-1, "64", float("nan"), True, [])),
    *(facts("device", cores=cores) for cores in (0, -1, "4", 1.5, True, None, 10**9)),
    *(facts("device", device=name) for name in (None, 7, "d" * 5000, [])),
    *(facts("runtime", threads=threads) for threads in (0, "1", True, None)),
    *(facts("runtime", affinity=cores) for cores in ([-1], ["1"], "big", [0.5])),
    *(facts("after", temperature_c=value) for value in ("70", 1e6, float("nan"), True, [])),
    *(facts("after", load=value) for value in (-1, "1", float("inf"))),
    facts("after", surprise=1),
    json.dumps({**GOOD, "surprise": 1}),
    *(json.dumps({key: GOOD[key] for key in GOOD if key != lacking}) for lacking in GOOD),
]


@pytest.mark.parametrize("text", FORGED, ids=range(len(FORGED)))
def test_a_forged_answer_is_one_clear_error_and_no_figure(text: str) -> None:
    with pytest.raises((MeasurementError, TargetError)) as caught:
        whole_answer(agent_document(Completed(0, text, ""), JOB), JOB)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_good_answer_is_taken() -> None:
    answer = whole_answer(agent_document(Completed(0, json.dumps(GOOD), ""), JOB), JOB)
    assert answer.samples[1].rounds_ms == ((1.0, 2.0, 1.5),) * 5


def test_what_a_device_says_is_one_line() -> None:
    told = error(what="a\nb\x1b[31m" + "c" * 5000, hint="d\ne")
    with pytest.raises(ModelError) as caught:
        agent_document(Completed(1, told, ""), JOB)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1100


def test_an_answer_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST_ANSWER > 100_000_000
    monkeypatch.setattr("edgespiral.measure.runtimes.agent_answer.LONGEST_ANSWER", 100)
    with pytest.raises(MeasurementError, match="longer than"):
        agent_document(Completed(0, json.dumps(GOOD), ""), JOB)


def test_samples_cannot_have_taken_longer_than_the_call() -> None:
    answer = whole_answer(GOOD, JOB)  # 45 ms of inference
    check_clock(answer, 0.046)
    with pytest.raises(MeasurementError, match=r"0.045 s of inference, and was asked 0.02 s ago"):
        check_clock(answer, 0.02)
    check_clock(answer, 0.02, overlap=4.0)
    with pytest.raises(MeasurementError, match="s of inference"):
        check_clock(answer, 0.01, overlap=4.0)


def test_times_to_load_are_part_of_the_call() -> None:
    samples = [GOOD["samples"][0] | {"loads_ms": [10.0] * 5}] * 2
    answer = whole_answer(GOOD | {"samples": samples}, JOB)
    check_clock(answer, 0.15)
    with pytest.raises(MeasurementError, match=r"0.145 s of inference, and was asked 0.1 s ago"):
        check_clock(answer, 0.1)


def test_facts_that_were_asked_for_are_held_to() -> None:
    whole_answer(GOOD, JOB, expected={"threads": 1})
    with pytest.raises(MeasurementError, match="its threads is 1, asked for was 2"):
        whole_answer(GOOD, JOB, expected={"threads": 2})


@pytest.mark.parametrize(
    ("name", "is_inside"),
    [
        ("engines/0.engine", True),
        *((name, False) for name in ("/etc/hostname", "../a", "a/../../b", "", ".", 7, None)),
    ],
)
def test_an_engine_lies_in_the_work_folder(name: object, is_inside: bool) -> None:
    job = Job("build", (Path("a.onnx"),), 5, 1.0, 2.0, 3, 4)
    document = {key: value for key, value in GOOD.items() if key != "samples"}
    document["engines"] = [{"file": name}]
    if is_inside:
        assert whole_answer(document, job).engines[0].file == name
    else:
        with pytest.raises(MeasurementError, match="not valid"):
            whole_answer(document, job)


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), [1]])
def test_what_is_no_number_is_told(value: object) -> None:
    assert finite_number(2) == 2.0
    with pytest.raises(ValueError, match="not a number"):
        finite_number(value)


def outputs_of(samples: int) -> Answer:
    told = {"outputs": [{"file": "outputs-0.npy", "samples": samples}], "samples": []}
    job = Job("outputs", (Path("a.onnx"),), 5, 1.0, 2.0, 3, 4, input_count=20)
    return whole_answer({**GOOD, **told}, job)


@pytest.mark.parametrize(
    ("samples", "elapsed_s", "is_right"),
    [(20, 0.1, True), (19, 40.0, True), (1, 40.0, True), (19, 0.1, False), (21, 40.0, False)],
)
def test_outputs_are_of_all_samples_that_there_was_time_for(
    samples: int, elapsed_s: float, is_right: bool
) -> None:
    job = Job("outputs", (Path("a.onnx"),), 5, 1.0, 2.0, 3, 4, input_count=20)
    wanted = f"a.onnx: .*not valid: {samples} outputs after .* s, of 20 samples"
    with nullcontext() if is_right else pytest.raises(MeasurementError, match=wanted):
        check_computed(outputs_of(samples), job, elapsed_s)
