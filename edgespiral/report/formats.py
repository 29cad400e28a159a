"""Figures as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.footprint import MIB

if TYPE_CHECKING:
    from edgespiral.core.records.events import (
        ModelFacts,
        RunFinished,
    )
    from edgespiral.core.records.exported import (
        DeviceCheck,
        OutputParity,
        Parity,
        QuantisedTraining,
        RestoredLayer,
        WeightSparsity,
    )
    from edgespiral.core.records.measurement import (
        Measurement,
        Race,
        RaceRow,
        Ratio,
    )
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.precisions import PrecisionMix
    from edgespiral.report.run import OnTarget


def ms(value: float) -> str:
    """Milliseconds without a unit, to about three figures: 0.468, 4.68, 46.8, 468."""
    decimals = next((d for d, limit in ((3, 1), (2, 10), (1, 100)) if value < limit), 0)
    return f"{value:.{decimals}f}"


def frame(device: OnTarget) -> str:
    """What a frame takes on a device, stage by stage, with the teacher and with the result."""
    stages = device.stages
    if stages is None:
        return ""
    figures = {
        stage.stage: "not measured" if stage.stats is None else ms(stage.stats.p50_ms)
        for stage in stages.each
    }
    terms = {stage: f"{stage} {figure}" for stage, figure in figures.items()}
    after = terms.pop("postprocess", None)
    network = f"network {ms(device.teacher.stats.p50_ms)} -> {ms(device.timing.latency_ms)}"
    line = " + ".join([*terms.values(), network, *([after] if after else [])])
    if device.whole_before is None or device.whole_after is None:
        return f"a frame on {device.target}: {line} ms"
    wholes = f"{ms(device.whole_before.p50_ms)} -> {ms(device.whole_after.p50_ms)}"
    return f"a frame on {device.target}: {line} = {wholes} ms"


def parts(measurement: Measurement) -> str:
    """What the parts of a model take, each run of them; empty where it runs as a whole.

    As `encoder 0.211 ms, decoder_step 0.0634 ms x 13`.
    """
    return ", ".join(
        f"{part.name} {part.p50_ms:.3g} ms"
        + (f" \N{MULTIPLICATION SIGN} {part.count}" if part.count > 1 else "")
        for part in measurement.parts
    )


def interval(ratio: Ratio) -> str:
    """A ratio's 95 % interval: 2.18-2.24, with an en dash."""
    return f"{ratio.ci95.low:.2f}\N{EN DASH}{ratio.ci95.high:.2f}"


def runtime(row: RaceRow) -> str:
    """A row of a race: the runtime, what it computes in, and its threads."""
    return f"{row.runtime} {row.precision} x{row.threads}"


def race(outcome: Race) -> str:
    """Who won a race, and by how much."""
    won, reference = outcome.won, outcome.rows[outcome.reference]
    if won.speedup is None:
        return f"fastest: {runtime(won)}, nothing is faster for certain"
    ratio = f"{won.speedup.value:.2f} ({interval(won.speedup)})"
    return f"fastest: {runtime(won)}, {ratio} times as fast as {runtime(reference)}"


def points(before: float, after: float, decimals: int = 2) -> str:
    """The change between two scores, with its sign."""
    return f"{after - before:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def count(value: float) -> str:
    """A count to three figures: 950, 27.2 k, 11.2 M."""
    for least, unit, name in ((999.5e6, 1e9, " G"), (999.5e3, 1e6, " M"), (999.5, 1e3, " k")):
        if value >= least:
            return f"{value / unit:.3g}{name}"
    return f"{value:.0f}"


def mib(value: float) -> str:
    """A size in bytes as MiB, to four figures."""
    return f"{value / MIB:.4g} MiB"


def seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min 05 s."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    return f"{round(value) // 60} min {round(value) % 60:02d} s"


def mix(cut: PrecisionMix) -> str:
    """A cut to the budget in some precision, and what it loses before training."""
    latency = "" if cut.latency_ms is None else f"{ms(cut.latency_ms)} ms"
    if cut.cut_nats is None:
        return f"{f'{latency} at best: ' if latency else ''}out of reach in one step"
    return (
        f"{f'{latency}, ' if latency else ''}loses {cut.cut_nats:.3g} nats by cutting, "
        f"{cut.rounding_nats:.3g} by rounding"
    )


def asked_sparsity(sparsity: WeightSparsity) -> str:
    """What was asked for: 2:4, or a share of the weights."""
    return sparsity.asked if isinstance(sparsity.asked, str) else f"{100 * sparsity.asked:g} %"


def zeros(sparsity: WeightSparsity) -> str:
    """How many weights are zero in the exported file, and in how many layers."""
    rows = sparsity.layers
    total, layers = sum(row.zeros for row in rows), sum(row.zeros > 0 for row in rows)
    weights = count(sum(row.weights for row in rows))
    in_pattern = sum(row.two_four for row in rows)
    pattern = f", {in_pattern} of them 2:4" if sparsity.asked == "2:4" else ""
    return (
        f"{100 * sparsity.zero_share:.1f} % of the weights in model.onnx are zero "
        f"({count(total)} of {weights}, in {layers} of {len(rows)} layers{pattern})"
    )


def dense(sparsity: WeightSparsity) -> list[str]:
    """The layers that stayed dense, each with the reason."""
    return [f"{layer} ({reason})" for layer, reason in sparsity.left_dense.items()]


def sparse_gain(sparsity: WeightSparsity) -> str:
    """What the zeros buy on the target of the run, in time and in a compressed file."""
    smaller, sizes = _compressed(sparsity)
    if sparsity.kernels == "on":
        return (
            f"TensorRT may run 2:4 layers on sparse tensor cores (Ampere and later) where it finds "
            f"that faster, and the latencies here were measured so; {smaller} ({sizes})"
        )
    if sparsity.kernels == "off":
        return (
            f"no speed-up as the target is set, {smaller} ({sizes}); switch on runtime.sparsity, "
            "with precision fp16 or int8, in its profile, and TensorRT may use sparse tensor cores "
            "(Ampere and later)"
        )
    return (
        f"no speed-up expected here, {smaller} ({sizes}): the target's runtime has no kernels "
        "that skip such zeros"
    )


def _compressed(sparsity: WeightSparsity) -> tuple[str, str]:
    """The change of the compressed file against the dense model's, and both sizes."""
    small, dense_size = sparsity.compressed_bytes, sparsity.dense_compressed_bytes
    change = 100 * (1 - small / dense_size)
    size = f"{change:.0f} % smaller" if change >= 0 else f"{-change:.0f} % larger"
    return f"{size} compressed file", f"gzip: {count(small)}B, dense {count(dense_size)}B"


def sqnr(nearness: Parity | OutputParity, digits: int = 1) -> str:
    """How far the error is below the outputs, in dB, where there is one and they are not all 0."""
    if nearness.sqnr_db is not None:
        return f"{nearness.sqnr_db:.{digits}f}"
    return "none, as all should be 0" if nearness.max_abs_difference else "exact"


def parity(nearness: Parity) -> str:
    """How near an exported file is to what it was made from."""
    noise = sqnr(nearness)
    noise = f"{noise} dB" if nearness.sqnr_db is not None else noise
    return (
        f"{nearness.samples} validation samples, decisions agree on {nearness.agreement:.1%}, "
        f"largest difference {nearness.max_abs_difference:.2g}, SQNR {noise}"
    )


def device_check(check: DeviceCheck, metric: Metric) -> str:
    """Whether a file computes on its device what it computes here."""
    if check.parity is None or check.score is None or check.score_here is None:
        return f"not judged on {check.target}: {check.not_checked}"
    return (
        f"judged on {check.target}: {metric.name} {metric.text(check.score)} of "
        f"{check.parity.samples} validation samples there, "
        f"{metric.text(check.score_here)} here, "
        f"decisions agree on {check.parity.agreement:.1%}"
    )


def change(before: float, after: float, metric: Metric) -> str:
    """Two scores and their difference."""
    return f"{before:.2f} -> {metric.text(after)} ({points(before, after)})"


def beside(finished: RunFinished) -> list[tuple[str, str]]:
    """Of each figure beside the score its name, with the teacher's and the student's."""
    pairs = zip(finished.teacher_beside, finished.student_beside, strict=True)
    return [
        (before.metric.name, change(before.value, after.value, before.metric))
        for before, after in pairs
    ]


def restored(layer: RestoredLayer, metric: Metric) -> str:
    """A layer that was put back to float, with what that won and cost."""
    return (
        f"{layer.layer}: {points(0.0, layer.score_gain)} {metric.difference_unit} for "
        f"{points(0.0, layer.cost_ms, 4)} ms, {layer.damage_nats:.2g} nats"
    )


def evaluation(facts: ModelFacts, metric: Metric) -> str:
    """Of what the scores are, and what they do not tell."""
    how = facts.evaluation
    if how is None:
        return "scores in fp32 are PyTorch's: the run is older than the scoring of files"
    text = (
        f"scores are those of the ONNX files, each sample alone, by {how.runtime} in "
        f"{how.computed_in} (PyTorch's: {metric.text(how.pytorch_score)} of {how.samples} "
        "validation samples)"
    )
    if how.computed_in == facts.precision:
        return text
    return f"{text}; the target runs the file in {facts.precision}, which was not scored"


def quantised_training(done: QuantisedTraining, metric: Metric) -> str:
    """What training with the rounding inside did, on the validation split."""
    out = "" if done.kept else ", not kept"
    return f"{done.epochs:.3g} epochs, {change(done.score_before, done.score_after, metric)}{out}"
