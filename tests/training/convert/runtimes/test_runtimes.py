"""Files of other runtimes: each runtime opens its own, and they predict what the model file does."""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inkdigit.errors import MissingExtra, ParityError, UsageError
from inkdigit.model.card import Calibration, Card
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer, load
from inkdigit.training.convert import model_file
from inkdigit.training.convert.ensemble import Ensemble
from inkdigit.training.convert.export import convert
from inkdigit.training.convert.model_file import drawn_pictures
from inkdigit.training.convert.runtimes import coreml, coreml_run, flatbuffer, openvino, tflite
from inkdigit.training.convert.runtimes.compare import differences
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe
from inkdigit.types import Floats, Gray

from ..conftest import SHAPES, SMALL, fresh

Run = Callable[[Gray], Sequence[Floats]]
LIBRARIES = {"tflite": "ai_edge_litert", "openvino": "openvino", "coreml": "coremltools"}
HERE = {name: importlib.util.find_spec(module) is not None for name, module in LIBRARIES.items()}
HERE["coreml"] = coreml.is_whole()  # without its native libraries it writes nothing
NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(not HERE[name], reason=f"{module} is missing"))
    for name, module in LIBRARIES.items()
]
QUICK = [  # coremltools takes seconds for each network
    pytest.param(*param.values, marks=[*param.marks, *([pytest.mark.slow] if param.values == ("coreml",) else [])])
    for param in NAMES
]
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries: they are in a state of flux


def opened(name: str, files: dict[str, bytes], folder: Path, outputs: int = 2) -> Run:
    """What a runtime makes of the files of a format."""
    if name == "tflite":
        return tflite.runner(files[""])
    for inside, data in files.items():
        path = folder / f"m{inside}" if name == "openvino" else folder / "m.mlpackage" / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if name == "openvino":
        return openvino.runner(folder / "m.xml")
    return coreml_run.runner(folder / "m.mlpackage", ("probs", "score", "outliers")[:outputs])


def card_in(name: str, files: dict[str, bytes], folder: Path) -> Card:
    """The card, found as an app would find it: without a line of ours."""
    opened(name, files, folder)
    if name == "tflite":
        path = folder / "m.tflite"
        path.write_bytes(files[""])
        text = zipfile.ZipFile(path).read("inkdigit.card.json").decode()
    elif name == "openvino":
        import openvino as library

        text = library.Core().read_model(folder / "m.xml").get_rt_info(["inkdigit", "card"]).astype(str)
    else:
        import coremltools

        spec = coremltools.utils.load_spec(str(folder / "m.mlpackage"))
        text = spec.description.metadata.userDefined["inkdigit.card"]
    return Card.from_json(text, where=name)


@pytest.fixture(scope="module")
def layers(tmp_path_factory) -> list[Recognizer]:
    """Model files with every kind of layer that a recipe can have."""
    folder = tmp_path_factory.mktemp("layers")
    return [fresh(Recipe.from_fields({**SMALL, **shape}), folder / f"{i}.onnx") for i, shape in enumerate(SHAPES)]


@pytest.mark.parametrize("name", QUICK)
def test_every_kind_of_layer(name, layers, tmp_path):
    for recognizer in layers:
        files = convert(recognizer, name)  # it compares the two itself: see the next tests
        run = opened(name, files, tmp_path / recognizer.path.stem)
        assert max(differences(recognizer, run, drawn_pictures("ink", 20)[10:])) < 1e-5, recognizer.path.stem


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(("model", "allowed"), [("general", 1e-5), ("best", 0.05)])
def test_bundled_models_with_outliers_and_with_integers(name, model, allowed, tmp_path):
    recognizer = load(model)
    files = convert(recognizer, name)
    run = opened(name, files, tmp_path, outputs=2 + bool(recognizer.card.outliers))
    assert max(differences(recognizer, run, drawn_pictures("ink", 30)[10:])) < allowed
    card = card_in(name, files, tmp_path)
    assert card.classes == recognizer.classes
    assert card.outliers == recognizer.card.outliers
    assert card.calibration == recognizer.card.calibration
    assert (card.prepare, card.prepare_version) == (recognizer.prepare, recognizer.card.prepare_version)
    assert card.provenance.made_from[0].file == f"zoo/{model}.onnx"


def written(net: nn.Module, path: Path, *, kind: str = "ink", classes: tuple[str, ...] = ("0", "1", "2")) -> Recognizer:
    pictures = drawn_pictures(kind, 32)
    with torch.no_grad():
        net.train()(torch.from_numpy(pictures).unsqueeze(1).float())  # batch norms are not what they begin as
    data = model_file.model_bytes(
        net.eval(),
        "m",
        classes=classes,
        kind=kind,
        calibration=Calibration(0.8),
        samples=pictures,
        provenance=Provenance(recipe="", data=None),
    )
    path.write_bytes(data)
    return Recognizer.load(path)


class Unusual(nn.Module):
    """Layers that no recipe has: depthwise, dilated and padded ones, a view of the batch, a branch that is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 5, padding=2, stride=2)
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.dilated = nn.Conv2d(12, 4, 3, padding=2, dilation=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.output = nn.Linear(8 * 49, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x / 255))
        x = torch.nn.functional.hardtanh(self.dilated(self.depthwise(x)), -0.5, 2.0)
        x = torch.cat([self.pool(x), torch.nn.functional.avg_pool2d(x, 2).abs().sqrt()], 1)
        return self.output(x.permute(0, 2, 3, 1).reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def of_kind(tmp_path_factory) -> Callable[[str], Recognizer]:
    folder = tmp_path_factory.mktemp("kinds")
    return cache(lambda kind: make(kind, folder / f"{kind}.onnx"))


def make(kind: str, path: Path) -> Recognizer:
    torch.manual_seed(0)
    if kind == "an unusual network":
        return written(Unusual(), path)
    if kind == "an ensemble with views":
        members = [nets.build(Recipe.from_fields({**SMALL, **fields}), 3) for fields in SHAPES[:2]]
        return written(Ensemble(members, [0.7, 1.3], views=5), path)
    if kind == "plain images of two classes":
        net = nets.build(Recipe.from_fields({**SMALL, "prepare": "plain"}), 2)
        return written(net, path, kind="plain", classes=("bag", "boot"))
    if kind == "normalised moments":
        return written(nets.build(Recipe.from_fields({**SMALL, "moments": True}), 3), path)
    return written(Recurrent(), path)


@pytest.mark.parametrize("name", ["onnx", *QUICK])
@pytest.mark.parametrize("kind", ["an unusual network", "an ensemble with views", "plain images of two classes"])
def test_networks_that_only_pytorch_s_exporter_writes(name, kind, of_kind, tmp_path):
    recognizer = of_kind(kind)
    files = convert(recognizer, name)
    if name != "onnx":
        run = opened(name, files, tmp_path)
        assert max(differences(recognizer, run, drawn_pictures(recognizer.prepare, 30)[10:])) < 1e-5


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(28, 8, batch_first=True)
        self.output = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.rows(x.flatten(1, 2) / 255)[0][:, -1])


@pytest.mark.parametrize("name", ["onnx", *NAMES])
@pytest.mark.parametrize(
    ("kind", "unknown"),
    [("normalised moments", "GridSample"), pytest.param("recurrent rows", "LSTM", marks=pytest.mark.slow)],
)
def test_what_cannot_be_translated_is_one_error(name, kind, unknown, of_kind):
    recognizer = of_kind(kind)
    if name in ("onnx", "openvino"):
        assert convert(recognizer, name)
        return
    with pytest.raises(UsageError, match=rf"does not translate.*Received: .*{unknown}.*formats onnx and openvino"):
        convert(recognizer, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_answers_otherwise_is_not_handed_out(name, finished, monkeypatch):
    def spoilt(*args: Any, **options: Any) -> Run:
        run = original(*args, **options)
        return lambda images: [np.roll(output, 1, -1) for output in run(images)]

    module = {"tflite": tflite, "openvino": openvino, "coreml": coreml_run}[name]
    original = module.runner
    monkeypatch.setattr(module, "runner", spoilt)
    with pytest.raises(ParityError, match=r"does not predict what .* It is not written"):
        convert(finished.model, name)


@pytest.mark.parametrize("name", ["tflite", "openvino", "coreml"])
def test_without_the_library_the_error_names_the_extra(name, finished, monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == LIBRARIES[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    with pytest.raises(MissingExtra, match=rf"needs {LIBRARIES[name]}.*\[{name}\]"):
        convert(finished.model, name)


@pytest.mark.skipif(not importlib.util.find_spec("ai_edge_litert"), reason="ai_edge_litert is missing")
def test_litert_names_what_goes_in_and_out(finished, capfd):
    data = convert(finished.model, "tflite")[""]
    assert data[4:8] == b"TFL3"
    assert data == convert(finished.model, "tflite")[""]  # the same file every time
    signature = flatbuffer.open_file(data)
    assert {name: (list(x["shape"]), x["dtype"]) for name, x in signature.get_input_details().items()} == {
        "image": ([1, 28, 28], np.uint8)
    }
    assert {name: list(x["shape"]) for name, x in signature.get_output_details().items()} == {
        "probs": [1, 3],
        "score": [1],
    }
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not importlib.util.find_spec("coremltools"), reason="coremltools is missing")
def test_coremltools_without_its_native_libraries_is_one_error(finished, monkeypatch):
    monkeypatch.setattr(coreml, "LIBRARIES", ("libmilstoragepython", "libnowhere"))
    with pytest.raises(UsageError, match="without the native libraries"):
        convert(finished.model, "coreml")


@pytest.mark.skipif(not HERE["coreml"], reason="coremltools is missing")
def test_core_ml_says_what_goes_in_and_out(finished, tmp_path):
    import coremltools

    files = convert(finished.model, "coreml")
    opened("coreml", files, tmp_path)
    spec = coremltools.utils.load_spec(str(tmp_path / "m.mlpackage"))
    (image,) = spec.description.input
    assert (image.name, list(image.type.multiArrayType.shape)) == ("image", [1, 28, 28])
    assert image.type.multiArrayType.dataType == coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    assert [output.name for output in spec.description.output] == ["probs", "score"]
    assert spec.specificationVersion == 6  # iOS 15
    about = spec.description.metadata.userDefined
    assert json.loads(about["inkdigit.classes"]) == ["0", "1", "2"]
    assert about["inkdigit.prepare"] == f"ink {finished.model.card.prepare_version}"
    weights = {name: data for name, data in files.items() if name.endswith("weight.bin")}
    assert all(weights.values())
