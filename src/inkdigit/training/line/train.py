"""Train the line reader on composed numbers.

In: pools of lines and a folder. Out: the trained network; in the folder its checkpoint, written every `SAVE_STEPS`
steps, from which another call goes on, and the losses, `log.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inkdigit.reading.view import STRIDE_PX
from inkdigit.runs import LINE_CHECKPOINT, LINE_LOSSES
from inkdigit.training.line.net import LineNet
from inkdigit.training.line.pools import Pool
from inkdigit.training.network import steps as stepping
from inkdigit.training.network.muon import Muon
from inkdigit.types import ALPHABET, Gray, Log, silent

BATCH = 32  # lines
PEAK_RATE, START_RATE, WARM_SHARE = 0.1, 0.008, 0.1  # from the beginning, and from weights that read already
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-3
GRAY_DROPPED = 0.25  # of the lines have no gray levels: reading from the ink alone must work, too
SHIFT_PX, ZOOM, STRETCH = 2.5, 0.15, 0.22  # up or down; of the height, and of the width, as logarithms
LEAN, STEEPEST = 0.15, 0.4  # how far to the right a height moves the top: the standard deviation, and the most
CONTRAST = (0.6, 1.3)  # of the gray levels
SAVE_STEPS, LOG_STEPS = 500, 100


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of about the same width."""

    views: Tensor  # uint8 (B, 2, 48, W)
    widths: Tensor  # int64 (B,): of each view before it was padded
    targets: Tensor  # int64 (sum of lengths,): characters, from 1 up
    lengths: Tensor  # int64 (B,)


def batches(pools: Sequence[Pool], rng: np.random.Generator | None, *, shift_px: float = SHIFT_PX) -> Iterator[Batch]:
    """All lines of some pools, those of a batch of about the same width; with `rng` in random order and changed."""
    drawn = [(seen, text) for pool in pools for seen, text in zip(pool.each(), pool.texts, strict=True)]
    widths = np.array([seen.shape[2] for seen, _ in drawn])
    if rng is not None:
        widths = widths * rng.uniform(0.8, 1.25, len(drawn))
    order = np.argsort(widths)
    groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    for i in range(len(groups)) if rng is None else rng.permutation(len(groups)):
        some = [drawn[k] for k in groups[i].tolist()]
        yield collate(some if rng is None else [(_changed(seen, rng, shift_px), text) for seen, text in some])


def _changed(seen: Gray, rng: np.random.Generator, shift_px: float) -> Gray:
    """A view (2, h, w), moved up or down, stretched, leaning, of other contrast; in some there is only the ink."""
    _, height, width = seen.shape
    zoom, stretch = np.exp(rng.uniform(-ZOOM, ZOOM)), np.exp(rng.uniform(-STRETCH, STRETCH))
    lean = float(np.clip(rng.normal(0, LEAN), -STEEPEST, STEEPEST))
    room = abs(lean) * height / 2  # on each side, for what leans
    middle = np.arange(height) + 0.5 - height / 2
    rows = (middle / zoom + height / 2 + rng.uniform(-shift_px, shift_px))[:, None]
    columns = (np.arange(max(16, round((width + 2 * room) * stretch))) + 0.5) / stretch - room + lean * middle[:, None]
    at = (np.clip(places, 0, size - 1).astype(np.intp) for places, size in ((rows, height), (columns, width)))
    changed: Gray = seen[:, *at]
    changed[1] *= (columns > -1) & (columns < width + 1)  # no ink beside the view
    if rng.random() < GRAY_DROPPED:
        changed[0] = 0
    else:
        level = 128 + (changed[0] - 128.0) * rng.uniform(*CONTRAST)
        changed[0] = np.clip(level, 0, 255)
    return changed


def collate(drawn: Sequence[tuple[Gray, str]]) -> Batch:
    """A batch of views, padded with nothing on the right to a multiple of 16."""
    widths = np.array([seen.shape[2] for seen, _ in drawn])
    views = np.zeros((len(drawn), *drawn[0][0].shape[:2], -(-int(widths.max()) // 16) * 16), np.uint8)
    for i, (seen, _) in enumerate(drawn):
        views[i, :, :, : seen.shape[2]] = seen
    targets = np.concatenate([encode(text) for _, text in drawn])
    lengths = np.array([len(text) for _, text in drawn])
    return Batch(*(torch.from_numpy(array) for array in (views, widths, targets, lengths)))


def encode(text: str) -> NDArray[np.int64]:
    """The numbers of the characters of a text, from 1 up; 0 is the blank."""
    return np.array([1 + ALPHABET.index(character) for character in text], np.int64)


def loss_of(log_probs: Tensor, batch: Batch, *, reduction: str = "mean") -> Tensor:
    """The CTC loss: minus the log probability of the texts, by default a character."""
    steps = -(-batch.widths // STRIDE_PX)
    return functional.ctc_loss(
        log_probs.transpose(0, 1), batch.targets, steps, batch.lengths, reduction=reduction, zero_infinity=True
    )


def steps_of(pools: Sequence[Pool]) -> int:
    """How many batches an epoch has."""
    return -(-sum(len(pool.texts) for pool in pools) // BATCH)


def train(
    pools: Sequence[Pool],
    folder: Path,
    *,
    steps: int,
    seed: int,
    start: LineNet | None = None,
    rate: float | None = None,
    shift_px: float = SHIFT_PX,
    log: Log = silent,
) -> LineNet:
    """Train for so many batches, going on from the checkpoint in `folder` if there is one.

    `start` has read before. `rate` is the highest learning rate.
    """
    torch.manual_seed(seed)
    net = LineNet(len(ALPHABET)) if start is None else start
    rate = rate or (PEAK_RATE if start is None else START_RATE)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Muon(net.parameters(), rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    each = steps_of(pools)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps + 1, pct_start=WARM_SHARE, cycle_momentum=False
    )
    path = folder / LINE_CHECKPOINT
    step = stepping.resume(path, net, optimizer, schedule)
    losses = stepping.Losses(folder / LINE_LOSSES, steps=steps, every=LOG_STEPS, log=log)
    net.train()
    while step < steps:
        epoch, within = divmod(step, each)
        for i, batch in enumerate(batches(pools, np.random.default_rng([seed, 4, epoch]), shift_px=shift_px)):
            if i < within:
                continue
            if step == steps:
                break
            with torch.autocast("cpu", torch.bfloat16):
                log_probs = net(batch.views.contiguous(memory_format=torch.channels_last))
            loss = loss_of(log_probs, batch)
            stepping.descend(loss, net, optimizer, schedule, max_norm=2.0)
            step += 1
            losses.add(step, loss)
            if step % SAVE_STEPS == 0 or step == steps:
                stepping.save(path, step, net, optimizer)
    return net
