"""Pictures with boxes in YOLO's format: a text file a picture, in shares of its sides."""

from pathlib import Path

from edgespiral.data.sources.base import FileSource
from edgespiral.data.sources.yolo.reader import load_yolo


def _fits(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("data.yaml", "data.yml")) or (
        any((folder / place).is_dir() for place in ("labels", "train/labels"))
        and (folder / "classes.txt").is_file()
    )


PLUGIN = FileSource(load_yolo, task="detection", order=20, fits=_fits)

__all__ = ["PLUGIN"]
