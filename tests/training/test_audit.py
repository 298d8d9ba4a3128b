"""An audit finds wrong labels with networks that did not train on them."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from inkdigit import runs
from inkdigit.data.splits import Splits
from inkdigit.errors import MissingExtra, OutputError, UsageError
from inkdigit.report import audit as page
from inkdigit.training import audit, trial
from inkdigit.types import Dataset, Part

from .conftest import CLASSES, draw, drawn_digits, tiny

READER = tiny(filters=(8, 16), epochs=12, batch=8, learning_rate=0.01)
WRONG, WRONG_IN_TEST = (7, 40, 85), 11


def mislabel(part: Part, *indices: int) -> Part:
    labels = part.labels.copy()
    labels[list(indices)] = (labels[list(indices)] + 1) % len(CLASSES)
    return replace(part, labels=labels)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> audit.Audited:
    drawn = drawn_digits()
    assert drawn.test is not None
    test = mislabel(drawn.test, WRONG_IN_TEST)
    test.images[20] = drawn.train.images[2]  # under its own label
    mixed = replace(drawn, train=mislabel(drawn.train, *WRONG), test=test)
    return audit.audit(mixed, recipe=READER, folds=3, out=tmp_path_factory.mktemp("audits") / "a")


def test_the_wrong_labels_are_the_worst(audited):
    worst = {(issue.at.part, issue.at.index): issue for issue in audited.audit.labels[:4]}
    assert set(worst) == {*(("train", i) for i in WRONG), ("test", WRONG_IN_TEST)}
    assert all(issue.kind == "label" for issue in worst.values())
    for issue in worst.values():
        true = CLASSES[issue.at.index % 3]
        assert issue.suggested == true != issue.at.label


def test_a_leak_is_found(audited):
    leaks = [issue for issue in audited.audit.copies if issue.kind == "copy" and issue.leak]
    assert [(issue.at.index, issue.other.index) for issue in leaks] == [(20, 2)]


def test_everything_is_written(audited):
    assert {path.name for path in audited.folder.iterdir()} == {page.ISSUES, page.PROBS, page.PAGE}
    with np.load(audited.folder / page.PROBS) as stored:
        assert stored["train_probs"].sum(1) == pytest.approx(1, abs=1e-5)
        assert stored["test_probs"].sum(1) == pytest.approx(1, abs=1e-5)


def test_no_network_predicts_its_training_images(monkeypatch, tmp_path, drawn):
    learnt: list[Splits] = []
    build = trial.build
    monkeypatch.setattr(
        trial, "build", lambda recipe, parts, classes: learnt.append(parts) or build(recipe, parts, classes)
    )
    audit.audit(replace(drawn, test=None), recipe=tiny(epochs=1), folds=4, out=tmp_path / "a")
    everything = {image.tobytes() for image in drawn.train.images}
    read = [{image.tobytes() for image in parts.report.images} for parts in learnt]
    assert len(learnt) == 4
    assert set.union(*read) == everything
    for parts, held in zip(learnt, read, strict=True):
        assert {image.tobytes() for image in parts.train.images} == everything - held
        assert parts.validation is None


def test_a_recipe_that_decides_by_validation_gets_some(tmp_path, drawn):
    recipe = tiny(epochs=1, keep="best", validation=0.2)
    audited = audit.audit(replace(drawn, test=None), recipe=recipe, folds=2, out=tmp_path / "a")
    assert [audited_split.n for audited_split in audited.audit.parts] == [120]


def test_the_same_seed_gives_the_same_issues(tmp_path, drawn):
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = audit.audit(drawn, recipe=tiny(epochs=1), folds=2, seed=seed, out=tmp_path / name)
        texts.append((made.folder / page.ISSUES).read_text(encoding="utf-8"))
    assert texts[0] == texts[1] != texts[2]


def test_unreadable_images_are_left_out_and_the_others_have_their_old_index(tmp_path, drawn):
    train = replace(mislabel(drawn.train, 40), faults={3: "broken", 90: "broken"})
    audited = audit.audit(replace(drawn, train=train, test=None), recipe=READER, folds=3, out=tmp_path / "a")
    assert audited.audit.parts[0].n == 118
    worst = audited.audit.labels[0].at
    assert (worst.index, worst.label) == (40, CLASSES[train.labels[40]])


def test_by_class_every_fold_has_its_share():
    part = draw(100)
    fold_of = audit.divide(part, 4, seed=0, classes=CLASSES)
    assert np.bincount(fold_of).tolist() == [25] * 4
    for k in range(3):
        assert np.ptp(np.bincount(fold_of[part.labels == k], minlength=4)) <= 1
    assert (fold_of != audit.divide(part, 4, seed=1, classes=CLASSES)).any()


def test_writers_stay_together_in_folds_of_a_size():
    writers = np.random.default_rng(0).integers(0, 17, 300).astype(np.int32) * 3
    part = replace(draw(300), writers=writers)
    fold_of = audit.divide(part, 5, seed=0, classes=CLASSES)
    assert all(len(set(fold_of[writers == w])) == 1 for w in np.unique(writers))
    assert np.ptp(np.bincount(fold_of)) <= 20
    few = audit.divide(part, 18, seed=0, classes=CLASSES)  # more folds than writers
    assert np.ptp(np.bincount(few)) <= 1


@pytest.mark.parametrize(
    ("folds", "n", "expected"),
    [(1, 30, "Expected: 2 folds or more"), (4, 11, r"3 of class '2'. Use --folds 3"), (2, 5, "1 of class '2'. Add")],
)
def test_folds_that_cannot_be(folds, n, expected):
    with pytest.raises(UsageError, match=expected):
        audit.divide(draw(n), folds, seed=0, classes=CLASSES)


def test_one_class_alone_is_an_error():
    with pytest.raises(UsageError, match="two classes"):
        audit.divide(draw(30).take(np.arange(0, 30, 3)), 2, seed=0, classes=CLASSES)


def test_a_class_by_one_writer_is_an_error():
    part = draw(30)
    with pytest.raises(UsageError, match="no network would learn it"):
        audit.divide(replace(part, writers=part.labels.astype(np.int32)), 3, seed=0, classes=CLASSES)


def test_a_teacher_is_an_error(tmp_path, drawn):
    with pytest.raises(UsageError, match="recipe without a teacher"):
        audit.audit(drawn, recipe=tiny(teacher="best"), out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_empty_page_is_an_error(drawn):
    with pytest.raises(UsageError, match="top"):
        audit.audit(drawn, recipe=READER, top=0)


def test_what_would_fail_after_the_training_fails_before_it(tmp_path, drawn, monkeypatch, lines, log):
    (tmp_path / "taken.txt").write_text("taken", encoding="utf-8")
    with pytest.raises(OutputError, match="is taken"):
        audit.audit(drawn, recipe=READER, out=tmp_path, log=log)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="Jinja"):
        audit.audit(drawn, recipe=READER, out=tmp_path / "a", log=log)
    assert not any(line.startswith("Fold ") for line in lines)


def test_the_directory_is_named_after_the_data(tmp_path, drawn, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = audit.audit(Dataset("my set", CLASSES, drawn.train), recipe=tiny(epochs=1), folds=2)
    assert made.folder.parent.name == "audits"
    assert made.folder.name.endswith("-my-set-s0")
    assert not (tmp_path / runs.ROOT).exists()
