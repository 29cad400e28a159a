"""The cut by which another method meets a latency, found by few cuts that are timed untrained.

Latency depends on shapes and not on weights, and falls as fewer parameters are left. So for each
step of widths all cuts are made, which is quick, and the one with most parameters that is fast
enough is looked for by halving; nothing is trained for it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pareto import QUICK_ROUNDS, RATIOS, ROUND_TO, parameter_count

from edgespiral.export.onnx import export_onnx
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pareto import Pair

Json = dict[str, Any]
T = TypeVar("T")


class Cut(NamedTuple):
    """How a method is asked for a cut, and what that leaves."""

    ratio: float
    round_to: int
    parameters: int


def search_of(pair: Pair, method: str, asked: float, searches: Json) -> Json:
    """The timed cuts of a method near `asked`, from `searches` or added to them.

    Args:
        pair: the teacher, and how methods cut it.
        method: by its name in `Pair.shapes`.
        asked: how many times as fast as the teacher a cut is to be.
        searches: what was looked for before; `seconds` is what each search took.
    """
    key = f"{pair.name}, {method}, {asked:g}x"
    if key not in searches:
        # Each search counts what it needs, whatever an earlier one has left.
        pair.forget_gradients()
        start = time.perf_counter()
        cuts = timed_cuts(pair, method, asked)
        searches[key] = {"seconds": time.perf_counter() - start, "cuts": cuts}
    found: Json = searches[key]
    return found


def timed_cuts(pair: Pair, method: str, asked: float) -> list[Json]:
    """The cuts that a search for `asked` has timed, each with its speed-up over the teacher."""
    cuts: dict[int, Json] = {}
    with tempfile.TemporaryDirectory() as folder, Session(load_profile("host-cpu")) as session:
        teacher = Path(folder) / "teacher.onnx"
        export_onnx(pair.teacher, teacher, input_shape=pair.splits.input_shape)

        def speedup(cut: Cut) -> float:
            if cut.parameters not in cuts:
                path = Path(folder) / f"{cut.parameters}.onnx"
                model = pair.untrained(method, cut.ratio, cut.round_to)
                export_onnx(model, path, input_shape=pair.splits.input_shape)
                [(_, measured)] = session.compare(teacher, [path], rounds=QUICK_ROUNDS)
                cuts[cut.parameters] = cut._asdict() | {"speedup": measured.value}
            return float(cuts[cut.parameters]["speedup"])

        for round_to in ROUND_TO:
            first_enough(cuts_of(pair, method, round_to), asked, speedup)
    return list(cuts.values())


def cuts_of(pair: Pair, method: str, round_to: int) -> list[Cut]:
    """Every different cut of a method in such steps, those with most parameters first.

    A larger ratio may leave more: Torch-Pruning's leaves whole what it cannot cut in such steps.
    """
    cuts: dict[int, Cut] = {}
    for ratio in RATIOS:
        count = parameter_count(pair.untrained(method, ratio, round_to))
        cuts.setdefault(count, Cut(ratio, round_to, count))
    return [cuts[count] for count in sorted(cuts, reverse=True)]


def first_enough(cuts: Sequence[T], asked: float, speedup: Callable[[T], float]) -> T | None:
    """The first of `cuts`, each faster than the one before, that is `asked` times as fast.

    It is looked for by halving, so `speedup` is asked for the last and for log2 of their number.
    None where the last is not fast enough.
    """
    if speedup(cuts[-1]) < asked:
        return None
    too_slow, enough = -1, len(cuts) - 1
    while enough - too_slow > 1:
        middle = (too_slow + enough) // 2
        if speedup(cuts[middle]) >= asked:
            enough = middle
        else:
            too_slow = middle
    return cuts[enough]
