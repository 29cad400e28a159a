"""A network of timm's and a folder of photographs, compressed by name."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import edgespiral

SIZE = 64
KINDS = ("cross", "disc", "square")


def draw_photographs(folder: Path, count: int) -> Path:
    """Stand-ins for your photographs: one folder a kind below `train`, `val` and `test`."""
    generator = torch.Generator().manual_seed(0)
    for part, share in (("train", 1.0), ("val", 0.5), ("test", 0.5)):
        for kind in KINDS:
            place = folder / part / kind
            place.mkdir(parents=True, exist_ok=True)
            for number in range(int(count * share)):
                numbers = torch.rand(5, generator=generator).tolist()
                draw(kind, numbers).save(place / f"{number}.png")
    return folder


def draw(kind: str, numbers: list[float]) -> Image.Image:
    """One shape on a plain ground; `numbers` from 0 to 1 say where, how large and how light."""
    x, y, size, grey, light = numbers
    picture = Image.new("RGB", (SIZE, SIZE), (int(60 + 80 * grey),) * 3)
    pen, half = ImageDraw.Draw(picture), 8 + 10 * size
    left, top = 20 + 24 * x, 20 + 24 * y
    box, colour = (
        (left - half, top - half, left + half, top + half),
        (int(180 + 70 * light), 60, 40),
    )
    if kind == "disc":
        pen.ellipse(box, fill=colour)
    elif kind == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.line(box, fill=colour, width=5)
        pen.line((box[0], box[3], box[2], box[1]), fill=colour, width=5)
    return picture


def main(words: Sequence[str] | None = None) -> None:
    """Draw, train, compress."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--target", default="host-cpu", help="a target's name or file")
    options.add_argument("--out", type=Path, default=Path("runs/timm"))
    options.add_argument("--model", default="test_resnet", help="a name of timm.list_models()")
    options.add_argument("--photographs", type=int, default=48, help="of each kind to train on")
    options.add_argument("--epochs", type=float, default=4, help="of training the teacher")
    asked = options.parse_args(words)
    work = asked.out.with_name(f"{asked.out.name}-before")
    data = f"folder:{draw_photographs(work / 'photos', asked.photographs)}?size={SIZE}"
    # Yours is trained already: `torch.save(model.state_dict(), "weights.pt")`, and that is named.
    edgespiral.train_teacher(
        f"timm/{asked.model}",
        data,
        out=work / "teacher",
        epochs=asked.epochs,
        batch_size=16,
        resume=True,
    )
    small = edgespiral.compress(
        f"timm/{asked.model}",
        data,
        weights=work / "teacher" / "weights.safetensors",
        target=asked.target,
        speedup=1.3,
        epochs=2,
        max_drop=30,
        batch_size=16,
        out=asked.out,
        resume=True,
    )
    print(small.result.outcome, small.result.message)


if __name__ == "__main__":
    try:
        main()
    except edgespiral.EdgeSpiralError as error:
        sys.exit(f"error: {error}")
