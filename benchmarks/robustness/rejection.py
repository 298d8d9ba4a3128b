"""Which score separates digits from what is not a digit: of a network trained with outliers, and of one without.

In: run directories or model files with trainable weights, and the data in INKDIGIT_DATA. Out:
`results/rejection.json`. Digits are the training images that the network's run held out: a score is chosen here, so
the test split stays closed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import results
from benchmarks.robustness.measure import held_out, outliers
from inkdigit.data.sources import open_data
from inkdigit.measure.rejection import auroc
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare_each
from inkdigit.synth.generated import Amounts, extend
from inkdigit.training.convert.restore import recipes_of, restore
from inkdigit.training.network.predict import logits as outputs_of
from inkdigit.training.network.predict import score_of
from inkdigit.types import Dataset, Gray

LIBRARIES = ("inkdigit", "torch", "numpy")
KNOWN = 10_000  # training images whose features are stored
NEIGHBOURS = 10
DRAWN, SEED = 10_000, 1_900_000_061  # outliers from which "any digit?" learns, and their seed: no training uses it
PENALTY = 1e-4  # on its squared weights
ABOUT = "One network that was trained with outliers, and a twin that was not: see docs/robustness.md."


Score = Callable[[Tensor, Tensor], Tensor]  # logits (N, K + M) and features (N, F) → (N,), higher for digits


class Seen:
    """A network's logits and the features before its last layer."""

    def __init__(self, net: nn.Sequential) -> None:
        """Split `net` into two."""
        self.body, self.output = net[:-1].eval(), net[-1]

    @torch.no_grad()
    def __call__(self, images: Gray) -> tuple[Tensor, Tensor]:
        """uint8 (N, 28, 28) → logits (N, K + M) and features (N, F)."""
        features = outputs_of(self.body, torch.from_numpy(images))
        return self.output(features), features


def scores(seen: Seen, dataset: Dataset) -> dict[str, Score]:
    """Every score by its name."""
    classes = len(dataset.classes)
    some = np.random.default_rng(0).permutation(len(dataset.train))[:KNOWN]
    outputs, known = seen(dataset.train.images[some])
    labels = torch.from_numpy(dataset.train.labels[some])
    means = torch.stack([known[labels == k].mean(0) for k in range(classes)])
    spread = torch.linalg.pinv(torch.cov((known - means[labels]).T.double())).float()
    directions = nn.functional.normalize(known, dim=1)

    def mahalanobis(_: Tensor, features: Tensor) -> Tensor:
        off = features[:, None] - means  # (N, K, F)
        return -torch.einsum("nkf,fg,nkg->nk", off, spread, off).amin(1)

    def neighbours(_: Tensor, features: Tensor) -> Tensor:
        near = nn.functional.normalize(features, dim=1) @ directions.T
        return near.topk(NEIGHBOURS, dim=1).values[:, -1]

    drawn = extend(dataset.train.take(some), Amounts(outliers=DRAWN), seed=SEED).images[len(some) :]
    any_digit = _logistic(known, seen(drawn)[1])
    by_name: dict[str, Score] = {
        "maximum softmax": lambda logits, _: logits[:, :classes].softmax(1).amax(1),
        "energy": lambda logits, _: score_of(logits[:, :classes], classes),
        "Mahalanobis": mahalanobis,
        "nearest neighbours": neighbours,
        "any digit?": lambda _, features: any_digit(features),
    }
    if outputs.shape[1] > classes:
        by_name["log odds"] = lambda logits, _: score_of(logits, classes)
    return by_name


def _logistic(inside: Tensor, outside: Tensor) -> Callable[[Tensor], Tensor]:
    """Logistic regression on features: (N, F) → the log odds (N,) that they are of a digit."""
    both = torch.cat([inside, outside])
    mean, deviation = both.mean(0), both.std(0) + 1e-6
    target = torch.cat([torch.ones(len(inside)), torch.zeros(len(outside))])
    weights = torch.zeros(both.shape[1] + 1, requires_grad=True)

    def odds(features: Tensor) -> Tensor:
        return (features - mean) / deviation @ weights[1:] + weights[0]

    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(odds(both), target) + PENALTY * weights[1:].square().sum()
        loss.backward()
        return loss

    optimizer.step(step)
    return lambda features: odds(features).detach()


def compare(path: str, dataset: Dataset, known: dict[str, Gray]) -> dict[str, dict[str, float]]:
    """Score → kind of outlier → AUROC, and their mean."""
    model = Recognizer.load(path)
    seen = Seen(restore(model)[0])
    inside = seen(held_out(model, dataset).images)
    outside = {kind: (seen(images), images.any((1, 2))) for kind, images in known.items()}
    areas_of = {}
    for name, score in scores(seen, dataset).items():
        digits = score(*inside).double().numpy()
        # An outlier without ink after preprocessing is rejected whatever the score.
        areas = {
            kind: auroc(digits, np.where(inked, score(*outputs).double().numpy(), -np.inf))
            for kind, (outputs, inked) in outside.items()
        }
        areas_of[name] = {**areas, "mean": float(np.mean(list(areas.values())))}
    return areas_of


def trained(path: str) -> dict[str, Any]:
    """The recipe of a network, and the commit that trained it."""
    model = Recognizer.load(path)
    recipe = recipes_of(model)[0]
    return {"recipe": recipe.name, "epochs": recipe.epochs, "commit": model.card.provenance.commit}


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, and write the results."""
    parser = results.parser(__doc__, smoke="a few outliers")
    parser.add_argument("taught", help="a run of a recipe with outliers")
    parser.add_argument("untaught", help="a run of the same recipe with outliers = 0")
    options = parser.parse_args(argv)
    dataset = open_data("mnist")
    images = outliers(Path(os.environ["INKDIGIT_DATA"]), limit=20 if options.smoke else None)
    known = {kind: prepare_each(grays) for kind, grays in images.items()}
    networks = [trained(path) for path in (options.taught, options.untaught)]
    about = {**results.stamp(LIBRARIES, smoke=options.smoke), "about": ABOUT, "networks": networks}
    with_outliers = compare(options.taught, dataset, known)
    without = compare(options.untaught, dataset, known)
    merged = {**{f"{name}, without outliers": areas for name, areas in without.items()}, **with_outliers}
    results.write(options.results / "rejection.json", {**about, "scores": merged})
    return 0


if __name__ == "__main__":
    sys.exit(main())
