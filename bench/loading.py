"""What loading pictures for training takes: milliseconds of processor a picture, in two passes.

Usage: python bench/loading.py DATA [DATA ...]     # as --data takes it: 'voc:signs?size=160x120'

Of each, random views (as `train` shows them) and stored samples (as `compress` does), the first
200, one after another in this process. What a second pass takes is what all later ones do.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import torch

from edgespiral import data

if TYPE_CHECKING:
    from edgespiral.core.batches import BatchSource

MOST_PICTURES, BATCH_SIZE = 200, 8


def milliseconds(source: BatchSource, *, seed: int | None) -> float:
    """Of processor, a picture of one pass."""
    start_s, seen = time.process_time(), 0
    for inputs, _ in source.epoch(batch_size=BATCH_SIZE, seed=seed):
        seen += len(inputs)
        if seen >= MOST_PICTURES:
            break
    return 1e3 * (time.process_time() - start_s) / seen


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    torch.set_num_threads(1)
    for spec in parser.parse_args().data:
        train = data.load(spec).train
        # Processes that load batches have clocks of their own.
        train.source._workers = 0  # type: ignore[attr-defined]
        for name, seed in (("views", 0), ("stored", None)):
            first, second = (milliseconds(train, seed=seed) for _ in range(2))
            print(f"{spec}: {name}: {first:.2f} ms a picture, then {second:.2f}", flush=True)


if __name__ == "__main__":
    main()
