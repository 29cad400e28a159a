"""The run as one self-contained HTML file: nothing fetched, and a script for buttons alone."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgespiral.core.records.events import (
    Outcome,
)
from edgespiral.core.records.inspection import channels_of
from edgespiral.core.records.measurement import (
    Fingerprint,
)
from edgespiral.report import formats
from edgespiral.report.budgets import (
    better_by_rounding,
    budget_margins,
    margin_text,
    sibling_text,
    siblings,
)
from edgespiral.report.drawing import charts
from edgespiral.report.drawing.network import cut_shares, network_chart, network_figures
from edgespiral.report.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from edgespiral.core.records.events import (
        Baseline,
        Event,
        ModelFacts,
    )
    from edgespiral.core.records.measurement import Measurement, Race
    from edgespiral.core.records.widths import GroupCut

UNITS = {"c": "\N{DEGREE SIGN}C", "mhz": "MHz"}
OUTCOMES = {
    Outcome.MET: "budget met",
    Outcome.ALREADY_MET: "budget met already",
    Outcome.UNREACHABLE: "budget out of reach",
    Outcome.SCORE_FLOOR: "floor crossed",
}


def render_html(events: Sequence[Event], *, reload_s: int | None = None) -> str:
    """The report page of a run, finished or not.

    Args:
        events: of the run's journal.
        reload_s: after how many seconds a browser loads the page again; never if not given.

    Raises:
        RunFolderError: the journal holds no run.
    """
    run = Run.of(events)
    page = template("report.html.j2")
    return page.render(
        run=run,
        status=status_of(run),
        reproduce=_reproduce(run),
        reload_s=reload_s,
        race_chart=charts.race_chart,
        **_measured(run),
    )


def races_html(races: Sequence[Race]) -> str:
    """The page that `edgespiral targets race --html FILE` writes: a picture and a table a race."""
    pictures = [charts.race_chart(race, f"race-{place}") for place, race in enumerate(races)]
    return template("race.html.j2").render(pairs=list(zip(races, pictures, strict=True)))


def template(name: str) -> Template:
    """A page of this package, which escapes what it is given."""
    environment = Environment(
        loader=PackageLoader("edgespiral.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = environment.get_template("page.js.j2").render()
    # A browser runs this script and no other, so that nothing which a run's texts smuggle in does.
    digest = hashlib.sha256(script.encode()).digest()
    environment.globals |= {
        "formats": formats,
        "script": Markup(script),  # noqa: S704 (it is this package's own)
        "script_sha256": base64.b64encode(digest).decode(),
    }
    return environment.get_template(name)


def status_of(run: Run) -> tuple[str, str]:
    """How a run ended in words, and whether that is good, short of it or still open."""
    if run.finished is None:
        return "not finished", "pending"
    if run.finished.outcome is Outcome.MET and not run.has_budget:
        return "goal reached", "good"
    met = run.finished.outcome in (Outcome.MET, Outcome.ALREADY_MET)
    return OUTCOMES[run.finished.outcome], "good" if met else "short"


def _measured(run: Run) -> dict[str, object]:
    baseline = run.baseline
    if baseline is None:
        return {"baseline": None}
    student = run.student_latency
    return {
        "baseline": baseline,
        "tiles": _tiles(run, baseline),
        **_network(run, baseline),
        "score_figures": charts.score_figures(run, baseline),
        "samples_figures": charts.samples_figures(run.shown(baseline.devices), student),
        "score_chart": charts.score_chart(run, baseline),
        "samples_chart": charts.samples_chart(run.shown(baseline.devices), student),
        "alternatives": _alternatives(run),
        "devices": run.devices() if len(baseline.devices) > 1 else [],
        "budgets": [(margin_text(budget), budget.verdict.value) for budget in budget_margins(run)],
        "frames": [formats.frame(device) for device in run.devices() if device.stages],
        "bought": _bought(run),
        "prediction_error": run.prediction_error(),
        "fingerprints": _fingerprints(run.shown(baseline.devices).measurement, student),
        "phases": _phases(run),
    }


def _network(run: Run, baseline: Baseline) -> dict[str, object]:
    """The network with what was cut; of journals of before the widths of groups alone."""
    none: dict[str, object] = {"network_chart": None, "widths_chart": None}
    if run.best is not None and run.best.sibling:
        return none
    layers = run.best.layers if run.best else channels_of(baseline.network)
    if baseline.network and layers:
        return none | {
            "network_chart": network_chart(baseline.network, layers),
            "network_figures": network_figures(baseline.network, cut_shares(layers)),
        }
    widths = run.best.widths if run.best else baseline.widths
    return none | {
        "widths_chart": charts.widths_chart(baseline.widths, widths),
        "widths_figures": charts.widths_figures(baseline.widths, widths),
    }


def _alternatives(run: Run) -> list[str]:
    """What might have shipped in the cut's place, a line each."""
    lines = [sibling_text(sibling, run.metric) for sibling in siblings(run)]
    return [line for line in (*lines, better_by_rounding(run)) if line]


def _tiles(run: Run, baseline: Baseline) -> list[tuple[str, str, str]]:
    """Name, figure and small print of what matters most."""
    before, after = baseline.teacher, run.best.student if run.best else baseline.teacher
    return [
        _speed_tile(run),
        _latency_tile(run, baseline),
        _score_tile(run, before, after),
        (
            "parameters",
            formats.count(after.parameter_count),
            f"teacher {formats.count(before.parameter_count)}",
        ),
        (
            "model.onnx",
            f"{formats.count(after.size_bytes)}B",
            f"teacher {formats.count(before.size_bytes)}B",
        ),
    ]


def _speed_tile(run: Run) -> tuple[str, str, str]:
    event = run.finished or run.best
    if event is None:
        return "speed-up", "\N{EM DASH}", "no turn finished yet"
    speedup = run.shown(event.devices).speedup
    figure = f"{speedup.value:.2f}\N{MULTIPLICATION SIGN}"
    return "speed-up", figure, f"95 % interval {formats.interval(speedup)}"


def _latency_tile(run: Run, baseline: Baseline) -> tuple[str, str, str]:
    teacher = run.shown(baseline.devices)
    teacher_ms = teacher.measurement.stats.p50_ms
    latency_ms = run.timing(run.shown(run.best.devices)).latency_ms if run.best else teacher_ms
    small = f"teacher {formats.ms(teacher_ms)}"
    if teacher.budget_ms is not None:
        small += f", budget {formats.ms(teacher.budget_ms)}"
    return "median latency", f"{formats.ms(latency_ms)} ms", small


def _score_tile(run: Run, before: ModelFacts, after: ModelFacts) -> tuple[str, str, str]:
    pair = (before.validation_score, after.validation_score)
    split = "validation"
    if run.finished is not None:
        pair = (run.finished.teacher_test_score, run.finished.student_test_score)
        split = "test"
    metric = run.metric
    small = f"teacher {metric.text(pair[0])}, {formats.points(*pair)} "
    small += metric.difference_unit
    return f"{split} {metric.name}", metric.text(pair[1]), small


def _bought(run: Run) -> list[tuple[int, list[GroupCut]]]:
    """Of each turn that led to the result, its cuts, those that save most first."""
    planned = [run.planned[turn.turn] for turn in run.lineage if turn.turn in run.planned]
    return [
        (planned_turn.turn, sorted(planned_turn.cuts, key=lambda cut: -max(cut.saved_ms.values())))
        for planned_turn in planned
        if planned_turn.cuts
    ]


def _fingerprints(teacher: Measurement, student: Measurement | None) -> list[tuple[str, str, str]]:
    rows = []
    for field in Fingerprint.model_fields:
        pair = [getattr(teacher.fingerprint, field)]
        pair.append(getattr(student.fingerprint, field) if student else None)
        if any(value is not None for value in pair):
            texts = ["not reported" if value is None else str(value) for value in pair]
            rows.append((_named(field), texts[0], texts[1] if student else ""))
    return rows


def _named(field: str) -> str:
    stem, _, last = field.rpartition("_")
    words_of = f"{stem}, {UNITS[last]}" if last in UNITS else field
    return words_of.replace("_", " ")


def _phases(run: Run) -> list[tuple[str, float, float]]:
    """Phase, seconds and share of the whole, in the order of a turn."""
    seconds = run.seconds()
    whole = sum(seconds.values()) or 1.0
    return [(phase, duration, duration / whole) for phase, duration in seconds.items()]


def _reproduce(run: Run) -> dict[str, object]:
    plan = {
        ("schema" if key == "schema_version" else key): v for key, v in run.started.plan.items()
    }
    lines = [f"{key} = {_toml(value)}" for key, value in plan.items() if value is not None]
    hashes = {"plan": run.started.plan_sha256, "teacher weights": run.started.teacher_sha256}
    if run.best is not None:
        hashes |= run.best.files
    return {"plan_toml": "\n".join(lines), "hashes": hashes}


def _toml(value: object) -> str:
    """A plan's value: JSON, but for tables, and for characters that TOML writes otherwise."""
    if not isinstance(value, dict):
        # What is no text at all, of a file's name, say, no TOML file can have.
        text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
        return text.replace("\x7f", "\\u007f")
    pairs = (f"{_toml(key)} = {_toml(entry)}" for key, entry in value.items())
    return f"{{ {', '.join(pairs)} }}"
