"""One network for two devices, each with a budget of its own."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import edgespiral

# A notebook has no file of its own, and is run in its folder.
HERE = Path(globals().get("__file__", "main.ipynb")).parent


def main(words: Sequence[str] | None = None) -> None:
    """Train, and compress until both budgets are met."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=Path("runs/two-devices"))
    options.add_argument("--epochs", type=float, default=4, help="of training the teacher")
    options.add_argument("--targets", nargs=2, default=[HERE / "desk.toml", HERE / "board.toml"])
    asked = options.parse_args(words)
    work = asked.out.with_name(f"{asked.out.name}-before")
    edgespiral.train_teacher("resnet8", "digits", out=work, epochs=asked.epochs, resume=True)
    first, second = map(str, asked.targets)
    small = edgespiral.compress(
        "resnet8",
        "digits",
        weights=work / "weights.safetensors",
        target=(first, second),
        speedup={first: 1.4, second: 1.2},
        epochs=2,
        max_drop=20,
        out=asked.out,
        resume=True,
    )
    print(small.result.outcome, small.result.message)
    for device in small.result.devices:
        print(f"{device.target}: {device.speedup.value:.2f}x, {device.verdict}")


if __name__ == "__main__":
    try:
        main()
    except edgespiral.EdgeSpiralError as error:
        sys.exit(f"error: {error}")
