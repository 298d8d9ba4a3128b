"""Prediction: the same for every kind of input, and one clear error for every bad model file."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from itertools import count, product

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

import inkdigit.model.recognizer as room
import inkdigit.model.session as session
from inkdigit.errors import (
    ModelFileError,
    NotAModelFile,
    NotAPicture,
    PictureError,
    SelfTestFailed,
    UnsupportedFormat,
    UsageError,
)
from inkdigit.model.card import METADATA_KEY, Calibration
from inkdigit.model.recognizer import CHUNK, Recognizer, bundled, find, load
from inkdigit.picture.batch import AT_A_TIME
from inkdigit.picture.prepare import VERSION
from inkdigit.types import DIGITS, OUTLIERS, Prediction

from ..conftest import SHAPES, Tiny, drawn, on_paper, template

IMAGES = [drawn(label, size_px=28) for label in range(10)]


def same(first: Prediction, second: Prediction) -> bool:
    """Whether two predictions are the same but for the last bits: batches may be summed in another order."""
    if first.probs is None or second.probs is None:
        return first == second or (first.label, first.reason, first.probs) == (second.label, second.reason, None)
    return first.label == second.label and bool(np.allclose(first.probs, second.probs, atol=1e-6))


# Prediction -----------------------------------------------------------------------------------------------------------


def test_the_answer_is_always_a_list(tiny, tmp_path):
    path = tmp_path / "3.png"
    Image.fromarray(IMAGES[3]).save(path)
    colour = np.dstack([IMAGES[3]] * 3)
    inputs = (path, str(path), path.read_bytes(), Image.open(path), IMAGES[3], colour, [path], (IMAGES[3],))
    answers = [tiny.predict(given) for given in inputs]
    assert all(isinstance(answer, list) for answer in answers)
    assert [[prediction.label for prediction in answer] for answer in answers] == [["3"]] * len(inputs)
    assert tiny.predict([]) == []


def test_an_answer_holds_what_it_says(tiny):
    (answer,) = tiny.predict(IMAGES[7])
    assert answer.label == "7" == tiny.classes[answer.best]
    assert answer.reason is None
    assert answer.probs.shape == (10,)
    assert answer.probs.dtype == np.float32
    assert answer.probs.sum() == pytest.approx(1, abs=1e-5)
    assert answer.confidence == answer.probs.max()
    assert isinstance(answer.score, float)
    assert json.loads(json.dumps(answer.to_json()))["label"] == "7"


def test_many_at_once_are_the_same_as_one_by_one(tiny):
    rng = np.random.default_rng(0)
    pictures = np.stack([*IMAGES, 255 - IMAGES[2], np.zeros((28, 28)), rng.integers(0, 256, (28, 28))])
    pictures = pictures.astype(np.uint8)
    singly = [tiny.predict(one)[0] for one in pictures]
    together = [
        tiny.predict(pictures),
        tiny.predict(list(pictures)),
        tiny.predict(pictures[..., None]),
        tiny.predict(np.repeat(pictures[..., None], 3, axis=3)),
        tiny.predict(pictures / 255),
        tiny.predict(pictures.astype(np.int64)),
    ]
    for answers in together:
        assert all(same(a, b) for a, b in zip(answers, singly, strict=True))


def test_a_batch_larger_than_a_chunk_keeps_its_order(tiny):
    labels = np.random.default_rng(1).integers(0, 10, 2 * CHUNK + 7)
    answers = tiny.predict(np.stack(IMAGES)[labels])
    assert [answer.label for answer in answers] == [str(k) for k in labels]


def test_polarity_zoom_and_padding_keep_the_label(tiny):
    read = {}
    for label, size_px in product(range(10), (28, 61, 112, 224)):
        gray = drawn(label, size_px=size_px)
        variants = [gray, 255 - gray, np.kron(gray, np.ones((2, 2), np.uint8)), np.pad(gray, 9)]
        read[label, size_px] = [answer.label for answer in tiny.predict(variants)]
    assert {key: labels for key, labels in read.items() if labels != [str(key[0])] * 4} == {}


def test_the_bundled_model_reads_drawn_digits_on_paper(default_model):
    read = {}
    for label in range(10):
        ink = drawn(label, size_px=160)
        images = [ink, 255 - ink, on_paper(ink), 255 - on_paper(ink), on_paper(ink, grain=12)]
        read[label] = [answer.best for answer in default_model.predict(images)]
    assert read == {label: [label] * 5 for label in range(10)}


def test_no_ink_is_an_answer(tiny):
    blank = [np.zeros((28, 28), np.uint8), np.full((90, 50), 255, np.uint8), np.zeros((1, 1), bool)]
    for answer in tiny.predict([*blank, on_paper(np.zeros((100, 80), np.uint8))]) + tiny.predict(blank[0]):
        assert (answer.label, answer.reason) == (None, "no ink")
        assert (answer.confidence, answer.probs, answer.score, answer.best) == (None, None, None, None)


def test_plain_images_are_answered_even_when_they_are_black(tmp_path):
    plain = load(Tiny(kind="plain").write(tmp_path / "plain.onnx"))
    assert plain.prepare == "plain"
    assert plain.predict(np.zeros((28, 28), np.uint8))[0].probs is not None


def test_below_the_threshold_it_does_not_answer_but_keeps_the_figures(tiny, tmp_path):
    score = tiny.predict(IMAGES[4])[0].score
    lenient, strict = (
        load(Tiny(calibration=Calibration(accept_score=score + d)).write(tmp_path / f"{d}.onnx")) for d in (-0.1, 0.1)
    )
    (accepted,), (rejected,) = lenient.predict(IMAGES[4]), strict.predict(IMAGES[4])
    assert accepted.label == "4"
    assert (rejected.label, rejected.reason, rejected.best) == (None, "unsure", 4)
    assert np.array_equal(rejected.probs, accepted.probs)
    assert (rejected.confidence, rejected.score) == (accepted.confidence, accepted.score)


@pytest.fixture(scope="module")
def wary(tmp_path_factory):
    """A model file that knows two kinds of outliers, and answers what looks more like a digit than like those."""
    wary = Tiny(calibration=Calibration(accept_score=0.5, min_confidence=0.12), outliers=OUTLIERS)
    return wary.write(tmp_path_factory.mktemp("wary") / "wary.onnx")


def test_outliers_are_rejected_with_their_reason(wary):
    model = load(wary)
    assert [answer.label for answer in model.predict(np.stack([template(i) for i in range(10)]))] == list(DIGITS)
    answers = model.predict(SHAPES)
    assert [(answer.label, answer.reason) for answer in answers] == [(None, reason) for reason in OUTLIERS]
    assert all(answer.score < 0.5 and answer.probs.sum() == pytest.approx(1, abs=1e-5) for answer in answers)


def test_accept_all_answers_every_image_with_ink(wary):
    model = load(wary, accept_all=True)
    assert [answer.label for answer in model.predict(SHAPES)] == [DIGITS[a.best] for a in load(wary).predict(SHAPES)]
    assert model.predict(np.zeros((28, 28), np.uint8))[0].reason == "no ink"


def test_below_the_minimum_confidence_it_is_unsure(wary):
    (accepted,) = load(wary).predict(IMAGES[3])
    assert accepted.label == "3"
    assert accepted.confidence < 0.99
    for accept_all, (minimum, label, reason) in product(
        (False, True), ((accepted.confidence - 0.01, "3", None), (accepted.confidence + 0.01, None, "unsure"))
    ):
        (answer,) = load(wary, min_confidence=minimum, accept_all=accept_all).predict(IMAGES[3])
        assert (answer.label, answer.reason, answer.confidence) == (label, reason, accepted.confidence)
    for wrong in (-0.1, 1.01, float("nan"), "x"):
        with pytest.raises(UsageError, match="from 0 to 1"):
            load(wary, min_confidence=wrong)


def test_a_card_that_hides_the_outliers_is_error_of(tmp_path):
    silent = Tiny(outliers=OUTLIERS).write(tmp_path / "silent.onnx", text=Tiny().card().to_json())
    with pytest.raises(NotAModelFile, match="do not agree"):
        load(silent)


def test_one_bad_image_stops_the_call(tiny, tmp_path):
    with pytest.raises(NotAPicture):
        tiny.predict([IMAGES[0], b"no picture"])
    with pytest.raises(PictureError, match="no file"):
        tiny.predict(tmp_path / "nothing.png")
    with pytest.raises(PictureError, match="Received: int"):
        tiny.predict(5)


def test_other_classes_than_digits(tmp_path):
    names = ("trouser", "ß", "10")
    model = load(Tiny(classes=names).write(tmp_path / "names.onnx"))
    assert model.classes == names
    assert [answer.label for answer in model.predict(IMAGES[:3])] == list(names)


# Many at once ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """More files than are read at a time: digits, photos, blanks; every sixteenth is broken, the last is missing."""
    grays = [IMAGES[i % 10] for i in range(12)] + [on_paper(drawn(6, size_px=160)), np.zeros((30, 30), np.uint8)]
    paths = []
    for i in range(2 * AT_A_TIME + 5):
        paths.append(tmp_path / f"{i:03}.png")
        if i % 16 == 4:
            paths[i].write_bytes(b"" if i % 32 == 4 else b"no picture")
        else:
            Image.fromarray(grays[i % len(grays)]).save(paths[i])
    return [*paths, tmp_path / "none.png"]


def alone(model: Recognizer, picture) -> Prediction | PictureError:
    try:
        return model.predict(picture)[0]
    except PictureError as exc:
        return exc


def test_each_image_has_its_answer_or_its_error_in_its_place(tiny, files):
    expected = [alone(tiny, file) for file in files]
    for n in (1, 2, AT_A_TIME - 1, AT_A_TIME, AT_A_TIME + 1, len(files)):
        answers = list(tiny.predict_each(iter(files[:n])))
        assert [type(answer) for answer in answers] == [type(other) for other in expected[:n]]
        for answer, other in zip(answers, expected, strict=False):
            assert str(answer) == str(other) if isinstance(other, PictureError) else same(answer, other)
    errors = [i for i, answer in enumerate(answers) if isinstance(answer, PictureError)]
    assert errors == [*range(4, len(files) - 1, 16), len(files) - 1]


def test_an_error_among_the_images_comes_out_as_it_is(tiny, files):
    error = PictureError("a folder without pictures")
    answers = list(tiny.predict_each([error, files[0], error]))
    assert answers[0] is answers[2] is error
    assert answers[1].label == "0"
    assert list(tiny.predict_each([])) == []
    assert list(tiny.predict_each([error])) == [error]


def test_one_bad_file_of_many_stops_predict(tiny, files):
    for n in (5, len(files)):
        with pytest.raises(NotAPicture, match=r"004\.png"):
            tiny.predict(files[:n])


def test_answers_come_before_everything_is_read(tiny):
    read = []
    endless = (read.append(i) or IMAGES[i % 10] for i in count())
    answers = tiny.predict_each(endless)
    assert [next(answers).label for _ in range(AT_A_TIME + 2)] == [str(i % 10) for i in range(AT_A_TIME + 2)]
    assert len(read) <= 4 * AT_A_TIME  # the chunk that is answered, the one that the network has, and the next ones
    answers.close()


def test_an_interruption_ends_the_answers_and_leaves_no_thread(tiny):
    def pictures():
        yield from IMAGES * 15
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        list(tiny.predict_each(pictures()))
    assert threading.active_count() == before


def test_the_number_of_processors_changes_no_answer(default_model, monkeypatch):
    images = np.stack([template(i % 40) for i in range(2 * CHUNK + 3)])
    expected = [default_model.predict(image)[0] for image in images]
    for processors in (1, 2, 3):
        monkeypatch.setattr(room, "cores", lambda processors=processors: processors)
        answers = Recognizer.load().predict(images)
        assert all(same(answer, other) for answer, other in zip(answers, expected, strict=True)), processors


# Finding --------------------------------------------------------------------------------------------------------------


def test_a_model_is_a_path_a_run_directory_or_a_bundled_name(tiny_file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.onnx").write_bytes(tiny_file.read_bytes())
    for model in (tiny_file, str(tiny_file), run, str(run)):
        assert load(model).name == "tiny"
    assert load().path == load("default").path == load(room.DEFAULT).path == bundled()[room.DEFAULT]
    assert load("best").path == bundled()["best"]


def test_the_bundled_models_load(default_model):
    for name, path in bundled().items():
        assert Recognizer.load(name).path == path
    assert default_model.classes == DIGITS


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"There is no model 'fats'.*best, fast.*Did you mean fast\?") as caught:
        find("fats")
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="There is no model"):
        find(tmp_path / "nothing.onnx")
    with pytest.raises(UsageError, match="There is no model in"):
        find(tmp_path)


# Bad files ------------------------------------------------------------------------------------------------------------


def error_of(path, data: bytes, error: type[ModelFileError] = NotAModelFile) -> str:
    """The message of the error that a file of these bytes is."""
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        load(path)
    assert type(caught.value) is error
    assert caught.value.exit_code == 5
    assert caught.value.http_status == 503
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def test_a_file_that_is_not_onnx(path):
    for data in (b"", b"\0", b"hello\n", b"PK\3\4" * 99, b"\x80\x04N.", bytes(5000), b"\x08\x07"):
        error_of(path, data)


def test_a_truncated_file(path, tiny_file):
    data = tiny_file.read_bytes()
    for twentieth in range(1, 20):
        error_of(path, data[: len(data) * twentieth // 20])
    error_of(path, data[:-1])


def test_random_bytes_are_never_an_error_of_the_library(path, capfd):
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 5, 10, 30, 100, 300, 1000, 10_000) * 5:
        error_of(path, rng.bytes(length))
    assert capfd.readouterr() == ("", "")


def test_flipped_bits_are_never_an_error_of_the_library(path, tiny_file, capfd):
    data, rng = tiny_file.read_bytes(), np.random.default_rng(0)
    bare = [*range(200), *range(len(data) - 6000, len(data))]  # the graph and the card, not the mass of the weights
    loaded = 0
    for _ in range(250):
        damaged = bytearray(data)
        for place in rng.choice(bare, rng.integers(1, 4)):
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with suppress(ModelFileError):
            (answer,) = load(path).predict(IMAGES[0])
            assert answer.best == 0
            loaded += 1
    assert 0 < loaded < 250  # what does not matter may be damaged: the text that says who made the file
    assert capfd.readouterr() == ("", "")


def test_some_other_onnx(path):
    model = Tiny().model()
    assert "no card" in error_of(path, model.SerializeToString())
    model.graph.input[0].name = model.graph.node[0].input[0] = "photo"
    model.graph.output[0].name = model.graph.node[-2].output[0] = "chances"
    message = error_of(path, model.SerializeToString())
    assert "Expected: image: uint8 [n, 28, 28] → probs, score" in message
    assert "photo: tensor(uint8) [28, 28] → chances, score" in message


def test_a_broken_card(path):
    for text in ("", "no json", "{}", "[1]", "[" * 100_000):
        Tiny().write(path, text=text)
        assert "card" in error_of(path, path.read_bytes())


def test_a_card_that_is_not_text(path, tiny_file):
    data = tiny_file.read_bytes()
    at = data.index(METADATA_KEY.encode()) + 100
    error_of(path, data[:at] + b"\xff\xfe" + data[at + 2 :])


def test_a_card_of_another_format(path):
    raw = json.loads(Tiny().card().to_json())
    Tiny().write(path, text=json.dumps({**raw, "format": 99}))
    message = error_of(path, path.read_bytes(), UnsupportedFormat)
    assert message.endswith("Expected: 1. Received: 99. Upgrade inkdigit.")


def test_a_preprocessing_of_the_future(path):
    for model, received in ((Tiny(version=99), "ink 99"), (Tiny(kind="letters"), f"letters {VERSION}")):
        message = error_of(path, model.write(path).read_bytes(), UnsupportedFormat)
        assert message.endswith(
            f"preprocessing that this release does not have. Received: {received}. Upgrade inkdigit."
        )


def test_an_older_preprocessing_still_loads(path):
    assert load(Tiny(version=0).write(path)).name == "tiny"


def test_changed_weights_fail_the_self_test(path):
    Tiny().write(path, weight=1.05)
    message = error_of(path, path.read_bytes(), SelfTestFailed)
    assert "Expected: probabilities within 0.001" in message
    assert "a difference of" in message


def test_int8_may_be_off_by_more(path):
    raw = json.loads(Tiny().card().to_json())
    Tiny().write(path, text=json.dumps({**raw, "numbers": "int8"}), weight=1.05)
    assert load(path).card.numbers == "int8"
    for numbers in ("float32", "other"):
        Tiny().write(path, text=json.dumps({**raw, "numbers": numbers}), weight=1.05)
        error_of(path, path.read_bytes(), SelfTestFailed)


def test_two_classes_that_are_equal_may_change_places(path):
    raw = json.loads(Tiny().card().to_json())
    raw["numbers"] = "int8"
    probs = raw["self_test"]["probs"] = np.full((10, 10), 0.1).tolist()
    probs[0][9] += 0.001
    Tiny().write(path, text=json.dumps(raw), weight=1e-3)  # the probabilities of the network differ a little
    assert load(path).card.numbers == "int8"


def test_weights_that_are_gone_fail_the_self_test(path):
    for weight in (0.0, float("nan"), -1.0):
        Tiny().write(path, weight=weight)
        error_of(path, path.read_bytes(), SelfTestFailed)


def test_a_card_for_another_number_of_classes_fails_the_self_test(path):
    Tiny().write(path, text=Tiny(classes=("a", "b", "c")).card().to_json())
    error_of(path, path.read_bytes(), SelfTestFailed)


def test_a_network_that_does_not_run_fails_the_self_test(path):
    model = Tiny().model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1  # and the self test has ten pictures
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, Tiny().card().to_json()
    error_of(path, model.SerializeToString(), SelfTestFailed)


def test_the_library_has_no_errors_that_are_not_translated():
    """A new release of ONNX Runtime may raise something new: then decide whether `_broken` names it."""
    state = ort.capi.onnxruntime_pybind11_state
    raised = {name for name in dir(state) if isinstance(e := getattr(state, name), type) and issubclass(e, Exception)}
    named = {error.__name__ for error in session.broken()}
    elsewhere = {"DeviceReset", "EngineError", "ModelLoadCanceled", "ModelLoaded", "ModelRequiresCompilation"}
    assert raised - named <= elsewhere  # none of them comes of a file


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permission(path, tiny_file):
    path.write_bytes(tiny_file.read_bytes())
    path.chmod(0)
    with pytest.raises(ModelFileError, match="cannot be read: Permission denied"):
        load(path)


def test_loading_prints_nothing(path, tiny_file, capfd):
    load(tiny_file)
    for data in (b"", b"text", tiny_file.read_bytes()[:3000]):
        error_of(path, data)
    assert capfd.readouterr() == ("", "")


def test_a_changed_image_is_answered_as_it_is(tiny):
    half = template(3).copy()
    half[14:] = 0
    moved = tiny.predict([half])[0].probs  # preprocessing scales what is left
    as_it_is = tiny.probs_as_prepared(half[None])
    assert as_it_is.shape == (1, 10)
    assert np.abs(as_it_is[0] - moved).max() > 0.01
    assert np.array_equal(tiny.probs_as_prepared(template(3)[None])[0], tiny.predict([template(3)])[0].probs)


def test_an_image_that_is_not_prepared_is_not_taken_for_one(tiny):
    for images in (np.zeros((1, 27, 28), np.uint8), np.zeros((1, 28, 28), np.float32)):
        with pytest.raises(ValueError, match="expected uint8"):
            tiny.probs_as_prepared(images)


# Files that others wrote ---------------------------------------------------------------------------------------------


def test_weights_in_other_files_are_never_read(path, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(bundled()["fast"])
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 50_000
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (tmp_path, elsewhere):
        monkeypatch.chdir(folder)
        assert "other files" in error_of(path, path.read_bytes())


def with_nodes(*nodes: object, constants: dict[str, np.ndarray]) -> bytes:
    """The tiny model with more before its end: the sum of `large` is added to its score, and taken away again."""
    import onnx

    model = onnx.load_from_string(bundled()["tiny"].read_bytes())
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == "score":
                node.output[i] = "score without"
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    model.graph.node.extend(nodes)
    make = onnx.helper.make_node
    model.graph.node.append(make("ReduceMax", ["large"], ["most"], keepdims=0))
    model.graph.node.append(make("Sub", ["most", "most"], ["nothing"]))
    model.graph.node.append(make("Add", ["score without", "nothing"], ["score"]))
    return model.SerializeToString()


def test_a_network_that_asks_for_more_memory_than_there_is(path):
    make = pytest.importorskip("onnx").helper.make_node
    shape = np.array([1_000_000, 1_000_000], np.int64)
    message = error_of(
        path, with_nodes(make("ConstantOfShape", ["shape"], ["large"]), constants={"shape": shape}), SelfTestFailed
    )
    assert "the network does not run" in message
    small = np.array([10, 10], np.int64)  # the same network with less
    path.write_bytes(with_nodes(make("ConstantOfShape", ["shape"], ["large"]), constants={"shape": small}))
    assert load(path).predict(IMAGES[3])[0].label == load("tiny").predict(IMAGES[3])[0].label


def test_a_file_that_is_too_large_to_be_a_model(path):
    with path.open("wb") as file:
        file.truncate(session.MAX_BYTES + 1)  # sparse: nothing is written
    with pytest.raises(NotAModelFile, match="larger than"):
        load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_a_model(path):
    os.mkfifo(path)
    with pytest.raises(UsageError, match="There is no model"):
        load(path)


def test_a_loaded_model_is_taken_as_it_is_and_a_path_is_opened(tiny, tiny_file):
    assert Recognizer.of(tiny) is tiny
    for wrong in (None, 3, b"fast"):
        for ask in (Recognizer.of, Recognizer.load):
            with pytest.raises(UsageError, match="does not name a model"):
                ask(wrong)
    assert Recognizer.of(tiny_file).path == Recognizer.of(str(tiny_file)).path == tiny_file
