"""The share of one process in a training that several do together: each takes its images of every batch.

In: a rank among so many processes, which `torch.distributed` has connected. Out: the rows of a batch, and sums over all
processes. One message a step: the gradients with the loss, so that every process makes the same step and knows the same
figures. A process that is alone sends nothing, and computes what it always did.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

SEEDS = 2**52  # between the random seeds of two ranks: more than a seed and an epoch make (2**31 seeds, a million each)


@dataclass(frozen=True, slots=True)
class Share:
    """One of `of` processes, the number `rank` (from 0)."""

    rank: int = 0
    of: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the process that writes."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Its images of a batch: as many as the others have, or one more."""
        return slice(batch * self.rank // self.of, batch * (self.rank + 1) // self.of)

    def seed(self, seed: int) -> int:
        """A random seed for what each process draws for its own images, as dropout does."""
        return seed + self.rank * SEEDS

    @torch.no_grad()
    def add_up(self, net: nn.Module, figures: Tensor) -> Tensor:
        """Sum the gradients of `net` in place, and `figures` (n,), over all processes; return the sums of the figures.

        A loss that was weighted with the part of the batch that it is the mean of becomes that of the whole batch.
        """
        if self.of == 1:
            return figures
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        message = torch.cat([*(grad.flatten() for grad in grads), figures])
        distributed.all_reduce(message)
        *sums, total = _split(message, [*(grad.numel() for grad in grads), len(figures)])
        for grad, flat in zip(grads, sums, strict=True):
            grad.copy_(flat.view(grad.shape))
        return total

    @torch.no_grad()
    def average_statistics(self, net: nn.Module) -> None:
        """Batch norm's running mean and variance become the mean of all processes: each saw its own images only."""
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        if self.of == 1 or not norms:
            return
        running = [value for m in norms for value in (m.running_mean, m.running_var) if value is not None]
        message = torch.cat(running)
        distributed.all_reduce(message)
        for value, mean in zip(running, _split(message / self.of, [len(value) for value in running]), strict=True):
            value.copy_(mean)

    def agree(self, *figures: float) -> list[float]:
        """The figures of the first process, so that all decide the same by them."""
        if self.of == 1:
            return list(figures)
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        message = torch.tensor(figures, dtype=torch.float64, device=device)
        distributed.broadcast(message, src=0)
        return [float(figure) for figure in message]


def _split(message: Tensor, lengths: list[int]) -> tuple[Tensor, ...]:
    pieces: tuple[Tensor, ...] = message.split(lengths)  # type: ignore[no-untyped-call]
    return pieces


ALONE = Share()
