"""The cut by which another method meets a latency, found by few cuts that are timed untrained.

Latency depends on shapes and not on weights, and falls as more is cut. So for each step of widths
the least ratio that is fast enough is looked for by halving; nothing is trained for it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto import QUICK_ROUNDS, RATIOS, ROUND_TO, parameter_count

from edgespiral.export.onnx import export_onnx
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pareto import Pair

Json = dict[str, Any]


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

        def speedup(ratio: float, round_to: int) -> float:
            model = pair.untrained(method, ratio, round_to)
            count = parameter_count(model)
            if count not in cuts:
                path = Path(folder) / f"{count}.onnx"
                export_onnx(model, path, input_shape=pair.splits.input_shape)
                [(_, measured)] = session.compare(teacher, [path], rounds=QUICK_ROUNDS)
                settings = {"ratio": ratio, "round_to": round_to, "parameters": count}
                cuts[count] = settings | {"speedup": measured.value}
            return float(cuts[count]["speedup"])

        for round_to in ROUND_TO:
            least_enough(RATIOS, asked, lambda ratio, step=round_to: speedup(ratio, step))
    return list(cuts.values())


def least_enough(
    ratios: Sequence[float], asked: float, speedup: Callable[[float], float]
) -> float | None:
    """The least of ascending `ratios` whose speed-up is at least `asked`; None where none is.

    It is looked for by halving, so `speedup` is asked for the last and for log2 of their number.
    """
    if speedup(ratios[-1]) < asked:
        return None
    too_little, enough = -1, len(ratios) - 1
    while enough - too_little > 1:
        middle = (too_little + enough) // 2
        if speedup(ratios[middle]) >= asked:
            enough = middle
        else:
            too_little = middle
    return ratios[enough]
