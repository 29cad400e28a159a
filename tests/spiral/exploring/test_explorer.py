from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from quick_runs import QUICK

import edgespiral
from edgespiral import api
from edgespiral.core.errors import ModelError, RunFolderError, UsageError
from edgespiral.core.records.comparing.exploration import read_exploration
from edgespiral.core.records.events import Candidate, PointExplored, TurnPlanned
from edgespiral.core.records.journal import read
from edgespiral.core.records.widths import Widths
from edgespiral.spiral.exploring.explore import EXPLORED
from edgespiral.spiral.exploring.explorer import Prices, furthest, latencies_between
from edgespiral.spiral.exploring.in_python import explore
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.planning.search import LANDING_LOW


@pytest.fixture(scope="module")
def explored(teacher, digits, finished, quick_options, tmp_path_factory):
    """One exploration of the teacher, calibrated on a run of it."""
    return explore(
        teacher,
        digits,
        points=2,
        speedup=2.5,
        target=quick_options["target"],
        pruner="depgraph",
        runs=[finished.folder],
        out=tmp_path_factory.mktemp("explored") / "front",
    )


def points_of(folder):
    return [event for event in read(folder / EXPLORED) if isinstance(event, PointExplored)]


def test_what_is_returned_lies_in_the_folder(explored):
    assert isinstance(explored, edgespiral.Explored)
    assert isinstance(explored.exploration, edgespiral.Exploration)
    assert read_exploration(explored.folder) == explored.exploration
    assert "what speed would cost" in (explored.folder / "exploration.html").read_text()


def test_every_point_was_built_timed_and_priced(explored):
    exploration = explored.exploration
    assert exploration.complete
    assert len(exploration.points) == 2
    measured = [e.widths for e in read(explored.folder / EXPLORED) if isinstance(e, Candidate)]
    for point in exploration.points:
        assert point.widths in measured
        assert point.latency_ci95_ms.low <= point.target_ms
        assert point.latency_ci95_ms.low <= point.latency_ms <= point.latency_ci95_ms.high
        assert point.divergence_nats > 0
        assert 0 < point.weight_share < 1
    assert all(a.latency_ms > b.latency_ms for a, b in pairwise(exploration.points))


def test_it_is_calibrated_on_a_finished_run(explored, finished):
    exploration = explored.exploration
    assert [cut.run for cut in exploration.calibrated_on] == [finished.folder.name]
    assert all(point.predicted_drop is not None for point in exploration.points)


def test_no_weight_was_trained(explored):
    text = (explored.folder / EXPLORED).read_text()
    kinds = {json.loads(line)["kind"] for line in text.splitlines()}
    assert not kinds & {"turn-planned", "turn-finished", "rate-chosen"}
    assert not list(explored.folder.rglob("checkpoint.pt"))
    assert not list((explored.folder / "candidates").rglob("*.onnx"))


def test_interrupted_it_goes_on_after_the_last_point(
    wide, digits, quick_options, stops_at, tmp_path
):
    asked = {"target": quick_options["target"], "pruner": "depgraph", "speedup": 1.6}
    out = tmp_path / "front"
    with pytest.raises(KeyboardInterrupt):
        explore(*(wide, digits), points=2, out=out, listener=stops_at("point 2 of 2"), **asked)
    (first,) = points_of(out)
    with pytest.raises(RunFolderError, match="go on with --resume"):
        explore(wide, digits, points=2, out=out, **asked)
    with pytest.raises(RunFolderError, match="explores 2 points, not 3"):
        explore(wide, digits, points=3, out=out, resume=True, **asked)
    done = explore(wide, digits, points=2, out=out, resume=True, **asked)
    assert done.exploration.complete
    assert points_of(out)[0] == first
    assert len(points_of(out)) == 2
    before = (out / "exploration.json").read_bytes()
    explore(wide, digits, points=2, out=out, resume=True, **asked)
    assert (out / "exploration.json").read_bytes() == before


def test_a_criterion_that_trains_is_refused(teacher, digits, tmp_path):
    with pytest.raises(UsageError, match="l1-reg trains the model before it scores it"):
        explore(teacher, digits, points=2, out=tmp_path / "front", criterion="l1-reg")


def test_a_run_starts_from_a_point(explored, teacher, digits, tmp_path):
    point = explored.exploration.points[0]
    done = api.compress(
        teacher,
        digits,
        explored=str(explored.folder),
        point=point.number,
        epochs=0.5,
        max_drop=60.0,
        out=tmp_path / "run",
    )
    events = read(tmp_path / "run" / "journal.jsonl")
    planned = next(event for event in events if isinstance(event, TurnPlanned))
    assert planned.widths == point.widths
    asked = done.result.devices[0].teacher.stats.p50_ms / done.result.devices[0].budget_ms
    assert asked == pytest.approx(point.speedups["quick"], rel=1e-3)


def test_every_point_of_several_targets_can_be_started(wide, digits, tmp_path):
    """Of budgets far apart the nearer one lets a cut be slower there than the teacher is."""
    other = tmp_path / "b.toml"
    other.write_text(Path(QUICK).read_text().replace('name = "quick"', 'name = "b"'))
    targets = [QUICK, str(other)]
    asked = {"target": targets, "speedup": {QUICK: 3.0, str(other): 1.05}, "pruner": "depgraph"}
    found = explore(wide, digits, points=2, out=tmp_path / "front", **asked)
    points = found.exploration.points
    plans = [load_plan(None, {"explored": found.folder, "point": p.number}) for p in points]
    assert [plan.targets for plan in plans] == [tuple(targets)] * len(plans)
    for plan, point in zip(plans, points, strict=True):
        for target, speedup in zip(targets, point.speedups.values(), strict=True):
            kind = "speedup" if speedup > 1.001 else "latency_ms"
            assert list(plan.budget_of(target)) == [kind]
    assert plans[0].budget_of(str(other)).keys() == {"latency_ms"}
    more = {"epochs": 0.2, "max_drop": 90.0, "learning_rate": 0.01, "device_samples": 0}
    start = {"explored": str(found.folder), "point": 1, "out": tmp_path / "run"}
    done = api.compress(wide, digits, **start, **more)
    assert len(done.result.devices) == 2


def test_a_point_of_another_teacher_is_refused(explored, wide, digits, tmp_path):
    with pytest.raises(UsageError, match=r"--explored: .* is another teacher than this one"):
        api.compress(wide, digits, explored=str(explored.folder), point=1, out=tmp_path / "run")


def test_prices_are_asked_for_once():
    asked = []

    def damages(cuts):
        asked.extend(cuts)
        return [float("inf") if widths["a"] == 1 else 0.25 for widths in cuts]

    prices = Prices(damages, lambda widths: float(widths["a"]), Widths({"a": 4}))
    assert [prices.divergence_nats(Widths({"a": 2})) for _ in range(3)] == [0.25] * 3
    assert asked == [{"a": 2}]
    assert prices.of_trained(Widths({"a": 2})) == (0.25, 0.5)
    assert prices.of_trained(Widths({"b": 2})) is None
    assert prices.of_trained(Widths({"a": 1})) is None


def test_latencies_are_in_equal_ratios():
    found = latencies_between(2.0, 0.5, 4)
    assert found[-1] == pytest.approx(0.5)
    assert [a / b for a, b in pairwise((2.0, *found))] == pytest.approx([2**0.5] * 4)


def test_it_looks_no_further_than_a_cut_can_go():
    assert furthest(8.0, fastest_ms=1.0, asked_ms=2.0) == 2.0
    assert 1.0 < furthest(8.0, fastest_ms=1.0, asked_ms=0.1) < 1.0 / LANDING_LOW
    with pytest.raises(ModelError, match=r"the narrowest cut takes 7\.9 ms, the model as it is 8"):
        furthest(8.0, fastest_ms=7.9, asked_ms=2.0)
