"""The lines that the reader is trained on: composed once, by all cores, and stored in pools.

In: digits by writer, a folder and a number of pools. Out: files `pool-0007.npz` in the folder, of `POOL` lines each:
their views side by side, their widths, and their texts. The random seed and the number of a pool decide it; one that is
there is not composed again.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from inkdigit.files import write_atomic
from inkdigit.machine import cores
from inkdigit.reading.view import view
from inkdigit.synth import lines
from inkdigit.synth.scenes import pens
from inkdigit.types import Gray, Log, Part, silent

POOL = 512  # lines
BANK_SIZE = 200  # inks that are beside the numbers of a pool
LEAST_SEEN = 0.65  # of the true ink must be in the view: nobody could read the rest
TRIES = 6
LOG_POOLS = 20


@dataclass(frozen=True, slots=True)
class Pool:
    """Lines as the reader sees them."""

    views: Gray  # (2, 48, sum of widths)
    widths: NDArray[np.int64]  # (n,)
    texts: tuple[str, ...]

    def each(self) -> list[Gray]:
        """The view (2, 48, w) of each line."""
        return np.split(self.views, np.cumsum(self.widths)[:-1], axis=2)


class _Composed(Dataset[int]):
    """Composes a pool where its number is asked for."""

    def __init__(self, part: Part, folder: Path, numbers: list[int], seed: int) -> None:
        self.hands, self.folder, self.numbers, self.seed = lines.Hands(part), folder, numbers, seed

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> int:
        compose(
            self.hands, path_of(self.folder, self.numbers[i]), np.random.default_rng([self.seed, 3, self.numbers[i]])
        )
        return i


def fill(part: Part, folder: Path, *, pools: int, seed: int, log: Log = silent) -> list[Path]:
    """Compose the pools that the folder lacks; the files of all."""
    missing = [i for i in range(pools) if not path_of(folder, i).exists()]
    work = DataLoader(_Composed(part, folder, missing, seed), batch_size=None, num_workers=cores())
    for done, _ in enumerate(work, 1):
        if done % LOG_POOLS == 0:
            log(f"Composed {done * POOL:,} of {len(missing) * POOL:,} lines.")
    return [path_of(folder, i) for i in range(pools)]


def path_of(folder: Path, number: int) -> Path:
    """The file of a pool."""
    return folder / f"pool-{number:04}.npz"


def compose(hands: lines.Hands, path: Path, rng: np.random.Generator) -> None:
    """Write one pool."""
    bank = pens.bank(hands.images, rng=rng, size=BANK_SIZE)
    drawn = [draw(hands, bank, rng) for _ in range(POOL)]
    widths = np.array([seen.shape[2] for seen, _ in drawn])
    file = io.BytesIO()
    views, texts = np.concatenate([seen for seen, _ in drawn], 2), [text for _, text in drawn]
    np.savez_compressed(file, views=views, widths=widths, texts=texts)
    write_atomic(path, file.getvalue())


def draw(hands: lines.Hands, bank: pens.Bank, rng: np.random.Generator) -> tuple[Gray, str]:
    """The view of a line whose ink can be seen, and its text."""
    for _ in range(TRIES):
        line = lines.compose(hands, bank, rng)
        seen = view(line.gray)
        if _seen(seen[1], line.truth) >= LEAST_SEEN:
            break
    return seen, line.text


def _seen(ink: Gray, truth: Gray) -> float:
    """The share of the true ink (H, W) that is in the ink of a view (48, w)."""
    true = np.asarray(Image.fromarray(truth).resize(ink.shape[::-1], Image.Resampling.BOX), np.float32)
    return float(np.minimum(true, ink).sum() / max(1.0, float(true.sum())))


def read(path: Path) -> Pool:
    """A pool from its file."""
    with np.load(path) as stored:
        return Pool(stored["views"], stored["widths"], tuple(stored["texts"].tolist()))
