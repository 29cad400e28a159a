"""Records of what pages beside a run's are about: a sweep, an inspection, a trend, a race."""

from datetime import timedelta

from example_records import NOON, measurement, ratio

from edgespiral.core.records.comparing.sweep import Sweep, SweptDevice, SweptPoint, SweptRun
from edgespiral.core.records.events import Outcome
from edgespiral.core.records.inspection import (
    BranchFacts,
    EngineFacts,
    GroupFacts,
    Inspection,
    KeptFacts,
    LayerFacts,
    NetworkNode,
)
from edgespiral.core.records.measurement import Interval, Race, RaceRow, Verdict
from edgespiral.core.records.metric import Metric
from edgespiral.gate.records import Break, HistoryPoint, Shift, Trend

SPAN = Interval(low=3.9, high=4.1)
DEVICE = SweptDevice(target="board <1>", latency_ms=4.0, ci95_ms=SPAN, speedup=2.0)
MET = SweptRun(
    name="speedup-2",
    folder="out/speedup-2",
    values={"speedup": 2.0},
    outcome=Outcome.MET,
    exit_code=0,
    test_score=96.5,
    devices=(DEVICE,),
)
FAILED = SweptRun(
    name="b", folder="out/b", values={"speedup": 3.0}, problem="it diverged", exit_code=9
)
DUE = SweptRun(name="c", folder="out/c", values={"speedup": 4.0})
POINT = SweptPoint(
    target="board <1>",
    values={"speedup": 2.0},
    runs=("speedup-2",),
    latency_ms=4.0,
    latency_ci95_ms=SPAN,
    score=96.5,
    score_ci95=Interval(low=95.0, high=98.0),
    size_bytes=1000.0,
    on_front=True,
)
SWEEP = Sweep(
    plan={"model": "net", "data": "digits"},
    vary={"speedup": (2.0, 3.0, 4.0)},
    metric=Metric(name="accuracy"),
    runs=(MET, FAILED, DUE),
    points=(POINT,),
    command="edgespiral sweep sweep.toml --out out",
)

# A residual block between a stem and a head.
BLOCK = (
    NetworkNode(name="x", operator="input"),
    NetworkNode(name="stem", layer="stem", operator="Conv2d 3x3", channels=16, inputs=("x",)),
    NetworkNode(name="a", layer="block.a", operator="Conv2d 3x3", channels=32, inputs=("stem",)),
    NetworkNode(name="b", layer="block.b", operator="Conv2d 3x3", channels=16, inputs=("a",)),
    NetworkNode(name="add", operator="add", inputs=("b", "stem")),
    NetworkNode(name="head", layer="<head>", operator="Linear", channels=10, inputs=("add",)),
)

INSPECTION = Inspection(
    model="net.py:<net>",
    input="(3, 8, 8)",
    channels=100,
    cuttable_channels=25,
    parameters=1000,
    cuttable_parameters=400,
    layers=(
        LayerFacts(name="a", channels=25, cuttable_channels=25),
        LayerFacts(name="<b>", channels=75, cuttable_channels=0),
    ),
    network=(
        NetworkNode(name="x", operator="input"),
        NetworkNode(name="a", layer="a", operator="Linear", channels=25, inputs=("x",)),
        NetworkNode(name="b", layer="<b>", operator="Linear", channels=75, inputs=("a", "x")),
    ),
    groups=(GroupFacts(name="a", channels=25, step=1, made_by=("a",), read_by=("b",)),),
    branches=(BranchFacts(name="block", groups=("a",), layers=2),),
    kept=tuple(KeptFacts(layer=f"k{i}", channels=2, reason="are rolled") for i in range(45)),
    main_reasons=("k0 and 44 more: channels are rolled",),
    engines=(EngineFacts(name="flow", problem=None), EngineFacts(name="nni", problem="it fails")),
    batch_norms=2,
    batch_norms_without_statistics=("n",),
    precisions={"float32": 1000},
)

LEVELS = (1.0, 1.0, 1.0, 1.1, 1.1, 1.1, 0.5)


def a_trend() -> Trend:
    """Seven results: slower from the fourth on, another runtime at the seventh."""
    points = tuple(
        HistoryPoint(
            at=NOON + timedelta(hours=index),
            commit=f"{index}abcdef0123456789" if index else None,
            p50_ms=p50_ms,
            ci95_ms=Interval(low=p50_ms * 0.99, high=p50_ms * 1.01),
            change_percent=None if index else 2.25,
            verdict=Verdict.MET,
        )
        for index, p50_ms in enumerate(LEVELS)
    )
    return Trend(
        suite="detectors",
        target="orin",
        model="a <b>",
        points=points,
        shifts=(Shift(index=3, before_ms=1.0, after_ms=1.1),),
        breaks=(Break(index=6, differences=("runtime version was 1, is 2",)),),
    )


def a_race() -> Race:
    """Of two runtimes of which the second is twice as fast, and one that has no figure."""
    rows = (
        RaceRow(runtime="swift", precision="fp32", threads=1, measurement=measurement(1.0)),
        RaceRow(runtime="own", precision="fp32", threads=1, measurement=measurement(2.0)),
        RaceRow(runtime="absent", precision="fp32", threads=1, refused="is <not> installed"),
    )
    faster = rows[0].model_copy(update={"speedup": ratio(2.0)})
    return Race(
        target="board",
        model="net.onnx",
        samples="made-up samples",
        rows=(faster, *rows[1:]),
        reference=1,
        winner=0,
    )
