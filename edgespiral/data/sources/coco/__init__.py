"""Pictures with boxes in the format of COCO: a JSON file a split."""

from edgespiral.data.sources.coco.reader import load_coco

PLUGIN = load_coco

__all__ = ["PLUGIN"]
