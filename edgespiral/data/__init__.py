"""Data sets by name, in three splits. Importing this loads no torch."""

from edgespiral.data.catalog import load
from edgespiral.data.check import check

__all__ = ["check", "load"]
