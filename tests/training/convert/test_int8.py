"""int8 files: model files like any other, smaller, that name the file that they were made from."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime.quantization
import pytest

from inkdigit.errors import UsageError
from inkdigit.model.card import METADATA_KEY, Calibration
from inkdigit.model.provenance import ModelFile, Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.int8 import IMAGES, Quantized, choose, int8_bytes, quantize
from inkdigit.training.convert.model_file import model_bytes
from inkdigit.training.convert.restore import recipe_of, restore
from inkdigit.training.network import nets
from inkdigit.types import Gray

from ..conftest import CLASSES, draw, drawn_digits, tiny


@pytest.fixture(scope="module")
def made(finished) -> Quantized:
    return quantize(finished.model, drawn_digits())


@pytest.fixture(scope="module")
def int8(made, tmp_path_factory) -> Recognizer:
    path = tmp_path_factory.mktemp("int8") / "m.onnx"
    path.write_bytes(made.data)
    return Recognizer.load(path)  # its self test passes


def test_it_answers_nearly_as_the_float_file_does(finished, int8):
    pictures = draw(60, seed=9).images
    before, after = finished.model.predict(pictures), int8.predict(pictures)
    assert np.abs(np.stack([p.probs for p in before]) - np.stack([p.probs for p in after])).max() < 0.05
    assert [p.label for p in before] == [p.label for p in after]
    assert [p.score for p in after] == pytest.approx([p.score for p in before], abs=0.3)


def test_the_convolutions_compute_with_integers_of_a_filter_each(int8):
    model = onnx.load(int8.path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.domain for entry in model.opset_import] == [""]  # any ONNX tool opens it
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
    made_by = {name: node for node in model.graph.node for name in node.output}
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 2
    for node in convolutions:
        weights, scales, _ = (arrays[name] for name in made_by[node.input[1]].input)
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() <= 64  # 7 bits
        assert scales.shape == weights.shape[:1]
    assert "BatchNormalization" not in [node.op_type for node in model.graph.node]


def test_the_card_is_that_of_the_float_file_and_names_it(finished, int8):
    before, after = finished.model.card, int8.card
    assert (after.name, after.numbers) == ("tiny-int8", "int8")
    assert (after.classes, after.prepare, after.parameters) == (before.classes, before.prepare, before.parameters)
    assert after.calibration == before.calibration
    digest = hashlib.sha256((finished.folder / "model.onnx").read_bytes()).hexdigest()
    assert after.provenance == replace(before.provenance, made_from=(ModelFile("run/model.onnx", digest),))


def test_both_are_measured_on_what_the_recipe_reports_on(finished, made, int8):
    assert (made.before.split, made.before.n) == ("test", 40)
    assert made.before.accuracy == finished.report["accuracy"]
    assert int8.card.figures["accuracy"] == made.after.accuracy
    assert int8.card.figures["float32"]["accuracy"] == made.before.accuracy


def test_the_same_images_make_the_same_file(finished):
    pictures = draw(20).images
    assert int8_bytes(finished.model, pictures) == int8_bytes(finished.model, pictures)


def test_the_images_that_fix_the_ranges_are_always_the_same():
    images: Gray = np.arange(1200, dtype=np.int64).astype(np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    assert len(choose(images)) == IMAGES
    assert np.array_equal(choose(images), choose(images))
    assert len(choose(images[:7])) == 7


def test_what_the_quantiser_logs_is_hidden(finished, monkeypatch, capfd):
    """For that time alone: what others say is heard, and the root logger is afterwards what it was before."""
    root, heard = logging.getLogger(), []
    handlers, root.handlers = root.handlers, []  # pytest's: `logging` gives the root logger one where it has none
    real = onnxruntime.quantization.quantize_static
    advice = compile("import logging\nlogging.warning('Axis 1')", onnxruntime.quantization.__file__, "exec")

    def speak(*args, **kwargs):
        exec(advice, {})
        logging.getLogger("other").warning("heard")
        return real(*args, **kwargs)

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", speak)
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logging.getLogger("other").addHandler(handler)
    try:
        int8_bytes(finished.model, draw(3).images)
        assert root.handlers == []
        assert root.filters == []
        assert (heard, capfd.readouterr().err) == (["heard"], "")
    finally:
        root.handlers = handlers
        logging.getLogger("other").removeHandler(handler)


@pytest.mark.parametrize("wants_weights", [restore, recipe_of, lambda model: int8_bytes(model, draw(3).images)])
def test_it_has_no_trainable_weights_and_names_the_file_that_has(int8, wants_weights):
    with pytest.raises(UsageError, match=r"no trainable weights.*int8.*run/model\.onnx \(SHA-256 [0-9a-f]{12}…\)"):
        wants_weights(int8)


def test_data_with_other_classes_are_an_error_before_the_work(int8):
    other = replace(drawn_digits(), classes=("a", "b", "c"))
    with pytest.raises(UsageError, match=r"'drawn' has classes .* Received: a, b, c\. Name with --data"):
        quantize(int8, other)  # the work would begin with an error: it has no float weights


def test_a_network_of_an_output_layer_alone_has_nothing_to_make_integers_of(tmp_path):
    recipe, pictures = tiny(filters=(), head="flatten"), draw(9).images
    path = tmp_path / "m.onnx"
    path.write_bytes(
        model_bytes(
            nets.build(recipe, 3),
            recipe.name,
            classes=CLASSES,
            kind="ink",
            calibration=Calibration(),
            samples=pictures,
            provenance=Provenance(recipe=recipe.to_toml()),
        )
    )
    with pytest.raises(UsageError, match="no layer that can become integers"):
        int8_bytes(Recognizer.load(path), pictures)
