"""A teacher: what is learnt from it, and which one is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from inkdigit.data.splits import split
from inkdigit.errors import ModelFileError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import distill, loop, run, trial

from .conftest import CPU, drawn_digits, tiny


def test_it_says_what_its_file_says(finished, easy):
    ask = distill.open_teacher(tiny(teacher=str(finished.folder)), 3)
    assert ask is not None
    changed = torch.from_numpy(easy.images[:5]).unsqueeze(1) + 0.3  # no whole numbers, as after augmentation
    said = ask(changed)
    expected = Recognizer.load(finished.folder).probs_as_prepared(easy.images[:5])
    assert said.dtype == torch.float32
    assert np.allclose(said.numpy(), expected, atol=1e-6)


def test_without_one_there_is_nobody_to_ask():
    assert distill.open_teacher(tiny(), 3) is None


def test_the_loss_is_between_that_of_the_labels_and_that_of_the_teacher():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 3), torch.randint(0, 3, (8,))
    taught = torch.softmax(torch.randn(8, 3), 1)
    by_labels, by_teacher = cross_entropy(logits, labels), cross_entropy(logits, taught)
    mixed = loop.loss_of(logits, labels, tiny(teacher_weight=0.25), taught=taught)
    assert float(mixed) == pytest.approx(float(0.75 * by_labels + 0.25 * by_teacher))


def test_a_network_learns_from_a_teacher_alone(finished, easy):
    """The labels weigh nothing, and are wrong: it ends up with the teacher's answers."""
    recipe = tiny(teacher=str(finished.folder), teacher_weight=1.0, epochs=12, batch=16, learning_rate=0.02)
    dataset = drawn_digits()
    parts = split(dataset, protocol="final", validation=0, seed=0)
    parts = replace(parts, train=replace(parts.train, labels=(parts.train.labels + 1) % 3))
    state = loop.start(trial.build(recipe, parts, 3), recipe)
    list(trial.epochs(state, recipe, parts, CPU))
    taught = np.array([int(answer.label) for answer in finished.model.predict(list(easy.images))])
    assert trial.accuracy(state, recipe, replace(easy, labels=taught), CPU) > 0.9


def test_the_run_names_its_teacher_and_its_file(finished, tmp_path):
    recipe = tiny(teacher=str(finished.folder), epochs=1)
    card = run.train(recipe, data=drawn_digits(), out=tmp_path / "student").model.card
    told = card.provenance["teacher"]
    assert told["file"] == f"{finished.folder.name}/model.onnx"
    assert len(told["sha256"]) == 64
    assert str(finished.folder.parent) not in card.to_json()  # where it lies is nobody's business


def test_one_with_other_classes_is_refused(finished):
    with pytest.raises(UsageError, match="other classes"):
        distill.open_teacher(tiny(teacher=str(finished.folder)), 10)


def test_one_that_is_not_there_is_refused_before_anything_begins(tmp_path):
    with pytest.raises(UsageError, match="no model"):
        run.train(tiny(teacher=str(tmp_path / "nothing")), data=drawn_digits(), out=tmp_path / "student")
    assert not (tmp_path / "student").exists()
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        run.train(tiny(teacher=str(tmp_path / "broken.onnx")), data=drawn_digits(), out=tmp_path / "student")


def test_one_that_saw_what_is_held_out_is_refused(finished):
    with pytest.raises(UsageError, match="may have learnt from the pictures that are held out"):
        distill.open_teacher(tiny(teacher=str(finished.folder), protocol="select"), 3)
