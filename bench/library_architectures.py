"""How much of other libraries' networks can be cut: tables for docs/architectures.md.

Usage: python bench/architectures.py --timm LIST | --families NAME ...   (see there)

LIST has a line a network of timm: its name and an input size. Each network is cut in a process of
its own, with random weights (or its own, where the package brings some), to half of the channels of
every group, and proven against the masked model.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from library_models import FAMILIES, TRAINED, Case, of_timm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity
from edgespiral.models.accept import folded, unwrapped
from edgespiral.models.example_inputs import example_input
from edgespiral.models.saved import trace
from edgespiral.prune.cuttable_share import cuttable_share
from edgespiral.prune.engines.flow.finder import main_reasons
from edgespiral.prune.prunable import Cut, PrunableModel, cut_to
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TIMM = "timm"
# By the clock, of everything, also where other work slows it down.
MOST_SECONDS = 900
PRELOADED = [
    "edgespiral.prune.prunable",
    "edgespiral.prune.engines.nni",
    "edgespiral.export.parity",
]
# Of tracing, groups and trial cuts, on two cores.
PROMPT_SECONDS = 30
WELL = 1 / 3
MARK = "<!-- {family}: {end} -->"
COLUMNS = (
    "network", "input", "groups", "engine", "channels", "parameters", "difference", "ONNX parity",
    "seconds", "what stays",
)  # fmt: skip


def lively(model: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """`model` with random weights, none so small that a wrong cut would not show.

    Its batch norms have the statistics of what they see, as trained ones do.
    """
    for module in model.modules():
        affine = isinstance(module, _BatchNorm | nn.LayerNorm | nn.GroupNorm)
        if affine and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            if getattr(module, "bias", None) is not None:
                nn.init.normal_(module.bias)
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.momentum = None
    for parameter in model.parameters():
        if parameter.detach().abs().max() < 1e-3:
            nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        model.train()(inputs)
    return model.eval()


def row_of(family: str, name: str, side: int) -> dict[str, Any]:
    """What is left of one network, and how long it took to see what can go."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = of_timm(name, side) if family == TIMM else FAMILIES[family]()[name]
    row: dict[str, Any] = {"name": name, "shape": case.shape}
    try:
        inputs = torch.cat([example_input(case.shape, token_count=case.token_count)] * 4)
        if case.token_count is None:
            inputs = torch.randn(4, *case.shape)
        model, _ = folded(unwrapped(case.make()))
        model = model.eval() if family == TRAINED else lively(model, inputs)
        start = time.process_time()
        graph = trace(model, inputs)
        row["trace_s"] = round(time.process_time() - start, 1)
        source = PrunableModel.of(graph, case.shape, token_count=case.token_count)
        row["ready_s"] = round(time.process_time() - start, 1)
        row |= {"groups": len(source.groups), "engine": source.found_by}
        cut = halved(source)
        row |= outcome(source, cut) | parity(family, case, cut)
    except EdgeSpiralError as error:
        row["error"] = str(error)
    return row


def halved(source: PrunableModel) -> Cut:
    """Half of every group's channels cut by the engine that found the groups."""
    generator = torch.Generator().manual_seed(0)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}
    widths = {g.name: g.sub_groups * max(1, g.units // 2) for g in source.groups}
    return cut_to(source, widths, scores, source.found_by)


def outcome(source: PrunableModel, cut: Cut) -> dict[str, Any]:
    """Shares that were removed, how exact the cut is, and what stays."""
    before, after = (cuttable_share(model, ()) for model in (source.model, cut.model))
    return {
        "channels_removed": round(1 - after.channels / before.channels, 4),
        "parameters_removed": round(1 - after.parameters / before.parameters, 4),
        "difference": cut.difference,
        "stays": main_reasons(source.uncuttable),
    }


def parity(family: str, case: Case, cut: Cut) -> dict[str, Any]:
    """How far the cut network's ONNX file is from it; timm's are too many to export each."""
    if family == TIMM:
        return {}
    inputs = [
        example_input(case.shape, token_count=case.token_count),
        example_input(case.shape, token_count=case.token_count).flip(-1),
    ]
    with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
        file = Path(folder) / "model.onnx"
        export_onnx(cut.model, file, input_shape=case.shape, dtype=inputs[0].dtype)
        decibels = check_parity(cut.model, file, inputs, task=CLASSIFICATION).sqnr_db
    return {"parity_sqnr_db": decibels and round(decibels, 1)}


def _told(family: str, name: str, side: int, pipe: Connection) -> None:
    """Send the row of one network; an error of any other kind is EdgeSpiral's own."""
    warnings.simplefilter("ignore")
    try:
        pipe.send(row_of(family, name, side))
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"
        pipe.send({"name": name, "error": " ".join(told.split())[:300], "internal": True})


def in_own_process(family: str, name: str, side: int) -> dict[str, Any]:
    """`row_of` with an end, in a process that has the libraries loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([family, *PRELOADED])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_told, args=(family, name, side, there))
    start = time.perf_counter()
    process.start()
    there.close()
    row: dict[str, Any] = {"name": name, "error": f"more than {MOST_SECONDS} s"}
    try:
        if here.poll(MOST_SECONDS):
            row = here.recv()
    except EOFError:
        row = {"name": name, "error": "its process ended without a word", "internal": True}
    process.kill()
    process.join()
    return row | {"took_s": round(time.perf_counter() - start, 1)}


def table(family: str, rows: list[dict[str, Any]]) -> str:
    """The family's section of docs/architectures.md."""
    well = sum(row.get("channels_removed", 0) >= WELL for row in rows)
    internal = sum(row.get("internal", False) for row in rows)
    slow = [row["name"] for row in rows if row.get("ready_s", 0) > PROMPT_SECONDS]
    option = "--timm LIST" if family == TIMM else f"--families {family}"
    lines = [
        MARK.format(family=family, end="begin"),
        f"## {family}",
        "",
        f"{well} of {len(rows)} networks lose a third or more of all channels with half of every "
        f"group asked for, each proven against the masked model; internal errors: {internal}. "
        f"Seconds are those that one core computes for tracing, groups and trial cuts; more than "
        f"{PROMPT_SECONDS}: {', '.join(slow) or 'none'}. Written by "
        f"`python bench/architectures.py {option}`.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| --- | --- | ---: | --- |{' ---: |' * 5} --- |",
        *map(line, rows),
        MARK.format(family=family, end="end"),
    ]
    return "\n".join(lines)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    shape = "x".join(map(str, row.get("shape", ())))
    if "error" in row:
        return f"| {row['name']} | {shape} | | no | | | | | | {_cell(row['error'])} |"
    stays = "; ".join(reason for reason in row["stays"] if "reach the output" not in reason)
    decibels = row.get("parity_sqnr_db")
    return (
        f"| {row['name']} | {shape} | {row['groups']} | {row['engine']} | "
        f"{row['channels_removed']:.0%} | {row['parameters_removed']:.0%} | "
        f"{row['difference']:.0e} | {f'{decibels} dB' if decibels else ''} | "
        f"{row.get('ready_s', '')} | {_cell(stays)} |"
    )


def _cell(text: str) -> str:
    return text.split("; see ", maxsplit=1)[0].replace("|", "/")


def listed(path: Path) -> list[tuple[str, int]]:
    """The networks of a file with a line each: its name, its input's side."""
    lines = (text.split() for text in path.read_text().splitlines())
    return [(words[0], int(words[1])) for words in lines if words]


def survey(
    family: str,
    networks: list[tuple[str, int]],
    json_file: Path,
    markdown: Path | None,
    *,
    again: bool,
) -> None:
    """Run every network that has no row yet, and rewrite the table after each.

    Args:
        family: `timm` or one of `FAMILIES`.
        networks: name and, for timm, side of the input.
        json_file: rows of all families.
        markdown: the page, if it is to be written.
        again: run those too that have a row.
    """
    content = json.loads(json_file.read_text()) if json_file.is_file() else {}
    same = content.get("versions") == versions()
    families: dict[str, dict[str, Any]] = {
        name: {row["name"]: row for row in rows}
        for name, rows in (content.get("families", {}) if same else {}).items()
    }
    rows = families.setdefault(family, {})
    for name, side in (pair for pair in networks if again or pair[0] not in rows):
        rows[name] = in_own_process(family, name, side)
        print(json.dumps(rows[name]), flush=True)
        written = {"versions": versions(), "families": {f: _sorted(r) for f, r in families.items()}}
        write_text(json_file, json.dumps(written, indent=1) + "\n")
        if markdown is not None:
            write_text(markdown, with_section(markdown.read_text(), family, _sorted(rows)))


def _sorted(rows: dict[str, Any]) -> list[Any]:
    return [rows[name] for name in sorted(rows)]


def with_section(page: str, family: str, rows: list[dict[str, Any]]) -> str:
    """The page with the family's section in place of the one that it has, or at its end."""
    begin, end = (MARK.format(family=family, end=edge) for edge in ("begin", "end"))
    section = table(family, rows)
    if begin not in page:
        return f"{page.rstrip()}\n\n{section}\n"
    before, _, rest = page.partition(begin)
    return f"{before}{section}{rest.partition(end)[2]}"


def keeping_sections(page: str, old: Path) -> str:
    """A new page with the sections that the old one has."""
    text = old.read_text() if old.is_file() else ""
    for family in (TIMM, *FAMILIES):
        begin, end = (MARK.format(family=family, end=edge) for edge in ("begin", "end"))
        _, mark, rest = text.partition(begin)
        if mark:
            page = f"{page.rstrip()}\n\n{begin}{rest.partition(end)[0]}{end}\n"
    return page
