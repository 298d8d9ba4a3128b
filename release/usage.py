"""What an installed Inkdigit must do: answer, serve, write pages, train, and run what the README says.

In: an environment. Out: one line that says what was done, or `CheckFailed`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from release.environment import LEFT_OUT, ROOT, CheckFailed, Environment

SEVEN, DATE = "examples/7-pen-on-paper.png", "examples/numbers/date.png"
COMMAND = re.compile(r"^ *(?:\$ )?(?:python -m )?(inkdigit .*?)(?:  +#.*)?$", re.MULTILINE)
START_S = 60.0  # a service listens within a second or two
ANSWERS = ("predict", "read", "models", "info")  # what a bare installation answers; `explain` without a page, too
TRAINS = re.compile(
    r"\b(train|resume|adapt|audit|ensemble|export|kaggle|tune|Recipe|InkdigitClassifier|submit|batch)\("
)
# Prints nothing, and fails where the help of a command does: also where it ends with another exit code than 0.
EVERY_HELP = """
import contextlib, io
from inkdigit.cli.app import COMMANDS, build
for name in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            build([name])([name, "--help"], standalone_mode=True)
        except SystemExit as end:
            assert not end.code, (name, end.code)
"""
FROM_PYTHON = f"""
import sys, inkdigit
assert inkdigit.__file__.startswith(sys.prefix), inkdigit.__file__
(seven,), (date,) = inkdigit.predict({SEVEN!r}), inkdigit.read({DATE!r})
assert (seven.label, date.text) == ("7", "14/03/2026"), (seven, date)
assert inkdigit.explain({SEVEN!r}).prediction.label == "7"
assert not {{"torch", "sklearn", "polars", "matplotlib"}} & set(sys.modules)
print(inkdigit.__version__)
"""


def examples(work: Path) -> None:
    """Copy what the README's commands read to where they run."""
    shutil.copytree(ROOT / "examples", work / "examples", ignore=shutil.ignore_patterns("*.py", "__pycache__"))


def expect(what: str, received: object, expected: object) -> None:
    """Raise `CheckFailed` unless both are equal."""
    if received != expected:
        raise CheckFailed(f"{what}. Expected: {expected}. Received: {received}.")


def answers(env: Environment, version: str) -> str:
    """The commands and functions that need nothing but the base dependencies."""
    expect("inkdigit --version", env.inkdigit("--version").strip(), version)
    env.python(EVERY_HELP)
    seven = json.loads(env.inkdigit("predict", SEVEN, "--json"))
    expect("The label", (seven["label"], seven["reason"]), ("7", None))
    date = json.loads(env.inkdigit("read", DATE, "--json"))
    expect("The number", date["text"], "14/03/2026")
    expect("The default model", json.loads(env.inkdigit("models", "--json"))["default"], seven["model"])
    expect("The card", json.loads(env.inkdigit("info", "tiny", "--json"))["name"], "tiny")
    expect("The explanation", env.inkdigit("explain", SEVEN).split()[:2], [SEVEN, "7"])
    expect("The version in Python", env.python(FROM_PYTHON).strip(), version)
    (env.work / "broken.onnx").write_bytes(b"not a model")
    env.inkdigit("predict", "broken.onnx", exit_code=3)
    env.inkdigit("predict", SEVEN, "--model", "broken.onnx", exit_code=5)
    return "help of every command, predict, read, models, info, explain; the same in Python"


def is_bare(env: Environment, *, without: tuple[str, ...]) -> str:
    """Nothing heavy came along, and what is missing is one line with exit code 7."""
    packages = env.packages()
    expect("Packages that should not be installed", [name for name in without if name in packages], [])
    for words in (("train", "fast"), ("serve",), ("explain", SEVEN, "--out", "page.html")):
        env.inkdigit(*words, exit_code=7)
    return f"{len(packages)} packages; what needs an extra says so"


def readme_commands(text: str) -> list[list[str]]:
    """The commands of a README, each in words."""
    return [shlex.split(line)[1:] for line in COMMAND.findall(text)]


def needs_more(words: list[str], work: Path) -> str | None:
    """Why a bare installation cannot run a command of the README: an extra, or a file or run of the reader's own."""
    verb, *rest = words
    if verb not in (*ANSWERS, "explain") or (verb == "explain" and "--out" in rest) or "--server" in rest:
        return "an extra, or a service"
    if any(re.fullmatch(r".+-s\d+", word) for word in rest):
        return "a run of the reader's own"
    paths = [word for word in rest if re.search(r"[/*]|\.(png|jpe?g|toml)$", word) and not word.startswith("-")]
    written = {rest[i + 1] for i, word in enumerate(rest[:-1]) if word in ("--show", "--csv", "--expect")}
    missing = [path for path in paths if path not in written and not any(work.glob(path))]
    return f"{missing[0]}, a file of the reader's own" if missing else None


def readme(env: Environment) -> str:
    """Every command and every block of Python of the README that a bare installation can run."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [words for words in readme_commands(text) if needs_more(words, env.work) is None]
    for words in commands:
        env.inkdigit(*words)
    blocks = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if not TRAINS.search(code)]
    for code in blocks:
        env.python(code)
    if not commands or not blocks:
        raise CheckFailed("The README has no command, or no block of Python, that needs only the base installation.")
    return f"README: {len(commands)} commands, {len(blocks)} blocks of Python"


@contextmanager
def service(env: Environment) -> Iterator[str]:
    """A running service; its address."""
    variables = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    words = [env.program("inkdigit"), "serve", "--port", "0"]
    process = subprocess.Popen(
        words, cwd=env.work, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    late = threading.Timer(START_S, process.kill)
    late.start()
    printed = []
    try:
        for line in process.stdout:
            printed.append(line)
            if found := re.search(r"Open (http://\S+)", line):
                late.cancel()
                yield found[1]
                return
        raise CheckFailed(f"inkdigit serve did not listen within {START_S:.0f} s, or ended:\n{''.join(printed)}")
    finally:
        late.cancel()
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def fetch(url: str, body: bytes | None = None) -> bytes:
    """The body of a response."""
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=30) as response:
        return bytes(response.read())


def serves(env: Environment) -> str:
    """The service over HTTP: a prediction, a reading, the page, its API, figures, and the client."""
    with service(env) as url:
        seven, date = ((env.work / name).read_bytes() for name in (SEVEN, DATE))
        expect("POST /predict", json.loads(fetch(f"{url}/predict", seven))["predictions"][0]["label"], "7")
        expect("POST /read", json.loads(fetch(f"{url}/read", date))["readings"][0]["text"], "14/03/2026")
        expect("The page", b"<!doctype html>" in fetch(f"{url}/")[:100].lower(), True)
        expect("The API", "/predict" in json.loads(fetch(f"{url}/openapi.json"))["paths"], True)
        expect("The page of the API", b"swagger" in fetch(f"{url}/docs").lower(), True)
        expect("The figures", b"inkdigit_" in fetch(f"{url}/metrics"), True)
        expect("The client", env.inkdigit("predict", SEVEN, "--server", url).split()[1], "7")
    return "serve: /predict, /read, the page, /openapi.json, /docs, /metrics; predict --server"


def reports(env: Environment) -> str:
    """The pages and files of the extra `report`."""
    env.inkdigit("explain", SEVEN, "--out", "explained.html")
    rows = "\n".join(",".join("0" * 784) for _ in range(3))
    (env.work / "test.csv").write_text(",".join(f"pixel{i}" for i in range(784)) + f"\n{rows}\n", encoding="utf-8")
    env.inkdigit("submit", "test.csv", "--model", "tiny")
    written = [
        name
        for name in ("explained.html", "submission.csv", "submission-answers.png")
        if not (env.work / name).exists()
    ]
    expect("What is missing", written, [])
    return "report: explain --out, submit"


def trains(env: Environment) -> str:
    """One epoch on the digits that come with scikit-learn, and every format of the result."""
    few = ("--set", "epochs=1", "--set", "min_steps=0")
    env.inkdigit("train", "fast", "--data", "sklearn-digits", *few, "--out", "run")
    env.inkdigit("predict", SEVEN, "--model", "run", "--accept-all")
    formats = ("onnx-int8", "safetensors", "keras", "pt2")
    for name in formats:
        env.inkdigit("export", "run", "--format", name)
    env.inkdigit("explain", SEVEN, "--model", "run", "--out", "inside.html")
    return f"train: one epoch, its report, {', '.join(formats)}, gradients"
