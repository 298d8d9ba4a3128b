"""What is published of an audit: places and probabilities of labels, ranked as they were found."""

from __future__ import annotations

import csv
from itertools import pairwise

from benchmarks.common import results
from benchmarks.mistakes import audit

ROWS = """\
part,index,label,suggested,p_label,p_suggested,kind,other_part,other_index,other_label,distance,file
train,12,3,5,0.001000,0.990000,label,,,,,secret/a.png
test,947,8,9,0.010000,0.980000,label,,,,,
test,5,1,7,0.400000,0.500000,doubt,,,,,
test,6,1,,0.990000,,copy,train,4,1,0.000000,
"""


def test_places_and_probabilities_are_published_and_no_files(tmp_path):
    (tmp_path / "issues.csv").write_text(ROWS, encoding="utf-8")
    text = audit.publish(audit.read_issues(tmp_path))
    assert text.splitlines()[0] == ",".join(audit.COLUMNS)
    assert text.splitlines()[1:] == [
        "train,12,3,5,0.001000,0.990000,label",
        "test,947,8,9,0.010000,0.980000,label",
        "test,5,1,7,0.400000,0.500000,doubt",
    ]


def test_ranks_count_the_test_pictures_alone(tmp_path):
    (tmp_path / "issues.csv").write_text(ROWS, encoding="utf-8")
    assert audit.ranks(audit.read_issues(tmp_path), [5, 6, 947]) == {5: 2, 6: None, 947: 1}


def test_what_is_published_is_worst_first():
    path = results.RESULTS / audit.PUBLISHED
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    margins = [float(row["p_label"]) - float(row["p_suggested"]) for row in rows]
    assert len(rows) > 100
    assert all(a <= b + 2e-6 for a, b in pairwise(margins))
    assert {row["part"] for row in rows} == {"train", "test"}
    assert all(row["label"] != row["suggested"] for row in rows)
