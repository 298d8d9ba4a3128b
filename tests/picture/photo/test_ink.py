"""The photo path on digits that are drawn, put on paper and photographed by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkdigit.picture.components import components
from inkdigit.picture.photo.ink import find
from inkdigit.picture.prepare import ink_box, prepare

from ...conftest import drawn, on_paper

SIZE = 160  # pixels
INKS = {label: drawn(label, size_px=SIZE) for label in range(10)}
CLEAN = np.stack([prepare(ink).ravel() for ink in INKS.values()]).astype(float)  # (10, 784)


def likeness(gray: np.ndarray) -> np.ndarray:
    """How much an image, once prepared, looks like each of the ten clean digits: (10,), 1 is the same."""
    prepared = prepare(gray)
    return np.corrcoef(prepared.ravel(), CLEAN)[0, 1:] if prepared.any() else np.zeros(10)


def misread(photos: Mapping[int, np.ndarray], *, at_least: float = 0.6) -> list[str]:
    """The photos (label → gray) that look like another digit, or too little like their own: one line each."""
    out = []
    for label, photo in photos.items():
        like = likeness(photo)
        if like.argmax() != label or like[label] < at_least:  # a pixel of shift costs 0.3
            out.append(f"{label} looks like {like.argmax()}, and {like[label]:.2f} like itself")
    return out


def photographed(**paper: float) -> dict[int, np.ndarray]:
    """Each digit on the same kind of paper."""
    return {label: on_paper(ink, seed=label, **paper) for label, ink in INKS.items()}


PAPERS = {
    "even": {"shadow": 0, "grain": 0},
    "a shadow": {},
    "a deep shadow": {"shadow": 120},
    "grain": {"grain": 15},
    "pencil": {"pen": 150, "shadow": 20, "grain": 3},
    "faint pencil": {"paper": 210, "pen": 185, "shadow": 5, "grain": 1},
    "dim light": {"paper": 90, "pen": 25, "shadow": 20, "grain": 2},
}


@pytest.mark.parametrize("paper", PAPERS)
def test_ink_on_paper_is_found_in_either_polarity(paper):
    photos = photographed(**PAPERS[paper])
    assert not misread(photos)
    assert not misread({label: 255 - photo for label, photo in photos.items()})


@pytest.mark.parametrize("paper", PAPERS)
def test_the_bundled_model_reads_the_ink_that_is_found(paper, default_model):
    photos = [find(photo) for photo in photographed(**PAPERS[paper]).values()]
    assert [prediction.label for prediction in default_model.predict(photos)] == list("0123456789")


def test_what_comes_out_is_the_ink_that_was_drawn_on_exactly_nothing():
    failures = []
    for label, photo in photographed().items():
        out = find(photo)
        box, drawn_box = ink_box(out), ink_box(INKS[label])
        assert box is not None
        assert drawn_box is not None
        ink = Image.fromarray(out[box]).resize(INKS[label][drawn_box].shape[::-1])
        there, drawn_there = np.asarray(ink) > 127, INKS[label][drawn_box] > 127
        if np.sum(there & drawn_there) < 0.85 * np.sum(there | drawn_there):
            failures.append(f"{label}: the ink is not what was drawn")
        if out.dtype != np.uint8 or out.max() < 250 or np.mean(out == 0) <= 0.3:
            failures.append(f"{label}: not full ink on nothing")
        if np.concatenate([out[0], out[-1], out[:, 0], out[:, -1]]).any():
            failures.append(f"{label}: there is ink at the border")
    assert not failures


def mean_likeness(**paper: float) -> float:
    """How much the ten digits, photographed and prepared, look like themselves, on average."""
    return float(np.mean([likeness(photo)[label] for label, photo in photographed(**paper).items()]))


def test_grain_costs_little():
    assert mean_likeness(grain=0, shadow=20) > 0.95
    assert mean_likeness(grain=60, shadow=20) > 0.9
    assert mean_likeness(grain=90, shadow=20) > 0.8


def test_a_faint_pen_costs_little_until_its_ink_is_hidden():
    figures = [mean_likeness(pen=pen, shadow=5, grain=1) for pen in (60, 180, 195, 206)]
    assert min(figures[:2]) > 0.95
    assert figures[2] > 0.8  # 15 gray levels of contrast
    assert figures[3] < 0.5  # 4 of them, less than the shadow takes


def test_specks_are_dropped():
    photos = {}
    for label, clean_ink in INKS.items():
        ink = clean_ink.copy()
        for y, x in np.random.default_rng(label).integers(2, SIZE - 4, (15, 2)):
            ink[y : y + 2, x : x + 2] = 255
        ink[3:6, 3:6] = ink[-6:-3, -6:-3] = 255  # a box around the ink would be all of the image
        photos[label] = on_paper(ink, seed=label)
    assert not misread(photos)


@pytest.mark.parametrize("width", [2, 6, 14])
def test_a_frame_is_dropped(width):
    photos = {label: np.pad(photo, 4, mode="edge") for label, photo in photographed().items()}
    assert not misread({label: np.pad(photo, width, constant_values=20) for label, photo in photos.items()})


def test_the_edge_of_the_desk_is_dropped():
    photos = {label: np.pad(photo, 10, mode="edge") for label, photo in photographed().items()}
    for photo in photos.values():
        photo[:, :12] = 25
    assert not misread(photos)


def test_a_page_on_a_dark_desk():
    photos = {}
    for label, photo in photographed().items():
        desk = np.random.default_rng(label).normal(30, 4, (260, 300))
        desk[40:220, 60:240] = np.pad(photo, 10, mode="edge")
        photos[label] = np.clip(desk, 0, 255).astype(np.uint8)
    assert not misread(photos, at_least=0.5)


def five(gap: int) -> np.ndarray:
    """A 5 whose bar begins `gap` pixels right of its stem: (120, 200)."""
    image = Image.new("L", (200, 120))
    pen = ImageDraw.Draw(image)
    pen.line([(60, 22), (60, 55)], fill=255, width=8)
    pen.arc((40, 50, 90, 100), -120, 150, fill=255, width=8)
    pen.line([(64 + gap, 22), (90 + gap, 22)], fill=255, width=8)
    return np.asarray(image)


@pytest.mark.parametrize(("gap", "pieces"), [(8, 2), (70, 1)])
def test_a_detached_bar_belongs_to_the_5_unless_it_is_far_off(gap, pieces):
    assert components(find(on_paper(five(gap=gap))) > 127)[1] == pieces


@pytest.mark.parametrize("thickness", [0.012, 0.03, 0.2])
@pytest.mark.parametrize("label", [1, 4, 7])
def test_hair_lines_and_broad_pens(label, thickness):
    ink = drawn(label, size_px=300, thickness=thickness)
    like = np.corrcoef(prepare(on_paper(ink)).ravel(), prepare(drawn(label, size_px=300)).ravel())[0, 1]
    assert like > 0.6
    assert prepare(on_paper(ink)).max() == 255


def grid(shape: tuple[int, int], step: int, *, slant: float = 0.05, width: int = 2) -> np.ndarray:
    """Slanted lines `step` pixels apart, across and upright: bool (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y + slant * x) % step < width) | ((x - slant * y) % step < width)


def with_room(margin: int, **paper: float) -> dict[int, np.ndarray]:
    """Each digit on paper, with a margin around it."""
    return {label: on_paper(np.pad(ink, margin), seed=label, **paper) for label, ink in INKS.items()}


@pytest.mark.parametrize("line", [140, 60])  # gray levels: fainter than the pen, and as dark
def test_squared_paper_is_taken_away(line):
    photos = with_room(30)
    for photo in photos.values():
        photo[grid(photo.shape, 45)] = np.minimum(photo[grid(photo.shape, 45)], line)
    assert not misread(photos, at_least=0.4)


def test_ruled_paper_is_taken_away():
    photos = with_room(30, shadow=20)
    for photo in photos.values():
        y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
        photo[(y + 0.04 * x).astype(int) % 70 < 3] = 60
    assert not misread(photos, at_least=0.4)


@pytest.mark.parametrize("inset", [30, 34])  # the frame is away from the digit, or near it
def test_a_box_around_the_digit_is_taken_away(inset):
    photos = {}
    for label, photo in with_room(40).items():
        rng = np.random.default_rng(label)
        image = Image.fromarray(photo)
        corners = [(inset, inset), (240 - inset, inset), (240 - inset, 240 - inset), (inset, 240 - inset)]
        by_hand = [(x + int(rng.integers(-3, 4)), y + int(rng.integers(-3, 4))) for x, y in corners]
        ImageDraw.Draw(image).line([*by_hand, by_hand[0]], fill=50, width=4)
        photos[label] = np.asarray(image)
    assert not misread(photos)


def test_the_hard_edge_of_a_shadow_across_the_digit():
    photos = {}
    for label, even in photographed(shadow=0).items():
        photo = even.astype(float)
        y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
        photo[x + 0.4 * y < 110] *= 0.45
        photos[label] = photo.astype(np.uint8)
    assert not misread(photos)


def test_a_neighbour_that_the_border_cuts_off_is_dropped():
    inks = {label: np.hstack([np.pad(ink, ((0, 0), (8, 8))), INKS[8][:, 40:70]]) for label, ink in INKS.items()}
    assert not misread({label: on_paper(ink, seed=label, shadow=20) for label, ink in inks.items()})


def small_digits() -> np.ndarray:
    return np.stack([prepare(ink) for ink in INKS.values()])


def test_small_images_in_fog_keep_their_strokes():
    y, x = np.mgrid[:28, :28] / 28
    foggy = {}
    for label, image in enumerate(small_digits()):
        fog = 90 + 40 * np.sin(5 * x + label) * np.cos(6 * y - label)
        foggy[label] = (fog + image / 4).astype(np.uint8)
    assert not misread(foggy, at_least=0.5)
    assert not misread({label: 255 - image for label, image in foggy.items()}, at_least=0.5)


@pytest.mark.parametrize(
    "paper", [{}, {"grain": 0}, {"grain": 2}, {"grain": 15}, {"grain": 30, "shadow": 0}, {"shadow": 150}]
)
def test_blank_paper_has_no_ink(paper):
    blanks = [on_paper(np.zeros((120, 160), np.uint8), seed=seed, **paper) for seed in range(5)]
    assert [seed for seed, blank in enumerate(blanks) if find(blank).any() or prepare(255 - blank).any()] == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 90), (33, 40), (2000, 3)])
def test_any_shape_gives_an_answer_and_the_same_noise_gives_the_same(shape):
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        out = find(noise)
        assert np.array_equal(out, find(noise))
        assert out.dtype == np.uint8
        assert out.ndim == 2
        assert min(out.shape) > 0


@pytest.mark.parametrize("stretch", [(1, 1), (2, 1), (1, 3)])
def test_ink_keeps_its_proportions(stretch):
    image = Image.fromarray(INKS[0]).resize((SIZE * stretch[1], SIZE * stretch[0]))
    before, after = ink_box(np.asarray(image)), ink_box(find(on_paper(np.asarray(image))))
    assert before is not None
    assert after is not None
    proportions = [(box[0].stop - box[0].start) / (box[1].stop - box[1].start) for box in (before, after)]
    assert proportions[1] == pytest.approx(proportions[0], rel=0.1)


def test_a_small_digit_in_a_large_photo_is_looked_at_closely():
    photo = np.full((1400, 1800), 200, np.uint8)
    photo[900:1000, 300:400] = on_paper(drawn(5, size_px=100), paper=200, shadow=0, grain=0)
    noise = np.random.default_rng(0).normal(0, 3, photo.shape)
    assert not misread({5: np.clip(photo + noise, 0, 255).astype(np.uint8)})


def test_a_photo_is_left_as_it_was():
    photo = on_paper(INKS[3])
    photo.flags.writeable = False
    before = photo.copy()
    find(photo)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("gap", [0.2, 1.0, 2.5])
@pytest.mark.parametrize("below", [False, True])
def test_two_digits_are_shown_side_by_side_however_far_apart(gap, below, default_model):
    three, five = drawn(3, size_px=100), drawn(5, size_px=100)
    space = np.zeros((int(100 * gap), 100) if below else (100, int(100 * gap)), np.uint8)
    paper = on_paper(np.concatenate([three, space, five], axis=0 if below else 1))
    (prediction,) = default_model.predict(paper)
    assert (prediction.label, prediction.reason) == (None, "more than one digit")


def cut(label: int, margin: float) -> np.ndarray:
    """A photo of a digit, cut at its ink, with a margin on all sides: a share of its height."""
    ink = np.pad(drawn(label, size_px=SIZE), 60)
    rows, columns = ink_box(ink) or (slice(0), slice(0))
    more = round(margin * (rows.stop - rows.start))
    return on_paper(ink, seed=label)[rows.start - more : rows.stop + more, columns.start - more : columns.stop + more]


@pytest.mark.parametrize("margin", [0.25, 0.1, 0.0, -0.02])
def test_a_digit_that_is_cut_tightly_keeps_its_strokes(margin, default_model):
    predictions = default_model.predict([cut(label, margin) for label in range(10)])
    assert sum(prediction.label == str(label) for label, prediction in enumerate(predictions)) >= 9


@pytest.mark.parametrize("sides", ["l", "t", "lt", "lr", "tb", "ltrb"])
@pytest.mark.parametrize("size_px", [50, 100])
def test_an_empty_cell_is_empty(sides, size_px, default_model):
    cell = on_paper(np.zeros((size_px, size_px), np.uint8), shadow=20)
    for side, place in {"l": np.s_[:, 2:4], "t": np.s_[3:5], "r": np.s_[:, -4:-2], "b": np.s_[-3:-1]}.items():
        if side in sides:
            cell[place] = 60
    (prediction,) = default_model.predict(cell)
    assert prediction.label is None


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("length", [12, 30])
def test_a_piece_of_a_line_along_the_border_is_nothing(side, length):
    cell = on_paper(np.zeros((80, 80), np.uint8), shadow=20)
    cell[30 : 30 + length, 3:6] = 60
    assert not find(np.ascontiguousarray(np.rot90(cell, side))).any()


def test_the_same_stroke_in_the_middle_is_ink():
    cell = on_paper(np.zeros((80, 80), np.uint8), shadow=20)
    cell[25:55, 38:41] = 60
    assert find(cell).any()


def qr_code() -> np.ndarray:
    """Black and white squares at random, with three finder patterns: (330, 330)."""
    modules = np.random.default_rng(0).random((25, 25)) < 0.5
    finder = np.zeros((8, 8), bool)
    finder[:7, :7] = True
    finder[1:6, 1:6] = False
    finder[2:5, 2:5] = True
    modules[:8, :8], modules[:8, -8:], modules[-8:, :8] = finder, finder[:, ::-1], finder[::-1]
    return np.pad(np.where(np.kron(modules, np.ones((12, 12), bool)), 0, 255), 15, constant_values=255).astype(np.uint8)


def spreadsheet() -> np.ndarray:
    """A screenshot: thin gray lines, and numbers in a small font in most cells: (240, 400)."""
    image = Image.new("L", (400, 240), 255)
    pen = ImageDraw.Draw(image)
    for y in range(0, 240, 20):
        pen.line((0, y, 400, y), fill=200)
    for x in range(0, 400, 64):
        pen.line((x, 0, x, 240), fill=200)
        for y in range(0, 240, 20):
            pen.text((x + 8, y + 4), f"{(x * 7 + y * 13) % 997}.{y % 10}", fill=20)
    return np.asarray(image)


def nothing_but_a_grid() -> np.ndarray:
    photo = on_paper(np.zeros((300, 300), np.uint8))
    photo[grid(photo.shape, 50)] = 70
    return photo


def two_sheets() -> np.ndarray:
    """Two sheets on a dark table, a digit on each."""
    table = np.full((260, 460), 40, np.uint8)
    for label, left in ((3, 20), (8, 250)):
        table[30:230, left : left + 190] = on_paper(np.pad(INKS[label], ((20, 20), (15, 15))), shadow=10)
    return table


@pytest.mark.parametrize("picture", [qr_code, spreadsheet, nothing_but_a_grid, two_sheets])
def test_what_holds_no_single_digit_is_rejected(picture, default_model):
    (prediction,) = default_model.predict(picture())
    assert prediction.label is None
    assert prediction.reason


def test_a_digit_upside_down_is_read_as_it_stands(default_model):
    """A 6 turned round is a 9: nothing in the picture says which way is up."""
    (prediction,) = default_model.predict(on_paper(np.ascontiguousarray(INKS[6][::-1, ::-1])))
    assert prediction.label in ("9", None)
