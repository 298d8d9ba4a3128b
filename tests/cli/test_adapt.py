"""`adapt`: a table of before and after, a file that other commands read, errors before the work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from inkdigit.cli.adapt import print_changes
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.adapt import adapt as module
from inkdigit.training.adapt.outcome import Adapted, Change, Mistake

from .conftest import Output, assert_one_error, draw


@pytest.fixture(autouse=True)
def forgetful(monkeypatch) -> None:
    """Let a tiny network forget."""
    monkeypatch.setattr(module, "MAX_FORGOTTEN", 1.0)


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with a sub-folder a class; one picture cannot be read."""
    folder = tmp_path / "my-digits"
    for i, (image, label) in enumerate(zip(*draw(12, seed=4), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - image).save(folder / str(label) / f"{i}.png")
    (folder / "0" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def adapt(inkdigit, model, source):
    """The command with a model of the digits 0, 1 and 2, rehearsing an .npz."""

    def call(*words: object, start: object = model) -> Output:
        return inkdigit("adapt", start, "--replay", source, "--steps", 3, *words)

    return call


def test_a_model_is_adapted_and_measured(adapt, inkdigit, own, tmp_path):
    out = tmp_path / "out" / "mine.onnx"
    out.parent.mkdir()
    result = adapt("--data", own, "--out", out)
    assert result.code == 0, result.err
    head, unseen, trained_on, old, _, counts, written = result.out.splitlines()
    assert head.split() == ["Correct", "before", "after", "answered", "before", "after", "images"]
    assert unseen.startswith("your images, held out ")
    assert unseen.endswith(" 12  each by a network adapted without it")
    assert trained_on.endswith(" 12  too high: the model was trained on these")
    assert old.endswith(" 12  digits, test split")
    assert counts == "Trained on  4 × 0, 4 × 1, 4 × 2"
    assert written == f"Model       {out} ({out.stat().st_size / 1000:,.0f} kB)"
    assert "hold no ink or repeat another: 1." in result.err
    assert "digits is not the model's training data" in result.err
    assert f"inkdigit evaluate {out} --data {own}" in result.err
    figures = Recognizer.load(out).card.figures
    assert f" {figures['accuracy'] * 100:.2f} % " in old
    assert old.split("%")[2].strip() == "100.00"  # this model rejects nothing
    answered = inkdigit("predict", own / "1" / "1.png", "--model", out)
    assert answered.code == 0, answered.err
    info = inkdigit("info", out).out
    assert "tiny-adapted" in info
    assert re.search(r"adapted to +my-digits, 12 images", info)


def test_mistakes_no_gain_and_caveats_are_printed(tmp_path, capsys):
    out = tmp_path / "m.onnx"
    out.write_bytes(b"a model")
    done = Adapted(
        path=out,
        image_counts={"0": 4, "1": 4, "2": 4},
        own=Change(n=12, before=0, after=0, answered_before=3, answered_after=9),
        folds=3,
        trained_on=Change(n=12, before=0, after=6, answered_before=12, answered_after=12),
        old=Change(n=40, before=40, after=39, answered_before=40, answered_after=40),
        replay="digits, test split",
        caveat="they were asked",
        fraction=0.4,
        mistakes=tuple(Mistake(f"{i % 3}/{i}.png", str(i % 3), str((i + 1) % 3)) for i in range(12)),
    )
    print_changes(done)
    printed, noted = capsys.readouterr()
    unseen, trained_on, old = printed.splitlines()[1:4]
    assert " 75.00 % " in unseen  # answered after
    assert " 50.00 % " in trained_on
    assert " 97.50 % " in old
    assert old.endswith(" 40  digits, test split; too high: they were asked")
    assert "40% of the weight change was applied" in noted
    assert "is not better than the old one" in noted
    assert "  0/0.png: labelled 0, predicted 1" in noted
    assert "  0/9.png: labelled 0, predicted 1" in noted
    assert "  1/10.png" not in noted
    assert "  and 2 more" in noted


def test_errors_come_before_the_work(adapt, own, tmp_path):
    out = tmp_path / "m.onnx"
    assert_one_error(adapt("--data", own, "--out", tmp_path / "m.bin"), 2, "a name that ends in .onnx")
    assert_one_error(adapt("--data", own, "--out", tmp_path / "none" / "m.onnx"), 9, "its folder does not exist")
    assert_one_error(adapt("--data", own, "--out", out, start="nope"), 2, "There is no model 'nope'")
    assert_one_error(adapt("--data", own, "--out", out, start="best"), 2, "has no trainable weights")
    step = "Train it, which takes 15 minutes, and name its run: inkdigit train best"
    assert_one_error(adapt("--data", own, "--out", out, start="best"), 2, step)
    assert_one_error(adapt("--data", "nothing", "--out", out), 2, "'nothing'")
    assert_one_error(adapt("--data", own, "--out", out, "--steps", 0), 2, "steps from 1")
    assert adapt("--data", own).code == 2
    assert not out.exists()
    for label in "89":
        (tmp_path / "odd" / label).mkdir(parents=True)
        Image.fromarray(255 - draw(1)[0][0]).save(tmp_path / "odd" / label / "a.png")
    assert_one_error(adapt("--data", tmp_path / "odd", "--out", out), 2, "'odd' has labels that")
