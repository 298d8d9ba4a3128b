"""Train the cell network on cells that are drawn while it learns; no cell is seen twice.

In: MNIST's training digits and a folder. Out: the trained network; in the folder its checkpoint, written every
`SAVE_STEPS` steps, from which another call goes on, and the losses, `log.csv`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from inkdigit.training.cell import scenes
from inkdigit.training.cell.net import CellNet
from inkdigit.training.device import CPU, has_bfloat16
from inkdigit.training.network import steps as stepping
from inkdigit.training.network.muon import Muon
from inkdigit.types import Log, Part, silent

BATCH = 128  # cells, all of one resolution
PEAK_RATE, WARM_SHARE = 0.05, 0.1
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-3
PRINTS, HANDS = 12_000, 90_000  # inks
SAVE_STEPS, LOG_STEPS = 500, 100
CHECKPOINT, LOSSES = "cell.safetensors", "log.csv"  # files of the folder


def train(part: Part, folder: Path, *, steps: int, seed: int, log: Log = silent) -> CellNet:
    """Train for `steps` batches, going on from the checkpoint in `folder` if there is one.

    `part` holds digits 28×28 by hand.
    """
    torch.manual_seed(seed)
    net: CellNet = CellNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Muon(net.parameters(), PEAK_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=steps + 1, pct_start=WARM_SHARE, cycle_momentum=False
    )
    first = stepping.resume(folder / CHECKPOINT, net, optimizer, schedule)
    bank = scenes.bank(part, prints=PRINTS, hands=HANDS, seed=seed)
    losses = stepping.Losses(folder / LOSSES, steps=steps, every=LOG_STEPS, log=log)
    net.train()
    for step in range(first + 1, steps + 1):
        cells, labels = scenes.draw(bank, BATCH, torch.Generator().manual_seed(seed * 10**6 + step))
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16(CPU)):
            logits = net(cells.float().contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), labels)
        stepping.descend(loss, net, optimizer, schedule)
        losses.add(step, loss)
        if step % SAVE_STEPS == 0 or step == steps:
            stepping.save(folder / CHECKPOINT, step, net, optimizer)
    return net
