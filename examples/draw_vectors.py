"""Draw the test vectors of preprocessing: `python examples/draw_vectors.py [FILE]`.

In: fixed random seeds. Out: `vectors.json` in FILE, by default that of the package: small pictures, and the 28×28 image
that preprocessing makes of each, or null where the picture is not clean. Each run writes the same bytes.
docs/preprocessing.md says what the fields mean.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import VERSION, is_clean, prepare
from inkdigit.synth.drawn import digit

FILE = Path(__file__).parents[1] / "src/inkdigit/picture/vectors.json"

WHITE = (255, 255, 255)

Pixels = NDArray[np.uint8]  # (H, W), (H, W, 3) or (H, W, 4)


def ink(label: int, size_px: int, *, thickness: float = 0.1, variant: int = 0) -> Pixels:
    """A digit cropped to its ink; its longest side is `size_px`, or a pixel less."""
    side, crop = size_px, np.zeros((1, 1), np.uint8)
    while max(crop.shape) < size_px - 1:
        rng = np.random.default_rng([7, label])
        whole = digit(label, rng=rng, size_px=side, thickness=thickness, variant=variant)
        rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
        crop = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        side += 1
    return crop


def on(height: int, width: int, *crops: tuple[Pixels, int, int]) -> Pixels:
    """An empty picture with each crop at its place: (crop, top, left)."""
    out = np.zeros((height, width), np.uint8)
    for crop, top, left in crops:
        out[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return out


def full(height: int, width: int, level: int = 255) -> Pixels:
    return np.full((height, width), level, np.uint8)


def dimmed(gray: Pixels, strongest: int) -> Pixels:
    return np.asarray(gray.astype(int) * strongest // 255, np.uint8)


def coloured(cover: Pixels, pen: tuple[int, int, int], paper: tuple[int, int, int]) -> Pixels:
    """Ink of one colour on paper of another: uint8 (H, W, 3)."""
    share = cover[..., None].astype(int)
    return np.asarray((np.array(pen) * share + np.array(paper) * (255 - share) + 127) // 255, np.uint8)


def transparent(cover: Pixels, pen: tuple[int, int, int]) -> Pixels:
    """Ink of one colour on nothing: uint8 (H, W, 4)."""
    colour = np.broadcast_to(np.array(pen, np.uint8), (*cover.shape, 3))
    return np.concatenate([colour, cover[..., None]], axis=2)


def pieces(below: int) -> tuple[tuple[Pixels, int, int], tuple[Pixels, int, int]]:
    """Two pieces, the lower one from row `below` on, as `on` takes them."""
    return (full(6, 4), 1, 2), (full(8, 6), below, 2)


def ring(side: int, thickness: int) -> Pixels:
    out = full(side, side)
    out[thickness:-thickness, thickness:-thickness] = 0
    return out


def rough(height: int, width: int) -> Pixels:
    """A full box of levels from 200 on, chosen so that one sum is near the middle between two whole numbers."""
    rows, columns = np.mgrid[:height, :width]
    return np.asarray(200 + (47 * rows + 19 * columns) % 56, np.uint8)


def bottom_heavy() -> Pixels:
    """A thin line, 20 px high, with a foot: its centre of mass would lift it out of the image."""
    out = full(20, 12, 0)
    out[:17, 5] = 30
    out[17:] = 255
    return out


def touching() -> Pixels:
    """A stroke of 24 px with a whisker of two pixels, so faint that it would be rounded to nothing."""
    out = full(24, 8)
    out[:, :2] = 0
    out[12, :2] = 1
    return out


def haloed() -> Pixels:
    """A stroke with a faint blot beside it, in one piece: 24 px, of which 12 are strong."""
    out = full(24, 20, 90)
    out[6:18, 8:12] = 250
    return out


def border_inked(pixels: int) -> Pixels:
    """28×28, ink 24 px wide in one piece, with that many pixels on the border."""
    out = full(28, 28, 0)
    out[1:9, 2:26] = 240
    out[0, 2 : 2 + pixels] = 240
    return out


def of_ink() -> list[tuple[str, str, Pixels]]:
    """Pictures for the kind `ink`: name, what it shows, pixels."""
    seven, five, three, nine = ink(7, 16), ink(5, 16, variant=1), ink(3, 20), ink(9, 24)
    in_place = prepare(on(28, 28, (three, 2, 3)))
    return [
        ("blank", "no ink: all zero", full(5, 3, 0)),
        ("blank-white", "white paper alone is blank, too: the inverse is looked at", full(6, 9)),
        ("in-place", "20 px and in its place: nothing changes", in_place),
        ("moved", "20 px in a corner: moved, not scaled", on(28, 28, (three, 0, 28 - three.shape[1]))),
        ("19-px", "19 px long: not scaled either", on(21, 7, (full(19, 4), 1, 1))),
        ("8x8", "as scikit-learn's digits: a picture of 8×8, enlarged", np.pad(ink(4, 8), 1)[:8, :8]),
        ("16x16", "as USPS: 16×16, cropped tightly", on(16, 16, (seven, 0, 3))),
        ("24-px", "reduced from 24 px", np.pad(nine, 1)),
        ("32-px", "the largest ink that is clean", ink(6, 32, thickness=0.06)),
        ("margins", "zeros around a picture change nothing: as 16x16", on(27, 30, (seven, 9, 16))),
        ("inverted", "black on white", 255 - np.pad(five, 1)),
        ("dim", "dim ink is made as strong as any", np.pad(dimmed(five, 96), 1)),
        ("strongest-199", "the strongest that is dim", np.pad(dimmed(ink(1, 12), 199), 2)),
        ("strongest-200", "the weakest that is not, and needs no scaling", np.pad(dimmed(ink(1, 20), 200), 2)),
        ("one-pixel", "a single pixel becomes a square", on(3, 4, (full(1, 1), 1, 2))),
        ("wide", "a line: 32×5", np.pad(full(5, 32), 1)),
        ("tall", "a line, 25×5: columns before rows give another level", np.pad(rough(25, 5), 1)),
        ("half-down", "1×8 becomes 2×20: 2.5 is rounded to the even number", np.pad(full(8, 1), 1)),
        ("half-up", "3×8 becomes 8×20: 7.5 is, too", np.pad(full(8, 3), 1)),
        ("touched", "a pixel that ink only touches is 1, not 0", np.pad(touching(), 1)),
        ("clamped", "the centre of mass is at 14 only as far as there is room", np.pad(bottom_heavy(), 1)),
        ("pieces-20-px", "ink of 20 px is not examined: pieces are clean", on(22, 9, *pieces(13))),
        ("frame-20-px", "for the same reason a frame", np.pad(ring(20, 2), 1)),
        ("border-10", "28×28: ten inked pixels of the border are clean", border_inked(10)),
        ("rgba", "a dark pen on nothing: put on white", transparent(five, (74, 32, 140))),
        ("rgba-white", "a white pen on nothing: put on black", transparent(np.pad(ink(3, 10), 1), WHITE)),
        ("rgb", "a blue pen on white: luminance", coloured(np.pad(five, 1), (28, 48, 132), WHITE)),
        ("rgb-yellow", "yellow on white: the blue channel", coloured(np.pad(seven, 1), (255, 240, 40), WHITE)),
        ("not-33-px", "ink of 33 px", np.pad(full(33, 5), 1)),
        ("not-pieces", "two pieces, 16 px", on(18, 9, *pieces(9))),
        ("not-frame", "a frame of 14 px", np.pad(ring(14, 1), 1)),
        ("not-blots", "ink with a faint blot, 24 px", np.pad(haloed(), 1)),
        ("not-black", "a background of 1, not 0", np.pad(five, 1) // 2 + 1),
        ("not-border-11", "28×28: eleven inked pixels of the border are not", border_inked(11)),
        ("not-full", "nothing but ink, black and white", np.pad(full(14, 14), 1, constant_values=90)),
    ]  # fmt: skip


def of_plain() -> list[tuple[str, str, Pixels]]:
    """Pictures for the kind `plain`: name, what it shows, pixels."""
    y, x = np.mgrid[:28, :37]
    shades = np.asarray((7 * x + 3 * y * y) % 256, np.uint8)
    return [
        ("plain-28", "28×28: nothing changes", shades[:, :28]),
        ("plain-wide", "reduced, and padded above and below", shades),
        ("plain-tall", "enlarged, and padded at both sides", shades[:20, :9]),
        ("plain-one", "a single pixel fills the image", full(1, 1, 77)),
    ]


def vector(name: str, what: str, pixels: Pixels, kind: str) -> dict[str, Any]:
    """One test vector as JSON; `expected` is null where the picture is not clean."""
    gray = decode(pixels)
    clean = kind == "plain" or is_clean(gray) or is_clean(np.asarray(255 - gray, np.uint8))
    if clean == name.startswith("not-"):
        raise SystemExit(f"{name}: this picture is {'' if clean else 'not '}clean")
    return {
        "name": name,
        "what": what,
        "kind": kind,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "channels": pixels.shape[2] if pixels.ndim == 3 else 1,
        "pixels": b64encode(np.ascontiguousarray(pixels).tobytes()).decode(),
        "expected": b64encode(prepare(gray, kind).tobytes()).decode() if clean else None,
    }


def vectors() -> str:
    """The text of the file."""
    drawn = [(*one, kind) for kind, some in (("ink", of_ink()), ("plain", of_plain())) for one in some]
    lines = ",\n".join(json.dumps(vector(*one), ensure_ascii=False) for one in drawn)
    return f'{{"prepare_version": {VERSION}, "vectors": [\n{lines}\n]}}\n'


def main(file: Path) -> None:
    file.write_bytes(vectors().encode())
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
