"""Train the line reader, and write the file that the package ships.

    python -m inkdigit.training.line FOLDER [--lines N] [--epochs N] [--seed S] [--data mnist] [--to FILE]

The folder holds the composed lines and the checkpoint; the same command goes on from them.
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
from inkdigit.model.provenance import Data, Provenance
from inkdigit.reading.reader import READER
from inkdigit.training.line.export import export
from inkdigit.training.line.pools import POOL, fill, read
from inkdigit.training.line.train import train


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the lines, the checkpoint and the losses")
    parser.add_argument("--lines", type=int, default=100_000, help="how many are composed")
    parser.add_argument("--epochs", type=int, default=8, help="how often each is seen")
    parser.add_argument("--seed", type=int, default=0, help="the random seed")
    parser.add_argument("--data", default="mnist", help="the digits to write")
    parser.add_argument("--to", type=Path, default=READER, help="the file to write")
    parser.add_argument("--threads", type=int, default=2, help="of the network")
    options = parser.parse_args(argv)

    def log(line: str) -> None:
        print(line, flush=True)

    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        dataset = open_data(options.data)
        paths = fill(dataset.train, options.folder, pools=1 - (-options.lines // POOL), seed=options.seed, log=log)
        torch.set_num_threads(options.threads)
        held_out, *pools = (read(path) for path in paths)
        train(pools, options.folder, epochs=options.epochs, seed=options.seed, log=log)
        learned = Data(dataset.name, dataset.sha256, train=len(dataset.train))
        provenance = Provenance(data=learned, seed=options.seed, drawn=f"{len(pools) * POOL:,} composed lines")
        write_atomic(options.to, export(options.folder, held_out, name="line", provenance=provenance))
    except InkdigitError as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return exc.exit_code
    print(f"Written: {options.to}, {options.to.stat().st_size / 1000:,.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
