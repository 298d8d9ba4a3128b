"""Fuzzed inputs: recipes, spaces, runs, databases, HTTP and the command line.

In: a folder of its own and a random generator. Out: a call that passes one input; `KINDS` by their names in the table.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.hardening.fuzz_inputs import digits, empty, encode_png, intact_files, write
from benchmarks.hardening.fuzz_kinds import Call, Kind, Make
from benchmarks.hardening.fuzz_mutate import WORDS, any_value, mutate_bytes, mutate_text, mutate_value

STEP_IMAGES = 32  # the images on which a network of a recipe takes two steps


class NotAnswered(Exception):
    """The input was neither answered nor refused: status 500, or exit code 1."""


def small_data() -> Any:
    """A data set of 60 prepared digits."""
    import numpy as np

    from inkdigit.picture.prepare import prepare_all
    from inkdigit.types import DIGITS, Dataset, Part

    images, labels = digits(60)
    return Dataset("drawn", DIGITS, Part(prepare_all(images), labels.astype(np.int64)), None)


# Recipes and spaces --------------------------------------------------------------------------------------------------


def recipes(folder: Path) -> Make:
    """Recipe files and `--set`: words and values changed; a valid recipe builds its network and takes two steps."""
    import torch

    from inkdigit.training import trial
    from inkdigit.training.data import splits_of
    from inkdigit.training.network import loop
    from inkdigit.training.recipe import Recipe, bundled, parse_changes

    torch.set_num_threads(1)
    texts = [path.read_text(encoding="utf-8") for path in bundled().values()] + [Recipe().to_toml()]
    data, fields = small_data(), sorted(Recipe.model_fields)

    def steps(recipe: Recipe) -> None:
        parts = splits_of(data, recipe)
        net = trial.build(recipe, parts, len(data.classes))
        state = loop.start(net, recipe)
        images = torch.from_numpy(data.train.images[:STEP_IMAGES])
        for _ in range(2):
            x = loop.augment(images, recipe, generator=torch.Generator().manual_seed(0))
            loss = loop.loss_of(net(x).float()[:, :10], torch.from_numpy(data.train.labels[:STEP_IMAGES]), recipe)
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()

    def make(rng: Random) -> Call:
        if rng.random() < 0.4:
            name = rng.choice((*fields, "", "nmae", "a.b", rng.choice(WORDS)))
            value = rng.choice((rng.choice(WORDS), json.dumps(any_value(rng), default=str)))
            text = rng.choice((f"{name}={value}", f"{name} = {value}", value))
            return lambda: steps(Recipe.load("fast", parse_changes([text])))
        if rng.random() < 0.3:
            changes = {rng.choice(fields): any_value(rng) for _ in range(rng.choice((1, 1, 2)))}
            return lambda: steps(Recipe.load("minute", changes))
        path = write(empty(folder / "recipe") / "mine.toml", mutate_text(rng, rng.choice(texts)), rng)
        return lambda: steps(Recipe.load(path))

    return make


def spaces(folder: Path) -> Make:
    """Search spaces with words, numbers and values changed."""
    from inkdigit.training.recipe import Recipe
    from inkdigit.tuning.space import FOLDER, Space

    texts = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.toml"))]
    start = Recipe.load("fast")
    good = {
        "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
        "batch": {"low": 16, "high": 64, "step": 16},
        "filters": {"choices": [[8, 16], [16, 32]]},
        "budget": {"pictures": 100, "epochs": 1},
    }

    def make(rng: Random) -> Call:
        if rng.random() < 0.5:
            entries = mutate_value(rng, good)
            return lambda: Space.from_entries(entries if isinstance(entries, dict) else {}, start).describe()
        path = write(empty(folder / "space") / "space.toml", mutate_text(rng, rng.choice(texts)), rng)
        return lambda: Space.load(path, start).describe()

    return make


# Runs ----------------------------------------------------------------------------------------------------------------


def _run(folder: Path) -> Path:
    """A finished run of two epochs."""
    from inkdigit.training.recipe import Recipe
    from inkdigit.training.run import train

    recipe = Recipe(
        name="small", filters=(4, 8), epochs=2, batch=16, ema_decay=0.9, optimizer="adam", test_fraction=0.3
    )
    return train(recipe, data=small_data(), out=folder / "run").folder


def checkpoints(folder: Path) -> Make:
    """The checkpoint of a run: its bytes, the JSON of its header, names and shapes of its tensors."""
    import torch

    from inkdigit.training.network import checkpoint, nets
    from inkdigit.training.recipe import Recipe

    run = _run(folder)
    recipe, cpu = Recipe.load(run / "recipe.toml"), torch.device("cpu")
    good = (run / checkpoint.FILE).read_bytes()
    length = int.from_bytes(good[:8], "little")
    header, body = json.loads(good[8 : 8 + length]), good[8 + length :]

    def make(rng: Random) -> Call:
        if rng.random() < 0.4:
            data = mutate_bytes(rng, good)
        else:
            changed = json.loads(json.dumps(header))
            state = json.loads(changed["__metadata__"]["inkdigit"])
            if rng.random() < 0.6:
                changed["__metadata__"]["inkdigit"] = json.dumps(mutate_value(rng, state), default=str)
            else:
                changed = mutate_value(rng, changed)
            text = json.dumps(changed, default=str).encode(errors="replace")
            data = len(text).to_bytes(8, "little") + text + body
        place = empty(folder / "damaged")
        (place / checkpoint.FILE).parent.mkdir()
        write(place / checkpoint.FILE, data, rng)
        net = nets.build(recipe, 10)
        return lambda: checkpoint.read(place, net, recipe, device=cpu)

    return make


def run_folders(folder: Path) -> Make:
    """The files of a run, changed one or two at a time: listed, compared, read, drawn as a page."""
    from inkdigit.measure.compare import compare
    from inkdigit.measure.ledger import group, read_all
    from inkdigit.training.run import Run, resume

    run = _run(folder)
    names = ("recipe.toml", "metrics.csv", "steps.csv", "env.json", "report.json", "predictions.npz")
    files = {name: (run / name).read_bytes() for name in names}
    intact = empty(folder / "runs" / "intact")
    shutil.copytree(run, intact, dirs_exist_ok=True)

    def change(rng: Random, name: str) -> bytes:
        if name.endswith(".npz"):
            return mutate_bytes(rng, files[name])
        text = files[name].decode()
        if name.endswith(".json") and rng.random() < 0.7:
            return json.dumps(mutate_value(rng, json.loads(text)), default=str).encode(errors="replace")
        return mutate_text(rng, text)

    def make(rng: Random) -> Call:
        damaged = folder / "runs" / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(run, damaged)
        for name in rng.sample(names, rng.choice((1, 1, 2))):
            (damaged / name).unlink()
            write(damaged / name, change(rng, name), rng)
        calls: list[Callable[[], object]] = [
            lambda: [entry.to_json() for entry in read_all([intact, damaged])],
            lambda: [compared.to_json() for compared in group(read_all([damaged, intact]))],
            lambda: compare([intact, damaged]).to_json(),
            lambda: (Run(damaged).history, Run(damaged).report, Run(damaged).model),
            lambda: resume(damaged),  # it is finished; or DONE is gone, and the other files are read
        ]
        call = rng.choice(calls)
        if call is calls[-1] and rng.random() < 0.5:
            (damaged / "DONE").unlink()
            write(damaged / "env.json", change(rng, "env.json"), Random(0))
        return call

    return make


# Corrections ---------------------------------------------------------------------------------------------------------


STATEMENTS = (
    "UPDATE corrections SET time = x'ff00fe'",
    "UPDATE corrections SET picture = 'text', model = x'80'",
    "UPDATE corrections SET id = id + 9223372036854775000 WHERE id = 5",
    "UPDATE corrections SET picture = zeroblob(90000000) WHERE id = 3",
    'UPDATE corrections SET "right" = ""',
    "ALTER TABLE corrections DROP COLUMN answered",
    "ALTER TABLE corrections ADD COLUMN more TEXT",
    "CREATE TRIGGER t AFTER DELETE ON corrections BEGIN UPDATE corrections SET id = id + 1; END",
    "DROP TABLE corrections",
    "CREATE TABLE other AS SELECT * FROM corrections",
    "CREATE INDEX i ON corrections (id)",
)
ENDLESS = (
    "CREATE VIEW corrections AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, "
    "'' AS time, '' AS model, '' AS answered, '' AS \"right\", x'' AS picture FROM n"
)


def databases(folder: Path) -> Make:
    """The file of corrections: bytes, pages, header, rows of other types, other tables, hostile files beside it."""
    from inkdigit.data.readers.corrections import add, create, delete, export, read_corrections, read_list

    path = folder / "good.db"
    create(path)
    for i, image in enumerate(digits(12)[0]):
        add(path, picture=encode_png(image), model="tiny", answered=None if i % 3 else "1", right=str(i % 10))
    good = path.read_bytes()

    def by_sql(rng: Random, place: Path) -> None:
        place.write_bytes(good)
        with contextlib.closing(sqlite3.connect(place)) as connection, contextlib.suppress(sqlite3.Error):
            for statement in rng.choice((("DROP TABLE corrections", ENDLESS), (rng.choice(STATEMENTS),))):
                connection.execute(statement)
            connection.commit()

    def make(rng: Random) -> Call:
        place = empty(folder / "changed") / "corrections.db"
        if rng.random() < 0.3:
            by_sql(rng, place)
        else:
            data = bytearray(mutate_bytes(rng, good))
            if rng.random() < 0.5:
                data[: len(good[:100])] = good[:100]  # the header is right, the pages are not
            write(place, bytes(data), rng)
        if rng.random() < 0.1:
            write(place.with_name("corrections.db-wal"), mutate_bytes(rng, good), rng)
        if rng.random() < 0.1:
            write(
                place.with_name("corrections.db-journal"), b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + rng.randbytes(600), rng
            )
        calls: list[Callable[[], object]] = [
            lambda: [entry.to_json() for entry in read_list(place)],
            lambda: export(place, place.with_name("out")),
            lambda: delete(place, [3], log=str),
            lambda: delete(place, None, log=str),
            lambda: read_corrections(place),
            lambda: add(place, picture=b"", model="m", answered=None, right="1"),
            lambda: create(place),
        ]
        return rng.choice(calls)

    return make


# HTTP and the command line -------------------------------------------------------------------------------------------


GETS = (
    "/",
    "/info",
    "/models",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/web/page.js",
    "/v2/models/tiny",
    "/health/ready",
)
CONTENT_TYPES = (
    "application/json",
    "image/png",
    "multipart/form-data; boundary=x",
    "text/plain",
    "",
    "application/octet-stream",
)


def http(folder: Path) -> Make:
    """Requests of all routes: bodies, types, parameters and headers changed; passed to the application itself."""
    import httpx

    from inkdigit.serve.app import create_app
    from inkdigit.serve.settings import Settings

    logging.disable()
    app = create_app(Settings(models=("tiny",), collect=folder / "kept.db", names=()))
    files = intact_files()[::3]
    picture = base64.b64encode(files[0]).decode()
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
    bodies: dict[str, Any] = {
        "/predict": {"images": [picture] * 2},
        "/explain": {"images": [picture]},
        "/corrections": {"picture": picture, "model": "tiny", "label": "1", "right": "7", "agreed": True},
        "/v2/models/tiny/infer": {"inputs": [tensor]},
    }
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + files[0] + b"\r\n--x--\r\n"
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

    async def send(method: str, url: str, headers: dict[str, str], body: bytes) -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.request(method, url, headers=headers, content=body, timeout=60)).status_code

    def make(rng: Random) -> Call:
        route = rng.choice((*bodies, *bodies, rng.choice(GETS)))
        body, kind = json.dumps(bodies.get(route, {})).encode(), "application/json"
        match rng.randrange(5):
            case 0:
                body = json.dumps(mutate_value(rng, bodies.get(route, {})), default=str).encode(errors="replace")
            case 1:
                body, kind = mutate_bytes(rng, form, others=files), CONTENT_TYPES[2]
            case 2:
                body, kind = mutate_bytes(rng, rng.choice(files), others=files), "image/png"
            case 3:
                body = mutate_text(rng, body.decode())
        word = "".join(c for c in rng.choice(WORDS)[:200] if 32 < ord(c) < 127)
        headers = {"Content-Type": rng.choice((kind, kind, kind, rng.choice(CONTENT_TYPES), word or "x"))}
        if rng.random() < 0.2:
            headers[
                rng.choice(("X-Request-ID", "Origin", "Authorization", "Inference-Header-Content-Length", "Accept"))
            ] = word
        method = rng.choice(("POST",) * 8 + ("GET", "PUT", "DELETE", "OPTIONS", "HEAD"))
        url = route + rng.choice(("", "", "", f"?model={word}", f"/{word}", "?saliency=maybe", "/../.."))

        def call() -> None:
            try:
                status = loop.run_until_complete(send(method, url, headers, body))
            except httpx.InvalidURL:
                return
            if status == 500:
                raise NotAnswered(f"{method} {url} {headers} → 500")
            if status >= 400:
                _refused(status)

        return call

    loop = asyncio.new_event_loop()
    return make


def _refused(code: int) -> None:
    from inkdigit.errors import UsageError

    raise UsageError(f"Refused with {code}")


def _word(rng: Random) -> str:
    """A word as Python gets it from a shell: without NUL; what is not UTF-8 is as the file system has it."""
    return os.fsdecode(rng.choice(WORDS).replace("\0", "").encode(errors="surrogatepass"))


def _commands(folder: Path, png: Path, model: Path, table: Path) -> tuple[tuple[str | Path, ...], ...]:
    """Good command lines, to be changed."""
    return (
        ("predict", png, "--model", model),
        ("predict", png, "--json", "--min-confidence", "0.5"),
        ("predict", folder, "--accept-all"),
        ("evaluate", model, "--data", table, "--json"),
        ("data", "check", table),
        ("explain", png, "--model", model, "--out", folder / "explained.png"),
        ("info", model, "--json"),
        ("compare", folder / "a", folder / "b"),
        ("corrections", "list", folder / "no.db"),
        ("recipes",),
        ("train", "fast", "--data", folder / "none", "--set", "epochs=1"),
        ("submit", folder / "test.csv", "--model", model),
        ("export", model, "--format", "none"),
        ("--version",),
    )


def command_line(folder: Path) -> Make:
    """`inkdigit` with words and files changed: an answer, or one line and an exit code of ours."""
    import inkdigit.training.run  # noqa: F401 - importing it now keeps its memory out of the measurement
    from inkdigit.cli.app import main

    png = write(folder / "digit.png", encode_png(digits(4)[0][3]), Random(0))
    model = folder / "model.onnx"
    from inkdigit.model.recognizer import bundled

    shutil.copy(bundled()["tiny"], model)
    table = write(folder / "labels.csv", b"file,label\ndigit.png,3\n", Random(0))
    commands = _commands(folder, png, model, table)
    good = {path: path.read_bytes() for path in (png, model, table)}

    def make(rng: Random) -> Call:
        for path, data in good.items():
            path.write_bytes(mutate_bytes(rng, data) if rng.random() < 0.3 else data)
        words = [str(word) for word in rng.choice(commands)]
        for _ in range(rng.randrange(3)):
            at, word = rng.randrange(len(words)), _word(rng)
            match rng.randrange(3):
                case 0:
                    words[at] = word
                case 1:
                    words.insert(at + 1, word)
                case _:
                    del words[at]
                    words = words or [""]
        if {"serve", "tune", "/dev/stdin"} & {*words}:
            words = ["--version"]
        os.chdir(folder)

        def call() -> None:
            out = io.TextIOWrapper(io.BytesIO(), "utf-8")
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                try:
                    main(words)
                except SystemExit as exc:
                    code = exc.code if isinstance(exc.code, int) else 0
                    if not 0 <= code <= 9 or code == 1:
                        raise NotAnswered(f"{words} → exit {exc.code}") from exc
                    if code:
                        _refused(code)

        return call

    return make


KINDS = {
    "recipes and --set": Kind(
        recipes, 1_000, "words and values; a valid recipe builds its network and takes two steps"
    ),
    "search spaces": Kind(spaces, 500, "words, ranges and choices"),
    "checkpoints": Kind(checkpoints, 500, "bytes, counters, names and shapes of tensors"),
    "run directories": Kind(run_folders, 350, "each file; listed, compared, read, resumed"),
    "corrections": Kind(databases, 600, "bytes, pages, rows, other tables, a hostile log beside it"),
    "HTTP": Kind(http, 700, "bodies, types, parameters and headers of all routes"),
    "command line": Kind(command_line, 400, "words, options and the files that they name"),
}
