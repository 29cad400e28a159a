"""Which networks can be cut, by which engine: writes docs/architectures.md.

Usage: python bench/architectures.py [NAME ...] [--all] [--again] [--json FILE] [--markdown FILE]
       python bench/architectures.py --timm LIST [--section NAME] [--again] [--json FILE]
           [--markdown FILE]
       python bench/architectures.py --families NAME ... [--again]

The first is about torchvision's classifiers. Each network, with random weights, loses half of the
channels of every group by each engine. It counts as supported where the cut equals the masked model
in double precision, the ONNX file
computes what PyTorch does, a fresh process loads the saved model without EdgeSpiral, and ONNX
Runtime on host-cpu measures it. Networks whose row is in the JSON file are not run again. The other
two are about other libraries' (`library_architectures.py`, `library_models.py`), which are to be
installed by whoever runs them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import library_architectures as libraries
import torch
import torchvision
from torch import nn

from edgespiral.core.errors import EdgeSpiralError, ExportError, ModelError
from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models.saved import save_model, trace
from edgespiral.prune.groups import quiet
from edgespiral.prune.prunable import Cut, PrunableModel, cut_to
from edgespiral.tasks.classification import CLASSIFICATION

ENGINES = ("nni", "depgraph", "flow")
RESULTS = Path("bench/results")
SIDES = (64, 96, 224)
# The smallest member of each family; the others differ in depth and width.
FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip
COLUMNS = (
    "network", "input", "groups", "branches", *ENGINES, "channels", "parameters", "difference",
    "parity", "latency", "speed-up",
)  # fmt: skip
FRESH = """
import sys, torch
from model import load
print(tuple(load()(torch.zeros(2, 3, {side}, {side})).shape))
assert not {{"edgespiral", "torchvision"}} & set(sys.modules)
"""


def lively(name: str) -> nn.Module:
    """The network with random weights, none so small that a wrong cut would not show.

    GoogLeNet and Inception have their auxiliary heads, which only training uses.
    """
    torch.manual_seed(0)
    options: dict[str, Any] = {}
    if name in {"googlenet", "inception_v3"}:
        options = {"aux_logits": True, "init_weights": True}
    elif name.startswith("vit_"):
        # Their sequence length is fixed when they are built: four patches a side or so.
        options = {"image_size": 56 if name.endswith("_14") else 64}
    model = torchvision.models.get_model(name, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    for parameter in model.parameters():
        # Layer scales of 1e-6 and output layers of zeros would hide what is behind them.
        if parameter.detach().abs().max() < 1e-3:
            nn.init.normal_(parameter, std=0.1)
    return model


def export_smallest(model: nn.Module, path: Path) -> int:
    """Write the network for the first of the input sizes that it and ONNX take."""
    for side in (getattr(model, "image_size", SIDES[0]), *SIDES):
        try:
            with quiet():
                with torch.no_grad():
                    model(torch.zeros(1, 3, side, side))
                # Not in no_grad: attention would take a path there that has no ONNX form.
                export_onnx(model, path, input_shape=(3, side, side))
        except (RuntimeError, AssertionError, ValueError, ExportError):
            continue
        return int(side)
    raise ModelError("takes none of the sizes tried", where=type(model).__name__)


def sizes(model: nn.Module) -> tuple[int, int]:
    """Output channels of all convolutions and linear layers, and parameters."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    parameters = {id(p): p.numel() for p in model.parameters()}
    return sum(len(layer.weight) for layer in layers), sum(parameters.values())


def halve(source: PrunableModel, engine: str) -> Cut:
    """Cut half of every group's channels with one engine."""
    generator = torch.Generator().manual_seed(0)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}
    widths = {g.name: g.sub_groups * max(1, g.units // 2) for g in source.groups}
    return cut_to(source, widths, scores, engine)


def one(name: str, session: Session, folder: Path) -> dict[str, Any]:
    """What each engine makes of one network, and what the first that can leaves of it."""
    start = time.perf_counter()
    model = lively(name)
    row: dict[str, Any] = {"name": name, "engines": {}}
    try:
        side = export_smallest(model, folder / "before.onnx")
        row["side"] = side
        source = PrunableModel.of(trace(model), (3, side, side))
        row |= {"groups": len(source.groups), "branches": len(source.branches)}
        cuts = [cut for engine in ENGINES if (cut := attempt(source, engine, row["engines"]))]
        if cuts:
            row |= outcome(source, cuts[0], session, folder)
    except EdgeSpiralError as error:
        row["error"] = str(error).replace(f"{folder}/", "")
    return row | {"took_s": round(time.perf_counter() - start, 1)}


def attempt(source: PrunableModel, engine: str, found: dict[str, Any]) -> Cut | None:
    """Cut with one engine and note how it went."""
    start = time.perf_counter()
    try:
        cut = halve(source, engine)
    except EdgeSpiralError as error:
        cause = f" ({type(error.__cause__).__name__}: {error.__cause__})" if error.__cause__ else ""
        found[engine] = {"error": f"{error}{cause}"}
        return None
    seconds = round(time.perf_counter() - start, 2)
    found[engine] = {"cut_s": seconds, "difference": cut.difference}
    return cut


def outcome(source: PrunableModel, cut: Cut, session: Session, folder: Path) -> dict[str, Any]:
    """Save, load in a fresh process, export, compare and measure."""
    shape = tuple(source.example.shape[1:])
    before, after = folder / "before.onnx", folder / "after.onnx"
    save_model(cut.model, folder, example=torch.randn(2, *shape))
    script = FRESH.format(side=shape[-1])
    fresh = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    if fresh.returncode:
        raise ModelError(f"cannot be loaded on its own: {fresh.stderr.splitlines()[-1]}")
    export_onnx(cut.model, after, input_shape=shape)
    parity = check_parity(
        cut.model, after, [torch.randn(1, *shape) for _ in range(4)], task=CLASSIFICATION
    )
    was, now = session.measure([before, after])
    ratio = paired_ratio(was.rounds_ms, now.rounds_ms)
    old, new = sizes(source.model), sizes(cut.model)
    return {
        "engine": cut.engine,
        "channels_removed": round(1 - new[0] / old[0], 4),
        "parameters_removed": round(1 - new[1] / old[1], 4),
        "difference": cut.difference,
        "parity_sqnr_db": parity.sqnr_db and round(parity.sqnr_db, 1),
        "before_ms": round(was.stats.p50_ms, 3),
        "after_ms": round(now.stats.p50_ms, 3),
        "speedup": round(ratio.value, 2),
        "speedup_ci95": [round(bound, 2) for bound in (ratio.ci95.low, ratio.ci95.high)],
    }


def cell(found: dict[str, Any] | None) -> str:
    """A table cell: how long the cut took, or that it failed."""
    return "no" if found is None or "error" in found else f"{found['cut_s']:.1f} s"


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    engines = " | ".join(cell(row["engines"].get(engine)) for engine in ENGINES)
    head = f"| {row['name']} | {row.get('side', '')} | {row.get('groups', '')} | "
    head += f"{row.get('branches', '')} | {engines} | "
    if "speedup" not in row:
        return f"{head}| | | | | |"
    low, high = row["speedup_ci95"]
    return (
        f"{head}{row['channels_removed']:.0%} | {row['parameters_removed']:.0%} | "
        f"{row['difference']:.0e} | {row['parity_sqnr_db']} dB | "
        f"{row['before_ms']:.2f} to {row['after_ms']:.2f} ms | "
        f"{row['speedup']:.2f} ({low:.2f} to {high:.2f}) |"
    )


TITLE = """# Which architectures can be cut

Written by `python bench/architectures.py{options}`; do not edit.

{working} of {all} torchvision classifiers work with at least one engine. Each has random weights
and loses half of the channels of every group. Under an engine's name stands how long its cut took,
with the check that the result equals the masked model in double precision; "no" is explained below
the table. The other figures are those of the first engine that can:

- groups and branches: sets of coupled channels, and residual branches that can go as a whole;
- channels, parameters: the share that was removed, of all convolutions and linear layers;
- difference: the cut model's largest from the masked one, as a share of its largest output;
- parity: PyTorch's output over what the ONNX file's differs from it, on four random inputs;
- latency: batch 1, median before and after on `host-cpu`, and how many times as fast, in pairs,
  with its 95 % interval.

Each saved model was loaded in a fresh process that had neither EdgeSpiral nor torchvision.

## The engines

`nni` propagates masks (NNI's `ModelSpeedup`), `depgraph` is Torch-Pruning's. `flow` is our own
([architecture.md](architecture.md#following-channels)): it runs the graph on labels and so knows
attention heads, layer norms, position biases, class tokens, channel shuffles and channels that are
added to the model's input. `--pruner auto` takes `flow` where the graph has these, else the first
of the three that can.

"""


def ruler(column: str) -> str:
    """What aligns a column: numbers stand to the right."""
    return "---" if column in {"network", *ENGINES, "latency", "speed-up"} else "---:"


def markdown(rows: list[dict[str, Any]], options: str) -> str:
    """The document."""
    working = sum("speedup" in row for row in rows)
    title = TITLE.format(options=options, working=working, all=len(rows))
    head = [f"| {' | '.join(COLUMNS)} |", f"| {' | '.join(map(ruler, COLUMNS))} |"]
    notes: dict[str, list[str]] = {}
    for row in rows:
        failed = {e: found["error"] for e, found in row["engines"].items() if "error" in found}
        for reason in [row["error"]] if "error" in row else failed.values():
            # Without the hints that follow.
            notes.setdefault(reason.split("; ")[0], []).append(row["name"])
    reasons = [f"- {', '.join(names)}: {reason}" for reason, names in notes.items()]
    lines = [*head, *map(line, rows), "", "## Why not", "", *reasons, ""]
    every = torchvision.models.list_models(module=torchvision.models)
    left = sorted(set(every) - {row["name"] for row in rows})
    if left:
        lines += [f"Not run: {', '.join(left)}, which differ from others in depth and width.", ""]
    return title + "\n".join(lines)


def known(path: Path) -> dict[str, dict[str, Any]]:
    """Rows of an earlier run with these versions, by network."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text())
    rows = content["rows"] if content["versions"] == versions() else []
    return {row["name"]: row for row in rows}


def survey_libraries(asked: argparse.Namespace) -> None:
    """Run networks of other libraries than torchvision's classifiers."""
    file = asked.json or RESULTS / "architectures_libraries.json"
    if asked.timm is not None:
        networks = libraries.listed(asked.timm)
        libraries.survey(asked.section, networks, file, asked.markdown, again=asked.again)
    for family in asked.families:
        networks = [(name, 0) for name in libraries.FAMILIES[family]()]
        libraries.survey(family, networks, file, asked.markdown, again=asked.again)


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks (default: one a family)")
    parser.add_argument("--all", action="store_true", help="every torchvision classifier")
    parser.add_argument("--again", action="store_true", help="also those in the JSON file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, default=Path("docs/architectures.md"))
    parser.add_argument("--timm", type=Path, help="a file: per line a timm network, an input size")
    parser.add_argument("--section", default=libraries.TIMM, help='as "timm, drawn with seed 7"')
    parser.add_argument("--families", nargs="+", choices=libraries.FAMILIES, default=[])
    asked = parser.parse_args(argv)
    if not libraries.is_timm(asked.section):
        parser.error("--section: a name that begins with timm and a comma")
    if asked.timm is not None or asked.families:
        survey_libraries(asked)
        return 0
    asked.json = asked.json or RESULTS / "architectures.json"
    every = torchvision.models.list_models(module=torchvision.models)
    names = asked.names or (every if asked.all else FAMILIES)
    warnings.simplefilter("ignore")
    rows = known(asked.json)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    with Session(load_profile("host-cpu")) as session:
        for name in (n for n in names if asked.again or n not in rows):
            with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
                rows[name] = one(name, session, Path(folder))
            print(json.dumps(rows[name]), flush=True)
            ordered = [rows[n] for n in sorted(rows)]
            content = {"versions": versions(), "rows": ordered}
            write_text(asked.json, json.dumps(content, indent=1) + "\n")
            page = markdown(ordered, " --all" if asked.all else "")
            write_text(asked.markdown, libraries.keeping_sections(page, asked.markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
