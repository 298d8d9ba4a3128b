"""Augmentation: each range does what its name says, within bounds, and the same generator gives the same image."""

from __future__ import annotations

import pytest
import torch

from inkdigit.training.network.augment import augment

from ..conftest import tiny

EVERYTHING = {
    "rotate_deg": 15,
    "shift_px": 2,
    "zoom": 0.1,
    "squish": 0.1,
    "shear": 0.2,
    "elastic_px": 1.5,
    "thickness": 0.5,
    "erase_px": 6,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dots(n: int = 64, *, row: int = 14, column: int = 14) -> torch.Tensor:
    """`n` images of one soft dot, uint8 (n, 28, 28), whose place can be measured to a fraction of a pixel."""
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    dot = 255 * torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    return dot.to(torch.uint8).expand(n, 28, 28)


def places(pictures: torch.Tensor) -> torch.Tensor:
    """The centre of mass of each of (n, 1, 28, 28): (n, 2), row and column."""
    at = torch.arange(28.0)
    mass = pictures.squeeze(1)
    total = mass.sum((1, 2))
    return torch.stack([(mass.sum(2) * at).sum(1) / total, (mass.sum(1) * at).sum(1) / total], dim=1)


def test_without_ranges_an_image_is_unchanged():
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    out = augment(images, tiny(), generator=generator())
    assert torch.equal(out, images.unsqueeze(1).float())


@pytest.mark.parametrize("key", EVERYTHING)
def test_each_range_alone_changes_images(key, easy):
    images = torch.from_numpy(easy.images[:16])
    recipe = tiny(**{key: EVERYTHING[key]})
    out = augment(images, recipe, generator=generator())
    assert not torch.equal(out, images.unsqueeze(1).float())


def test_shape_type_and_bounds(easy):
    images = torch.from_numpy(easy.images)
    out = augment(images, tiny(**EVERYTHING), generator=generator())
    assert (out.shape, out.dtype) == ((len(images), 1, 28, 28), torch.float32)
    assert float(out.min()) >= 0
    assert float(out.max()) <= 255.001
    assert images.dtype == torch.uint8  # untouched


def test_the_same_generator_seed_gives_the_same_images(easy):
    images = torch.from_numpy(easy.images[:8])
    first, again, other = (augment(images, tiny(**EVERYTHING), generator=generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_two_images_of_a_batch_change_alike():
    moved = places(augment(dots(), tiny(shift_px=3), generator=generator()))
    assert len({tuple(row) for row in moved.tolist()}) == 64


def test_a_shift_stays_within_its_pixels_and_uses_them():
    moved = places(augment(dots(256), tiny(shift_px=3), generator=generator())) - 14
    assert float(moved.abs().max()) <= 3.05
    assert float(moved.max()) > 2.5
    assert float(moved.min()) < -2.5
    assert float(moved.mean(0).abs().max()) < 0.4


def test_a_rotation_turns_around_the_middle():
    off = places(augment(dots(256, row=13, column=22), tiny(rotate_deg=30), generator=generator())) - 13.5
    radius = off.square().sum(1).sqrt()
    angle = torch.atan2(off[:, 0], off[:, 1]).rad2deg()
    assert float((radius - radius.mean()).abs().max()) < 0.2
    assert 25 < float(angle.max()) <= 32  # the dot lies 3.4° off the axis
    assert -34.5 <= float(angle.min()) < -25


def test_a_zoom_keeps_the_middle_and_changes_the_size():
    out = augment(dots(256, row=14, column=20), tiny(zoom=0.2), generator=generator())
    off = places(out)[:, 1] - 13.5
    assert 1.12 * 6.5 < float(off.max()) <= 1.21 * 6.5
    assert 0.79 * 6.5 <= float(off.min()) < 0.88 * 6.5


def test_a_squish_changes_the_width_alone():
    off = places(augment(dots(128, row=20, column=20), tiny(squish=0.2), generator=generator())) - 13.5
    assert float((off[:, 0] - 6.5).abs().max()) < 0.1
    assert float(off[:, 1].max() - off[:, 1].min()) > 1.5


def test_a_shear_moves_rows_sideways_by_their_height():
    off = places(augment(dots(128, row=20, column=14), tiny(shear=0.3), generator=generator())) - 13.5
    assert float((off[:, 0] - 6.5).abs().max()) < 0.1
    assert 0.25 * 6.5 < float((off[:, 1] - 0.5).abs().max()) <= 0.31 * 6.5


def test_an_elastic_field_is_smooth_and_has_the_stated_size():
    moved = places(augment(dots(512), tiny(elastic_px=1.5), generator=generator())) - 14
    assert float(moved.mean(0).abs().max()) < 0.2
    assert 0.8 < float(moved.std()) < 1.6  # a dot averages the field over itself


def test_one_square_is_erased_somewhere():
    paper = torch.full((200, 28, 28), 255, dtype=torch.uint8)
    out = augment(paper, tiny(erase_px=6), generator=generator())
    assert set(out.unique().tolist()) == {0, 255}
    erased = (out == 0).sum((1, 2, 3))
    assert int(erased.max()) == 36
    assert int(erased.min()) >= 1  # over the edge in part, never wholly
    assert ((out == 0).sum(0) > 0).all()  # every pixel is hit at some time


def test_a_shift_that_stays_inside_cuts_no_ink():
    near_a_corner = dots(256, row=3, column=24).clone()
    near_a_corner[near_a_corner < 40] = 0  # ink in rows 0–6 and columns 21–27
    mass = float(near_a_corner[0].sum())
    out = augment(near_a_corner, tiny(shift_px=6, shift_inside=True), generator=generator())
    assert torch.allclose(out.sum((1, 2, 3)), torch.tensor(mass), rtol=1e-3)
    moved = places(out) - torch.tensor([3.0, 24.0])
    assert float(moved[:, 0].min()) >= -0.6  # the margin above is half a pixel of soft ink
    assert float(moved[:, 1].max()) <= 0.6
    assert float(moved[:, 0].max()) > 5.5
    cut = augment(near_a_corner, tiny(shift_px=6), generator=generator())
    assert float(cut.sum((1, 2, 3)).min()) < 0.7 * mass


def test_paper_without_ink_does_not_mind():
    blank = torch.zeros(4, 28, 28, dtype=torch.uint8)
    assert not augment(blank, tiny(**EVERYTHING, shift_inside=True), generator=generator()).any()


def test_strokes_become_thinner_and_thicker_where_they_are():
    stroke = torch.zeros(64, 28, 28, dtype=torch.uint8)
    stroke[:, 4:24, 13:15] = 255
    out = augment(stroke, tiny(thickness=0.5), generator=generator())
    ink = out.sum((1, 2, 3)) / float(stroke[0].sum())
    assert 0.4 < float(ink.min()) < 0.7
    assert 1.4 < float(ink.max()) < 1.7
    assert torch.allclose(places(out), places(stroke[:, None].float()), atol=0.01)
