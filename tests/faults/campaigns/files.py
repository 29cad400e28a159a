"""Damaged and hostile files, of every format that the product reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.faults import binaries, damage, texts
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import GATE_RESULTS, judge

if TYPE_CHECKING:
    from tests.faults.material import Material
    from tests.faults.place import Place

LIMITS = Limits(seconds=60)
# Every so many numbers nothing is damaged, and all has to go well.
CONTROLS = 40
BASELINES = Path(".edgespiral") / "baselines"
EditText = Callable[[str, Random], tuple[str, str]]
OUT = ("--out", "out/model.onnx")
EXPORT = ("export", "net.py:make", "--data", "digits", "--samples", "4")
MEASURE = ("measure", "net.onnx", "--target", "./tiny.toml")
CALIBRATE = ("calibrate", "net.onnx", "--data", "digits", "--recipe", "few.toml")
COMPRESS = ("compress", "--config", "plan.toml")
PICTURES = ("train", "net.py:small", "--data", "folder:images?size=8", "--epochs", "0.5")
TRAIN = ("train", "net.py:make", "--data", "digits", "--epochs", "2")


@dataclass(frozen=True)
class Format:
    """A kind of file, where it lies, and the commands that read it.

    Attributes:
        put: brings an honest one into a place, and tells where.
        commands: that read it.
        codes: the exit codes that are right, whatever is wrong with the file.
        edit: damages its meaning.
        writes: what the commands may write to, in the working folder.
        share: how many of a hundred numbers or so are of this format.
    """

    name: str
    put: Callable[[Material, Place], Path]
    commands: tuple[tuple[str, ...], ...]
    codes: frozenset[int]
    edit: Callable[[Path, Random], str]
    writes: tuple[str, ...] = ("out",)
    share: int = 5


class Files:
    """Damaged files."""

    name, short, whole = "files", 21, 2200

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Damage one file and let one command read it."""
        one = random.choice([form for form in FORMATS for _ in range(form.share)])
        place = lab.material.place(f"{self.name}/{number}")
        file = one.put(lab.material, place)
        is_control = number % CONTROLS == 0
        how = "nothing" if is_control else _damage(one, file, random)
        argv = random.choice(one.commands)
        kept = {place.cwd / name for name in one.writes}

        def may_change(path: Path) -> bool:
            return path in kept or any(folder in kept for folder in path.parents)

        before = place.tree(may_change)
        outcome = lab.server.run(argv, place, LIMITS)
        codes = _good_codes(argv) if is_control else one.codes
        broken = judge(outcome, place, before, place.tree(may_change), codes)
        place.remove()
        return Report(f"{one.name}: {how}", f"edgespiral {' '.join(argv)}", broken)


def _good_codes(argv: tuple[str, ...]) -> set[int]:
    """Of a command whose files are whole: a busy machine may have the gate say what it likes."""
    return GATE_RESULTS if argv[0] == "bench" else {0}


def _damage(one: Format, file: Path, random: Random) -> str:
    chance = random.random()
    if chance < 0.55:
        return one.edit(file, random)
    return damage.damage_bytes(file, random) if chance < 0.85 else damage.replace_file(file, random)


def _of_text(edit: EditText) -> Callable[[Path, Random], str]:
    def edited(path: Path, random: Random) -> str:
        text, how = edit(path.read_text(encoding="utf-8"), random)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return how

    return edited


def _furnished(name: str) -> Callable[[Material, Place], Path]:
    return lambda _, place: place.cwd / name


def _plan_of_recipe(_: Material, place: Place) -> Path:
    plan = place.cwd / "plan.toml"
    plan.write_text(plan.read_text() + 'precision = "int8"\nrecipe = "few.toml"\n')
    return place.cwd / "few.toml"


def _weights(material: Material, place: Place) -> Path:
    return Path(shutil.copy(material.weights, place.cwd / "w.safetensors"))


def _checkpoint(material: Material, place: Place) -> Path:
    return Path(shutil.copy(material.checkpoint, place.cwd / "w.pt"))


def _in_run(name: str) -> Callable[[Material, Place], Path]:
    def put(material: Material, place: Place) -> Path:
        shutil.copytree(material.run, place.cwd / "run")
        return place.cwd / "run" / name

    return put


def _in_trained(name: str) -> Callable[[Material, Place], Path]:
    def put(material: Material, place: Place) -> Path:
        shutil.copytree(material.trained, place.cwd / "trained")
        return place.cwd / "trained" / name

    return put


def _bench_result(material: Material, place: Place) -> Path:
    return Path(shutil.copy(material.bench_result, place.cwd / "result.json"))


def _baseline(material: Material, place: Place) -> Path:
    (place.cwd / BASELINES).mkdir(parents=True)
    return Path(shutil.copy(material.baseline, place.cwd / BASELINES))


def _engine_record(material: Material, place: Place) -> Path:
    for path in (material.engine, material.desk, material.folder / "net.engine.json"):
        shutil.copy(path, place.cwd)
    return place.cwd / "net.engine.json"


def _picture(material: Material, place: Place) -> Path:
    shutil.copytree(material.images, place.cwd / "images")
    return place.cwd / "images" / "a" / "03.png"


def _latency_cache(material: Material, place: Place) -> Path:
    shutil.copytree(material.latencies, place.cache / "edgespiral", dirs_exist_ok=True)
    return next((place.cache / "edgespiral" / "latency").glob("*.json"))


TOML, JSON, LINES = map(_of_text, (texts.edit_toml, texts.edit_json, texts.edit_lines))
READ, GATE = frozenset({0, 2}), frozenset({0, 1, 2, 3})
# 4: calibrated on data that the weights do not know.
MODEL = frozenset({0, 2, 3, 4, 5, 6, 7})
FINISHED = frozenset({0, 8, 10, 11, 12})
FORMATS = (
    Format("plan", _furnished("plan.toml"), (("validate", "plan.toml"),), READ, TOML, share=16),
    Format(
        "target",
        _furnished("tiny.toml"),
        (("targets", "show", "./tiny.toml"), ("validate", "plan.toml")),
        READ,
        TOML,
        share=14,
    ),
    Format("recipe", _plan_of_recipe, (("validate", "plan.toml"),), READ, TOML, share=12),
    Format(
        "suite", _furnished("suite.toml"), (("bench", "run", "suite.toml"),), GATE, TOML, share=5
    ),
    Format(
        "journal",
        _in_run("journal.jsonl"),
        (
            *(("report", "run"), ("report", "run", "--json")),
            ("report", "run", "--html", "out.html"),
        ),
        frozenset({0, 8}),
        LINES,
        ("out.html",),
        share=14,
    ),
    Format(
        "journal of a run that goes on",
        _in_run("journal.jsonl"),
        ((*COMPRESS, "--out", "run", "--resume"),),
        FINISHED,
        LINES,
        ("run",),
        share=1,
    ),
    Format(
        "bench record",
        _bench_result,
        (
            *(("bench", "history", "result.json"), ("bench", "history", "result.json", "--json")),
            ("bench", "history", "result.json", "--html", "out.html"),
        ),
        frozenset({0, 2}),
        JSON,
        ("out.html",),
        share=9,
    ),
    Format(
        "baseline", _baseline, (("bench", "compare", "base", "suite.toml"),), GATE, JSON, share=3
    ),
    Format(
        "engine record",
        _engine_record,
        (("measure", "net.engine", "--target", "./desk.toml"),),
        MODEL,
        JSON,
        share=4,
    ),
    *(
        Format(
            name,
            _in_trained(name),
            ((*TRAIN, "--out", "trained", "--resume"),),
            frozenset({0, 3, 8}),
            edit,
            ("trained",),
            share=share,
        )
        for name, edit, share in (("plan.json", JSON, 2), ("train.json", JSON, 2))
    ),
    Format(
        "safetensors",
        _weights,
        ((*EXPORT, "--weights", "w.safetensors", *OUT),),
        MODEL,
        binaries.edit_safetensors,
        share=9,
    ),
    Format(
        "PyTorch weights",
        _checkpoint,
        ((*EXPORT, "--weights", "w.pt", *OUT),),
        MODEL,
        binaries.edit_checkpoint,
        share=7,
    ),
    Format(
        "ONNX",
        _furnished("net.onnx"),
        (MEASURE, MEASURE, (*CALIBRATE, *OUT)),
        MODEL,
        binaries.edit_onnx,
        share=11,
    ),
    Format(
        "picture",
        _picture,
        ((*PICTURES, "--batch-size", "8", "--out", "out"),),
        frozenset({0, 4}),
        binaries.edit_picture,
        share=5,
    ),
    Format(
        "latency cache",
        _latency_cache,
        ((*COMPRESS, "--out", "out"),),
        FINISHED,
        JSON,
        share=1,
    ),
)
