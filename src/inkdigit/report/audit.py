"""An audit of a data set: labels that are likely wrong and pictures that are there twice, as a list and a page.

In: the parts of a data set with what networks that never learnt a picture say of it. Out: `issues.csv` (indices and
probabilities, no pictures), `probs.npz` (what was said of every picture) and `audit.html`, a page to look through.
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
from inkdigit.measure.doubts import SPLIT_NAMES, Audit, Issue, Place
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
SMALLEST_SHOWN = 0.001  # a probability below is called "under 0.1 %", the last digit that the page shows


def write(folder: Path, audit: Audit, *, top: int) -> None:
    """Write list, probabilities and page; the page shows `top` labels and as many copies, the list has all.

    Raises:
        MissingExtra: Jinja is not installed; the list and the probabilities are written then.
        OutputError: a file cannot be written.
    """
    write_atomic(folder / PROBS, _to_npz(audit))
    write_atomic(folder / ISSUES, to_csv(audit))
    write_atomic(folder / PAGE, template.render(TEMPLATE, _values(audit, top)))


def to_csv(audit: Audit) -> str:
    """One row an issue: labels first, the worst first, then copies."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue in (*audit.labels, *audit.copies):
        at, other = issue.at, issue.other
        read = (issue.suggested, _short(issue.p_label), _short(issue.p_suggested))
        twin = (None, None, None) if other is None else (other.part, other.index, other.label)
        writer.writerow([at.part, at.index, at.label, *read, issue.kind, *twin, _short(issue.distance), issue.file])
    return text.getvalue()


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"


def _to_npz(audit: Audit) -> bytes:
    """What was said of every readable picture: `train_index` (M,), `train_labels` (M,), `train_probs` (M, K); test."""
    arrays: dict[str, NDArray[Any]] = {}
    for looked in audit.parts:
        arrays[f"{looked.split}_index"] = looked.index
        arrays[f"{looked.split}_labels"] = looked.doubts.labels
        arrays[f"{looked.split}_probs"] = looked.doubts.probs.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _values(audit: Audit, top: int) -> dict[str, object]:
    """What the template shows."""
    labels, copies = audit.labels[:top], audit.copies[:top]
    classes = audit.dataset.classes
    shown = Counter(issue.at.label for issue in labels)
    return {
        "audit": audit,
        "classes": classes,
        "labels": [
            (issue, classes.index(issue.at.label), reading(issue), _picture(audit, issue.at)) for issue in labels
        ],
        "copies": [(issue, _picture(audit, issue.at), _pair(audit, issue)) for issue in copies],
        "shown": [(k, name, shown[name]) for k, name in enumerate(classes) if shown[name]],
        "suspected": sum(audit.count("label", split) for split in SPLITS),
        "doubted": sum(audit.count("doubt", split) for split in SPLITS),
        "rows": list(_class_rows(audit)),
        "split_names": SPLIT_NAMES,
        "near": NEAR,
    }


def reading(issue: Issue) -> str:
    """Both classes with their share, as in "7: 99.9 % · 1: under 0.1 %"; nothing short of certain is called so."""
    shares = ((issue.suggested, issue.p_suggested or 0.0), (issue.at.label, issue.p_label))
    return " · ".join(
        f"{name}: {f'{percent_down(p)} %' if p >= SMALLEST_SHOWN else 'under 0.1 %'}" for name, p in shares
    )


def _class_rows(audit: Audit) -> Iterator[tuple[str, str, int, float, int, str]]:
    """A class of a part: its pictures, its threshold, how many labels are suspected, what is suggested most often."""
    for looked in audit.parts:
        doubts = looked.doubts
        counts = np.bincount(doubts.labels, minlength=len(audit.dataset.classes))
        for k in np.flatnonzero(counts):
            others = doubts.suggested[doubts.suspected & (doubts.labels == k)]
            most = _most_often(others.tolist(), audit.dataset.classes)
            threshold = float(doubts.thresholds[k])
            yield SPLIT_NAMES[looked.split], audit.dataset.classes[k], int(counts[k]), threshold, len(others), most


def _most_often(suggested: Sequence[int], classes: Sequence[str]) -> str:
    """The two classes that are suggested most often, as in "9 (4), 7 (1)"."""
    return ", ".join(f"{classes[k]} ({count})" for k, count in Counter(suggested).most_common(2))


def _pair(audit: Audit, issue: Issue) -> str:
    assert issue.other is not None
    return _picture(audit, issue.other)


def _picture(audit: Audit, at: Place) -> str:
    """The picture at a place, as networks see it."""
    return template.picture_uri(audit.dataset.part(at.part).images[at.index])
