"""Train the ink network, and write the file that the package ships.

    python -m inkdigit.training.ink FOLDER [--steps N] [--seed S] [--data mnist] [--threads N] [--to FILE]

The folder holds the checkpoint; the same command goes on from it. Another process draws.
About forty minutes on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from inkdigit.picture.photo.network import INK
from inkdigit.training import shipped
from inkdigit.training.ink.export import export
from inkdigit.training.ink.train import train


def main(argv: Sequence[str] | None = None) -> int:
    """Train and export, as the arguments say."""
    return shipped.main(__doc__, train, export, to=INK, steps=10_000, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
