"""Pictures with boxes in YOLO's format: a text file a picture, in shares of its sides."""

from edgespiral.data.sources.yolo.reader import load_yolo

PLUGIN = load_yolo

__all__ = ["PLUGIN"]
