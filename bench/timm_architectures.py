"""How much of timm's networks can be cut: a table for docs/architectures.md.

Usage: python bench/architectures.py --timm LIST   (see there)

LIST has a line a network: its name and an input size. Each is cut in a process of its own, with
random weights, to half of the channels of every group, and proven against the masked model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.errors import EdgeSpiralError, ExitCode
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.models.saved import trace
from edgespiral.prune.cuttable_share import cuttable_share
from edgespiral.prune.engines.flow.finder import main_reasons
from edgespiral.prune.prunable import PrunableModel, cut_to

if TYPE_CHECKING:
    from pathlib import Path

MOST_SECONDS = 240
WELL = 1 / 3
BEGIN, END = "<!-- timm: begin -->", "<!-- timm: end -->"


def lively(name: str, side: int) -> nn.Module:
    """The network with random weights, none so small that a wrong cut would not show."""
    import timm

    torch.manual_seed(0)
    try:
        model = timm.create_model(name, pretrained=False, img_size=side)
    except TypeError:  # it has no size of its own
        model = timm.create_model(name, pretrained=False)
    for module in model.modules():
        affine = isinstance(module, _BatchNorm | nn.LayerNorm | nn.GroupNorm)
        if affine and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            if getattr(module, "bias", None) is not None:
                nn.init.normal_(module.bias)
    for parameter in model.parameters():
        if parameter.detach().abs().max() < 1e-3:
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def row_of(name: str, side: int) -> dict[str, Any]:
    """What is left of one network."""
    torch.set_num_threads(1)
    row: dict[str, Any] = {"name": name, "side": side}
    start = time.perf_counter()
    try:
        source = PrunableModel.of(trace(lively(name, side)), (3, side, side))
        row |= {"groups": len(source.groups), "engine": source.found_by}
        generator = torch.Generator().manual_seed(0)
        scores = {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}
        widths = {g.name: g.sub_groups * max(1, g.units // 2) for g in source.groups}
        cut = cut_to(source, widths, scores, row["engine"])
        counts = [cuttable_share(model, ()) for model in (source.model, cut.model)]
        row |= {
            "channels_removed": round(1 - counts[1].channels / counts[0].channels, 4),
            "parameters_removed": round(1 - counts[1].parameters / counts[0].parameters, 4),
            "difference": cut.difference,
            "stays": main_reasons(source.kept),
        }
    except EdgeSpiralError as error:
        row["error"] = str(error)
    return row | {"took_s": round(time.perf_counter() - start, 1)}


def in_own_process(name: str, side: str) -> dict[str, Any]:
    """`row_of` with an end; an error of any other kind is EdgeSpiral's own."""
    command = [sys.executable, __file__, name, side]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"name": name, "side": int(side), "error": f"more than {MOST_SECONDS} s"}
    if done.returncode != ExitCode.OK:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"name": name, "side": int(side), "error": last, "internal": True}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The section of docs/architectures.md."""
    well = sum(row.get("channels_removed", 0) >= WELL for row in rows)
    internal = sum(row.get("internal", False) for row in rows)
    lines = [
        BEGIN,
        "## timm",
        "",
        f"{well} of {len(rows)} networks of timm lose a third or more of all channels with half of "
        f"every group asked for, each proven against the masked model; internal errors: {internal}."
        " Written by `python bench/architectures.py --timm LIST`.",
        "",
        "| network | input | groups | engine | channels | parameters | difference | what stays |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |",
        *map(line, rows),
        END,
    ]
    return "\n".join(lines)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    if "error" in row:
        return f"| {row['name']} | {row['side']} | | no | | | | {_cell(row['error'])} |"
    stays = "; ".join(reason for reason in row["stays"] if "reach the output" not in reason)
    return (
        f"| {row['name']} | {row['side']} | {row['groups']} | {row['engine']} | "
        f"{row['channels_removed']:.0%} | {row['parameters_removed']:.0%} | "
        f"{row['difference']:.0e} | {_cell(stays)} |"
    )


def _cell(text: str) -> str:
    return text.split("; see ", maxsplit=1)[0].replace("|", "/")


def survey(listed: Path, json_file: Path, markdown: Path, *, again: bool) -> None:
    """Run every network of the list that has no row yet, and rewrite the table after each."""
    wanted = [words[:2] for one in listed.read_text().splitlines() if (words := one.split())]
    content = json.loads(json_file.read_text()) if json_file.is_file() else {}
    same = content.get("versions") == versions() and not again
    rows = {row["name"]: row for row in content["rows"]} if same else {}
    for name, side in (pair for pair in wanted if pair[0] not in rows):
        rows[name] = in_own_process(name, side)
        print(json.dumps(rows[name]), flush=True)
        ordered = [rows[n] for n in sorted(rows)]
        written = json.dumps({"versions": versions(), "rows": ordered}, indent=1)
        write_text(json_file, written + "\n")
        write_text(markdown, with_section(markdown.read_text(), table(ordered)))


def with_section(page: str, section: str) -> str:
    """The page with the section in place of the one that it has, or at its end."""
    if BEGIN not in page:
        return f"{page.rstrip()}\n\n{section}\n"
    before, _, rest = page.partition(BEGIN)
    return f"{before}{section}{rest.partition(END)[2]}"


def keeping_section(page: str, old: Path) -> str:
    """A new page with the section that the old one has."""
    _, mark, rest = (old.read_text() if old.is_file() else "").partition(BEGIN)
    return with_section(page, f"{BEGIN}{rest.partition(END)[0]}{END}") if mark else page


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(row_of(sys.argv[1], int(sys.argv[2]))))
