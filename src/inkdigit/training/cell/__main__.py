"""Train the cell network, and write the file that the package ships.

    python -m inkdigit.training.cell FOLDER [--steps N] [--seed S] [--data mnist] [--threads N] [--to FILE]

The folder holds the checkpoint; the same command goes on from it. About an hour on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from inkdigit.reading.cell_network import CELL
from inkdigit.training import shipped
from inkdigit.training.cell.export import export
from inkdigit.training.cell.train import train


def main(argv: Sequence[str] | None = None) -> int:
    """Train and export, as the arguments say."""
    return shipped.main(__doc__, train, export, to=CELL, steps=10_000, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
