"""The three splits of a set of pictures with boxes, and what a person should know of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, first_few
from edgespiral.core.stages.frames import Frames, ScaledPicture
from edgespiral.data.boxes.annotated import boxed
from edgespiral.data.boxes.pictures import BoxedPictures, BoxSource, draft_size
from edgespiral.data.files.parts import PARTS, TEST_PART, VALIDATION_PART, require_apart
from edgespiral.data.holdout import drawn_apart
from edgespiral.data.images import small_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgespiral.core.batches import BatchSource
    from edgespiral.data.boxes.annotated import Annotated, Boxed
    from edgespiral.data.boxes.options import BoxOptions

TRAIN, VALIDATION, TEST = PARTS
# As data sets call them.
NAMES = {TRAIN: ("train",), VALIDATION: ("val", "valid", "validation"), TEST: ("test",)}


def box_splits(
    name: str,
    parts: Mapping[str, Sequence[Annotated]],
    classes: Sequence[str],
    options: BoxOptions,
) -> DataSplits:
    """Splits of annotated pictures.

    Args:
        name: what messages call the data.
        parts: those of `train`, `validation` and `test` that there are; with train alone 15 % of
            its pictures, drawn once and for all, are the test, and without a validation a tenth of
            the training pictures are that. With no test, the validation is the test.
        classes: names, in the order of their labels.
        options: how they are read.

    Raises:
        DataError: as `boxed`; no classes, a part without pictures or without an object, or a
            picture that is in two of them.
    """
    if not classes:
        raise DataError("no object is annotated, so there are no classes", where=name)
    read = _read(_completed(parts), classes, options, name)
    rows = max(len(boxed_picture.labels) for content in read.values() for boxed_picture in content)
    width, height = options.size
    mean, std = options.normalisation.mean, options.normalisation.std
    return DataSplits(
        name=name,
        train=BoxSource(read[TRAIN], options, rows),
        validation=_stored(read[VALIDATION], options, rows),
        test=_stored(read[TEST], options, rows),
        class_names=tuple(classes),
        input_shape=(3, height, width),
        target_shape=None,
        normalisation=options.normalisation,
        notes=(*_notes(read, classes), *_small(read[TRAIN], options)),
        frames=Frames(
            "picture",
            ScaledPicture(options.size, "cubic", mean, std),
            tuple(boxed_picture.picture for boxed_picture in read[VALIDATION]),
            draft=draft_size(options.size),
            as_stored=frozenset(
                boxed_picture.picture
                for boxed_picture in read[VALIDATION]
                if not boxed_picture.is_upright
            ),
        ),
    )


def by_part(names: Sequence[str]) -> dict[str, str]:
    """Which of `names` are those of a part, by the part."""
    return {
        part: name for part, usual in NAMES.items() for name in reversed(usual) if name in names
    }


def _read(
    parts: Mapping[str, Sequence[Annotated]],
    classes: Sequence[str],
    options: BoxOptions,
    name: str,
) -> dict[str, list[Boxed]]:
    """The pictures of each part with their boxes."""
    for part in PARTS:
        if not parts[part]:
            raise DataError("no pictures", where=f"{name}: {part}")
    require_apart({part: [annotated.picture for annotated in parts[part]] for part in PARTS}, name)
    whole = [annotated for part in PARTS for annotated in parts[part]]
    pictures = iter(boxed(whole, classes, drops_faulty=options.drops_faulty))
    read = {part: list(islice(pictures, len(parts[part]))) for part in PARTS}
    for part, content in read.items():
        if not any(len(boxed_picture.labels) for boxed_picture in content):
            raise DataError("no picture has an object", where=f"{name}: {part}")
    return read


def _stored(pictures: Sequence[Boxed], options: BoxOptions, rows: int) -> BatchSource:
    names = [str(boxed_picture.picture) for boxed_picture in pictures]
    return BoxSource.stored(BoxedPictures(pictures, options, rows), names)


def _completed(parts: Mapping[str, Sequence[Annotated]]) -> dict[str, Sequence[Annotated]]:
    train, validation, test = (parts.get(part) for part in PARTS)
    train = train if train is not None else []
    if validation is not None and test is None:
        test, validation = validation, None
    if test is None:
        train, test = drawn_apart(train, TEST_PART)
    if validation is None:
        train, validation = drawn_apart(train, VALIDATION_PART)
    return {TRAIN: train, VALIDATION: validation, TEST: test}


def _small(pictures: Sequence[Boxed], options: BoxOptions) -> list[str]:
    files = [boxed_picture.picture for boxed_picture in pictures]
    return [] if options.is_sized else small_pictures(files, options.size, square=False)


def _notes(parts: Mapping[str, Sequence[Boxed]], classes: Sequence[str]) -> list[str]:
    """How much there is, and what may surprise."""
    notes = []
    for part, pictures in parts.items():
        labels = np.concatenate([boxed_picture.labels for boxed_picture in pictures])
        without = sum(not len(boxed_picture.labels) for boxed_picture in pictures)
        faulty = sum(boxed_picture.faulty for boxed_picture in pictures)
        repeated = sum(boxed_picture.repeated for boxed_picture in pictures)
        note = f"{part}: {len(pictures)} pictures, {len(labels)} objects"
        note += f", {without} pictures without any" if without else ""
        note += f", {faulty} faulty boxes left out" if faulty else ""
        notes.append(note + (f", {repeated} repeated boxes left out" if repeated else ""))
        absent = [name for at, name in enumerate(classes) if at not in labels]
        if absent:
            notes.append(f"{part}: no object of {first_few(absent)}, which does not count there")
    return notes
