"""An audit of a data set as a list and a page: labels that are likely wrong, and images that repeat another.

In: an `Audit`. Out: `issues.csv` (indices and probabilities, no images), `probs.npz` (the predicted probabilities of
every image) and `audit.html`, a page to look through.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.copies import NEAR
from inkdigit.files import write_atomic
from inkdigit.measure.wrong_labels import SPLIT_NAMES, Audit, Issue, Place
from inkdigit.report import template
from inkdigit.report.numbers import percent_down
from inkdigit.types import Split

ISSUES, PROBS, PAGE = "issues.csv", "probs.npz", "audit.html"
TEMPLATE = "audit.html.j2"
SPLITS: tuple[Split, ...] = ("train", "test")

COLUMNS = (
    "part",
    "index",
    "label",
    "suggested",
    "p_label",
    "p_suggested",
    "kind",
    "other_part",
    "other_index",
    "other_label",
    "distance",
    "file",
)
SMALLEST_SHOWN = 0.001  # a smaller probability is written "under 0.1 %": the page shows one decimal


def write(folder: Path, audit: Audit, *, top: int) -> None:
    """Write the list, the probabilities and the page; the page shows `top` labels and `top` copies, the list all.

    Raises:
        MissingExtra: Jinja is not installed; only the list and the probabilities are written.
        OutputError: a file cannot be written.
    """
    write_atomic(folder / PROBS, _to_npz(audit))
    write_atomic(folder / ISSUES, to_csv(audit))
    write_atomic(folder / PAGE, template.render(TEMPLATE, _values(audit, top)))


def to_csv(audit: Audit) -> str:
    """One row for each issue: labels first, the worst first, then copies."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue in (*audit.labels, *audit.copies):
        at, other = issue.at, issue.other
        reading = (issue.suggested, _decimal(issue.p_label), _decimal(issue.p_suggested))
        repeats = (None, None, None) if other is None else (other.part, other.index, other.label)
        row = (at.part, at.index, at.label, *reading, issue.kind, *repeats, _decimal(issue.distance), issue.file)
        writer.writerow(row)
    return text.getvalue()


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"


def _to_npz(audit: Audit) -> bytes:
    """The prediction for every readable image: `train_index` (M,), `train_labels` (M,), `train_probs` (M, K); test."""
    arrays: dict[str, NDArray[Any]] = {}
    for audited in audit.parts:
        arrays[f"{audited.split}_index"] = audited.index
        arrays[f"{audited.split}_labels"] = audited.doubts.labels
        arrays[f"{audited.split}_probs"] = audited.doubts.probs.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _values(audit: Audit, top: int) -> dict[str, object]:
    """The values that the template shows."""
    labels, copies = audit.labels[:top], audit.copies[:top]
    classes = audit.dataset.classes
    shown = Counter(issue.at.label for issue in labels)
    return {
        "audit": audit,
        "classes": classes,
        "labels": [
            (issue, classes.index(issue.at.label), describe_reading(issue), _image_uri(audit, issue.at))
            for issue in labels
        ],
        "copies": [(issue, _image_uri(audit, issue.at), _image_uri(audit, issue.other)) for issue in copies],
        "shown": [(k, name, shown[name]) for k, name in enumerate(classes) if shown[name]],
        "suspected": sum(audit.count("label", split) for split in SPLITS),
        "doubted": sum(audit.count("doubt", split) for split in SPLITS),
        "rows": list(_class_rows(audit)),
        "split_names": SPLIT_NAMES,
        "near": NEAR,
    }


def describe_reading(issue: Issue) -> str:
    """Both classes with their probability, rounded down: "7: 99.9 % · 1: under 0.1 %"."""
    classes = ((issue.suggested, issue.p_suggested or 0.0), (issue.at.label, issue.p_label))
    texts = [f"{percent_down(p)} %" if p >= SMALLEST_SHOWN else "under 0.1 %" for _, p in classes]
    return " · ".join(f"{name}: {text}" for (name, _), text in zip(classes, texts, strict=True))


def _class_rows(audit: Audit) -> Iterator[tuple[str, str, int, float, int, str]]:
    """A row for each class of a split: its images, its threshold, the suspected labels, the usual suggestions."""
    for audited in audit.parts:
        doubts = audited.doubts
        counts = np.bincount(doubts.labels, minlength=len(audit.dataset.classes))
        for k in np.flatnonzero(counts):
            others = doubts.suggested[doubts.suspected & (doubts.labels == k)]
            usual = _most_often(others.tolist(), audit.dataset.classes)
            threshold = float(doubts.thresholds[k])
            yield SPLIT_NAMES[audited.split], audit.dataset.classes[k], int(counts[k]), threshold, len(others), usual


def _most_often(suggested: Sequence[int], classes: Sequence[str]) -> str:
    """The two classes that are suggested most often, as in "9 (4), 7 (1)"."""
    return ", ".join(f"{classes[k]} ({count})" for k, count in Counter(suggested).most_common(2))


def _image_uri(audit: Audit, at: Place | None) -> str:
    """The prepared image at a place, as the source of an `img`."""
    assert at is not None  # a copy repeats another image
    return template.image_uri(audit.dataset.part(at.part).images[at.index])
