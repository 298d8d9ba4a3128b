"""Generated training images: as many as requested, labelled, repeatable, by any number of processes."""

from __future__ import annotations

import _thread
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.errors import DataError, UsageError
from inkdigit.picture.prepare import prepare
from inkdigit.synth import generated
from inkdigit.synth.generated import BLOCK, FEW, Amounts, check_digits, draw, extend
from inkdigit.types import Dataset, Part

from ..conftest import template

DIGITS = Part(np.stack([template(i) for i in range(20)]), np.arange(20) % 10)


def test_nothing_is_added_where_nothing_is_asked_for():
    assert extend(DIGITS, Amounts(), seed=0) is DIGITS


def test_what_is_made_follows_what_was_there(lines, log):
    made = extend(DIGITS, Amounts(stressed=30, drawn=20, outliers=40), seed=0, log=log)
    assert lines == ["Drawing 90 images."]
    assert np.array_equal(made.images[:20], DIGITS.images)
    assert np.array_equal(made.labels[:20], DIGITS.labels)
    assert 80 < len(made) <= 110  # some are blank when they are prepared
    assert made.images.any((1, 2)).all()
    assert {*made.labels.tolist()} == {*range(12)}


def test_of_an_empty_image_there_is_no_copy():
    blank = Part(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64))
    assert len(extend(blank, Amounts(stressed=3), seed=0)) == 1


def test_a_row_of_which_one_digit_is_left_is_not_called_several():
    row = np.concatenate([template(3), template(5)], axis=1)
    assert generated.stays_several(prepare(row), row)
    assert not generated.stays_several(template(3), row)


def test_a_digit_with_dirt_beside_it_is_like_its_truth_and_another_digit_is_not():
    truth = prepare(template(3))
    smaller = np.zeros((28, 28), np.uint8)
    smaller[2:22, 8:28] = np.asarray(Image.fromarray(truth).resize((20, 20)))
    smaller[25:27, 3:5] = 255
    assert generated._likeness(truth, truth) == pytest.approx(1, abs=1e-6)
    assert generated._likeness(smaller, truth) > 0.8
    assert generated._likeness(np.zeros((28, 28), np.uint8), truth) == 0
    scratch = np.zeros((28, 28), np.uint8)
    scratch[14:16, 4:24] = 255
    assert generated._likeness(scratch, truth) < generated.LEAST_LIKENESS


def test_drawn_digits_have_their_labels_in_turn():
    images, labels = draw(DIGITS, ("drawn", 7, 30), 0)
    assert len(images) == len(labels)
    assert labels.tolist() == [i % 10 for i in range(7, 37)]


@pytest.mark.parametrize("kind", generated.KINDS)
def test_a_block_is_known_by_seed_and_number(kind):
    one, same = (draw(DIGITS, (kind, 0, 12), 3) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    for other in (draw(DIGITS, (kind, 0, 12), 4), draw(DIGITS, (kind, BLOCK, 12), 3)):
        assert not np.array_equal(one[0], other[0])


def test_processes_draw_what_one_would():
    amounts = Amounts(stressed=12, outliers=8)
    alone = extend(DIGITS, amounts, seed=5)
    together = extend(DIGITS, amounts, seed=5, processes=2)
    assert np.array_equal(together.images, alone.images)
    assert np.array_equal(together.labels, alone.labels)


def test_a_process_that_fails_is_told(capfd):
    broken = Part(DIGITS.images[:0], DIGITS.labels[:0])  # there is nothing to copy
    with pytest.raises(DataError, match="has failed"):
        extend(broken, Amounts(stressed=3), seed=0, processes=1)
    assert "Traceback" in capfd.readouterr().err


CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


@pytest.mark.skipif(not CHILDREN.exists(), reason="this system does not list the children of a process")
def test_an_interruption_leaves_no_process_behind():
    def children() -> set[str]:
        return set(CHILDREN.read_text(encoding="utf-8").split())

    def press() -> None:
        while len(children() - before) < 2:
            time.sleep(0.01)
        time.sleep(0.3)  # until it waits for them
        _thread.interrupt_main()  # Ctrl-C

    before, presser = children(), threading.Thread(target=press, daemon=True)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        extend(DIGITS, Amounts(drawn=10 * BLOCK), seed=0, processes=2)  # would take seconds
    presser.join()
    assert children() == before  # killed, and waited for


def test_blocks_cover_every_image_once():
    blocks = Amounts(stressed=FEW + 3, drawn=1).blocks
    assert sum(count for kind, _, count in blocks if kind == "stressed") == FEW + 3
    assert blocks[-1] == ("drawn", 0, 1)
    assert all(count <= BLOCK for _, _, count in blocks)


@pytest.mark.parametrize(("classes", "kind"), [(tuple("abc"), "ink"), (tuple("0123456789"), "plain")])
def test_only_digits_can_be_drawn(classes, kind):
    with pytest.raises(UsageError, match="cannot be drawn"):
        check_digits(Dataset("others", classes, Part(DIGITS.images[:2], np.zeros(2, np.int64)), prepare=kind))


@pytest.mark.parametrize("stays", [True, False])
def test_a_process_draws_as_long_as_its_parent_lives(tmp_path, stays):
    np.savez(tmp_path / generated.GIVEN, images=DIGITS.images, labels=DIGITS.labels)
    blocks = [("drawn", i, 1) for i in range(1 if stays else 20_000)]  # minutes
    (tmp_path / generated.PLAN).write_text(json.dumps({"seed": 0, "blocks": blocks}), encoding="utf-8")
    process = generated._begin(tmp_path, 0, 1)
    if stays:
        assert process.wait(60) == 0
    assert process.stdin is not None
    process.stdin.close()  # as when this process is killed
    assert process.wait(60) == (0 if stays else 1)
    assert (tmp_path / "0.made.npz").exists() or not stays
