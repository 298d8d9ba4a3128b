"""How well a model does on labelled images.

In: a `Recognizer` and a `Dataset`, or predictions and labels. Out: `Metrics`. NumPy only, so that `inkdigit evaluate`
starts quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.data.sources import as_dataset
from inkdigit.errors import DataError, UsageError
from inkdigit.measure.stats import wilson
from inkdigit.measure.unseen import Choice, choose
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import DataLike, Dataset, Floats, Log, Part, Prediction, Split, check_functions, silent

BINS = 15  # equal-width bins of confidence, as Guo et al. 2017 count them
MIN_PROBABILITY = float(np.finfo(np.float32).tiny)  # a probability that underflowed to 0 would make the NLL infinite
ONE_WRONG_IN = 1000  # 99.9 % accuracy: the target of the coverage at that accuracy


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class against the rest."""

    precision: float
    recall: float
    f1: float
    support: int
    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Confidence and accuracy, one entry for each bin of equal width; an empty bin holds NaN."""

    count: NDArray[np.int64]  # (B,)
    confidence: NDArray[np.float64]  # (B,) mean confidence
    accuracy: NDArray[np.float64]  # (B,) fraction right

    @property
    def error(self) -> float | None:
        """The expected calibration error: the mean gap, with bins weighted by their images. None without images."""
        n = int(self.count.sum())
        return float(np.nansum(self.count * abs(self.confidence - self.accuracy)) / n) if n else None

    def to_json(self) -> dict[str, Any]:
        """A list for each field; an empty bin is None."""
        means = {"confidence": self.confidence, "accuracy": self.accuracy}
        columns = {name: [None if np.isnan(x) else float(x) for x in column] for name, column in means.items()}
        return {"count": self.count.tolist(), **columns}


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The number of images that are accepted at a threshold of confidence, and how many of these are read wrongly.

    There is an entry for each confidence that occurs, the highest first; the last one accepts all N. Images of equal
    confidence are accepted together, so that the order of the images has no influence.
    """

    confidence: NDArray[np.float64]  # (M,)
    accepted: NDArray[np.int64]  # (M,) images of that confidence or more
    wrong: NDArray[np.int64]  # (M,) of these

    @property
    def coverage(self) -> NDArray[np.float64]:
        """The share of all images that is accepted: (M,)."""
        return np.asarray(self.accepted / self.accepted[-1], np.float64)

    @property
    def risk(self) -> NDArray[np.float64]:
        """The fraction wrong of the accepted images: (M,)."""
        return np.asarray(self.wrong / self.accepted, np.float64)

    @property
    def area(self) -> float:
        """The mean risk over the thresholds at which an image is accepted: the area under the curve."""
        return float((np.diff(self.accepted, prepend=0) * self.risk).sum() / self.accepted[-1])

    @property
    def at_999(self) -> tuple[float, float] | None:
        """The largest coverage with at most one image in 1,000 wrong, and its threshold of confidence.

        None if this accepts fewer than 1,000 images: they are too few to hold one wrong image.
        """
        good = np.flatnonzero((self.accepted >= ONE_WRONG_IN) & (self.wrong * ONE_WRONG_IN <= self.accepted))
        return (float(self.coverage[good[-1]]), float(self.confidence[good[-1]])) if len(good) else None

    def to_json(self) -> dict[str, Any]:
        """A list for each field, of at most 100 entries: the first one at each per cent of coverage."""
        n = int(self.accepted[-1])
        at = np.unique(np.searchsorted(self.accepted, [-(-n * cent // 100) for cent in range(1, 101)]))
        columns = {"confidence": self.confidence, "coverage": self.coverage, "risk": self.risk}
        return {name: column[at].tolist() for name, column in columns.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Metrics:
    """The results of a model on a labelled split; see `measure` for each definition."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    answered: int
    accuracy_answered: float | None
    n: int
    nll: float | None
    brier: float | None
    reliability: Reliability = field(repr=False)
    risk_coverage: RiskCoverage = field(repr=False)
    classes: tuple[str, ...]
    per_class: dict[str, ClassFigures] = field(repr=False)
    confusion: NDArray[np.int64] = field(repr=False)  # (K, K): rows are true classes, columns the most probable ones
    model: str
    data: str
    split: str
    warning: str | None = None  # why the figures may not hold for other images: the model was trained on these

    def _repr_html_(self) -> str:
        """What a notebook shows: the accuracy, the confusion matrix, and the figures about confidence."""
        import inkdigit.markup as markup

        shares = {
            "95 % interval": markup.percent_range(self.accuracy_ci95),
            "answered": markup.percent(self.answered / self.n),
            "right of these": None if self.accuracy_answered is None else markup.percent(self.accuracy_answered),
            "calibration error": None if self.ece is None else f"{100 * self.ece:.2f} points",
        }
        return markup.block(
            f"{markup.percent(self.accuracy)} right",
            self.warning,
            markup.facts({name: value for name, value in shares.items() if value is not None}),
            markup.confusion(self.confusion, self.classes),
            note=f"{self.model} on {self.n:,} images of {self.data} ({self.split})",
        )

    @property
    def ece(self) -> float | None:
        """The expected calibration error."""
        return self.reliability.error

    @property
    def aurc(self) -> float:
        """The area under the risk–coverage curve."""
        return self.risk_coverage.area

    @property
    def coverage_at_999(self) -> float | None:
        """The largest share of the images, by confidence, that is read with 99.9 % accuracy."""
        return None if self.risk_coverage.at_999 is None else self.risk_coverage.at_999[0]

    @property
    def confidence_at_999(self) -> float | None:
        """The threshold of confidence with that coverage."""
        return None if self.risk_coverage.at_999 is None else self.risk_coverage.at_999[1]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types, in the order of `evaluate --json`."""
        return {
            "accuracy": self.accuracy,
            "answered": self.answered,
            "accuracy_answered": self.accuracy_answered,
            "accuracy_ci95": list(self.accuracy_ci95),
            "n": self.n,
            "nll": self.nll,
            "brier": self.brier,
            "ece": self.ece,
            "aurc": self.aurc,
            "coverage_at_999": self.coverage_at_999,
            "confidence_at_999": self.confidence_at_999,
            "classes": list(self.classes),
            "per_class": {
                name: {f: getattr(row, f) for f in ("precision", "recall", "f1", "support", "tp", "fp", "fn", "tn")}
                for name, row in self.per_class.items()
            },
            "confusion": self.confusion.tolist(),
            "reliability": self.reliability.to_json(),
            "risk_coverage": self.risk_coverage.to_json(),
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "warning": self.warning,
        }


def evaluate(
    model: Recognizer | str | Path,
    data: DataLike,
    *,
    split: Split = "test",
    log: Log = silent,
) -> Metrics:
    """Measure a model on one split of a data set; a data set without a test split is measured as a whole.

    `model` is a recogniser, a bundled name, a run directory or a model file; `data` is a data set, a SOURCE or arrays
    (images, labels), which are prepared as the model's images are. Classes are matched by name. Where the card says
    that the model learned from these images, only those that its training held out are measured. If there are none, or
    `split` is "train", all are measured, and the figures have a `warning`. Both cases are logged.

    Raises:
        UsageError: the model lacks one of the data's classes, or its images were prepared differently.
        DataError: the data cannot be read, or the split has no images.
    """
    check_functions(log=log)
    recognizer, dataset, chosen = open_split(model, data, split, log=log)
    metrics = measure_part(recognizer, dataset, chosen.part, split=chosen.split)
    return replace(metrics, warning=chosen.warning)


def open_split(
    model: Recognizer | str | Path, data: DataLike, split: Split, *, log: Log
) -> tuple[Recognizer, Dataset, Choice]:
    """Open a model and the data to measure it on, and choose the images, as `evaluate` says.

    Raises:
        UsageError: there is no such model or source, or the images were prepared differently.
        DataError: the data cannot be read.
    """
    recognizer = Recognizer.of(model)
    dataset = as_dataset(data, prepare=recognizer.prepare, log=log)
    if dataset.prepare != recognizer.prepare:
        raise UsageError(
            f"The images of {dataset.name!r} are not prepared as the model {recognizer.name!r} expects",
            expected=f"prepare {recognizer.prepare!r}",
            received=f"prepare {dataset.prepare!r}",
            hint=f"Open the data with prepare={recognizer.prepare!r}.",
        )
    return recognizer, dataset, choose(recognizer, dataset, split, log=log)


def measure_part(recognizer: Recognizer, dataset: Dataset, part: Part, *, split: str) -> Metrics:
    """Measure a model on `part`, whose classes are those of `dataset`, whatever it learned from; `split` is its name.

    Raises:
        UsageError: the model lacks one of the classes.
        DataError: the part has no images.
    """
    index = _class_index(recognizer, dataset)
    return measure(
        predict_part(recognizer, part),
        index[part.labels],
        classes=recognizer.classes,
        model=recognizer.name,
        data=dataset.name,
        split=split,
    )


def predict_part(recognizer: Recognizer, part: Part) -> list[Prediction]:
    """One prediction for each image of `part`, in order; an image that could not be read is "unreadable"."""
    predictions = recognizer.predict(part.images) if len(part) else []
    for i in part.faults:
        predictions[i] = Prediction(None, reason="unreadable")
    return predictions


def measure(
    predictions: Sequence[Prediction],
    labels: NDArray[np.int64],
    *,
    classes: tuple[str, ...],
    model: str,
    data: str,
    split: str,
) -> Metrics:
    """Compare N predictions with `labels` (N,), indices into the K `classes`.

    - accuracy: the fraction of all images whose most probable class is right, accepted or rejected; an image without
      probabilities (no ink, unreadable) is wrong. `accuracy_ci95` is Wilson's interval.
    - answered: how many images got a label; `accuracy_answered` is the fraction right among these.
    - nll, brier, reliability, ece: over the images with probabilities. Mean −log p(true); squared distance of the K
      probabilities from 1 for the true class and 0 for the others, summed over classes, mean over images, 0 to 2
      (Brier 1950); confidence against accuracy in 15 bins of equal width, and their mean gap (Naeini et al. 2015, Guo
      et al. 2017).
    - risk_coverage: over all images, by the confidence of the most probable class, accepted or rejected. If the most
      confident are accepted, what share of all images is that (coverage), and what fraction of them is wrong (risk;
      Geifman & El-Yaniv 2017)? An image without probabilities is wrong and comes last, so the curve ends at
      1 − accuracy. aurc is the area under it (Geifman, Uziel & El-Yaniv 2019).
    - coverage_at_999: the largest coverage with 99.9 % accuracy, None unless that is 1,000 images or more;
      `confidence_at_999` is the threshold. The threshold is chosen on the same images that the figure is about: it
      shows how well confidence ranks these, and promises nothing for other images.
    - per class: by the most probable class; an image without probabilities is a false negative of its class. The
      precision of a class that is never predicted, and the recall of a class that never occurs, are 0.
    - confusion (K, K): true × most probable class of the images with probabilities.

    Raises:
        DataError: there are no images.
        ValueError: predictions and labels differ in number.
    """
    n = len(labels)
    if len(predictions) != n:
        raise ValueError(f"expected {n} predictions, one for each label, got {len(predictions)}")
    if not n:
        raise DataError(f"There is nothing to measure in the {split} split of {data!r}", expected="images", received=0)
    probs = stack_probs(predictions, len(classes))  # (N, K)
    known = ~np.isnan(probs[:, 0])  # the images with probabilities
    confusion = _confusion(probs[known], labels[known])
    right = int(confusion.trace())
    answers = [p.label == classes[true] for p, true in zip(predictions, labels, strict=True) if p.label is not None]
    return Metrics(
        accuracy=right / n,
        accuracy_ci95=wilson(right, n),
        answered=len(answers),
        accuracy_answered=sum(answers) / len(answers) if answers else None,
        n=n,
        nll=_nll(probs[known], labels[known]),
        brier=_brier(probs[known], labels[known]),
        reliability=reliability(probs, labels),
        risk_coverage=risk_coverage(probs, labels),
        classes=classes,
        per_class=_per_class(confusion, labels, classes),
        confusion=confusion,
        model=model,
        data=data,
        split=split,
    )


def reliability(probs: Floats, labels: NDArray[np.int64]) -> Reliability:
    """Sort images into bins by confidence; rows of `probs` (N, K) that are NaN are left out. `labels` is (N,)."""
    known = ~np.isnan(probs[:, 0])
    confidence = probs[known].max(axis=1).astype(np.float64)
    return reliability_of(confidence, probs[known].argmax(axis=1) == labels[known])


def reliability_of(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """Sort answers into bins by confidence; both are (N,)."""
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # bin i holds (i, i + 1] / BINS
    count = np.bincount(bins, minlength=BINS)
    weight = np.where(count, count, np.nan)
    return Reliability(
        count=count,
        confidence=np.bincount(bins, weights=confidence, minlength=BINS) / weight,
        accuracy=np.bincount(bins, weights=right, minlength=BINS) / weight,
    )


def risk_coverage(probs: Floats, labels: NDArray[np.int64]) -> RiskCoverage:
    """Accept images by confidence, the highest first; a row of NaN in `probs` (N, K) is wrong with confidence 0."""
    confidence = np.nan_to_num(probs.max(axis=1)).astype(np.float64)
    wrong = np.isnan(probs[:, 0]) | (probs.argmax(axis=1) != labels)
    levels, level_of = np.unique(-confidence, return_inverse=True)  # ascending: the most confident first
    return RiskCoverage(
        confidence=-levels,
        accepted=np.bincount(level_of).cumsum(),
        wrong=np.bincount(level_of[wrong], minlength=len(levels)).cumsum(),
    )


def worst_mistakes(probs: Floats, labels: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The indices (≤ k,) of wrong answers, the most confident first; a row of NaN in `probs` (N, K) is no answer."""
    wrong = np.flatnonzero(~np.isnan(probs[:, 0]) & (probs.argmax(axis=1) != labels))
    return wrong[np.argsort(-probs[wrong].max(axis=1), kind="stable")][:k]


def stack_probs(predictions: Sequence[Prediction], classes: int) -> Floats:
    """The probabilities of N predictions as one array (N, classes); a row of NaN where a prediction has none."""
    probs = np.full((len(predictions), classes), np.nan, dtype=np.float32)
    for i, prediction in enumerate(predictions):
        if prediction.probs is not None:
            probs[i] = prediction.probs
    return probs


def _class_index(recognizer: Recognizer, dataset: Dataset) -> NDArray[np.int64]:
    """The index of each class of the data among the model's: (K of the data,)."""
    index = {name: i for i, name in enumerate(recognizer.classes)}
    missing = [name for name in dataset.classes if name not in index]
    if missing:
        raise UsageError(
            f"The model {recognizer.name!r} does not know {_several('class', len(missing))} {_listed(missing)}"
            f" of {dataset.name!r}",
            expected=f"classes among {_listed(recognizer.classes)}",
            received=_listed(dataset.classes),
            hint="Evaluate a model that was trained on these classes.",
        )
    return np.array([index[name] for name in dataset.classes], dtype=np.int64)


def _several(noun: str, count: int) -> str:
    return f"the {noun}" if count == 1 else f"{count} {noun}es,"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 10 else shown


def _nll(probs: Floats, labels: NDArray[np.int64]) -> float | None:
    if not len(labels):
        return None
    true = probs[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(true, MIN_PROBABILITY)).mean()) + 0.0  # a mean of −0.0 prints as 0.0


def _brier(probs: Floats, labels: NDArray[np.int64]) -> float | None:
    if not len(labels):
        return None
    gaps = probs.astype(np.float64)
    gaps[np.arange(len(labels)), labels] -= 1
    return float((gaps**2).sum(axis=1).mean())


def _confusion(probs: Floats, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (K, K) of true × most probable class."""
    classes = probs.shape[1]
    return np.bincount(labels * classes + probs.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def _per_class(
    confusion: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]
) -> dict[str, ClassFigures]:
    support = np.bincount(labels, minlength=len(classes))
    predicted = confusion.sum(axis=0)
    return {
        name: _figures(int(confusion[i, i]), int(predicted[i]), int(support[i]), len(labels))
        for i, name in enumerate(classes)
    }


def _figures(tp: int, predicted: int, support: int, n: int) -> ClassFigures:
    fp, fn = predicted - tp, support - tp
    return ClassFigures(
        precision=tp / predicted if predicted else 0.0,
        recall=tp / support if support else 0.0,
        f1=2 * tp / (predicted + support) if predicted + support else 0.0,
        support=support,
        tp=tp,
        fp=fp,
        fn=fn,
        tn=n - tp - fp - fn,
    )
