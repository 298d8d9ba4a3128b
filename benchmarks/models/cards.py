"""Write `docs/model-cards/`: a card for each network that the package ships, in the form that Hugging Face reads.

In: the model files, with the cards inside them, and what `benchmarks/` measured of those that have none. Out: a page a
network, its front matter with licence, data and figures; with `--check` nothing is written, and the exit code is 1 if a
page is not what the files say. Nothing in the pages is typed by hand.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import yaml

from benchmarks.common import machine, pages, results
from benchmarks.models.page import WHEN
from benchmarks.reading.measure import sha256_for_lines
from inkdigit.model.card import Card
from inkdigit.model.facts import trained_on
from inkdigit.model.recognizer import DEFAULT, Recognizer, bundled, readers
from inkdigit.picture.photo.network import INK
from inkdigit.reading.cell_network import CELL
from inkdigit.reading.second import METADATA_KEY as OF_SECOND
from inkdigit.reading.second import SECOND
from inkdigit.report.numbers import byte_count, percent

FOLDER = machine.ROOT / "docs" / "model-cards"
MNIST = {"type": "ylecun/mnist", "name": "MNIST"}
TAGS = ("onnx", "handwritten-digit-recognition", "mnist", "inkdigit")
READING = {
    "photos": "Photos of numbers",
    "spaced": "Composed numbers, spaced",
    "overlapping": "Composed numbers, overlapping",
}
INK_SETS = {"photos/single": "photos of single digits", "cases/single": "cases of single digits"}


@dataclass(frozen=True)
class Result:
    """One measured figure: of which data, which split, how it is called, and its value."""

    dataset: dict[str, str]
    metric: str
    name: str
    value: float
    n: int


@dataclass(frozen=True)
class Network:
    """What a page says of one file."""

    name: str
    path: Path
    about: str
    task: str  # as Hugging Face calls it
    takes: str
    gives: str
    results: list[Result]
    facts: dict[str, str] = field(default_factory=dict)
    command: str = ""
    drawn: bool = False  # whether it learned from images that our code draws, too
    fonts: bool = False  # and from print


def networks(folder: Path) -> list[Network]:
    """Every network of the package: the models, the readers, and the two that look at photos and at cells."""
    models = [_digits(name, path) for name, path in bundled().items()]
    return [*models, _reader(folder), _second(), _ink(folder), _cell()]


def front_matter(network: Network) -> dict[str, Any]:
    """The fields at the top of a page."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for result in network.results:
        key = tuple(result.dataset.values())
        entry = found.setdefault(key, {"task": {"type": network.task}, "dataset": result.dataset, "metrics": []})
        entry["metrics"].append({"type": result.metric, "name": result.name, "value": result.value})
    return {
        "license": "apache-2.0",
        "library_name": "inkdigit",
        "pipeline_tag": network.task,
        "tags": list(TAGS),
        "datasets": [MNIST["type"]],
        **({"metrics": sorted({result.metric for result in network.results})} if network.results else {}),
        **({"model-index": [{"name": f"inkdigit-{network.name}", "results": [*found.values()]}]} if found else {}),
    }


def _digits(name: str, path: Path) -> Network:
    card = Recognizer.load(path).card
    figures, dataset = card.figures, {**MNIST, "split": card.figures["part"]}
    measured = [Result(dataset, "accuracy", "Accuracy", figures["accuracy"], figures["n"])]
    if seeds := figures.get("seeds"):
        label = f"Mean accuracy of {seeds['n']} trainings"
        measured.append(Result(dataset, "accuracy", label, round(seeds["mean"], 6), figures["n"]))
    low, high = figures["accuracy_ci95"]
    return Network(
        name,
        path,
        f"Reads one handwritten digit{', and is the default model' if name == DEFAULT else ''}. Use it {_when(name)}.",
        "image-classification",
        "`image`: uint8 [n, 28, 28], ink 255 on 0, prepared as MNIST's authors did; `inkdigit` prepares any picture so",
        "`probs`: float32 [n, 10], the probabilities of the digits 0 to 9; `score`: float32 [n], whether to answer"
        + _outliers(card),
        measured,
        {"95 % interval of the accuracy": f"{percent(low)}–{percent(high)} %", **_facts(card)},
        f"inkdigit predict picture.png --model {name}",
        drawn=bool(card.provenance.drawn),
        fonts=bool(card.provenance.drawn),  # some of the drawn digits are print
    )


def _outliers(card: Card) -> str:
    """The third output, which a network has that learned outliers."""
    if not card.outliers:
        return ""
    return f"; `outliers`: float32 [n, {len(card.outliers)}], why it is rejected: {', '.join(card.outliers)}"


def _when(name: str) -> str:
    words = WHEN[name]
    return words if words.startswith("w") else f"for {words}"


def _facts(card: Card) -> dict[str, str]:
    about, data = card.provenance, card.provenance.data
    return {
        "parameters": f"{card.parameters:,}, {card.numbers}",
        "trained on": f"{trained_on(about)}{'' if not about.drawn else f'; {about.drawn}'}",
        "licence of the data": str(data.licence),
        "temperature": f"{card.calibration.temperature:g}, fitted on {card.calibration.fitted_on}",
        "made": f"{(about.created or 'unknown')[:10]}, with inkdigit {about.libraries['inkdigit']}",
    }


def _reader(folder: Path) -> Network:
    (path,) = readers().values()
    parts: dict[str, Any] = (results.read(folder / "reading.json") or {"parts": {}})["parts"]
    sha256 = sha256_for_lines(path)
    measured = [
        Result(
            {"type": "inkdigit-benchmarks", "name": title},
            "accuracy",
            "Numbers whose digits are all right",
            round(part["figures"]["digits_right"], 6),
            part["figures"]["n"],
        )
        for key, title in READING.items()
        if (part := parts.get(key)) and part["model"]["sha256"] == sha256
    ]
    card = Card.from_json(_metadata(path)["inkdigit.card"], where=str(path))
    return Network(
        path.stem,
        path,
        "Reads whole numbers: digits and `. , - / : + % × ÷`, with a confidence for each number and character.",
        "image-to-text",
        "`line`: [n, 2, 48, 16 w], the ink of a line and what is beside it; `inkdigit` finds the lines of a picture",
        "`log_probs`: float32 [n, 4 w, 21], for a decoder of connectionist temporal classification",
        measured,
        _facts(card),
        "inkdigit read picture.png",
        drawn=True,
        fonts=True,
    )


def _second() -> Network:
    return Network(
        "second",
        SECOND,
        "Reads a line of which `line` is not sure, in other pixels; the text that both find probable is the answer.",
        "image-to-text",
        "`line`: uint8 [n, 2, 32, 16 w], the rows of a line that have ink",
        "`log_probs`: float32 [n, 4 w, 21], for a decoder of connectionist temporal classification",
        [],
        _made(SECOND, OF_SECOND),
        "inkdigit read picture.png",
        drawn=True,
        fonts=True,
    )


def _ink(folder: Path) -> Network:
    lines = (folder / "ink.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [record for record in map(json.loads, lines) if (record["what"], record["path"]) == ("cases", "new")][-1]
    measured = [
        Result(
            {"type": "inkdigit-benchmarks", "name": f"Development {title}"},
            "accuracy",
            "Predicted correctly with the default model behind it",
            round(cases["sets"][key]["right"] / cases["sets"][key]["n"], 6),
            cases["sets"][key]["n"],
        )
        for key, title in INK_SETS.items()
    ]
    return Network(
        "ink",
        INK,
        "Says what each pixel of a photo is: paper, ruling, writing of numbers, or other writing and marks.",
        "image-segmentation",
        "`gray`: uint8 [h, w], height and width multiples of 16",
        "`shares`: float32 [4, h, w], which sum to one",
        measured,
        _made(INK, "inkdigit.ink"),
        "inkdigit predict photo.jpg --show seen.png",
        drawn=True,
    )


def _cell() -> Network:
    return Network(
        "cell",
        CELL,
        "Says what a cell of a table holds: one of the ten digits, or nothing. `inkdigit read --grid` asks it, too.",
        "image-classification",
        "`cells`: uint8 [n, 32, 32], gray",
        "`shares`: float32 [n, 11], the ten digits and an empty cell",
        [],
        _made(CELL, "inkdigit.cell"),
        "inkdigit read sudoku.jpg --grid 9x9",
        drawn=True,
        fonts=True,
    )


def _made(path: Path, key: str) -> dict[str, str]:
    about = json.loads(_metadata(path)[key])
    return {
        "version": str(about["version"]),
        "trained on": f"scenes that code draws, with digits of MNIST's training split; {about['step']:,} steps",
        "licence of the data": "CC BY-SA 3.0",
    }


def _metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: Path, to: Path) -> pages.Files:
    """Each page, with what it should hold."""
    made = {}
    for network in networks(folder):
        front = yaml.safe_dump(front_matter(network), sort_keys=False, allow_unicode=True)
        values = {
            "network": network,
            "size": byte_count(network.path.stat().st_size),
            "sha256": _sha256(network.path),
            "percent": percent,
        }
        text = pages.render("models/card.md.j2", values)
        made[to / f"{network.name}.md"] = f"---\n{front}---\n\n{text}".encode()
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or check them."""
    return pages.main(__doc__, FOLDER, files, script="benchmarks.models.cards", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
