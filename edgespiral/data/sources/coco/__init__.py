"""Pictures with boxes in the format of COCO: a JSON file a split."""

from pathlib import Path

from edgespiral.data.files.folders import holds
from edgespiral.data.sources.base import FileSource
from edgespiral.data.sources.coco.reader import load_coco


def _fits(folder: Path) -> bool:
    return any(holds(folder / place, (".json",)) for place in ("annotations", "train"))


PLUGIN = FileSource(load_coco, task="detection", order=30, fits=_fits)

__all__ = ["PLUGIN"]
