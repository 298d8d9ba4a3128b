"""A kind of input of the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

Call = Callable[[], object]  # passes the input; what it raises or returns is checked
Make = Callable[[Random], Call]  # makes the next input


@dataclass(frozen=True)
class Kind:
    """A row of the table: `prepare` gets a folder of its own, and may import and write good inputs."""

    prepare: Callable[[Path], Make]
    weight: int  # about so many of ten thousand inputs
    words: str  # what is tried
