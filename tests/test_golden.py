"""What must not change while the code is reorganised: predictions, trained weights, and the names that others use.

`golden/answers.npz` holds images with the predictions of the bundled models, the map of one explanation, and the
weights of two short trainings. On the processor and with the libraries that wrote it, they are compared bit for bit;
elsewhere sums round differently, and a small difference is allowed. `golden/surface.json` holds the names: commands and
their options, parameters of functions, keys of JSON, fields, files, routes, exit codes; with all defaults. After an
intended change, write both files again:

    WRITE_GOLDEN=1 python -m pytest tests/test_golden.py
"""

from __future__ import annotations

import inspect
import io
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import inkdigit
from inkdigit import errors
from inkdigit.cli.app import app
from inkdigit.data.readers.corrections import add
from inkdigit.measure import speed
from inkdigit.model.explain import occlusion
from inkdigit.model.recognizer import Recognizer, bundled, load, readers
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import letter, scribble
from inkdigit.training.recipe import Recipe
from inkdigit.training.recipe import bundled as bundled_recipes
from inkdigit.training.run import Run

from .cli.test_benchmark import made_up
from .conftest import drawn, on_paper
from .measure.made_runs import make_run
from .measure.made_runs import seeds as made_seeds
from .training.conftest import draw, finish, fit, single_thread, tiny

FOLDER = Path(__file__).parent / "golden"
EXAMPLES = Path(__file__).parents[1] / "examples"
ANSWERS, SURFACE = FOLDER / "answers.npz", FOLDER / "surface.json"
WRITE = "WRITE_GOLDEN" in os.environ
# What 1.0 changed: without a folder of examples, `first-run` draws some.
BEFORE_1_0 = {"0.2.0": {"/commands/first-run/examples/default: PosixPath('examples')"}}
CLOSE = 2e-4  # of a probability, a weight, or a nat: the rounding of another processor
RECIPES = {
    "adam": tiny(filters=(4,), epochs=1, rotate_deg=8.0, shift_px=1.0),
    "muon": tiny(filters=(4,), epochs=1, optimizer="muon", keep="last", ema_decay=0.9, thickness=0.2),
}


def processor() -> str:
    """What sums depend on besides the code: the processor and the libraries."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    libraries = [f"{name} {version(name)}" for name in ("numpy", "onnxruntime")]
    return "; ".join([platform.machine(), model, *libraries, f"torch {torch.__version__}"])


# Answers --------------------------------------------------------------------------------------------------------------


def pictures() -> dict[str, np.ndarray]:
    """Images for every path through the preprocessing: name → gray (H, W)."""
    rng = np.random.default_rng(18)
    clean = {f"clean-{k}": drawn(k, seed=18, size_px=20 + 2 * k) for k in range(10)}
    photos = {f"photo-{k}": on_paper(drawn(k, seed=19, size_px=56), seed=k) for k in range(10)}
    others = {
        "letter": on_paper(letter("W", rng=rng, size_px=56)),
        "scribble": on_paper(scribble(rng=rng, size_px=56)),
        "two": np.hstack([drawn(1, seed=2, size_px=40), drawn(0, seed=3, size_px=40)]),
        "empty": np.zeros((28, 28), np.uint8),
        "full": np.full((30, 20), 255, np.uint8),
    }
    return {**clean, **photos, **others}


def answers(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All arrays that are compared: prepared images and predictions of `given`, an explanation, trained weights."""
    prepared = np.stack([prepare(picture) for picture in given.values()])
    out: dict[str, np.ndarray] = {"prepared": prepared}
    for name in bundled():
        model = load(name)
        predictions = model.predict(list(given.values()))
        blank = np.full(len(model.classes), np.nan, np.float32)
        out[f"{name}-probs"] = np.stack([blank if p.probs is None else p.probs for p in predictions])
        out[f"{name}-score"] = np.array([np.nan if p.score is None else p.score for p in predictions], np.float32)
        out[f"{name}-label"] = np.array([p.label or "" for p in predictions])
        out[f"{name}-reason"] = np.array([p.reason or "" for p in predictions])
    seven = prepared[list(given).index("photo-7")]
    out["explanation"] = occlusion(load("fast"), seven, class_index=7)
    with single_thread():
        for name, recipe in RECIPES.items():
            state, _ = fit(recipe, draw(120), validation=draw(40, seed=1))
            out |= {f"{name}.{key}": value.numpy() for key, value in state.net.state_dict().items()}
    return out


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if WRITE:
        given = pictures()
        stored = {f"given-{name}": picture for name, picture in given.items()}
        FOLDER.mkdir(exist_ok=True)
        np.savez_compressed(ANSWERS, processor=processor(), **stored, **answers(given))
    with np.load(ANSWERS) as file:
        return dict(file)


@pytest.fixture(scope="module")
def today(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return answers({key.removeprefix("given-"): golden[key] for key in golden if key.startswith("given-")})


def test_predictions_explanations_and_trained_weights_are_unchanged(golden, today):
    expected = {key: value for key, value in golden.items() if not key.startswith("given-") and key != "processor"}
    assert set(today) == set(expected)
    same_machine = str(golden["processor"]) == processor()
    for key, value in expected.items():
        assert today[key].dtype.kind == value.dtype.kind, key
        if value.dtype.kind != "f" or same_machine:
            np.testing.assert_array_equal(today[key], value, err_msg=key)
        else:
            np.testing.assert_allclose(today[key], value, atol=CLOSE, rtol=CLOSE, err_msg=key)


# Names ----------------------------------------------------------------------------------------------------------------


def said(default: object) -> str:
    """A default as text, the same on every system and in every process."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(default)).replace("WindowsPath(", "PosixPath(")


def defaults(function: Any) -> dict[str, str]:
    """Each parameter of a function with its default, or that it has none."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: "required" if p.default is p.empty else said(p.default) for p in parameters}


def commands(group: Any, words: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Every command with its parameters, their spellings and defaults."""
    out: dict[str, dict[str, Any]] = {}
    for name, command in getattr(group, "commands", {}).items():
        out |= commands(command, (*words, name))
    if words:
        out[" ".join(words)] = {
            param.name: {"spelt": [*param.opts, *param.secondary_opts], "default": said(param.default)}
            for param in group.params
        }
    return out


def keys(value: Any, *, depth: int = 4) -> Any:
    """The keys of nested objects, of a list those of its first entry."""
    if isinstance(value, dict) and depth:
        return {key: keys(inner, depth=depth - 1) for key, inner in sorted(value.items())}
    if isinstance(value, list) and value and depth:
        return [keys(value[0], depth=depth - 1)]
    return None


def run_files(run: Run) -> dict[str, Any]:
    """What a run directory holds: names, columns, keys."""
    folder = run.folder
    header = {path.name: path.read_text(encoding="utf-8").splitlines()[0] for path in folder.glob("*.csv")}
    with np.load(folder / "predictions.npz") as predictions:
        arrays = sorted(predictions)
    return {
        "files": sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")),
        "columns": header,
        "arrays": arrays,
        "env.json": keys(json.loads((folder / "env.json").read_text(encoding="utf-8"))),
        "report.json": keys(json.loads((folder / "report.json").read_text(encoding="utf-8"))),
        "card": keys(json.loads(Recognizer.load(folder).card.to_json())),
    }


def service() -> dict[str, Any]:
    """What the service takes and returns: routes with their fields, and the names of its metrics."""
    fastapi = pytest.importorskip("fastapi")
    from inkdigit.serve.app import create_app
    from inkdigit.serve.settings import Settings

    made = create_app(Settings(models=("tiny",)))
    described = fastapi.openapi.utils.get_openapi(title="", version="", routes=made.routes)
    schemas = described["components"]["schemas"]
    figures = made.state.service.counts.text().decode()
    return {
        "routes": {path: sorted(methods) for path, methods in sorted(described["paths"].items())},
        "fields": {name: sorted(schema.get("properties", {})) for name, schema in sorted(schemas.items())},
        "figures": sorted({line.split()[2] for line in figures.splitlines() if line.startswith("# TYPE")}),
    }


def json_of(*words: str) -> Any:
    """The keys of what a command prints with --json."""
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return keys(json.loads(done.stdout))


def printed(run: Run, folder: Path) -> dict[str, Any]:
    """What commands print with --json: their keys."""
    seven, date = (str(EXAMPLES / name) for name in ("7-pen-on-paper.png", "numbers/date.png"))
    return {
        "predict": json_of("predict", seven),
        "read": json_of("read", date),
        "models": json_of("models"),
        "info": json_of("info", "general"),
        "info, a reader": json_of("info", "line"),
        "info, a run": json_of("info", str(run.folder)),
        "evaluate": json_of("evaluate", "tiny", "--data", "sklearn-digits"),
        "data check": json_of("data", "check", "sklearn-digits"),
        **printed_of_made(folder),
    }


def printed_of_made(folder: Path) -> dict[str, Any]:
    """The same of commands about several runs, corrections and measurements, which are made up here."""
    for name, wrong in (("a", 1), ("b", 2)):
        made_seeds(folder / "runs" / name, {0: wrong, 1: wrong, 2: wrong})
    make_run(folder / "runs" / "single")
    png = io.BytesIO()
    Image.fromarray(drawn(7, seed=1)).save(png, "PNG")
    add(folder / "c.db", picture=png.getvalue(), model="tiny", answered="1", right="7")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(speed, "benchmark", lambda *_, **__: made_up("tiny"))
        return {
            "compare": json_of("compare"),
            "compare, runs": json_of("compare", "runs/a/s0", "runs/b/s0", "runs/a/s1"),
            "compare, seeds": json_of("compare", *(",".join(f"runs/{n}/s{k}" for k in range(3)) for n in "ab")),
            "corrections list": json_of("corrections", "list", "c.db"),
            "benchmark": json_of("benchmark", "tiny"),
        }


def graph(path: Path) -> dict[str, Any]:
    """The inputs and outputs of a model file, with their types and shapes."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {entry.name: [entry.type, entry.shape] for entry in [*session.get_inputs(), *session.get_outputs()]}


def surface(run: Run, folder: Path) -> dict[str, Any]:
    """Every name that other scripts, files and programs may use."""
    tree = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.InkdigitError)]
    functions = {name: getattr(inkdigit, name) for name in inkdigit.__all__}
    return {
        "commands": commands(typer.main.get_command(app)),
        "errors": {c.__name__: [c.exit_code, c.http_status] for c in tree},
        "python": {
            name: sorted(inspect.signature(function).parameters)
            for name, function in functions.items()
            if inspect.isroutine(function)
        },
        "defaults": {name: defaults(function) for name, function in functions.items() if inspect.isroutine(function)},
        "names": sorted(inkdigit.__all__),
        "recipe": {name: said(field.default) for name, field in Recipe.model_fields.items()},
        "recipes": {name: Recipe.load(name).sha256 for name in bundled_recipes()},
        "prediction": sorted(load("tiny").predict(np.zeros((28, 28), np.uint8))[0].to_json()),
        "printed": printed(run, folder),
        "model files": {name: graph(path) for name, path in {**bundled(), **readers()}.items()},
        "run": run_files(run),
        "service": service(),
    }


def test_every_name_that_others_use_is_still_there(tmp_path_factory, tmp_path):
    now = json.loads(json.dumps(surface(finish(tmp_path_factory), tmp_path), sort_keys=True))
    if WRITE:
        SURFACE.write_text(json.dumps(now, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    assert now == json.loads(SURFACE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("release", ["0.2.0", "1.0.0"])
def test_nothing_that_a_release_had_is_gone(release):
    """What was there keeps its name and its default; what was added since is new. Only a major release may differ."""
    then = json.loads((FOLDER / release / "surface.json").read_text(encoding="utf-8"))
    now = json.loads(SURFACE.read_text(encoding="utf-8"))
    assert set(missing(then, now)) == BEFORE_1_0.get(release, set())


def missing(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """Where `now` lacks an entry of `then`, or has another value there: keys of objects, entries of lists, defaults.

    Null stands for a value of any kind. What a bundled recipe holds may change: only its name is compared.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for key, value in then.items():
            if key in now:
                yield from missing(value, now[key], f"{where}/{key}")
            else:
                yield f"{where}/{key}"
    elif isinstance(then, list) and isinstance(now, list):
        lost = Counter(map(repr, filter(is_plain, then))) - Counter(map(repr, filter(is_plain, now)))
        yield from (f"{where}: {entry}" for entry in lost)
        nested = [[entry for entry in entries if not is_plain(entry)] for entries in (then, now)]
        yield from (f"{where}: {entry}" for entry in nested[0][len(nested[1]) :])
        for old, new in zip(*nested, strict=False):
            yield from missing(old, new, where)
    elif then is not None and then != now and not where.startswith("/recipes/"):
        yield f"{where}: {then}"


def is_plain(entry: object) -> bool:
    """Whether an entry of a list has no entries itself."""
    return not isinstance(entry, dict | list)


@pytest.mark.parametrize(
    ("then", "now", "found"),
    [
        ({"a": None}, {"a": None, "b": "1"}, []),
        ({"a": None}, {"a": {"b": None}}, []),
        ({"a": None}, {}, ["/a"]),
        ({"a": "1"}, {"a": "2"}, ["/a: 1"]),
        ({"a": {"b": None}}, {"a": None}, ["/a: {'b': None}"]),
        ({"a": ["x"]}, {"a": {"x": "1"}}, ["/a: ['x']"]),
        ({"a": ["x", "y"]}, {"a": ["y", "z"]}, ["/a: 'x'"]),
        ({"a": [1, 28, 28]}, {"a": [1, 28]}, ["/a: 28"]),
        ({"a": [{"b": None}]}, {"a": [{"c": None}]}, ["/a/b"]),
        ({"a": [{"b": None}]}, {"a": []}, ["/a: {'b': None}"]),
        ({"recipes": {"fast": "1"}}, {"recipes": {"fast": "2"}}, []),
        ({"recipes": {"fast": "1"}}, {"recipes": {}}, ["/recipes/fast"]),
    ],
)
def test_what_is_gone_or_different_is_seen(then, now, found):
    assert list(missing(then, now)) == found


def test_the_golden_answers_cover_every_bundled_model():
    with np.load(ANSWERS) as file:
        assert {f"{name}-probs" for name in bundled()} <= set(file)
