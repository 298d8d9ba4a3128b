"""Write `docs/notebooks.md`, and the first lines of the recipes it is about, from `results/notebooks.jsonl`.

In: the lines that `notebooks/measure.py` wrote, the latest of each seed for the recipe as it is now. Out: the page, and
in each recipe the comment that says claim, figures, time and machine; with `--check` nothing is written, and the exit
code is 1 if anything is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from operator import itemgetter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, percent, plus_minus, row, table
from benchmarks.notebooks import measure as notebooks
from benchmarks.speed.page import read_bench
from inkdigit.measure.stats import mcnemar_p
from inkdigit.training.recipe import Recipe

PAGE = machine.ROOT / "docs" / "notebooks.md"
WHERE = {"test": "the MNIST test set", "validation": "validation", "kaggle": "Kaggle"}
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


def reach(values: list[float]) -> float:
    """Mean plus one standard error, in per cent: the figure that a claim is compared with."""
    return 100 * (mean(values) + (stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0))


def latest(lines: list[Record], recipe: str, data: str | None = None) -> list[Record]:
    """The latest line of each seed, for the recipe as it is now; the default of `data` is the row's own."""
    target = next(r for r in notebooks.ROWS if r.recipe == recipe and data in (None, r.data))
    sha256 = notebooks.identity(Recipe.load(recipe))
    fitting = [
        line for line in lines if (line["row"], line["data"], line["recipe_sha256"]) == (recipe, target.data, sha256)
    ]
    seeds = results.latest(fitting, itemgetter("seed"))
    return [seeds[seed] for seed in sorted(seeds)]


def minutes(seconds: float) -> str:
    """A time in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def time(lines: list[Record], times: Times) -> str:
    """How long a seed trains on the quiet machine: seconds of an epoch, times the epochs that the seeds took."""
    if not times or lines[0]["row"] not in times["recipes"]:
        return NOT_MEASURED
    epoch = times["recipes"][lines[0]["row"]]["median"]
    return minutes(epoch * mean(line["epochs"] for line in lines))


def elsewhere(lines: list[Record], times: Times, bench: list[Record]) -> dict[str, str] | None:
    """How many times as long the same recipes took in `speed/bench.py`, and the load of that machine."""
    ratios, loads = [], []
    for line in bench:
        own = times and line["entrant"] in times["recipes"] and latest(lines, line["entrant"])
        if own:
            quiet = times["recipes"][line["entrant"]]["median"]
            ratios.append(line["train_seconds"] / len(line["curve"]) / quiet)
            loads.append(line["machine"]["load_before"])
    if not ratios:
        return None
    return {
        "ratios": f"{min(ratios):.1f} to {max(ratios):.1f}",
        "loads": f"{min(loads):.1f} to {max(loads):.1f}",
    }


def claims(lines: list[Record], times: Times) -> str:
    """One row a notebook."""
    header = ["recipe", "what it describes", "claim", "measured", "mean + s.e.", "met", "n"]
    rows = []
    for notebook in NOTEBOOKS:
        own = latest(lines, notebook.recipe)
        target = next(r for r in notebooks.ROWS if r.recipe == notebook.recipe)
        head = (f"`{notebook.recipe}`", notebook.describes)
        if not own:
            rows.append(row(*head, f"{notebook.claim:g} %", NOT_MEASURED, "–", "–", 0, "–", f"`{target.command}`"))
            continue
        values = [line["accuracy"] for line in own]
        claim = f"{notebook.claim:g} % on {WHERE[own[0]['part']]}" + (f"; {notebook.also}" if notebook.also else "")
        met = MET[reach(values) >= notebook.claim]
        figures = (percent(values, 3), f"{reach(values):.3f} %", met, len(own), time(own, times))
        rows.append(row(*head, claim, *figures, f"`{target.command}`"))
    return table([*header, "training a seed", "command"], rows)


def last_epochs(lines: list[Record]) -> str:
    """The last epoch of each recipe, as the notebooks quote it."""
    rows = []
    for notebook in NOTEBOOKS:
        if not (own := latest(lines, notebook.recipe)):
            continue
        last = [line["last_epoch"] for line in own]
        spread = sorted({line["epochs"] for line in own})
        epochs = f"{spread[0]}–{spread[-1]}" if len(spread) > 1 else f"{spread[0]}"
        rows.append(
            row(
                f"`{notebook.recipe}`",
                epochs,
                _pair(last, "train"),
                _pair(last, "validation") if last[0].get("validation_loss") is not None else "–",
                f"{mean(line['nll'] for line in own):.4f}",
            )
        )
    return table(["recipe", "epochs", "training", "validation", "loss on the reported split"], rows)


def _pair(epochs: list[dict[str, float]], split: str) -> str:
    accuracy, loss = (mean(epoch[f"{split}_{figure}"] for epoch in epochs) for figure in ("accuracy", "loss"))
    return f"{accuracy * 100:.2f} %, loss {loss:.4f}"


def families(lines: list[Record], times: Times) -> str:
    """The bigger families against `classic`, seed by seed on the same test images."""
    header = [
        "recipe",
        "what it is",
        "parameters",
        "measured",
        "n",
        "better than `classic` by",
        "McNemar, a seed",
        "time",
    ]
    rows = []
    base = {line["seed"]: line for line in latest(lines, "classic", "mnist")}
    for name, words in FAMILIES.items():
        own = [line for line in latest(lines, name) if line["seed"] in base]
        if not own:
            rows.append(row(f"`{name}`", words, "–", NOT_MEASURED, 0, "–", "–", "–"))
            continue
        gains = [100 * (line["accuracy"] - base[line["seed"]]["accuracy"]) for line in own]
        gain = f"{plus_minus(gains, 2)} points"
        tests = [_paired(line, base[line["seed"]]) for line in own]
        values = [line["accuracy"] for line in own]
        cells = (f"{own[0]['parameters']:,}", percent(values), len(own), gain, "; ".join(tests), time(own, times))
        rows.append(row(f"`{name}`", words, *cells))
    return table(header, rows)


def _paired(first: Record, second: Record) -> str:
    """Images that only the first has right, those that only the second has right, and the probability of that."""
    ours, theirs = set(first["wrong"]), set(second["wrong"])
    gained, lost = len(theirs - ours), len(ours - theirs)
    return f"{gained}:{lost}, p = {mcnemar_p(gained, lost):.1g}"


def misses(lines: list[Record]) -> list[dict[str, Any]]:
    """The claims that are not met."""
    missed = []
    for notebook in NOTEBOOKS:
        own = latest(lines, notebook.recipe)
        values = [line["accuracy"] for line in own]
        if not own or reach(values) >= notebook.claim:
            continue
        tested = [line["test_accuracy"] for line in own if "test_accuracy" in line]
        missed.append(
            {
                "recipe": notebook.recipe,
                "points": f"{notebook.claim - reach(values):.2f}",
                "tested": percent(tested) if tested else "",
                "n": len(tested),
            }
        )
    return missed


def usps(lines: list[Record]) -> dict[str, Any] | None:
    """The figures of USPS."""
    if not (own := latest(lines, "classic", "usps")):
        return None
    return {
        "command": own[0]["command"],
        "accuracy": percent([line["accuracy"] for line in own]),
        "seeds": len(own),
        "n": f"{own[0]['n']:,}",
    }


def read(folder: Path) -> tuple[list[Record], Times]:
    """The lines of the ledger, and the times."""
    stored = folder / notebooks.TIMES
    times = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    return results.read_lines(folder / notebooks.LEDGER), times


def render(lines: list[Record], times: Times, bench: list[Record]) -> str:
    """The page; `bench` are the lines of `speed/bench.py`."""
    return pages.render(
        "notebooks/page.md.j2",
        {
            "claims": claims(lines, times),
            "misses": misses(lines),
            "last_epochs": last_epochs(lines),
            "families": families(lines, times),
            "usps": usps(lines),
            "elsewhere": elsewhere(lines, times, bench),
            "machines": sorted({_where(line) for line in lines if not line["smoke"]}),
        },
    )


def _where(line: Record) -> str:
    at = f"{line['date'][:10]}, commit {line['commit']}"
    return f"- {at}: {_computer(line)}, torch {line['versions']['torch']}; {line['jobs']} trainings at a time."


def _computer(line: Record) -> str:
    """Processor and cores of a measurement."""
    computer = line["machine"]
    return f"{computer['processor']}, {computer['cores']} cores"


def header(lines: list[Record], times: Times, recipe: str) -> str:
    """The comment at the top of a recipe: claim, figures, time, machine."""
    claim = {notebook.recipe: notebook for notebook in NOTEBOOKS}.get(recipe)
    own = latest(lines, recipe)
    words = []
    if claim:
        where = {"annealed": "validation", "rmsprop": "validation", "deepdigits": "Kaggle"}.get(
            recipe, "MNIST's test split"
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


def files(folder: Path, page: Path) -> pages.Files:
    """The page, with what it should hold."""
    return pages.beside(page, render(*read(folder), read_bench(folder)), {})


def recipes(folder: Path, at: Path) -> pages.Files:
    """The recipes that the page is about, each with its comment at the top."""
    lines, times = read(folder)
    names = dict.fromkeys(row.recipe for row in notebooks.ROWS)
    return pages.headed(at, {name: header(lines, times, name) for name in names})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and the headers, or check them."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.notebooks.page", recipes=recipes, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
