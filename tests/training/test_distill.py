"""A teacher: its predictions are learned, and which teachers are errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch.nn.functional import cross_entropy

import inkdigit
from inkdigit.data.splits import split
from inkdigit.errors import DataError, ModelFileError, UsageError
from inkdigit.model.provenance import Adaptation, Data, TeacherFile
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import distill, environment, run, trial
from inkdigit.training.convert.model_file import set_card, with_figures
from inkdigit.training.network import loop
from inkdigit.training.seeds import train_seeds

from .conftest import CPU, draw, drawn_digits, stop_at, tiny


def test_a_teacher_predicts_what_its_file_predicts(finished, easy):
    ask = distill.open_teacher(tiny(teacher=str(finished.folder)), drawn_digits())
    assert ask is not None
    changed = torch.from_numpy(easy.images[:5]).unsqueeze(1) + 0.3  # no whole numbers, as after augmentation
    probs = ask(changed)
    expected = Recognizer.load(finished.folder).probs_as_prepared(easy.images[:5])
    assert probs.dtype == torch.float32
    assert np.allclose(probs.numpy(), expected, atol=1e-6)


def test_a_recipe_without_a_teacher_has_none():
    assert distill.open_teacher(tiny(), drawn_digits()) is None


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
    list(trial.epochs(state, recipe, parts, CPU, teacher=distill.open_teacher(recipe, dataset)))
    taught = np.array([int(answer.label) for answer in finished.model.predict(list(easy.images))])
    assert trial.accuracy(state, recipe, replace(easy, labels=taught), CPU) > 0.9


def test_the_run_names_its_teacher_and_saw_mnist_if_that_one_did(finished, tmp_path):
    model, card = onnx.load(finished.folder / "model.onnx"), finished.model.card
    set_card(model, replace(card, provenance=replace(card.provenance, saw_mnist=True)))
    (tmp_path / "old").mkdir()
    onnx.save(model, tmp_path / "old" / "teacher.onnx")
    recipe = tiny(teacher=str(tmp_path / "old" / "teacher.onnx"), epochs=1)
    student = run.train(recipe, data=drawn_digits(), out=tmp_path / "student").model.card
    teacher = student.provenance.teacher
    assert teacher.file == "old/teacher.onnx"
    assert len(teacher.sha256) == 64
    assert (student.provenance.saw_mnist, card.provenance.saw_mnist) == (True, False)
    assert str(tmp_path) not in student.to_json()  # the folder of the user is private


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"classes": ("0", "1", "x")}, "different classes"), ({"prepare": "plain"}, "different preprocessing")],
)
def test_a_teacher_with_other_classes_or_preprocessing_is_an_error(finished, changes, problem):
    with pytest.raises(UsageError, match=problem):
        distill.open_teacher(tiny(teacher=str(finished.folder)), replace(drawn_digits(), **changes))


def test_a_missing_teacher_is_an_error_before_anything_begins(tmp_path):
    with pytest.raises(UsageError, match="no model"):
        run.train(tiny(teacher=str(tmp_path / "nothing")), data=drawn_digits(), out=tmp_path / "student")
    assert not (tmp_path / "student").exists()
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        run.train(tiny(teacher=str(tmp_path / "broken.onnx")), data=drawn_digits(), out=tmp_path / "student")


HELD_OUT = {"validation": 0.25, "seed": 3}  # as the teacher held out


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "select", **HELD_OUT},
        {"validation": 0.25, "seed": 4},
        {"validation": 0.2, "seed": 3},
        {"validation_split": "stratified", **HELD_OUT},
        {"test_fraction": 0.3},
    ],
)
def test_a_teacher_that_may_have_seen_held_out_images_is_an_error(finished, changes):
    with pytest.raises(UsageError, match="may have learned from images that are held out"):
        distill.open_teacher(tiny(teacher=str(finished.folder), **changes), drawn_digits())


def test_the_error_names_a_way_out_that_works(finished):
    teacher = str(finished.folder)
    with pytest.raises(UsageError, match=r"Or hold no images out: --set validation=0\."):
        distill.open_teacher(tiny(teacher=teacher, validation=0.25), drawn_digits())
    assert distill.open_teacher(tiny(teacher=teacher, validation=0), drawn_digits()) is not None
    for changes in ({"protocol": "select"}, {"test_fraction": 0.3}, {"validation": 0.1, "schedule": "plateau"}):
        with pytest.raises(UsageError) as caught:
            distill.open_teacher(tiny(teacher=teacher, **changes), drawn_digits())
        assert "--set" not in str(caught.value)  # it would not help


CALIBRATED = {"temperature": 0.5, "calibrated_on": drawn_digits().sha256}  # on these data: nothing is held out


@pytest.mark.parametrize("changes", [HELD_OUT, {"seed": 4}, {"validation": 0.25, **CALIBRATED}])
def test_a_teacher_that_held_out_the_same_may_teach_and_any_where_nothing_is_held_out(finished, changes):
    assert distill.open_teacher(tiny(teacher=str(finished.folder), **changes), drawn_digits()) is not None


@pytest.mark.parametrize("protocol", ["final", "select"])
def test_a_teacher_that_saw_the_test_split_is_an_error(tmp_path, protocol):
    """Of data without a test split one is set aside, but not by a run that trains on everything."""
    data, everything = replace(drawn_digits(), test=None), {"protocol": "all", "validation": 0}
    run.train(tiny(**everything, epochs=1), data=data, out=tmp_path / "teacher")
    taught = {"teacher": str(tmp_path / "teacher")}
    with pytest.raises(UsageError, match="Expected: protocol = ") as caught:
        distill.open_teacher(tiny(**taught, protocol=protocol, validation=0), data)
    assert "--set" not in str(caught.value)
    assert distill.open_teacher(tiny(**taught, **everything), data) is not None


def test_a_teacher_that_trained_on_everything_but_the_test_split_may_teach(tmp_path):
    run.train(tiny(protocol="all", validation=0, epochs=1), data=drawn_digits(), out=tmp_path / "teacher")
    taught = {"teacher": str(tmp_path / "teacher")}
    assert distill.open_teacher(tiny(**taught, validation=0), drawn_digits()) is not None
    with pytest.raises(UsageError, match=r"Or hold no images out: --set validation=0\."):
        distill.open_teacher(tiny(**taught, validation=0.25), drawn_digits())


@pytest.mark.parametrize("how", ["adapted", "taught"])
def test_a_teacher_that_learned_from_these_images_in_another_way_is_an_error(finished, tmp_path, how):
    """It was adapted to them, or its own teacher trained on them, and nobody knows what was held out."""
    there = drawn_digits()
    other = replace(there, train=draw(90, seed=7), test=None)
    about = Data(other.name, other.sha256, train=len(other.train))
    if how == "adapted":
        learned = {"adaptations": (Adaptation(about, {}),)}
    else:
        learned = {"teacher": TeacherFile("old.onnx", "0" * 64, about, False)}
    model, card = onnx.load(finished.folder / "model.onnx"), finished.model.card
    set_card(model, replace(card, provenance=replace(card.provenance, **learned)))
    onnx.save(model, tmp_path / "teacher.onnx")
    taught = {"teacher": str(tmp_path / "teacher.onnx")}
    with pytest.raises(UsageError, match="Received: these images"):
        distill.open_teacher(tiny(**taught, validation=0), other)  # a test split is set aside
    with_test = replace(other, test=there.test)
    with pytest.raises(UsageError, match="Received: these images"):
        distill.open_teacher(tiny(**taught, validation=0.25), with_test)
    assert distill.open_teacher(tiny(**taught, validation=0), with_test) is not None
    assert distill.open_teacher(tiny(**taught, protocol="all", validation=0), other) is not None
    assert distill.open_teacher(tiny(**taught, **HELD_OUT), there) is not None


def test_a_teacher_of_other_data_may_teach(finished):
    other = replace(drawn_digits(), train=draw(90, seed=7))
    recipe = tiny(teacher=str(finished.folder), protocol="select", validation=0.5)
    assert distill.open_teacher(recipe, other) is not None


def test_a_run_is_not_resumed_with_another_teacher(finished, tmp_path, monkeypatch):
    teacher = tmp_path / "teacher" / "model.onnx"
    teacher.parent.mkdir()
    teacher.write_bytes((finished.folder / "model.onnx").read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.train(tiny(teacher="teacher", epochs=3), data=drawn_digits(), out="student", on_tick=stop_at(5))
    monkeypatch.chdir(finished.folder)  # it finds its teacher from anywhere
    assert environment.read(tmp_path / "student")["teacher"]["file"] == "teacher/model.onnx"
    teacher.write_bytes(inkdigit.load("fast").path.read_bytes())
    with pytest.raises(UsageError, match="different classes"):
        run.resume(tmp_path / "student", data=drawn_digits())
    teacher.write_bytes(with_figures((finished.folder / "model.onnx").read_bytes(), {}))
    with pytest.raises(DataError, match="is not the teacher that"):
        run.resume(tmp_path / "student", data=drawn_digits())
    teacher.write_bytes((finished.folder / "model.onnx").read_bytes())
    assert run.resume(tmp_path / "student", data=drawn_digits()).model.card.provenance.teacher.sha256


def test_seeds_that_hold_out_images_of_the_teacher_are_an_error_before_the_first(finished, tmp_path):
    recipe = tiny(teacher=str(finished.folder), validation=0.25)
    with pytest.raises(UsageError, match="may have learned"):
        train_seeds(recipe, [3, 4], data=drawn_digits(), out=tmp_path / "seeds")
    assert not (tmp_path / "seeds").exists()


def test_the_hash_of_a_recipe_has_whether_there_is_a_teacher_and_not_which():
    one, other, none = tiny(teacher="a"), tiny(teacher="b"), tiny()
    assert one.sha256 == other.sha256 != none.sha256
    assert one.is_twin_of(other)
    assert not one.is_twin_of(none)
