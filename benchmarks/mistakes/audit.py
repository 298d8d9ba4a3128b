"""The result of an audit of MNIST, published as indices and probabilities, compared with what people read.

In: the directory that `inkdigit audit mnist` wrote. Out: `results/audit-mnist.csv`, no images; and at which rank it
has the test labels that people voted against (wrong-labels.csv).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.common import results
from benchmarks.mistakes.measure import read_readings
from inkdigit.files import write_atomic
from inkdigit.report.audit import ISSUES

PUBLISHED = "audit-mnist.csv"
COLUMNS = ("part", "index", "label", "suggested", "p_label", "p_suggested", "kind")
LABELS = ("label", "doubt")  # the kinds of issue that are about a label


def read_issues(folder: Path) -> list[dict[str, str]]:
    """The issues of an audit that are about labels, the worst first."""
    with (folder / ISSUES).open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] in LABELS]


def publish(issues: Sequence[Mapping[str, str]]) -> str:
    """The columns that do not name another image or a file, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(issues)
    return text.getvalue()


def ranks(issues: Sequence[Mapping[str, str]], indices: Sequence[int]) -> dict[int, int | None]:
    """The rank, from 1, of each test image among the test images of the list; None where it is not there."""
    listed = [int(row["index"]) for row in issues if row["part"] == "test"]
    return {i: listed.index(i) + 1 if i in listed else None for i in indices}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the list, and print at which rank it has the labels that people voted against."""
    parser = results.parser(__doc__)
    parser.add_argument("folder", type=Path, help="an audit of MNIST")
    options = parser.parse_args(argv)
    issues = read_issues(options.folder)
    write_atomic(options.results / PUBLISHED, publish(issues))
    print(f"Written: {options.results / PUBLISHED}")
    votes = read_readings().votes
    of_test = [row for row in issues if row["part"] == "test"]
    suspected = {int(row["index"]) for row in of_test if row["kind"] == "label"}
    print(f"{len(of_test)} of the {len(issues)} are test images, {len(suspected)} of these suspected")
    for i, rank in ranks(issues, sorted(votes)).items():
        vote = votes[i]
        place = "not on the list" if rank is None else f"rank {rank:>3}{', suspected' if i in suspected else ''}"
        print(f"{i:>6}  labelled {vote.label}, {vote.votes} of 5 read {vote.voted}  {place}")


if __name__ == "__main__":
    main()
