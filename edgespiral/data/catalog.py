"""Data sets by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.factory import is_factory
from edgespiral.core.registry import unknown_name

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits

KNOWN = ("digits", "fashion-mnist", "folder:PATH", "path/to/file.py:factory")


def load(spec: str) -> DataSplits:
    """The data set that `spec` names, in three splits that never depend on a run's seed.

    Args:
        spec: `digits`, `fashion-mnist`, `folder:PATH[?size=64]` or `path/to/file.py:factory`.

    Raises:
        UsageError: no such name, file or factory.
        DataError: found nowhere, damaged, or not of the form described.
    """
    if spec == "digits":
        from edgespiral.data.digits import load_digits

        return load_digits()
    if spec == "fashion-mnist":
        from edgespiral.data.fashion_mnist import load_fashion_mnist

        return load_fashion_mnist()
    if spec.startswith("folder:"):
        from edgespiral.data.folder import load_folder

        return load_folder(spec)
    if is_factory(spec):
        from edgespiral.data.user import load_user

        return load_user(spec)
    raise unknown_name("data set", spec, KNOWN)
