"""Which runtime is the fastest for which network: each raced on this machine, one and two threads.

    python bench/runtimes.py --json bench/results/runtimes.json --page docs/runtimes.md

Each network is raced twice: its float file by every runtime in every precision that this machine
has, and its int8 files, calibrated on made-up samples in both forms that there are, by the runtimes
that take such files, with ONNX Runtime in float32 in the same session. `--only int8` (or `float`)
does one of both. Races are written as they come; what is in the file already is not raced again, so
the command can be broken off and given anew (`--fresh` begins from nothing).

`--compress` does something else: it compresses the digits ResNet-20 with `--runtime auto` and on
each runtime by itself (bench/runtimes_compressed.py), and puts these rows under `compress`.

Weights are random: latency does not depend on them, as long as none is subnormal. But how near int8
comes does, so these rows tell their parity with the float file and none is left out for it. Rounds
are short (`MEASURE`); intervals say what that costs. `ratio_to_onnxruntime_fp32` is how many times
as fast as ONNX Runtime in float32 with the same threads a row is, in pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runtimes_compressed
import timm
import torch
from torch import nn
from torchvision.models import mobilenet_v2, mobilenet_v3_small, resnet18, resnet50
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

from edgespiral.core.errors import ExportError
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.versions import versions
from edgespiral.data.stratified import Sampled
from edgespiral.export.int8.convert import write_int8
from edgespiral.export.int8.ranges import calibrated
from edgespiral.export.nearness import output_parity
from edgespiral.export.onnx import export_onnx
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.model_files import model_sha256
from edgespiral.measure.profile import load_profile
from edgespiral.measure.racing.entrants import Entrant, entrants
from edgespiral.measure.racing.race import race as race_of
from edgespiral.measure.racing.race import ratio_in_turns
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.models import build
from edgespiral.models.saved import save_model, trace
from edgespiral.spiral.shipping.on_device import outputs_here_and_there
from edgespiral.spiral.shipping.racing import made_up_inputs, raced
from edgespiral.tasks.detection.network import DenseDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.exported import OutputParity
    from edgespiral.core.records.measurement import Race, RaceRow
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.session import Session

    Json = dict[str, Any]

THREADS = (1, 2)
# Of a pass, which has five rounds; a sample at least in each.
MEASURE = {"warmup_ms": 20.0, "rounds": 25, "round_ms": 10.0, "min_samples": 50}
PASSES = 3
FLOAT, INT8 = "float", "int8"
FORMS = ("onnxruntime", "tensorrt")
# Those that take a file with quantised layers.
INT8_RUNTIMES = ("onnxruntime", "openvino")
# Equal parity, as the race asks of float32.
EXACT_DB = 40.0
RESULTS = Path("bench/results/runtimes.json")
TEACHER = Path("runs/demo/teacher/weights.safetensors")
BEGIN, END = "<!-- written by bench/runtimes.py -->", "<!-- end -->"
COLUMNS = (
    "network", "threads", "ONNX Runtime fp32, ms", "`--runtime auto`, fp32", "times as fast",
    "the fastest in any precision but int8", "times as fast", "int8 file", "times as fast",
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
    "resnet50-224": (lambda: resnet50(weights=None), (1, 3, 224, 224)),
    "ssdlite320-mobilenet_v3": (
        lambda: DenseDetector(ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)),
        (1, 3, 320, 320),
    ),
}


def rows_of(name: str, target: str, part: str) -> tuple[list[Json], str]:
    """What came of a race for a network, a row each, and the device's name.

    Args:
        name: of the network.
        target: by name.
        part: `float` or `int8`.
    """
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model, example = make().eval(), torch.randn(shape)
    profile = load_profile(target)
    brief = profile.model_copy(update={"measure": profile.measure.model_copy(update=MEASURE)})
    with tempfile.TemporaryDirectory(prefix="edgespiral-bench-") as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(model, path, example=example)
        drawn = made_up_inputs(path, {})
        if part == INT8:
            return _int8_rows(name, path, brief, drawn)
        # Beside the file, for runtimes that need the module.
        save_model(trace(model, example), Path(folder))
        lanes = entrants(brief, threads=THREADS)
        race = raced(path, lanes, drawn, samples="made-up samples", passes=PASSES)
    return [_row(name, row, race) for row in race.rows], _device(race)


def _int8_rows(
    name: str, path: Path, profile: TargetProfile, drawn: Sequence[Tensors]
) -> tuple[list[Json], str]:
    """Of a network's int8 files, in the session in which its float file is measured again."""
    samples = Sampled(tuple(drawn), torch.zeros(len(drawn)), "made up")
    ranges = calibrated(path, samples, load_recipe("default"))
    lanes = entrants(profile, ["onnxruntime"], threads=THREADS)
    forms: dict[str, str] = {}
    rows: list[Json] = []
    for form in FORMS:
        file = path.with_name(f"{form}.onnx")
        try:
            write_int8(path, file, ranges, form=form)
        except ExportError as error:
            about = {"model": name, "runtime": "onnxruntime", "precision": INT8, "threads": 1}
            rows.append({**about, "parity_db": None, "refused": error.what, "form": form})
            continue
        forms[model_sha256(file)] = form
        lanes += [
            Entrant(lane.profile, lane.precision, file)
            for lane in entrants(profile, INT8_RUNTIMES, threads=THREADS)
            if lane.precision == "fp32"
        ]
    race = race_of(path, lanes, _told(drawn, path), samples="made-up samples", passes=PASSES)
    for row in race.rows:
        made_as = forms.get(row.measurement.model_sha256 if row.measurement else "")
        if made_as is not None or row.refused is not None:
            rows.append({**_row(name, row, race), "form": made_as})
    return rows, _device(race)


def _told(drawn: Sequence[Tensors], path: Path) -> Callable[..., OutputParity | None]:
    """Says how near a file's outputs are to those of the float file, and refuses none for it."""

    def judge(session: Session, file: Path, precision: str) -> OutputParity | None:  # noqa: ARG001
        pair = outputs_here_and_there(session, file, drawn, expected_of=path)
        return None if pair is None else output_parity(*pair)

    return judge


def _device(race: Race) -> str:
    won = race.won.measurement
    assert won is not None
    return won.fingerprint.device


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
        place = (other.runtime, other.precision, other.threads)
        alike = place == ("onnxruntime", "fp32", row.threads)
        if alike and other.measurement is not None and row.measurement is not None:
            ratio = ratio_in_turns(other.measurement, row.measurement)
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
    head = [f"| {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * 2 + " --- | ---: |" * 3]
    if document.get("compress"):
        lines += ["", runtimes_compressed.table(document["compress"])]
    return "\n".join([about, "", *head, *lines])


def _line(model: str, threads: int, timed: Sequence[Json]) -> str:
    rows = [row for row in timed if (row["model"], row["threads"]) == (model, threads)]
    own = [row for row in rows if (row["runtime"], row["precision"]) == ("onnxruntime", "fp32")]
    if not own:
        return ""
    exact = [row for row in rows if row["precision"] == "fp32" and _is_planned_on(row)]
    unquantised = [row for row in rows if row["precision"] != INT8]
    cells = [model, str(threads), f"{own[0]['p50_ms']:.3g}", *_fastest(exact)]
    cells += [*_fastest(unquantised), *_int8_cells(rows)]
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


def _int8_cells(rows: Sequence[Json]) -> tuple[str, str]:
    """The fastest of a network's int8 files, and how many times as fast it is; empty where none."""
    quantised = [row for row in rows if row["precision"] == INT8]
    if not quantised:
        return "", ""
    best = min(quantised, key=lambda row: row["p50_ms"])
    ratio = best["ratio_to_onnxruntime_fp32"]
    low, high = ratio["ci95"]
    figure = f"{ratio['value']:.2f} ({low:.2f}\N{EN DASH}{high:.2f})"
    return f"`{best['runtime']}`, {best['p50_ms']:.3g} ms", figure


def write_page(page: Path, document: Json) -> None:
    """Put the table between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, _, after = rest.partition(END)
    write_text(page, f"{before}{BEGIN}\n\n{table(document)}\n\n{END}{after}")


def _part(row: Json) -> str:
    """Which of the two races a row is of."""
    return INT8 if "form" in row else FLOAT


def main() -> None:
    """Race what is not in the file yet, and write each network as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--target", default="host-cpu")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--only", choices=(FLOAT, INT8))
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--compress", action="store_true", help="compress, instead of racing")
    parser.add_argument("--weights", type=Path, default=TEACHER, help="of that: as `make demo` has")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of that")
    given = parser.parse_args()
    document: Json = {"rows": []}
    if given.json.is_file() and not given.fresh:
        document = json.loads(given.json.read_text(encoding="utf-8"))
    if given.compress:
        document["compress"] = runtimes_compressed.rows_of(given.weights, given.target, given.seeds)
        _write(given.json, document)
        print(runtimes_compressed.table(document["compress"]))
    else:
        _race_all(given, document)
    if given.page is not None:
        write_page(given.page, document)


def _race_all(given: argparse.Namespace, document: Json) -> None:
    """Race what is not in the document yet."""
    parts = [given.only] if given.only else [FLOAT, INT8]
    for name, part in ((name, part) for part in parts for name in given.models):
        if any((row["model"], _part(row)) == (name, part) for row in document["rows"]):
            print(f"{name} {part}: there already")
            continue
        started_s = time.monotonic()
        rows, device = rows_of(name, given.target, part)
        document["rows"] += rows
        document |= {"device": device, "versions": versions()}
        _write(given.json, document)
        for row in rows:
            latency = f"{row['p50_ms']:.3f} ms" if "p50_ms" in row else row["refused"]
            print(f"{name} {row['runtime']} {row['precision']} x{row['threads']}: {latency}")
        print(f"{name} {part}: {time.monotonic() - started_s:.0f} s", flush=True)


def _write(path: Path, document: Json) -> None:
    make_folder(path.parent)
    write_text(path, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
