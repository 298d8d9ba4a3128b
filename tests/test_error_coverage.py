"""Every leaf of the error tree is raised: by a command with its exit code, or by the service with its status."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from inkdigit import errors
from inkdigit.cli import app
from inkdigit.data.mirrors import PUBLISHED, PublishedSet
from inkdigit.errors import InkdigitError
from inkdigit.model.card import METADATA_KEY
from inkdigit.model.recognizer import bundled

from .conftest import Tiny

pytest.importorskip("torch")
testclient = pytest.importorskip("starlette.testclient")
from inkdigit.serve.app import create_app  # noqa: E402 - the service is an extra
from inkdigit.serve.settings import Settings  # noqa: E402

LEAVES = {
    c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, InkdigitError) and not c.__subclasses__()
} | {errors.UsageError}

# Commands -------------------------------------------------------------------------------------------------------------

# Leaf → the words of a command, with files that `folder` makes.
COMMANDS: dict[type[InkdigitError], str] = {
    errors.UsageError: "train fast --set epochz=3",
    errors.OtherTask: "predict blank.png --model line",
    errors.MissingData: "data check empty",
    errors.ChecksumMismatch: "data get mnist --to mnist",
    errors.MalformedFile: "data check broken.csv",
    errors.NotAModelFile: "predict blank.png --model text.onnx",
    errors.UnsupportedFormat: "predict blank.png --model future.onnx",
    errors.SelfTestFailed: "predict blank.png --model changed.onnx",
    errors.Diverged: "train diverging.toml --data digits.npz --device cpu --out run",
    errors.ParityError: "export other-temperature.onnx --format safetensors --out weights.safetensors",
    errors.MissingExtra: "export fast --format keras --out fast.keras",
    errors.Unreachable: "predict blank.png --server http://127.0.0.1:1",
    errors.NoCluster: "train fast --data digits.npz --seeds 0-1 --engine ray --address 127.0.0.1:1",
    errors.OutputError: "submit test.csv --model tiny --out no/such/folder.csv",
}
ELSEWHERE = {errors.WorkersDied}  # by tests/scale/test_engine.py: processes must die for it
DIVERGING = """\
filters = [4, 8]
head = "global_max"
batch_norm = false
batch = 1
epochs = 3
optimizer = "sgd"
learning_rate = 1e6
weight_decay = 100
precision = "float32"
"""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The only mirror of MNIST is on this machine, and has other files."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"other")

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(PUBLISHED, "mnist", PublishedSet(PUBLISHED["mnist"].files, (url,)))
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that `COMMANDS` name, in the current folder; Keras is not installed."""
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28)).astype(np.uint8)
    Image.new("L", (28, 28)).save(tmp_path / "blank.png")
    np.savez(tmp_path / "digits.npz", X=images, y=np.arange(60) % 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.csv").write_text("label,pixel0\n1,x\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text(
        "\n".join([",".join(f"pixel{i}" for i in range(784)), ",".join(["0"] * 784)]), encoding="utf-8"
    )
    (tmp_path / "diverging.toml").write_text(DIVERGING, encoding="utf-8")
    (tmp_path / "text.onnx").write_text("no model", encoding="utf-8")
    Tiny().write(tmp_path / "changed.onnx", weight=1.05)
    Tiny().write(tmp_path / "future.onnx", text=json.dumps({**json.loads(Tiny().card().to_json()), "format": 99}))
    write_with_another_temperature(tmp_path / "other-temperature.onnx")
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_with_another_temperature(path: Path) -> None:
    """A bundled model whose card names another temperature than its graph has: its weights alone answer otherwise."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(bundled()["fast"])
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    card = json.loads(entry.value)
    card["calibration"]["temperature"] *= 2
    entry.value = json.dumps(card)
    onnx.save(model, path)


@pytest.mark.usefixtures("folder", "mirror")
def test_a_command_ends_with_the_error_and_its_exit_code(capsys):
    for leaf, words in COMMANDS.items():
        with pytest.raises(SystemExit) as caught:
            app.main(words.split())
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("Error: "), words
        assert (type(caught.value.__context__), caught.value.code) == (leaf, leaf.exit_code), f"{words}: {last}"


# The service ----------------------------------------------------------------------------------------------------------


def large_png(path: Path) -> bytes:
    """17 megapixels in a few kilobytes."""
    Image.new("L", (4100, 4150)).save(path, "PNG")
    return path.read_bytes()


def chunks(size: int) -> Iterator[bytes]:
    """A body whose size is not said before."""
    yield bytes(size)


def requests(folder: Path) -> dict[type[InkdigitError], tuple[dict[str, object], str, str, dict[str, object]]]:
    """Leaf → settings of a service, method and path of a request to it, and what else the request has."""
    blank = {"content": (folder / "blank.png").read_bytes()}
    collect = {"collect": folder / "corrections.db"}
    return {
        errors.NotAPicture: ({}, "POST", "/predict", {"content": b"no picture"}),
        errors.PictureTooLarge: ({}, "POST", "/predict", {"content": large_png(folder / "large.png")}),
        errors.UsageError: ({}, "POST", "/predict", {"json": {"image": "?"}}),
        errors.NotFound: ({}, "GET", "/no-such-page", {}),
        errors.MethodNotAllowed: ({}, "DELETE", "/predict", {}),
        errors.NotCollecting: ({}, "POST", "/corrections", {"json": {}}),
        errors.NotJson: (collect, "POST", "/corrections", {"content": b"{}"}),
        errors.Unauthorized: ({"token": "secret"}, "POST", "/predict", blank),
        errors.RequestTooLarge: ({"max_bytes": 10}, "POST", "/predict", blank),
        errors.TooSlow: ({"time_limit_s": 0.0}, "POST", "/predict", blank),
        errors.Busy: ({"max_bytes": 10}, "POST", "/predict", {"content": chunks(1_000)}),  # more than all may hold
    }


def test_the_service_answers_with_the_error_and_its_status(folder):
    for leaf, (settings, method, path, request) in requests(folder).items():
        with testclient.TestClient(create_app(Settings(models=("tiny",), **settings))) as client:
            answer = client.request(method, path, **request)
        assert set(answer.json()) == {"error", "kind"}
        assert (answer.json()["kind"], answer.status_code) == (leaf.__name__, leaf.http_status), answer.text


def test_every_leaf_has_something_that_raises_it(folder):
    assert {*COMMANDS, *requests(folder), *ELSEWHERE} == LEAVES
