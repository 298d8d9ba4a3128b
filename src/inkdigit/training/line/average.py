"""The mean of the weights with which a training began and of those with which it ended.

In: both networks, and lines. Out: the network, of a few shares of both, that reads lines best which trained nothing. A
network that learned on from another one is often better between them than at either end (Wortsman et al. 2022, Robust
fine-tuning of zero-shot models).
"""

from __future__ import annotations

from copy import deepcopy
from itertools import islice

import numpy as np
import torch
from torch import nn

from inkdigit.training.line.net import LineNet
from inkdigit.training.line.pools import Pool
from inkdigit.training.line.train import batches, loss_of
from inkdigit.types import Log, silent

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the trained weights; the others are of the beginning: a training may bring nothing
BATCHES = 16  # of lines, for the statistics of the batch norms


def between(start: LineNet, trained: LineNet, *, pool: Pool, held_out: Pool, log: Log = silent) -> LineNet:
    """The best of `trained` and networks between both; `pool` gives the statistics, `held_out` decides."""
    best, least = trained, loss(trained, held_out)
    log(f"Lines that trained nothing: loss {least:.4f}")
    for share in SHARES:
        mixed = _mixed(start, trained, share, pool)
        own = loss(mixed, held_out)
        log(f"The same with {share:.0%} of these weights, the others as at the beginning: loss {own:.4f}")
        if own < least:
            best, least = mixed, own
    return best


def _mixed(start: LineNet, trained: LineNet, share: float, pool: Pool) -> LineNet:
    """The weighted mean of all weights, with the statistics that it has on the lines of a pool."""
    net, before = deepcopy(trained), start.state_dict()
    with torch.no_grad():
        for name, weight in net.state_dict().items():
            if weight.dtype.is_floating_point:
                weight.mul_(share).add_(before[name], alpha=1 - share)
    net.train()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches
        if isinstance(layer, nn.Dropout):
            layer.eval()
    with torch.no_grad():
        for batch in islice(batches([pool], np.random.default_rng(0)), BATCHES):
            net(batch.views)
    return net.eval()


def loss(net: LineNet, pool: Pool) -> float:
    """The CTC loss of a network on the lines of a pool, a character."""
    total, characters = 0.0, 0
    net.eval()
    with torch.no_grad():
        for batch in batches([pool], None):
            total += float(loss_of(net(batch.views), batch, reduction="sum"))
            characters += int(batch.lengths.sum())
    return total / max(1, characters)
