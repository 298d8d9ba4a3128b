"""Train the ink network, and write the file that the package ships.

    python -m inkdigit.training.ink FOLDER [--steps N] [--seed S] [--data mnist] [--threads N] [--to FILE]

The folder holds the checkpoint; the same command goes on from it. About forty minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from inkdigit.data.sources import open_data
from inkdigit.errors import InkdigitError
from inkdigit.files import write_atomic
from inkdigit.picture.photo.network import INK
from inkdigit.training.ink.export import export
from inkdigit.training.ink.train import train


def main(argv: Sequence[str] | None = None) -> int:
    """Train and export, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the checkpoint and the losses")
    parser.add_argument("--steps", type=int, default=10_000, help="batches of scenes")
    parser.add_argument("--seed", type=int, default=0, help="the random seed")
    parser.add_argument("--data", default="mnist", help="the digits to write")
    parser.add_argument("--threads", type=int, default=1, help="of the network; another process draws")
    parser.add_argument("--to", type=Path, default=INK, help="the file to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        images = open_data(options.data).train.images
        train(images, options.folder, steps=options.steps, seed=options.seed, log=lambda line: print(line, flush=True))
        write_atomic(options.to, export(options.folder))
    except InkdigitError as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return exc.exit_code
    print(f"Written: {options.to}, {options.to.stat().st_size / 1000:,.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
