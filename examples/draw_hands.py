"""Draw a data set to practise with: `python examples/draw_hands.py FOLDER`; `--help` names the options.

In: how many invented writers, and how many of each digit each of them writes. Out: FOLDER with one sub-folder for each
digit, as `inkdigit train --data FOLDER` takes it; small scans of ink on paper. The first `--wrong` of them lie in
the folder of another digit, for `inkdigit audit` to find. The same numbers draw the same pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from inkdigit.synth.writers import write, writer
from inkdigit.types import Gray

SIDE_PX = 56


def scan(ink: Gray, rng: np.random.Generator) -> Image.Image:
    """Ink on paper that is not quite white, with a little grain."""
    paper = rng.integers(225, 250) - (ink / 255) * rng.integers(150, 210) + rng.normal(0, 2, ink.shape)
    return Image.fromarray(np.clip(np.rint(paper), 0, 255).astype(np.uint8))


def draw(folder: Path, *, writers: int, each: int, seed: int, wrong: int) -> int:
    """Write the pictures; how many there are."""
    rng = np.random.default_rng(seed)
    made = [
        (hand, label, number, scan(write(person, label, rng=rng, size_px=SIDE_PX), rng))
        for hand in range(writers)
        for person in [writer(rng)]
        for label in range(10)
        for number in range(each)
    ]
    mislaid = {int(one) for one in np.random.default_rng(seed + 1).permutation(len(made))[:wrong]}
    for index, (hand, label, number, picture) in enumerate(made):
        inside = folder / str((label + 3) % 10 if index in mislaid else label)
        inside.mkdir(parents=True, exist_ok=True)
        picture.save(inside / f"w{hand:03}-{number}.png" if index not in mislaid else inside / f"stray-{index:05}.png")
    return len(made)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw digits of invented writers, a folder for each digit.")
    parser.add_argument("folder", type=Path)
    for name, value in {"writers": 60, "each": 3, "seed": 0, "wrong": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = vars(parser.parse_args())
    print(f"{draw(**given)} pictures in {given['folder']}")


if __name__ == "__main__":
    main()
