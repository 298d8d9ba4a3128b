"""An engineer's way: read forms, answer a folder of photos, run the service and ask it, store nothing without consent.

    python examples/journey_engineer.py [FOLDER] [--short]

In: the pictures in examples/, and the models in the package: nothing is trained. Out: answers on stdout; corrections
and a table of all pictures in FOLDER, by default a new temporary one. It takes seconds; with --short one process works
on the table, not one for each core.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import inkdigit

EXAMPLES = Path(__file__).parent
NUMBERS = EXAMPLES / "numbers"


def read_forms() -> None:
    """Values that must fit a pattern: what does not fit is not read as something else, it has no text but a reason."""
    for name, value in inkdigit.read_form(NUMBERS / "form.jpg", NUMBERS / "form.toml").items():
        print(f"form, {name}: {value.text or value.reason}")
    (amount,) = inkdigit.read(NUMBERS / "amount.png", expect=r"[0-9.]+,-")
    print(f"cheque: {amount.text}, {amount.confidence or 0:.0%} sure")
    for row in inkdigit.read_grid(NUMBERS / "sudoku.jpg", 9, 9).rows:
        print("sudoku:", " ".join("?" if cell is None else cell or "." for cell in row))


def predict_folder(folder: Path) -> None:
    """Rather no answer than a wrong one: what is less than 90 % sure goes to a person."""
    photos = sorted(folder.glob("*.png"))
    predictions = inkdigit.load(min_confidence=0.9).predict(photos)
    doubtful = [f"{one.file.name} ({one.reason})" for one in predictions if one.label is None]
    print(f"{len(photos) - len(doubtful)} of {len(photos)} photos answered; for a person:", doubtful or "none")


@contextmanager
def service(*options: object) -> Iterator[str]:
    """`inkdigit serve` on a free port: its address. Its log is on stderr; one that stays needs a file for it."""
    command = [sys.executable, "-m", "inkdigit", "serve", "--port", "0", *map(str, options)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield next(line.split()[1] for line in process.stderr if line.startswith("Open "))
        finally:
            process.terminate()


def correct(url: str, photo: Path, answer: str, right: str, *, agreed: bool) -> str:
    """Tell a service that an answer was wrong; it stores the photo only if the person who sent it agrees."""
    picture = b64encode(photo.read_bytes()).decode()
    body = {"picture": picture, "model": "general", "label": answer, "right": right, "agreed": agreed}
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/corrections", data, kind)) as response:
            return f"stored: {json.load(response)}"
    except urllib.error.HTTPError as refusal:
        return f"refused: {json.load(refusal)['error']}"


def ask_service(collected: Path) -> None:
    """The client answers as a model does; what was collected is a data set, to list, to delete or to learn from."""
    photo = EXAMPLES / "7-pen-on-paper.png"
    with service("--collect", collected) as url:
        client = inkdigit.Client(url)
        print(
            f"service: {photo.name} is a {client.predict(photo)[0].label}, {client.read(NUMBERS / 'date.png')[0].text}"
        )
        for agreed in (False, True):
            print(f"correction, agreed {agreed}:", correct(url, photo, "1", "7", agreed=agreed))
    print(f"collected: {len(inkdigit.open_data(collected).train)} image in {collected}")


def main(folder: Path, *, short: bool) -> None:
    read_forms()
    predict_folder(EXAMPLES)
    ask_service(folder / "corrections.db")
    if find_spec("pyarrow"):
        done = inkdigit.batch(EXAMPLES, folder / "answers", workers=1 if short else None)
        print(f"batch: {done.rows} pictures, {done.refused} refused, {done.errors} unreadable; Parquet in {done.out}")
    else:
        print("batch: left out, it needs pip install '.[scale]'")


if __name__ == "__main__":  # the workers of `batch` are processes, which import this file
    folders = [word for word in sys.argv[1:] if not word.startswith("-")]
    out = Path(folders[0] if folders else tempfile.mkdtemp(prefix="engineer-"))
    out.mkdir(parents=True, exist_ok=True)
    main(out, short="--short" in sys.argv)
