import example_records
import numpy as np
import pytest
from example_records import NOON, ratio

from edgespiral.core.records.events import (
    Baseline,
    Candidate,
    Event,
    ModelFacts,
    OnDevice,
    Outcome,
    PrecisionChosen,
    RateChosen,
    RunFinished,
    RunStarted,
    TriedRate,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.exported import QuantisedTraining, RestoredLayer, WeightSparsity
from edgespiral.core.records.inspection import NetworkNode
from edgespiral.core.records.measurement import Measurement, Verdict
from edgespiral.core.records.metric import Figure, Metric
from edgespiral.core.records.precisions import PrecisionMix, PrecisionTrial
from edgespiral.core.records.widths import GroupCut

BEFORE = {f"layer{stage}.{block}.conv1": 16 * 2**stage for stage in range(3) for block in range(3)}
BEFORE |= {"conv1 <odd> & name": 16}


def a_network() -> tuple[NetworkNode, ...]:
    """A stem, nine blocks of two layers with a shortcut each, and a head."""
    first = "conv1 <odd> & name"
    nodes = [
        NetworkNode(name="inputs", operator="input"),
        NetworkNode(
            name="stem", layer=first, operator="Conv2d 3x3", channels=16, inputs=("inputs",)
        ),
    ]
    for name in (name for name in BEFORE if name != first):
        block, before = name.removesuffix(".conv1"), nodes[-1].name
        inner, outer = f"{block}.conv1", f"{block}.conv2"
        kind, channels = "Conv2d 3x3", BEFORE[name]
        nodes += [
            NetworkNode(
                name=inner, layer=inner, operator=kind, channels=channels, inputs=(before,)
            ),
            NetworkNode(name=outer, layer=outer, operator=kind, channels=channels, inputs=(inner,)),
            NetworkNode(name=f"{block}.add", operator="add", inputs=(outer, before)),
        ]
    last = nodes[-1].name
    head = NetworkNode(name="fc", layer="fc", operator="Linear", channels=10, inputs=(last,))
    return (*nodes, head)


def cut_layers(share: float, gone: str) -> dict[str, int]:
    """Channels of the layers of a student of `a_network`, without a block."""
    whole = {node.layer: node.channels for node in a_network() if node.channels}
    return {
        name: channels if name == "fc" else max(1, round(channels * share))
        for name, channels in whole.items()
        if not name.startswith(gone)
    }


def measurement(p50_ms: float, sha256: str, seed: int = 0) -> Measurement:
    noise = np.random.default_rng(seed).gamma(2.0, 0.02, size=(20, 25))
    rounds = 0.966 + noise
    rounds *= p50_ms / np.median(rounds)
    return example_records.measurement(
        p50_ms, sha256, rounds_ms=rounds.tolist(), temperature_after_c=50.0 + seed
    )


def facts(score: float, parameters: int) -> ModelFacts:
    return ModelFacts(
        validation_score=score,
        parameter_count=parameters,
        size_bytes=parameters * 4,
    )


def on_host(
    measured: Measurement, speedup: float, verdict: Verdict | None = None
) -> tuple[OnDevice, ...]:
    budget_ms = 1.02 / 2.2
    return (
        OnDevice(
            budget_ms=budget_ms, measurement=measured, speedup=ratio(speedup), verdict=verdict
        ),
    )


def narrowed(share: float) -> dict[str, int]:
    return {name: max(1, round(width * share)) for name, width in BEFORE.items()}


def started(**plan: object) -> RunStarted:
    base: dict[str, object] = {
        "schema_version": 1,
        "model": "resnet20",
        "data": "fashion-mnist",
        "target": "host-cpu",
        "latency_ms": None,
        "speedup": 2.2,
        "max_drop": 2.0,
        "turns": "auto",
    }
    return RunStarted(
        plan=base | plan,
        plan_sha256="ab" * 32,
        metric=Metric(name="accuracy"),
        teacher_sha256="cd" * 32,
        versions={"python": "3.11.7", "torch": "2.13.0"},
        command="edgespiral compress resnet20 --data fashion-mnist --speedup 2.2",
        started_at=NOON,
    )


def baseline() -> Baseline:
    devices = on_host(measurement(1.02, "t" * 8, seed=1), 1.0)
    return Baseline(
        teacher=facts(93.4, 271_000), widths=BEFORE, devices=devices, network=a_network()
    )


def candidate(turn: int, speedup: float, predicted_ms: float | None) -> Candidate:
    (device,) = on_host(measurement(1.02 / speedup, "c" * 8), speedup)
    device = device.model_copy(update={"predicted_ms": predicted_ms})
    return Candidate(turn=turn, widths=narrowed(0.7), devices=(device,))


def turn(number: int, speedup: float, score: float, verdict: Verdict) -> list[Event]:
    widths = narrowed(1 / speedup)
    sha256 = f"{number}f" * 32
    measured = measurement(1.02 / speedup, sha256, seed=number)
    planned = TurnPlanned(
        turn=number, target_ms=1.02 / speedup, widths=widths, importance_lost=0.2, epochs=1.5
    )
    finished = TurnFinished(
        turn=number,
        parent=number - 1,
        widths=widths,
        criterion="fisher",
        pruner="nni",
        student=facts(score, int(271_000 / speedup)),
        devices=on_host(measured, speedup, verdict),
        score_after_cut=score - 20,
        verdict=verdict,
        epochs=1.5,
        seconds={"plan": 6.0, "cut": 1.5, "distil": 80.0, "export": 1.0, "measure": 2.5},
        files={"model.onnx": sha256, "model.safetensors": "ee" * 32},
        seed=0,
        finished_at=NOON,
        layers=cut_layers(1 / speedup, "layer2.2."),
    )
    return [planned, finished]


def finished(outcome: Outcome, best_turn: int, speedup: float) -> RunFinished:
    sha256 = f"{best_turn}f" * 32 if best_turn else "t" * 8
    return RunFinished(
        outcome=outcome,
        message="the budget of 0.464 ms is met",
        best_turn=best_turn,
        teacher_test_score=93.1,
        student_test_score=92.35 if best_turn else 93.1,
        devices=on_host(measurement(1.02 / speedup, sha256, seed=best_turn or 1), speedup),
        finished_at=NOON,
    )


@pytest.fixture
def met_with_figures(met: list[Event]) -> list[Event]:
    """As `met`, of a task that reports a figure beside its score."""
    before, after = (Figure(metric=Metric(name="AP", unit=""), value=v) for v in (0.71, 0.68))
    told = {"teacher_beside": (before,), "student_beside": (after,)}
    return [*met[:-1], met[-1].model_copy(update=told)]


@pytest.fixture
def met() -> list[Event]:
    """A run of two turns that met its budget."""
    tried: list[Event] = [candidate(1, value, 1.1 / value) for value in (1.3, 1.5, 1.9, 2.3)]
    turns = [*turn(1, 1.5, 93.0, Verdict.MISSED), *turn(2, 2.25, 92.6, Verdict.MET)]
    return [started(), baseline(), candidate(0, 8.0, None), *tried, *turns,
            finished(Outcome.MET, 2, 2.25)]  # fmt: skip


@pytest.fixture
def rated(met: list[Event]) -> list[Event]:
    """The same run, the rates of its turns found by it."""
    tried = TriedRate(learning_rate=0.0213, factor=3.0, steps=64, loss=None)
    rates = {
        1: RateChosen(turn=1, learning_rate=0.0071, reason="by rule"),
        2: RateChosen(turn=2, learning_rate=0.0124, reason="loss at <0.0213>", tried=(tried,)),
    }
    events: list[Event] = []
    for event in met:
        events += [event, rates[event.turn]] if isinstance(event, TurnPlanned) else [event]
    return events


@pytest.fixture
def unfinished(met: list[Event]) -> list[Event]:
    """The same run, stopped during its second turn."""
    return met[:9]


@pytest.fixture
def already_met() -> list[Event]:
    """A run whose teacher met the budget: no turn."""
    plan = started(latency_ms=2.0, speedup=None)
    return [plan, baseline(), finished(Outcome.ALREADY_MET, 0, 1.0)]


@pytest.fixture
def won_back(mixed: list[Event]) -> list[Event]:
    """A run whose student was trained with its rounding and has a layer in float."""
    training = QuantisedTraining(epochs=1.0, score_before=91.5, score_after=92.4, kept=True)
    layer = RestoredLayer(layer="/<stem>/Conv", damage_nats=0.012, cost_ms=0.0031, score_gain=0.2)
    *before, turn, end = mixed
    extra = {"quantised_training": training, "restored": (layer,)}
    return [*before, turn.model_copy(update=extra), end]


@pytest.fixture
def mixed(met: list[Event]) -> list[Event]:
    """The same run, its precision chosen by measurement."""
    trial = PrecisionTrial(
        precision="int8",
        validation_score=93.2,
        speedup=ratio(2.1),
        rounding_nats=0.0042,
        measurement=measurement(0.49, "q" * 8),
    )
    cuts = [("fp32", 0.44, 0.31, 0.0), ("int8", 0.45, 0.0125, 0.0042)]
    mixes = [
        PrecisionMix(precision=p, latency_ms=t, widths={}, cut_nats=c, rounding_nats=r)
        for p, t, c, r in cuts
    ]
    chosen = PrecisionChosen(
        precision="int8", reason="loses <least>", trials=(trial,), mixes=tuple(mixes)
    )
    return [*met[:2], chosen, *met[2:]]


def sparsity(asked: float | str, kernels: str) -> WeightSparsity:
    rows = [("/stem/Conv", "Conv", 144, 0, False), ("/fc/Gemm", "Gemm", 856, 428, True)]
    names = ("layer", "operator", "weights", "zeros", "two_four")
    return WeightSparsity.model_validate(
        {
            "asked": asked,
            "layers": [dict(zip(names, row, strict=True)) for row in rows],
            "left_dense": {"stem <odd>": "1 input channel, not a multiple of 4"},
            "kernels": kernels,
            "compressed_bytes": 2_400,
            "dense_compressed_bytes": 4_000,
        }
    )


@pytest.fixture
def sparse(met: list[Event]) -> list[Event]:
    """The same run with 2:4 weights, on a target without kernels for them."""
    found = {"sparsity": sparsity("2:4", "none")}
    return [
        event.model_copy(update=found) if isinstance(event, TurnFinished) else event
        for event in met
    ]


def on_board(speedup: float, verdict: Verdict | None = None) -> OnDevice:
    measured = measurement(30 / speedup, "b" * 8).model_copy(update={"target": "board"})
    return OnDevice(budget_ms=20.0, measurement=measured, speedup=ratio(speedup), verdict=verdict)


@pytest.fixture
def several(met: list[Event]) -> list[Event]:
    """The same run on two devices, with what its cuts bought."""
    two = ["host-cpu", "board"]
    begun = started(target=two, speedup={"host-cpu": 2.2}, latency_ms={"board": 20})
    saved = {"host-cpu": 0.0312, "board": 1.25}
    cuts = (
        GroupCut(name="layer2.0.conv1", before=32, after=16, lost_share=0.25, saved_ms=saved),
        GroupCut(name="layer1.<1>", before=16, after=0, lost_share=0.75, saved_ms=saved),
    )
    boards = {"candidate": on_board(1.4), "turn-finished": on_board(1.6, Verdict.MET)}

    def on_both(event: Event) -> Event:
        if isinstance(event, TurnPlanned):
            return event.model_copy(update={"cuts": cuts})
        board = boards.get(event.kind, on_board(1.0))
        return event.model_copy(update={"devices": (*event.devices, board)})

    return [begun, *map(on_both, met[1:])]
