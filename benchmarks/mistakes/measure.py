"""The mistakes that remain: the images of MNIST's test split that the networks of one recipe still get wrong.

In: finished runs that differ only in their seed (`--runs` final, `--select` with writers held out), and what people
read such images as (wrong-labels.csv, judged.csv). Out: `results/mistakes.json`: indices and probabilities, no
image.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inkdigit.runs as runs
from benchmarks.common import results
from inkdigit.data.sources import open_data
from inkdigit.measure.ledger import Entry, group_key, read_finished
from inkdigit.measure.seeds import gather
from inkdigit.training.data import splits_of
from inkdigit.training.recipe import Recipe
from inkdigit.types import Floats, Part

NAME = "mistakes.json"
COMMAND = "python -m benchmarks.mistakes.measure --runs RUN… --select RUN…"
LIBRARIES = ("inkdigit", "numpy", "onnxruntime")
WRONG_LABELS = Path(__file__).with_name("wrong-labels.csv")
JUDGED = Path(__file__).with_name("judged.csv")
UNCLEAR = "?"  # in both files: no one digit
N = 10_000  # images of MNIST's test split
STUDENTS_FIRST = 5_001  # so many of them are by students, the rest by employees (QMNIST, hungarian_match_test.py)
FIRST_STUDENT = 2_100  # writers from this number on are students (QMNIST's README)
LEFT_OUT = (0.001, 0.005, 0.01)  # shares of the least confident images
EDGES = (0.0, 0.5, 0.7, 0.9, 0.99, 0.999, 1.0)  # of confidence: nearly all images are in the last group
CURVE = tuple(k / 2000 for k in range(41))  # the same for the figure: up to 2 %
SHUFFLES = 10_000
PAIRS, WORST = 10, 8  # rows

Ints = NDArray[np.int64]
Fault = str  # "label", "network", "doubtful" or "not judged"


@dataclass(frozen=True, slots=True)
class Vote:
    """The votes of five people on an image whose label most of them did not confirm."""

    label: int
    voted: str  # the digit that a majority read; UNCLEAR without a majority
    votes: int  # for that digit, or for the other one that was offered
    for_label: int


@dataclass(frozen=True, eq=False)
class Readings:
    """What some of the test images were read as: by the people of the published votes, and by the project."""

    votes: Mapping[int, Vote]
    judged: Mapping[int, str]  # by "the eye", as the page calls that look: a digit, or UNCLEAR

    @cached_property
    def set_right(self) -> dict[int, int]:
        """Wrong labels → what they should be: a majority reads one other digit, and the eye does not read the label."""
        named = {i: vote for i, vote in self.votes.items() if vote.voted != UNCLEAR}
        return {i: int(vote.voted) for i, vote in named.items() if self.judged.get(i) != str(vote.label)}

    @property
    def agreed(self) -> dict[int, int]:
        """Those of them that the eye reads as the majority does."""
        return {i: digit for i, digit in self.set_right.items() if self.judged.get(i) == str(digit)}

    def fault(self, index: int, label: int, answer: int) -> Fault:
        """Whose fault it is that the prediction for an image is not its label."""
        if index in self.set_right:
            return "label" if answer == self.set_right[index] else "network"
        if index in self.votes:
            return "doubtful"
        if (seen := self.judged.get(index)) is None:
            return "not judged"
        return "network" if seen == str(label) else "doubtful"


def read_readings(votes: Path = WRONG_LABELS, judged: Path = JUDGED) -> Readings:
    """Read both files."""
    with votes.open(encoding="utf-8", newline="") as file:
        voted = {
            int(row["index"]): Vote(int(row["label"]), row["voted"], int(row["votes"]), int(row["for_label"]))
            for row in csv.DictReader(file)
        }
    with judged.open(encoding="utf-8", newline="") as file:
        return Readings(voted, {int(row["index"]): row["judged"] for row in csv.DictReader(file)})


def read_runs(folders: Sequence[Path], part: str) -> tuple[Entry, ...]:
    """Finished runs of one recipe on MNIST that report on the split `part`, by seed; others end the script."""
    entries = gather(" ".join(map(str, folders)), [read_finished(folder) for folder in folders]).entries
    for entry in entries:
        if (entry.data, entry.part) != ("mnist", part):
            raise SystemExit(
                f"{entry.name} reports on the {entry.part} split of {entry.data}, not MNIST's {part} split"
            )
        if group_key(entry) != group_key(entries[0]):
            raise SystemExit(f"{entries[0].name} and {entry.name} differ in more than their seed")
    return entries


def predictions(entries: Sequence[Entry]) -> tuple[Floats, Ints]:
    """The probabilities (S, N, K) that S runs give the same N images, and the labels (N,)."""
    files = [np.load(entry.folder / runs.PREDICTIONS) for entry in entries]
    probs, labels = np.stack([file["probs"] for file in files]), files[0]["labels"]
    if any(not np.array_equal(file["labels"], labels) for file in files):
        raise SystemExit("The runs report on different images")
    return probs, labels


def check(readings: Readings, labels: Ints) -> None:
    """Check that the votes are about these labels, in this order."""
    if len(labels) != N or any(labels[i] != vote.label for i, vote in readings.votes.items()):
        raise SystemExit(f"{WRONG_LABELS.name} is about MNIST's {N:,} test images in their order, not about these")


def summarise(probs: Floats, labels: Ints, readings: Readings) -> dict[str, Any]:
    """All figures of the test split: counts, images, corrected labels, calibration, halves, pairs."""
    answers = probs.argmax(axis=2)  # (S, N)
    wrong = answers != labels  # (S, N)
    with_seeds = wrong.sum(axis=0)  # (N,)
    seeds = len(probs)
    return {
        "n": len(labels),
        "wrong": wrong.sum(axis=1).tolist(),
        "wrong_in_all": int((with_seeds == seeds).sum()),
        "wrong_in_most": int((2 * with_seeds > seeds).sum()),
        "wrong_in_some": int((with_seeds > 0).sum()),
        "accuracy": {
            "as labelled": (~wrong).mean(axis=1).tolist(),
            "set right": accuracy(answers, labels, readings.set_right),
            "agreed": accuracy(answers, labels, readings.agreed),
        },
        "labels": [_label(i, vote, readings, answers[:, i]) for i, vote in sorted(readings.votes.items())],
        "pictures": [describe(int(i), probs[:, i], int(labels[i]), readings) for i in np.flatnonzero(with_seeds)],
        "judged": len(readings.judged),
        "confidence": _confidence(probs, wrong),
        "left_out": {f"{share:g}": without_least_confident(probs, wrong, share) for share in LEFT_OUT},
        "curve": [without_least_confident(probs, wrong, share) for share in CURVE],
        "halves": [
            {"writers": who, "n": len(labels[which]), "wrong": wrong[:, which].sum(axis=1).tolist()}
            for who, which in (("students", slice(STUDENTS_FIRST)), ("employees", slice(STUDENTS_FIRST, None)))
        ],
        "pairs": pairs(answers, labels),
    }


def accuracy(answers: Ints, labels: Ints, instead: Mapping[int, int]) -> list[float]:
    """The accuracy of each seed, with the labels of some images replaced."""
    right = labels.copy()
    right[list(instead)] = list(instead.values())
    return [float(share) for share in (answers == right).mean(axis=1)]


def describe(index: int, probs: Floats, label: int, readings: Readings) -> dict[str, Any]:
    """One image that some seed gets wrong; `probs` is (S, K).

    `answer` is the wrong digit predicted most often, `confidence` the mean of the seeds that predict it, `top` the two
    most probable digits in the mean of all seeds.
    """
    answers = probs.argmax(axis=1)
    mean = probs.mean(axis=0, dtype=np.float64)
    given = Counter(answers[answers != label].tolist())
    answer = max(given, key=lambda digit: (given[digit], mean[digit]))
    return {
        "index": index,
        "label": label,
        "answer": answer,
        "wrong_in": int((answers != label).sum()),
        "confidence": round(float(probs[answers == answer, answer].mean(dtype=np.float64)), 4),
        "top": [[int(digit), round(float(mean[digit]), 4)] for digit in np.argsort(-mean, kind="stable")[:2]],
        "judged": readings.judged.get(index),
        "fault": readings.fault(index, label, answer),
    }


def _label(index: int, vote: Vote, readings: Readings, answers: Ints) -> dict[str, Any]:
    return {
        "index": index,
        "label": vote.label,
        "voted": vote.voted,
        "votes": vote.votes,
        "for_label": vote.for_label,
        "judged": readings.judged.get(index),
        "set_right": readings.set_right.get(index),
        "answers": answers.tolist(),  # one a seed
    }


def _confidence(probs: Floats, wrong: NDArray[np.bool_]) -> dict[str, Any]:
    """Mean confidence of right and wrong predictions, seed by seed; accuracy by confidence over all seeds together."""
    confidence = probs.max(axis=2).astype(np.float64)  # (S, N)
    group = np.clip(np.digitize(confidence, EDGES) - 1, 0, len(EDGES) - 2)
    rows = []
    for k, (low, high) in enumerate(pairwise(EDGES)):
        held = group == k
        if held.any():
            shares = {"confidence": float(confidence[held].mean()), "accuracy": float((~wrong[held]).mean())}
            rows.append({"from": low, "to": high, "n": int(held.sum()), **shares})
    return {
        "right": [float(row[~miss].mean()) for row, miss in zip(confidence, wrong, strict=True)],
        "wrong": [float(row[miss].mean()) if miss.any() else None for row, miss in zip(confidence, wrong, strict=True)],
        "groups": rows,
    }


def without_least_confident(probs: Floats, wrong: NDArray[np.bool_], share: float) -> list[float]:
    """The accuracy of each seed on the pictures that are left when the least confidence are not answered."""
    remaining = np.argsort(probs.max(axis=2), axis=1, kind="stable")[:, round(share * wrong.shape[1]) :]
    return [float((~miss[which]).mean()) for miss, which in zip(wrong, remaining, strict=True)]


def pairs(answers: Ints, labels: Ints) -> list[list[int]]:
    """The most frequent confusions: label, answer, how often over all seeds."""
    counted = Counter((int(labels[i]), int(row[i])) for row in answers for i in np.flatnonzero(row != labels))
    return [[*pair, count] for pair, count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]]


def held_out(entry: Entry) -> Part:
    """The images that a `select` run reports on, with their writers."""
    recipe = Recipe.load(entry.folder / runs.RECIPE)
    split = splits_of(open_data(entry.data), recipe).report
    if split.writers is None:
        raise SystemExit(f"{entry.name} did not hold out writers: split by class, or train-writers.npz is missing")
    return split


def by_writer(writers: NDArray[np.int32], wrong: NDArray[np.bool_]) -> dict[str, Any]:
    """Whether mistakes (N,) cluster at some writers (N,): how many writers have none, here and by chance.

    By chance: the same number of mistakes distributed at random among the images; `p` is how often at least as many
    writers have none.
    """
    who, written = np.unique(writers, return_counts=True)
    missed = np.array([wrong[writers == writer].sum() for writer in who])
    dealt = np.random.default_rng(0).multivariate_hypergeometric(written, int(wrong.sum()), size=SHUFFLES)
    none, by_chance = int((missed == 0).sum()), (dealt == 0).sum(axis=1)
    worst = np.lexsort((who, written, -missed))[:WORST]
    students = writers >= FIRST_STUDENT
    return {
        "n": len(wrong),
        "wrong": int(wrong.sum()),
        "writers": len(who),
        "without": none,
        "by_chance": [float(by_chance.mean()), *map(float, np.percentile(by_chance, (2.5, 97.5)))],
        "p": float((1 + (by_chance >= none).sum()) / (1 + SHUFFLES)),
        "worst": [[int(who[k]), int(written[k]), int(missed[k])] for k in worst if missed[k]],
        "students": [int(students.sum()), int(wrong[students].sum())],
        "employees": [int((~students).sum()), int(wrong[~students].sum())],
    }


def select_run(entry: Entry) -> dict[str, Any]:
    """The figures of a `select` run about writers."""
    (probs,), labels = predictions([entry])
    split = held_out(entry)
    if not np.array_equal(split.labels, labels):
        raise SystemExit(f"{entry.name} reports on other images than its recipe holds out today")
    return {"recipe": entry.recipe_name, "seed": entry.seed, **by_writer(split.writers, probs.argmax(axis=1) != labels)}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the runs and write the mistakes that remain."""
    parser = results.parser(__doc__, smoke="a try: the page counts it as not measured")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="finished `final` runs, one a seed")
    parser.add_argument("--select", type=Path, nargs="*", default=[], help="finished `select` runs, for the writers")
    options = parser.parse_args(argv)

    entries, readings = read_runs(options.runs, "test"), read_readings()
    probs, labels = predictions(entries)
    check(readings, labels)
    first = entries[0]
    record = {
        **results.stamp(LIBRARIES, smoke=options.smoke, command=COMMAND),
        "recipe": first.recipe_name,
        "parameters": first.parameters,
        "temperature": [entry.report["model"]["temperature"] for entry in entries],
        "calibrated_on": first.report["model"]["calibrated_on"],
        "seeds": [entry.seed for entry in entries],
        "nll": [entry.report["nll"] for entry in entries],
        "ece": [entry.report["ece"] for entry in entries],
        **summarise(probs, labels, readings),
        "select": [select_run(entry) for entry in (read_runs(options.select, "validation") if options.select else ())],
    }
    results.write(options.results / NAME, record)


if __name__ == "__main__":
    main()
