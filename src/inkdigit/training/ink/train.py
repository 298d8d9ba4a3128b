"""Train the ink network on scenes that are drawn while it learns; no scene is seen twice.

In: MNIST's training digits and a folder. Out: the trained network; in the folder its checkpoint, written every
`SAVE_STEPS` steps, from which another call goes on, and the losses, `log.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from inkdigit.synth.scenes import pens, scene
from inkdigit.training.ink.net import InkNet
from inkdigit.training.network import steps as stepping
from inkdigit.types import Gray, Log, Part, silent

# Height and width of a batch of scenes, and how often it has them. Sides are multiples of 16.
SHAPES = ((144, 144), (192, 192), (112, 192), (192, 112), (80, 288), (256, 80), (48, 320), (384, 48))
SHAPE_SHARES = (0.4, 0.12, 0.1, 0.1, 0.09, 0.09, 0.05, 0.05)
BATCH = 32  # scenes
PEAK_RATE, WARM_STEPS = 3e-3, 300
WEIGHT_DECAY = 1e-4
BANK_SIZE = 12_000  # inks; a new bank every `BANK_STEPS` batches
BANK_STEPS = 1_500
SAVE_STEPS, LOG_STEPS = 500, 100
CHECKPOINT, LOSSES = "ink.safetensors", "log.csv"  # files of the folder


class Scenes(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches of scenes: gray uint8 (B, H, W) and truth uint8 (B, 3, H, W), from number `first` on."""

    def __init__(self, images: Gray, *, seed: int, first: int, last: int) -> None:
        """`images` (N, 28, 28) are the digits to write."""
        self.images, self.seed, self.first, self.last = images, seed, first, last

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw one batch after the other: each has a random generator of its own, and so has each bank."""
        for i in range(self.first, self.last):
            if i == self.first or i % BANK_STEPS == 0:
                rng = np.random.default_rng([self.seed, 1, i // BANK_STEPS])
                bank = pens.bank(self.images, rng=rng, size=BANK_SIZE)
            gray, truth = draw_batch(bank, np.random.default_rng([self.seed, 2, i]))
            yield torch.from_numpy(gray), torch.from_numpy(truth)


def draw_batch(bank: pens.Bank, rng: np.random.Generator) -> tuple[Gray, NDArray[np.uint8]]:
    """`BATCH` scenes of one random shape: gray (B, H, W), truth (B, 3, H, W)."""
    shape = SHAPES[rng.choice(len(SHAPES), p=SHAPE_SHARES)]
    scenes = [scene.draw(bank, shape, rng) for _ in range(BATCH)]
    return np.stack([s.gray for s in scenes]), np.stack([s.truth for s in scenes])


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """The cross-entropy between the true shares of each pixel and the predicted ones."""
    marks = truth.float() / 255
    shares = torch.cat([(1 - marks.sum(1, keepdim=True)).clamp(min=0), marks], 1)
    return -(shares * functional.log_softmax(logits, 1)).sum(1).mean()


def train(part: Part, folder: Path, *, steps: int, seed: int, log: Log = silent) -> InkNet:
    """Train for `steps` batches, going on from the checkpoint in `folder` if there is one.

    `part` holds the digits to write. One process draws while this one learns.
    """
    torch.manual_seed(seed)
    net: InkNet = InkNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=steps + 1, pct_start=min(0.3, WARM_STEPS / steps)
    )
    first = stepping.resume(folder / CHECKPOINT, net, optimizer, schedule)
    loader = DataLoader(
        Scenes(part.images, seed=seed, first=first, last=steps), batch_size=None, num_workers=1, prefetch_factor=8
    )
    losses = stepping.Losses(folder / LOSSES, steps=steps, every=LOG_STEPS, log=log)
    for step, (gray, truth) in enumerate(loader, first + 1):
        net.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(gray[:, None].float().contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits.float(), truth)
        stepping.descend(loss, net, optimizer, schedule)
        losses.add(step, loss)
        if step % SAVE_STEPS == 0 or step == steps:
            stepping.save(folder / CHECKPOINT, step, net, optimizer)
    return net
