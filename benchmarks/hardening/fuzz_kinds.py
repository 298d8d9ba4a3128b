"""What a kind of input is to the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

Call = Callable[[], object]  # hands the input over; what it raises or returns is looked at
Make = Callable[[Random], Call]  # makes the next input


@dataclass(frozen=True)
class Kind:
    """A row of the table: `prepare` is given a folder of its own, and may import and write what is good."""

    prepare: Callable[[Path], Make]
    weight: int  # of ten thousand inputs, about so many
    words: str  # what is tried
