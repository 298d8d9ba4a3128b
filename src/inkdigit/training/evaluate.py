"""The figures of a model file on the split that its recipe reports on.

In: a model file, its data and their splits. Out: `Metrics`, measured by `Recognizer` on the file itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inkdigit.data.splits import Splits
from inkdigit.measure.metrics import Metrics, evaluate
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import Dataset


def evaluate_reported(model: Recognizer | Path, dataset: Dataset, splits: Splits) -> Metrics:
    """Measure a model file on the split that its recipe reports on."""
    reported = replace(dataset, train=splits.train, test=splits.report)
    return replace(evaluate(model, reported), split=splits.report_name)
