"""`api/NAME.md`: a page for every public name of Python, and for what it returns.

In: nothing. Out: pages for mkdocstrings, which writes signatures and docstrings where it finds `:::`, and their order
in the navigation. They are made while the site is built: in the repository, `python.md` is the table of the names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ERRORS = re.findall(
    r"^class (\w+)\(", (ROOT / "src" / "inkdigit" / "errors.py").read_text(encoding="utf-8"), re.MULTILINE
)

# Each group: the names of a page, the first one public; what follows is what it returns, or takes.
GROUPS: dict[str, list[list[str]]] = {
    "Digits": [
        ["load"],
        ["predict"],
        ["predict_proba"],
        ["Recognizer"],
        ["Prediction"],
        ["list_models"],
        ["explain", "model.explain.Explanation"],
    ],
    "Numbers": [
        ["read"],
        ["Reader"],
        ["Reading", "types.Number", "types.Digit"],
        ["read_grid", "reading.cells.Table", "reading.cells.Cell"],
        ["read_form"],
    ],
    "Data": [
        ["open_data", "data.readers.kaggle_csv.CellProblem"],
        ["open_arrays"],
        ["Dataset"],
        ["Part"],
        ["fetch"],
        ["check", "data.checks.Check"],
        ["audit", "training.audit.Audited"],
    ],
    "Training": [
        ["train"],
        ["Run"],
        ["resume"],
        ["Recipe"],
        ["list_recipes"],
        ["train_seeds", "training.seeds.Trained"],
        ["adapt", "training.adapt.outcome.Adapted"],
        ["tune", "tuning.tune.Tuned"],
        ["ensemble", "training.convert.ensemble.Joined"],
        ["export", "training.convert.export.Exported"],
        ["kaggle", "training.kaggle.Entered"],
        ["submit", "report.submission.Submission"],
        ["InkdigitClassifier"],
        ["training.line.run.train_line", "training.line.run.LineRun"],
    ],
    "Measuring": [
        ["evaluate"],
        [
            "Metrics",
            "measure.metrics.measure",
            "measure.metrics.ClassFigures",
            "measure.metrics.Reliability",
            "measure.metrics.RiskCoverage",
        ],
        ["evaluate_corruptions", "measure.robustness.Robustness"],
        ["measure.reading.evaluate", "measure.reading.ReadingMetrics"],
        ["compare", "measure.compare.Comparison", "measure.compare.Paired"],
        ["list_runs", "measure.ledger.Entry"],
        ["benchmark", "measure.speed.Benchmark", "measure.speed.Effort"],
    ],
    "Service and scale": [
        ["Client"],
        ["batch", "scale.batch.Batch", "scale.batch.Progress"],
        ["data.readers.corrections.read_list", "data.readers.corrections.Correction"],
        ["data.readers.corrections.export"],
        ["data.readers.corrections.delete"],
    ],
    "Errors and cards": [
        ["InkdigitError", *(f"errors.{name}" for name in ERRORS if name != "InkdigitError")],
        ["model.card.Card", "model.card.Calibration", "model.card.SelfTest"],
    ],
}
# What stands in signatures for several types, or for a function of yours.
TYPES = {
    "picture.decode.Picture": "One image: a path, the bytes of a file, a PIL image, an array, a tensor, nested lists.",
    "picture.decode.Pictures": "One image, or several in a list, a tuple or an array.",
    "types.DataLike": "A data set, its name or path, or arrays (images, labels).",
    "data.readers.arrays.Labels": "A label for each image: whole numbers or names.",
    "report.compare.RunLike": "A run: its directory, its name, or what `inkdigit.train` returns.",
    "types.Gray": "A gray image (H, W), or prepared images (N, 28, 28) with ink 255 on 0.",
    "types.Floats": "Numbers such as probabilities; the text says the shape.",
    "types.Shape": "Height and width of an image.",
    "types.Box": "Top, left, bottom, right in pixels of the picture; the last two are exclusive.",
    "types.Split": "Which split of a data set.",
    "types.Log": "Is given one line of progress; `print` is one.",
    "training.trial.OnTick": "Is given how far an epoch is.",
    "training.trial.OnEpoch": "Is given the row of each epoch: losses, accuracies, learning rate, seconds.",
    "scale.batch.OnProgress": "Is given how far a job is.",
    "training.own.network.Build": "Makes a network of your own; see [Your own network](../own-network.md).",
    "training.network.augment.Augment": "Changes a batch, float (B, 1, 28, 28) of 0–255, to another of its shape.",
}
FOLDER = "api"


def pages() -> dict[str, str]:
    """The pages by their names."""
    made = {f"{FOLDER}/{names[0]}.md": page(names) for group in GROUPS.values() for names in group}
    return {**made, f"{FOLDER}/types.md": types()}


def nav() -> list[dict[str, object]]:
    """The pages in the order of the navigation, by their groups."""
    groups = {title: [{names[0]: f"{FOLDER}/{names[0]}.md"} for names in group] for title, group in GROUPS.items()}
    return [*({title: pages} for title, pages in groups.items()), {"Types": f"{FOLDER}/types.md"}]


def page(names: list[str]) -> str:
    """The page of a name, and of what belongs to it."""
    return "\n\n".join(object_(name, level=1 if name == names[0] else 2) for name in names) + "\n"


def types() -> str:
    """The page of the types that signatures name."""
    parts = ["# Types", "What stands in signatures for several types, or for a function of yours."]
    for name, meaning in TYPES.items():
        parts += [object_(name, level=2, show_root_full_path=False), meaning]
    return "\n\n".join(parts) + "\n"


def object_(name: str, *, level: int, **options: object) -> str:
    """What mkdocstrings replaces by the signature and the docstring of a name."""
    if name.startswith("errors."):
        options |= {"members": False, "show_signature": False}  # as those of the root; errors.md has their codes
    if name == "Recipe":
        options |= {"show_if_no_docstring": True}  # its signature is that of pydantic: nothing else has the fields
    lines = [f"{key}: {json.dumps(value)}" for key, value in {"heading_level": level, **options}.items()]
    return "\n      ".join([f"::: inkdigit.{name}\n    options:", *lines])
