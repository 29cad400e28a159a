"""What the `[runtime]` table has of every runtime that is a program of the user's."""

from __future__ import annotations

from pydantic import Field

from edgespiral.measure.settings import Affinity, Count, NonEmpty, RuntimeSettings


class NativeSettings(RuntimeSettings):
    """A program that the user has for the device, pushed there with the libraries that it needs."""

    binary: NonEmpty
    libraries: list[NonEmpty] = Field(default_factory=list)
    threads: Count = 1
    affinity: Affinity = "big"
