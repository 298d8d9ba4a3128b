"""The plain ONNX graph: old operators, no integers, a model file like any other, and the same answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper

from inkdigit.errors import ParityError, UsageError
from inkdigit.model.card import METADATA_KEY
from inkdigit.model.recognizer import Recognizer, load
from inkdigit.training.convert.int8 import int8_bytes
from inkdigit.training.convert.model_file import drawn_pictures, run_bytes
from inkdigit.training.convert.restore import recipe_of
from inkdigit.training.convert.runtimes.compare import differences
from inkdigit.training.convert.runtimes.plain import OPSET, Step, Steps, onnx_bytes, padded, plain_model, sliced
from inkdigit.training.recipe import Recipe

from ..conftest import SHAPES, SMALL, fresh

KNOWN_TO_OPENCV = {  # of the operators of our own layers, all are in the lists of runtimes with few operators
    *(
        "Unsqueeze",
        "Squeeze",
        "Cast",
        "Div",
        "Mul",
        "Sub",
        "Add",
        "Conv",
        "BatchNormalization",
        "Gemm",
        "Slice",
        "Flatten",
    ),
    *("Relu", "LeakyRelu", "Elu", "Tanh", "Sigmoid", "Erf", "MaxPool", "AveragePool", "ReduceMax", "ReduceMean"),
    *("ReduceSum", "Exp", "Log", "Softmax", "Clip", "Reshape"),
}


def read(data: bytes, tmp_path) -> Recognizer:
    path = tmp_path / "plain.onnx"
    path.write_bytes(data)
    return Recognizer.load(path)  # its self test passes


@pytest.mark.parametrize("fields", SHAPES, ids=lambda fields: " ".join(map(str, fields.values())))
def test_every_kind_of_layer_has_a_plain_graph(fields, tmp_path):
    recognizer = fresh(Recipe.from_fields({**SMALL, **fields}), tmp_path / "m.onnx")
    data = onnx_bytes(recognizer)
    model = onnx.load_from_string(data)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert {node.op_type for node in model.graph.node} <= KNOWN_TO_OPENCV
    images = drawn_pictures("ink", 20)[10:]
    assert max(differences(recognizer, lambda given: run_bytes(data, given), images)) < 1e-5


@pytest.mark.parametrize("name", ["general", "best"])
def test_it_is_a_model_file_that_names_the_one_it_was_made_from(name, tmp_path):
    recognizer = load(name)
    plain = read(onnx_bytes(recognizer), tmp_path)
    assert plain.classes == recognizer.classes
    assert plain.card.calibration == recognizer.card.calibration
    assert plain.card.numbers == "float32"
    assert [file.file for file in plain.card.provenance.made_from] == [f"zoo/{name}.onnx"]
    assert bool(plain.card.figures) == (recognizer.card.numbers == "float32")
    with pytest.raises(UsageError, match="has no trainable weights"):
        recipe_of(plain)


def test_integers_become_the_floats_that_they_stand_for(finished, tmp_path):
    images = drawn_pictures("ink", 40)
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8_bytes(finished.model, images))
    int8 = Recognizer.load(path)
    data = onnx_bytes(int8)
    model = onnx.load_from_string(data)
    assert {weight.data_type for weight in model.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    assert "Clip" in {node.op_type for node in model.graph.node}  # it is the ReLU that the quantiser left out
    assert max(differences(int8, lambda given: run_bytes(data, given), images)) < 0.05
    assert read(data, tmp_path).card.provenance.made_from[0].file.endswith("int8.onnx")


def test_a_younger_operator_keeps_its_opset(finished, tmp_path):
    """LayerNormalization is of opset 17: the graph keeps that, with its reductions as they were written then."""
    model = onnx.load(finished.model.path)
    (probs,) = [node for node in model.graph.node if "probs" in node.output]
    logits = probs.input[0]
    scale = onnx.numpy_helper.from_array(np.ones(3, np.float32), "scale")
    model.graph.initializer.append(scale)
    at = list(model.graph.node).index(probs)
    model.graph.node.insert(at, helper.make_node("LayerNormalization", [logits, "scale"], ["normal"], axis=-1))
    probs = next(node for node in model.graph.node if "probs" in node.output)
    probs.input[0] = "normal"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    ort.InferenceSession(path)  # it is a valid model
    changed = Recognizer(None, finished.model.card, path=path)  # type: ignore[arg-type]  # its self test would fail
    plain = plain_model(changed)
    assert plain.opset_import[0].version == 17
    images = drawn_pictures("ink", 10)
    assert max(differences(changed, lambda given: run_bytes(plain.SerializeToString(), given), images)) < 1e-5


def test_a_file_that_answers_otherwise_is_not_handed_out(finished, monkeypatch):
    other = "inkdigit.training.convert.runtimes.plain.run_bytes"
    monkeypatch.setattr(other, lambda data, images: [np.roll(x, 1, -1) for x in run_bytes(data, images)])
    with pytest.raises(ParityError, match="plain ONNX file does not predict"):
        onnx_bytes(finished.model)


def step(operator: str, arrays: list[list[int]], **attributes) -> tuple[Step, Steps]:
    names = tuple(f"c{i}" for i in range(len(arrays)))
    made = Step(operator, ("x", *names), "y", attributes)
    constants = {name: np.array(array) for name, array in zip(names, arrays, strict=True)}
    return made, Steps(b"", (made,), constants, {"x": (1, 8, 10)}, ("y",))


def test_a_slice_is_counted_from_0_and_stays_within_the_value():
    assert sliced(*step("Slice", [[-3, 2], [2**31, -1], [2, 1]])) == ([0, 2, 7], [1, 7, 10], [1, 1, 1])
    assert sliced(*step("Slice", [[0], [9], [1], [3]])) == ([0, 0, 0], [1, 8, 10], [1, 3, 1])
    with pytest.raises(UsageError, match="goes backwards"):
        sliced(*step("Slice", [[7], [0], [1], [-1]]))


def test_a_pad_adds_or_cuts_off():
    assert padded(*step("Pad", [[0, 1, -2, 0, -1, 2]])) == ([0, 1, 0, 0, 0, 2], [0, 0, 2, 0, 1, 0])
    with pytest.raises(UsageError, match="other than one number"):
        padded(*step("Pad", [[0, 1, 0, 0, 1, 0]], mode=b"reflect"))
    made, graph = step("Pad", [[0, 1, 0, 0, 1, 0]])
    with pytest.raises(UsageError, match="where the network computes how"):
        padded(replace(made, inputs=("x", "x")), graph)


def test_the_order_of_outputs_is_that_of_the_model_file(finished):
    names = [output.name for output in plain_model(finished.model).graph.output]
    assert names == ["probs", "score"]
    assert METADATA_KEY in {entry.key for entry in onnx.load_from_string(onnx_bytes(finished.model)).metadata_props}
    assert torch.is_grad_enabled()
