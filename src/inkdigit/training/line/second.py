"""Train the second reader, and write the file that the package ships: `reading/second.onnx`.

    python -m inkdigit.training.line.second FOLDER [--steps N] [--seed S] [--data mnist] [--threads N] [--to FILE]

It begins with the weights of the bundled line reader and a high learning rate, so that it becomes another network. It
sees low views of the lines, and none that nobody can read. The folder holds the composed lines and the checkpoint; the
same command goes on from it. About three hours on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.nn import functional

from inkdigit.reading import ctc
from inkdigit.reading.reader import Reader
from inkdigit.reading.second import METADATA_KEY, SECOND, VERSION
from inkdigit.reading.view import LOW_PX, low
from inkdigit.runs import LINE_CHECKPOINT
from inkdigit.training import shipped
from inkdigit.training.convert.packed import packed_bytes
from inkdigit.training.line.export import checked, graph_of
from inkdigit.training.line.net import LineNet
from inkdigit.training.line.pools import Pool, fill, path_of, read
from inkdigit.training.line.start import net_of
from inkdigit.training.line.train import train as train_line
from inkdigit.training.network.steps import read_net
from inkdigit.types import ALPHABET, Gray, Log, Part, silent

STEPS = 28_000
POOLS = 436  # of lines; the first trains nothing
RATE = 0.025  # the highest learning rate: three times that of a reader that only learns on
SHIFT_PX = 1.2  # up or down: there is hardly any paper above and below the ink
LEAST = -8.0  # the log probability, for the line reader, of the text of a line that somebody can read


def train(part: Part, folder: Path, *, steps: int, seed: int, log: Log = silent) -> LineNet:
    """Compose lines of the digits of `part`, and train for `steps` batches."""
    reader = Reader.load()
    paths = fill(part, folder, pools=POOLS, seed=seed, log=log)
    some = [_low(read(path), reader) for path in paths[1:]]
    start = lower(net_of(reader.path, read(paths[1])))
    return train_line(some, folder, steps=steps, seed=seed, start=start, rate=RATE, shift_px=SHIFT_PX, log=log)


def _low(pool: Pool, reader: Reader | None = None) -> Pool:
    """The lines of a pool as the second reader sees them; with `reader` those that somebody can read."""
    lines = [
        (low(seen), text)
        for seen, text in zip(pool.each(), pool.texts, strict=True)
        if reader is None or not text or _log_prob(reader, seen, text) > LEAST
    ]
    views, texts = zip(*lines, strict=True)
    return Pool(np.concatenate(views, 2), np.array([seen.shape[2] for seen in views]), texts)


def _log_prob(reader: Reader, seen: Gray, text: str) -> float:
    rows = reader.log_probs(seen[None]).astype(np.float64)
    return float(ctc.probabilities(rows, [text], reader.alphabet)[0, 0])


def lower(net: LineNet) -> LineNet:
    """The same network for views 32 pixels high: the filter over all rows, of 3, is squeezed into 2."""
    small = LineNet(len(ALPHABET), height_px=LOW_PX)
    weights = net.state_dict()
    for name, weight in small.state_dict().items():
        if weights[name].shape != weight.shape:
            high, rows = weights[name].squeeze(3), weight.shape[2]
            squeezed = functional.interpolate(high, size=rows, mode="linear") * high.shape[2] / rows
            weights[name] = squeezed.unsqueeze(3)
    small.load_state_dict(weights)
    return small


def export(folder: Path) -> bytes:
    """The bytes of the file; the first pool of the folder gives the temperature.

    Raises:
        ParityError: it does not give what the network gives.
    """
    held_out = _low(read(path_of(folder, 0)))
    net = LineNet(len(ALPHABET), height_px=LOW_PX)
    step = read_net(folder / LINE_CHECKPOINT, net)
    model, answering, views = graph_of(net, held_out)
    data = packed_bytes(model, key=METADATA_KEY, version=VERSION, step=step)
    checked(data, answering, views)
    return data


def main(argv: Sequence[str] | None = None) -> int:
    """Train and export, as the arguments say."""
    return shipped.main(__doc__, train, export, to=SECOND, steps=STEPS, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
