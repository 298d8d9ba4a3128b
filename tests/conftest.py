"""What the tests of several packages share: drawn digits, digits on paper, a tiny model file, the folder of MNIST."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from inkdigit.model.card import METADATA_KEY, Calibration, Card, SelfTest
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer, bundled
from inkdigit.picture.prepare import VERSION, prepare
from inkdigit.synth.drawn import digit
from inkdigit.types import DIGITS, Gray


def drawn(label: int, *, seed: int = 0, size_px: int = 112, thickness: float = 0.09) -> Gray:
    """A digit that looks handwritten: uint8 (size_px, size_px), ink 255 on 0."""
    return digit(label, rng=np.random.default_rng([seed, label]), size_px=size_px, thickness=thickness)


def on_paper(ink: Gray, *, seed: int = 0, paper: int = 210, pen: int = 60, shadow: int = 70, grain: float = 5) -> Gray:
    """Dark ink on lit paper, as in a photo: `shadow` darkens one corner, `grain` is the noise, in gray levels."""
    h, w = ink.shape
    y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j]
    lit = paper - shadow * (0.6 * x + 0.4 * y)
    cover = ink / 255
    photo = lit * (1 - cover) + np.minimum(pen, lit) * cover + np.random.default_rng(seed).normal(0, grain, ink.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


@cache
def template(index: int) -> Gray:
    """A clean image 28×28 for the class `index`."""
    return prepare(drawn(index % 10, seed=index // 10))


def _square(side: int, hole: int) -> Gray:
    """A square of ink in the middle of a 28×28 image, with a square hole."""
    image = np.zeros((28, 28), np.uint8)
    image[14 - side // 2 : 14 + side // 2, 14 - side // 2 : 14 + side // 2] = 255
    image[14 - hole // 2 : 14 + hole // 2, 14 - hole // 2 : 14 + hole // 2] = 0
    return image


SHAPES = np.stack([_square(20, 0), _square(20, 16)])  # the outliers of `Tiny`


@dataclass(frozen=True)
class Tiny:
    """A model file of a few kilobytes: each class is one image, and the most similar one wins."""

    classes: tuple[str, ...] = DIGITS
    calibration: Calibration = field(default_factory=Calibration)
    kind: str = "ink"
    version: int = VERSION
    provenance: dict[str, object] = field(default_factory=dict)
    outliers: tuple[str, ...] = ()  # the first is a full square, the second a ring of ink

    def templates(self) -> Gray:
        """One 28×28 image for each class."""
        return np.stack([template(i) for i in range(len(self.classes))])

    def model(self, *, weight: float = 1.0):
        """The ONNX model without its card; with a `weight` other than 1 its probabilities differ."""
        onnx = pytest.importorskip("onnx")
        make, numpy_helper = onnx.helper.make_node, onnx.numpy_helper
        images = np.concatenate([self.templates(), SHAPES[: len(self.outliers)]])
        columns = images.reshape(len(images), -1).T / 255.0
        columns = weight * 2 * columns / np.linalg.norm(columns, axis=0)
        nodes = [
            make("Cast", ["image"], ["floats"], to=onnx.TensorProto.FLOAT),
            make("Mul", ["floats", "unit"], ["pixels"]),
            make("Flatten", ["pixels"], ["flat"], axis=1),
            make("MatMul", ["flat", "weight"], ["all"]),
            make("Split", ["all", "sizes"], ["logits", "others"], axis=1),
            make("ReduceLogSumExp", ["logits", "axis"], ["inside"], keepdims=0),
            make("ReduceLogSumExp", ["others", "axis"], ["outside"], keepdims=0),
            make("Softmax", ["others"], ["outliers"], axis=1),
            make("Softmax", ["logits"], ["probs"], axis=1),
            make("Sub", ["inside", "outside"], ["score"]) if self.outliers else make("Identity", ["inside"], ["score"]),
        ]
        constants = {
            "unit": np.float32(1 / 255),
            "weight": columns.astype(np.float32),
            "axis": np.array([1]),
            "sizes": np.array([len(self.classes), len(self.outliers)]),
        }
        info, float_ = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        outputs = [info("probs", float_, ["n", len(self.classes)]), info("score", float_, ["n"])]
        if self.outliers:
            outputs.append(info("outliers", float_, ["n", len(self.outliers)]))
        graph = onnx.helper.make_graph(
            nodes,
            "tiny",
            [info("image", onnx.TensorProto.UINT8, ["n", 28, 28])],
            outputs,
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)

    def card(self) -> Card:
        """The card of the file, with the probabilities that the network really gives."""
        images = self.templates()[:10]
        session = ort.InferenceSession(self.model().SerializeToString(), providers=["CPUExecutionProvider"])
        probs = session.run(["probs"], {"image": images})[0]
        return Card(
            name="tiny",
            classes=self.classes,
            prepare=self.kind,
            prepare_version=self.version,
            parameters=784 * len(self.classes),
            calibration=self.calibration,
            self_test=SelfTest(images, probs),
            provenance=Provenance.from_json(self.provenance),
            outliers=self.outliers,
        )

    def write(self, path: Path, *, text: str | None = None, weight: float = 1.0) -> Path:
        """The model file at `path`; `text` replaces the card."""
        model = self.model(weight=weight)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, self.card().to_json() if text is None else text
        path.write_bytes(model.SerializeToString())
        return path


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that recognises the digits of `drawn`."""
    return Tiny().write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny(tiny_file: Path) -> Recognizer:
    return Recognizer.load(tiny_file)


@pytest.fixture(scope="session")
def default_model() -> Recognizer:
    """The model that ships with the package."""
    if not bundled():
        pytest.skip("no model is bundled yet")
    return Recognizer.load()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def log(lines: list[str]) -> Callable[[str], None]:
    """A log that appends each message to `lines`."""
    return lines.append


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder of the real MNIST."""
    root = Path(__file__).parents[1]
    places = [os.environ.get("INKDIGIT_DATA"), root / "data", root.parent / "data", root.parent / "shared" / "data"]
    for place in filter(None, places):
        if (Path(place) / "mnist" / "train-images-idx3-ubyte.gz").is_file():
            return Path(place) / "mnist"
    pytest.skip("MNIST is not on this machine: set INKDIGIT_DATA to the folder that holds mnist/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On Windows the tests of what it has not are skipped."""
    if os.name == "nt":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="Windows has no such thing"))


# These measure with what Linux counts, and start processes as it does.
collect_ignore_glob = (
    ["benchmarks/hardening/*", "benchmarks/scale/*", "scale/test_replicas.py"] if os.name == "nt" else []
)


def pytest_configure() -> None:
    """One thread for each process that trains: tests run side by side, and waiting threads are slow.

    Tests can press Ctrl-C also where a shell has started them in the background, with that signal ignored.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded
    os.environ.setdefault("PYTHONIOENCODING", "utf-8")  # of the commands that tests start, also on Windows
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After a full run: cases and seconds of each folder of tests, the workers' seconds added up."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    seconds: dict[str, float] = defaultdict(float)
    cases: dict[str, set[str]] = defaultdict(set)
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            part = report.nodeid.partition("::")[0].split("/")[1]
            seconds[part] += report.duration
            cases[part].add(report.nodeid)
    if seconds:
        terminalreporter.write_sep("-", "seconds of all workers together")
    for part in sorted(seconds, key=seconds.__getitem__, reverse=True):
        terminalreporter.write_line(f"{seconds[part]:7.1f} s {len(cases[part]):6,} cases  {part}")
