from __future__ import annotations

from dataclasses import replace

import pytest

from edgespiral.core.records.events import Candidate
from edgespiral.core.records.journal import Journal
from edgespiral.core.records.widths import Widths
from edgespiral.export.onnx import export_onnx
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import LatencyCache, MeasuredCut
from edgespiral.measure.model_files import precision_of
from edgespiral.measure.profile import load_profile
from edgespiral.measure.racing.entrants import with_runtime
from edgespiral.models.saved import trace
from edgespiral.prune.groups import widths_of
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.candidates import (
    CONFIRMING_ROUNDS,
    LEAST_CONFIRMING,
    LEAST_WHOLE,
    CandidateFiles,
    Candidates,
)
from edgespiral.spiral.planning.latencies import Device, Latencies
from edgespiral.spiral.planning.latency_model import layer_shapes
from edgespiral.spiral.planning.pace import LEAST_ROUNDS


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_cut_is_written_in_its_precision(wide, digits, tmp_path, precision):
    source = PrunableModel.of(trace(wide), digits.input_shape)
    files = CandidateFiles(source, tmp_path / "work", precision)
    narrow = Widths({group.name: group.channels // 2 for group in source.groups})
    full = files.write(Widths(dict.fromkeys(narrow, 16)), 0).stat().st_size
    path = files.write(narrow, 1)
    assert precision_of(path) == precision
    assert precision_of(files.write_float(narrow, 2)) == "fp32"
    assert path.stat().st_size > full


@pytest.fixture
def candidates(wide, digits, quick_options, tmp_path):
    """Makes the candidates of a run that shares one cache with all others made here."""
    source = PrunableModel.of(trace(wide), digits.input_shape)
    teacher = tmp_path / "teacher.onnx"
    export_onnx(source.model, teacher, input_shape=digits.input_shape)
    base = Widths(widths_of(source.groups))
    layers = layer_shapes(source.model, source.groups, source.example)
    with Fleet.of([load_profile(quick_options["target"])]) as fleet:
        (latency,) = fleet.sessions[0].measure([teacher])
        teacher_ms = latency.stats.p50_ms
        cache = LatencyCache.of(tmp_path / "cache", fleet.profiles[0], latency.fingerprint)

        def make(name: str, precision="fp32", **of_files) -> Candidates:
            return Candidates(
                files=CandidateFiles(source, tmp_path / "work", precision, **of_files),
                fleet=fleet,
                journal=Journal(tmp_path / f"{name}.jsonl"),
                teacher_onnx=teacher,
                latencies=Latencies(
                    [Device("quick", teacher_ms, teacher_ms, 16, teacher_ms)], layers, base
                ),
                precision=precision,
                caches=[cache],
            )

        yield make


def test_what_one_run_measured_another_starts_from_until_it_proves_wrong(candidates):
    first = candidates("first")
    narrow, other = (first.latencies.base_widths | {name: 16} for name in ("0", "3"))
    first.measure(1, [narrow, other], rounds=8)
    assert not first.unverified
    second = candidates("second")
    assert second.unverified == {narrow, other}
    assert second.latencies.measured.keys() == first.latencies.measured.keys()
    (cache,) = second.caches
    (architecture,) = cache.read().cuts
    cache.add(cuts={architecture: [MeasuredCut(widths=dict(narrow), speedup=100.0)]})
    third = candidates("third")
    third.measure(1, [narrow], rounds=8)
    assert third.latencies.measured.keys() == {third.latencies.base_widths, narrow}
    assert third.unverified == set()


def test_of_a_slow_model_fewer_cuts_are_timed_as_a_whole_and_more_shortly(candidates):
    some = candidates("slow")
    some.latencies.devices = [replace(d, teacher_ms=400.0) for d in some.latencies.devices]
    base = some.latencies.base_widths
    pairs = [(16, 16), (32, 32), (24, 24), (16, 32), (32, 16), (24, 16)]
    probes = [base | {"0": first, "3": second} for first, second in pairs]
    some.survey(1, probes)
    events = [event for event in some.journal.read() if isinstance(event, Candidate)]
    assert [event.widths for event in events] == probes[:LEAST_WHOLE]
    assert {len(e.devices[0].measurement.rounds_ms) for e in events} == {LEAST_ROUNDS}
    some.confirm(1, probes[0])
    *_, confirmed = some.journal.read()
    assert len(confirmed.devices[0].measurement.rounds_ms) == LEAST_CONFIRMING


def test_a_survey_is_left_out_where_its_layers_are_known(candidates):
    first = candidates("first")
    base = first.latencies.base_widths
    probes = [Widths(dict.fromkeys(base, width)) for width in (16, 32)]
    first.survey(1, probes)
    assert first.reused_layers == 0
    second = candidates("second")
    second.survey(1, probes)
    assert second.reused_layers > 0
    assert [e for e in second.journal.read() if isinstance(e, Candidate)] == []
    assert second.latencies.predict_ms(base) > second.latencies.predict_ms(probes[0])


def test_of_int8_only_whole_models_tell_though_layers_are_known(candidates):
    first = candidates("first")
    probes = [Widths(dict.fromkeys(first.latencies.base_widths, width)) for width in (16, 32)]
    first.survey(1, probes)
    int8 = candidates("int8", "int8")
    int8.survey(1, probes)
    assert int8.reused_layers > 0
    measured = [e.widths for e in int8.journal.read() if isinstance(e, Candidate)]
    assert measured == probes


def test_layers_with_sparse_weights_are_kept_apart(candidates):
    sparse = candidates("sparse", two_four=True)
    probes = [Widths(dict.fromkeys(sparse.latencies.base_widths, width)) for width in (16, 32)]
    sparse.survey(1, probes)
    dense = candidates("dense")
    dense.survey(1, probes)
    assert dense.reused_layers == 0
    again = candidates("again", two_four=True)
    again.survey(1, probes)
    assert again.reused_layers == 0


def test_what_may_be_within_a_limit_is_told_by_its_interval_measured_at_length(candidates):
    some = candidates("intervals")
    widths = Widths(dict.fromkeys(some.latencies.base_widths, 16))
    some.measure(1, [widths], rounds=8)
    measured_ms = some.latencies.measured[widths]
    assert not some.may_be_within(1, widths, 0.1 * measured_ms)
    assert not some.confirmed
    assert some.may_be_within(1, widths, 10 * measured_ms)
    assert some.confirmed == {widths}
    events = [event for event in some.journal.read() if isinstance(event, Candidate)]
    assert [len(event.devices[0].measurement.rounds_ms) for event in events] == [
        8,
        CONFIRMING_ROUNDS,
    ]


def test_a_runtime_without_the_times_of_layers_is_learned_from_whole_cuts(
    wide, digits, quick_options, tmp_path
):
    source = PrunableModel.of(trace(wide), digits.input_shape)
    teacher = tmp_path / "teacher.onnx"
    export_onnx(source.model, teacher, input_shape=digits.input_shape)
    base = Widths(widths_of(source.groups))
    layers = layer_shapes(source.model, source.groups, source.example)
    halves = [Widths(dict.fromkeys(base, width)) for width in (16, 24)]
    with Fleet.of([with_runtime(load_profile(quick_options["target"]), "ncnn")]) as fleet:
        latencies = Latencies([Device("quick", 1.0, 1.0, 8, 1.0)], layers, base)
        candidates = Candidates(
            files=CandidateFiles(source, tmp_path / "work", has_modules=True),
            fleet=fleet,
            journal=Journal(tmp_path / "journal.jsonl"),
            teacher_onnx=teacher,
            latencies=latencies,
            precision="fp32",
        )
        candidates.survey(1, halves)
    assert latencies.measured.keys() == {base, *halves}
    assert latencies.predict_ms(halves[0]) > 0
    # What a runtime that is made of modules would find beside each file.
    written = sorted(path.name for path in (tmp_path / "work" / "candidate-1").iterdir())
    assert written == ["candidate-1.onnx", "model.py", "model.safetensors"]
