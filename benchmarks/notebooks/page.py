"""Write `docs/notebooks.md`, and the first lines of the recipes it is about, from `results/notebooks.jsonl`.

In: the lines that `notebooks/measure.py` wrote, the latest of each seed for the recipe as it is now. Out: the page, and
in each recipe the comment that says claim, figures, time and machine; with `--check` nothing is written, and the exit
code is 1 if anything is not what the results say.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.common import machine
from benchmarks.common.tables import MET, NOT_MEASURED, percent, row, with_header
from benchmarks.notebooks import measure as notebooks
from inkdigit.files import write_atomic
from inkdigit.report.compare import exact_p
from inkdigit.training.recipe import FOLDER, Recipe

PAGE = machine.ROOT / "docs" / "notebooks.md"
WHERE = {"test": "the MNIST test set", "validation": "validation", "kaggle": "Kaggle"}
Line = dict[str, Any]
Times = dict[str, Any]  # what `notebooks.py --time` wrote; empty without it


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook: its recipe, what it describes, what it claims."""

    recipe: str
    describes: str
    claim: float  # of accuracy, in per cent
    also: str = ""  # what else it claims


NOTEBOOKS = (
    Notebook(
        "classic",
        "two convolutions, each followed by max pooling; dropout; dense; softmax; tuned activation and kernel "
        "initializer; pixels to [0, 1]; Adam, sparse categorical cross-entropy; early stopping on validation accuracy",
        99.014,
    ),
    Notebook(
        "annealed",
        "a five-layer sequential CNN: convolution pairs, pooling, dropout, dense 256; one-hot labels; Adam with an "
        "annealer; rotation, zoom and shift; curves and confusion matrix; Kaggle submission",
        99.671,
        "2 h 30 min on one old desktop CPU",
    ),
    Notebook(
        "deepdigits",
        "convolution, pooling, dropout, dense; augmentation; learning rate annealed on a validation-loss plateau; "
        "Kaggle submission",
        99.43,
        "last epoch: training 99.41 % / loss 0.0186, validation 99.51 % / loss 0.0167",
    ),
    Notebook(
        "explorer",
        "convolution, max pooling, dense; experiments over filter sizes, number of layers and learning rates; curves; "
        "a 3×5 grid of predictions; weights saved as a `.keras` file",
        99.0,
        "loss about 0.33",
    ),
    Notebook(
        "rmsprop",
        "convolution, max pooling, dropout; one-hot labels; augmentation; plateau annealing; RMSprop, categorical "
        "cross-entropy",
        98.0,
    ),
)
FAMILIES = {
    "vgg": "in the manner of VGG: pairs of 3×3 convolutions, 32, 64 and 128 filters",
    "resnet": "in the manner of ResNet: residual units, global average pooling",
}

INTRO = """\
# Five notebooks, five recipes

Most people meet handwritten digits in a notebook that trains a small CNN. These are five well-known ones: what each
describes, what it claims, and what its recipe comes to here. Written by `python -m benchmarks.notebooks.page` from
what `python -m benchmarks.notebooks.measure` measured; nothing on this page is typed by hand.

## The claims
"""

HOW = """\
A claim is met when the mean over seeds plus one standard error reaches it. *Validation* is a tenth of MNIST's 60,000
training pictures, drawn by class and by the run's seed; it decides nothing but the rate of `rmsprop`, which falls on
its plateau. The *MNIST test set* is looked at once a seed. *Kaggle*: the test rows of the competition have no public
labels, so `python -m benchmarks.notebooks.kaggle_split FOLDER` shuffles MNIST's 70,000 pictures and cuts them as Kaggle
did, 42,000 rows to learn from and 28,000 others, shares no row between them (checked by number and by pixels, on the
written files), and scores the submission. `inkdigit kaggle` keeps a tenth of the 42,000 for validation.
"""


STEPS = """\
## What they do, and the command for it

| in a notebook | here |
| --- | --- |
| load the data, look for missing values, plot the class balance | `inkdigit data check train.csv` |
| normalise, reshape, one-hot labels, split | fields of the recipe: `normalize`, `loss`, `validation` … |
| build the network, compile it, augment, anneal, stop early | the recipe; `--set dropout=0.3` changes it |
| curves, confusion matrix, misclassified digits, a 3×5 grid of predictions | `report.html` of every run |
| filters and feature maps; which ink decided | the same report, and `inkdigit explain PICTURE --out page.html` |
| experiments over filters, layers, rates; tuned activation | `inkdigit tune explorer`, `inkdigit tune classic` |
| compare the experiments | `inkdigit compare RUN RUN --out compared.html` |
| save the weights, as `.keras` too | `model.onnx` of every run; `inkdigit export RUN --format keras` |
| predict test.csv, write the submission, look at answers | `inkdigit kaggle train.csv test.csv`, `inkdigit submit` |
| other digits, and letters | `inkdigit train classic --data usps`; `--data emnist-letters` |

In Python, step by step: [notebooks/digit_recognizer.ipynb](../notebooks/digit_recognizer.ipynb).
"""
TIMING = """\
Times are of the epochs alone, validation included: seconds of an epoch on the quiet machine with all its threads
(`python -m benchmarks.notebooks.measure --time`), times the epochs that the seeds took."""


def reach(values: list[float]) -> float:
    """Mean plus one standard error, in per cent: what a claim is held against."""
    return 100 * (mean(values) + (stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0))


def latest(lines: list[Line], recipe: str, data: str | None = None) -> list[Line]:
    """The latest line of each seed, for the recipe as it is now; `data` is the row's own unless named."""
    target = next(r for r in notebooks.ROWS if r.recipe == recipe and data in (None, r.data))
    sha256 = notebooks.identity(Recipe.load(recipe))
    fitting = [
        line
        for line in lines
        if (line["row"], line["data"], line["recipe_sha256"]) == (recipe, target.data, sha256) and not line["smoke"]
    ]
    seeds = {line["seed"]: line for line in fitting}
    return [seeds[seed] for seed in sorted(seeds)]


def minutes(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def time(lines: list[Line], times: Times) -> str:
    """How long a seed trains on the quiet machine: seconds of an epoch, times the epochs that the seeds took."""
    if not times or lines[0]["row"] not in times["recipes"]:
        return NOT_MEASURED
    epoch = times["recipes"][lines[0]["row"]]["median"]
    return minutes(epoch * mean(line["epochs"] for line in lines))


def claims(lines: list[Line], times: Times) -> list[str]:
    """One row a notebook."""
    table = [
        row(
            "recipe", "what it describes", "claim", "measured", "mean + s.e.", "met", "n", "training a seed", "command"
        ),
        row(*["---"] * 9),
    ]
    for notebook in NOTEBOOKS:
        own = latest(lines, notebook.recipe)
        target = next(r for r in notebooks.ROWS if r.recipe == notebook.recipe)
        head = (f"`{notebook.recipe}`", notebook.describes)
        if not own:
            table.append(row(*head, f"{notebook.claim:g} %", NOT_MEASURED, "–", "–", 0, "–", f"`{target.command}`"))
            continue
        values = [line["accuracy"] for line in own]
        claim = f"{notebook.claim:g} % on {WHERE[own[0]['part']]}" + (f"; {notebook.also}" if notebook.also else "")
        met = MET[reach(values) >= notebook.claim]
        figures = (percent(values, 3), f"{reach(values):.3f} %", met, len(own), time(own, times))
        table.append(row(*head, claim, *figures, f"`{target.command}`"))
    return table


def last_epochs(lines: list[Line]) -> list[str]:
    """What the last epoch of each recipe came to, as the notebooks quote it."""
    table = [row("recipe", "epochs", "training", "validation", "loss on the reported part"), row(*["---"] * 5)]
    for notebook in NOTEBOOKS:
        if not (own := latest(lines, notebook.recipe)):
            continue
        last = [line["last_epoch"] for line in own]
        spread = sorted({line["epochs"] for line in own})
        epochs = f"{spread[0]}–{spread[-1]}" if len(spread) > 1 else f"{spread[0]}"
        table.append(
            row(
                f"`{notebook.recipe}`",
                epochs,
                _pair(last, "train"),
                _pair(last, "validation") if last[0].get("validation_loss") is not None else "–",
                f"{mean(line['nll'] for line in own):.4f}",
            )
        )
    return table


def _pair(epochs: list[dict[str, float]], part: str) -> str:
    accuracy, loss = (mean(epoch[f"{part}_{figure}"] for epoch in epochs) for figure in ("accuracy", "loss"))
    return f"{accuracy * 100:.2f} %, loss {loss:.4f}"


def families(lines: list[Line], times: Times) -> list[str]:
    """The bigger families against `classic`, seed by seed on the same test pictures."""
    table = [
        row(
            "recipe", "what it is", "parameters", "measured", "n", "better than `classic` by", "McNemar, a seed", "time"
        ),
        row(*["---"] * 8),
    ]
    base = {line["seed"]: line for line in latest(lines, "classic", "mnist")}
    for name, words in FAMILIES.items():
        own = [line for line in latest(lines, name) if line["seed"] in base]
        if not own:
            table.append(row(f"`{name}`", words, "–", NOT_MEASURED, 0, "–", "–", "–"))
            continue
        gains = [100 * (line["accuracy"] - base[line["seed"]]["accuracy"]) for line in own]
        gain = f"{mean(gains):.2f} ± {stdev(gains):.2f} points" if len(gains) > 1 else f"{gains[0]:.2f} points"
        tests = [_paired(line, base[line["seed"]]) for line in own]
        values = [line["accuracy"] for line in own]
        cells = (f"{own[0]['parameters']:,}", percent(values), len(own), gain, "; ".join(tests), time(own, times))
        table.append(row(f"`{name}`", words, *cells))
    return table


def _paired(one: Line, other: Line) -> str:
    """Pictures that one alone has right, those that the other alone has right, and the chance of it."""
    ours, theirs = set(one["wrong"]), set(other["wrong"])
    gained, lost = len(theirs - ours), len(ours - theirs)
    return f"{gained}:{lost}, p = {exact_p(gained, lost):.1g}"


def misses(lines: list[Line]) -> list[str]:
    """What there is to say of claims that are not met."""
    told = []
    for notebook in NOTEBOOKS:
        own = latest(lines, notebook.recipe)
        values = [line["accuracy"] for line in own]
        if not own or reach(values) >= notebook.claim:
            continue
        said = f"`{notebook.recipe}` misses its claim by {notebook.claim - reach(values):.2f} points."
        tested = [line["test_accuracy"] for line in own if "test_accuracy" in line]
        if tested:
            said += (
                f" The same models read {percent(tested)} of the MNIST test set rightly (n = {len(tested)}): a tenth "
                "of the training pictures is harder than the test set, and one tenth harder than the next."
            )
        told += [said, ""]
    return told


def usps(lines: list[Line]) -> str:
    """The sentence about USPS."""
    own = latest(lines, "classic", "usps")
    if not own:
        return "USPS: not measured."
    values = [line["accuracy"] for line in own]
    return (
        f"`{own[0]['command']}`: {percent(values)} over {len(own)} seeds on the fifth of USPS' 7,291 training digits "
        f"that is set aside ({own[0]['n']:,} pictures; USPS' own test part is another, and harder)."
    )


def write(lines: list[Line], times: Times) -> str:
    """The whole page."""
    where = sorted({_where(line) for line in lines if not line["smoke"]})
    return "\n".join(
        [
            INTRO,
            *claims(lines, times),
            "",
            HOW,
            *misses(lines),
            STEPS,
            "## The last epoch",
            "",
            "Training figures are those of augmented pictures with dropout on, as the notebooks print them.",
            "",
            *last_epochs(lines),
            "",
            "## Bigger families",
            "",
            "Each seed against `classic` with the same seed, on the same 10,000 test pictures: how many pictures one "
            "alone reads right, and the chance of that (McNemar's exact test).",
            "",
            *families(lines, times),
            "",
            "## Another set",
            "",
            usps(lines),
            "",
            "## Where and when",
            "",
            TIMING,
            "",
            *where,
            "",
        ]
    )


def _where(line: Line) -> str:
    at = f"{line['date'][:10]}, commit {line['commit']}"
    return f"- {at}: {_computer(line)}, torch {line['versions']['torch']}; {line['jobs']} trainings at a time."


def _computer(line: Line) -> str:
    """Processor and cores of a measurement."""
    computer = line["machine"]
    return f"{computer['processor']}, {computer['cores']} cores"


def header(lines: list[Line], times: Times, recipe: str) -> str:
    """What is said at the top of a recipe: claim, figures, time, machine."""
    claim = {notebook.recipe: notebook for notebook in NOTEBOOKS}.get(recipe)
    own = latest(lines, recipe)
    words = []
    if claim:
        where = {"annealed": "validation", "rmsprop": "validation", "deepdigits": "Kaggle"}.get(
            recipe, "MNIST's test part"
        )
        words.append(f"Claim of the notebook: {claim.claim:g} % on {where}.")
    if own:
        values = [line["accuracy"] for line in own]
        spent = f"Training time on {_computer(times or own[-1])}: {time(own, times)}."
        words.append(
            f"Measured on {WHERE[own[0]['part']]}: {percent(values, 3)} over {len(own)} seeds (mean + standard error "
            f"{reach(values):.3f} %), {own[0]['parameters']:,} parameters. {spent}"
        )
    return " ".join(words)


def main() -> int:
    """Write page and headers, or check them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="write nothing; 1 if something is stale")
    options.add_argument("--results", type=Path, default=machine.RESULTS)
    asked = options.parse_args()
    lines = machine.read_lines(asked.results / notebooks.LEDGER)
    stored = asked.results / notebooks.TIMES
    times = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    wanted = {PAGE: write(lines, times)}
    for recipe in dict.fromkeys(r.recipe for r in notebooks.ROWS):
        path = FOLDER / f"{recipe}.toml"
        wanted[path] = with_header(path.read_text(encoding="utf-8"), header(lines, times, recipe))
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if not asked.check:
            write_atomic(path, wanted[path])
        print(f"{path.name}: {'stale' if asked.check else 'written'}")
    return 1 if asked.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
