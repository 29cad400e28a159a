"""What a file in COCO's format has that boxes are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from edgespiral.core.errors import DataError
from edgespiral.core.system.files import parse_json, read_bytes
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 2**31
BOX = "[x, y, width, height]"


class Picture(BaseModel):
    """A picture's file, and its width and height in pixels."""

    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class Category(BaseModel):
    """A class: objects name it by its number."""

    id: int
    name: str


class AnnotatedObject(BaseModel):
    """An object's box: corner, width and height in pixels; a crowd is no single object."""

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class Content(BaseModel):
    """A whole file."""

    images: list[Picture]
    categories: list[Category]
    annotations: list[AnnotatedObject]


def content_of(file: Path) -> Content:
    """The content of a file.

    Raises:
        DataError: it cannot be read, or is of another format; the first place is named.
    """
    with user_code(DataError, "cannot be read", where=str(file)):
        document = parse_json(read_bytes(file, MOST_BYTES))
    try:
        return Content.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"is not COCO's format: {place}: {first['msg']}",
            where=str(file),
            hint=f"it has images, categories and annotations with bbox {BOX}",
        ) from error
