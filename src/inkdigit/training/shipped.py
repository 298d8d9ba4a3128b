"""The command that trains one of the small networks the package ships, and writes its file.

    python -m inkdigit.training.ink FOLDER [--steps N] [--seed S] [--data mnist] [--threads N] [--to FILE]
    python -m inkdigit.training.cell FOLDER …
    python -m inkdigit.training.line.second FOLDER …

The folder holds the checkpoint; the same command goes on from it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from inkdigit.data.sources import open_data
from inkdigit.errors import InkdigitError
from inkdigit.files import write_atomic
from inkdigit.types import Log, Part


class Train(Protocol):
    """Train on digits by hand, with a checkpoint and the losses in `folder`."""

    def __call__(self, part: Part, folder: Path, *, steps: int, seed: int, log: Log) -> object:
        """Go on from the checkpoint, if there is one."""


def main(
    about: str | None,
    train: Train,
    export: Callable[[Path], bytes],
    *,
    to: Path,
    steps: int,
    argv: Sequence[str] | None,
) -> int:
    """Train and export, as the arguments say; `to` is the file that the package ships."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the checkpoint and the losses")
    parser.add_argument("--steps", type=int, default=steps, help="batches")
    parser.add_argument("--seed", type=int, default=0, help="the random seed")
    parser.add_argument("--data", default="mnist", help="the digits by hand")
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--to", type=Path, default=to, help="the file to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        part = open_data(options.data).train
        train(part, options.folder, steps=options.steps, seed=options.seed, log=lambda line: print(line, flush=True))
        write_atomic(options.to, export(options.folder))
    except InkdigitError as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return exc.exit_code
    print(f"Written: {options.to}, {options.to.stat().st_size / 1000:,.0f} kB")
    return 0
