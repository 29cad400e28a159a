"""Which runtime is the fastest for which network: each raced on this machine, one and two threads.

    python bench/runtimes.py --json bench/results/runtimes.json --page docs/runtimes.md

Networks are raced one after the other and written as they come; what is in the file already is not
raced again, so the command can be broken off and given anew (`--fresh` begins from nothing). Their
weights are random: latency does not depend on them, as long as none is subnormal. Rounds are short
(`MEASURE`), so that all of it takes some 25 minutes on two idle cores, most of them ExecuTorch's
lowering; intervals say what that costs. `ratio_to_onnxruntime_fp32` is how many times as fast as
ONNX Runtime in float32 with the same threads a row is, in pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import nn
from torchvision.models import mobilenet_v2, mobilenet_v3_small, resnet18

from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.versions import versions
from edgespiral.export.onnx import export_onnx
from edgespiral.measure.profile import load_profile
from edgespiral.measure.racing.entrants import entrants
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.models import build
from edgespiral.models.saved import save_model, trace
from edgespiral.spiral.shipping.racing import made_up_inputs, raced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.records.measurement import Race, RaceRow

    Json = dict[str, Any]

THREADS = (1, 2)
# Of a pass, which has five rounds; a sample at least in each.
MEASURE = {"warmup_ms": 20.0, "rounds": 25, "round_ms": 10.0, "min_samples": 50}
PASSES = 3
# Equal parity, as the race asks of float32.
EXACT_DB = 40.0
RESULTS, PAGE = Path("bench/results/runtimes.json"), Path("docs/runtimes.md")
BEGIN, END = "<!-- written by bench/runtimes.py -->", "<!-- end -->"
COLUMNS = (
    "network", "threads", "ONNX Runtime fp32, ms", "`--runtime auto`, fp32", "times as fast",
    "the fastest in any precision", "times as fast",
)  # fmt: skip


class Recurrent(nn.Module):
    """Two GRU layers over 50 steps of 40 features, and classes of the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(40, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 12)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        states, _ = self.gru(sequence)
        return self.head(states[:, -1])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "digits-resnet20": (
        lambda: build("resnet20", classes=10, input_shape=(1, 8, 8)),
        (1, 1, 8, 8),
    ),
    "ds-cnn-40x101": (
        lambda: build("ds-cnn", classes=12, input_shape=(1, 40, 101)),
        (1, 1, 40, 101),
    ),
    "gru-50x40": (Recurrent, (1, 50, 40)),
    "mobilenet_v3_small-224": (lambda: mobilenet_v3_small(weights=None), (1, 3, 224, 224)),
    "mobilenet_v2-224": (lambda: mobilenet_v2(weights=None), (1, 3, 224, 224)),
    "vit_tiny-224": (lambda: timm.create_model("vit_tiny_patch16_224"), (1, 3, 224, 224)),
    "resnet18-224": (lambda: resnet18(weights=None), (1, 3, 224, 224)),
}


def rows_of(name: str, target: str) -> tuple[list[Json], str]:
    """What came of a race for a network, a row each, and the device's name."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model, example = make().eval(), torch.randn(shape)
    profile = load_profile(target)
    brief = profile.model_copy(update={"measure": profile.measure.model_copy(update=MEASURE)})
    with tempfile.TemporaryDirectory(prefix="edgespiral-bench-") as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(model, path, example=example)
        # Beside the file, for runtimes that need the module.
        save_model(trace(model, example), Path(folder))
        lanes = entrants(brief, threads=THREADS)
        drawn = made_up_inputs(path, {})
        race = raced(path, lanes, drawn, samples="made-up samples", passes=PASSES)
    won = race.won.measurement
    assert won is not None
    return [_row(name, row, race) for row in race.rows], won.fingerprint.device


def _row(name: str, row: RaceRow, race: Race) -> Json:
    facts: Json = {"model": name, "runtime": row.runtime, "precision": row.precision}
    facts |= {"threads": row.threads, "parity_db": row.parity.sqnr_db if row.parity else None}
    if row.measurement is None:
        return {**facts, "refused": row.refused}
    stats = row.measurement.stats
    return {
        **facts,
        "runtime_version": row.measurement.fingerprint.runtime_version,
        "p50_ms": stats.p50_ms,
        "p50_ci95_ms": [stats.p50_ci95_ms.low, stats.p50_ci95_ms.high],
        "load_ms": row.measurement.load_ms,
        "peak_memory_mib": row.measurement.peak_memory_mib,
        "ratio_to_onnxruntime_fp32": _ratio(row, race),
    }


def _ratio(row: RaceRow, race: Race) -> Json | None:
    for other in race.rows:
        alike = (other.runtime, other.threads) == ("onnxruntime", row.threads)
        if alike and other.measurement is not None and row.measurement is not None:
            ratio = paired_ratio(other.measurement.rounds_ms, row.measurement.rounds_ms)
            return {"value": ratio.value, "ci95": [ratio.ci95.low, ratio.ci95.high]}
    return None


def table(document: Json) -> str:
    """A line for each network and number of threads, in Markdown."""
    timed = [row for row in document["rows"] if "p50_ms" in row]
    places = dict.fromkeys((row["model"], row["threads"]) for row in timed)
    order = sorted(places, key=lambda place: (list(NETWORKS).index(place[0]), place[1]))
    lines = [line for model, threads in order if (line := _line(model, threads, timed))]
    refusals = len(document["rows"]) - len(timed)
    about = (
        f"On {document['device']}, {len(timed)} rows with a figure and {refusals} with a reason; "
        "intervals of 95 %."
    )
    head = [f"| {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * 2 + " --- | ---: | --- | ---: |"]
    return "\n".join([about, "", *head, *lines])


def _line(model: str, threads: int, timed: Sequence[Json]) -> str:
    rows = [row for row in timed if (row["model"], row["threads"]) == (model, threads)]
    own = [row for row in rows if row["runtime"] == "onnxruntime"]
    if not own:
        return ""
    exact = [row for row in rows if row["precision"] == "fp32" and _is_planned_on(row)]
    cells = [model, str(threads), f"{own[0]['p50_ms']:.3g}", *_fastest(exact), *_fastest(rows)]
    return f"| {' | '.join(cells)} |"


def _is_planned_on(row: Json) -> bool:
    """Whether `--runtime auto` may take it: it is exact, and the runtime tells layers' times."""
    plugin = RUNTIMES.get(row["runtime"])
    tells = plugin.capabilities(plugin.settings(kind=row["runtime"])).layers
    return tells and (row["parity_db"] is None or row["parity_db"] >= EXACT_DB)


def _fastest(rows: Sequence[Json]) -> tuple[str, str]:
    best = min(rows, key=lambda row: row["p50_ms"])
    ratio = best["ratio_to_onnxruntime_fp32"]
    low, high = ratio["ci95"]
    if low <= 1:
        return "`onnxruntime` fp32", "1"
    figure = f"{ratio['value']:.2f} ({low:.2f}\N{EN DASH}{high:.2f})"
    return f"`{best['runtime']}` {best['precision']}, {best['p50_ms']:.3g} ms", figure


def write_page(page: Path, document: Json) -> None:
    """Put the table between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, _, after = rest.partition(END)
    write_text(page, f"{before}{BEGIN}\n\n{table(document)}\n\n{END}{after}")


def main() -> None:
    """Race what is not in the file yet, and write each network as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--target", default="host-cpu")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    document: Json = {"rows": []}
    if given.json.is_file() and not given.fresh:
        document = json.loads(given.json.read_text(encoding="utf-8"))
    for name in given.models:
        if any(row["model"] == name for row in document["rows"]):
            print(f"{name}: there already")
            continue
        started_s = time.monotonic()
        rows, device = rows_of(name, given.target)
        document["rows"] += rows
        document |= {"device": device, "versions": versions()}
        make_folder(given.json.parent)
        write_text(given.json, json.dumps(document, indent=1) + "\n")
        for row in rows:
            latency = f"{row['p50_ms']:.3f} ms" if "p50_ms" in row else row["refused"]
            print(f"{name} {row['runtime']} {row['precision']} x{row['threads']}: {latency}")
        print(f"{name}: {time.monotonic() - started_s:.0f} s", flush=True)
    if given.page is not None:
        write_page(given.page, document)


if __name__ == "__main__":
    main()
