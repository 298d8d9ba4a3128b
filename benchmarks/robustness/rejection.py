"""Which score tells digits from what is none: of a network that learnt from outliers, and of one that did not.

In: run directories or model files with trainable weights, and the data in INKDIGIT_DATA. Out:
`results/rejection.json`. Digits are the training pictures that the network's run held out: a score is chosen here, so
that the test part is not asked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
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
from inkdigit.training.convert.restore import recipes_of, restore
from inkdigit.training.network.predict import logits as outputs_of
from inkdigit.training.network.predict import score_of
from inkdigit.types import Dataset, Gray

LIBRARIES = ("inkdigit", "torch", "numpy")
KNOWN = 10_000  # training pictures whose features are remembered
NEIGHBOURS = 10
ABOUT = """\
One network that learnt from outliers, and a twin that did not, on training pictures that both held out: the AUROC of
each score against each kind of outlier. *Maximum softmax* (Hendrycks and Gimpel 2017) and *energy*, the log-sum-exp
of the ten logits (Liu, Wang, Owens, Li 2020), need no outliers in training; *Mahalanobis* (Lee, Lee, Lee, Shin 2018)
and *nearest neighbours* (Sun, Ming, Zhu, Li 2022) measure how far the features before the last layer are from those
of 10,000 training pictures; *log odds* are those of the ten classes against the outliers' own, and are what ships."""


Score = Callable[[Tensor, Tensor], Tensor]  # logits (N, K + M) and features (N, F) → (N,), higher for digits


class Seen:
    """A network's logits and the features before its last layer."""

    def __init__(self, net: nn.Sequential) -> None:
        """Keep `net` in two pieces."""
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

    told: dict[str, Score] = {
        "maximum softmax": lambda logits, _: logits[:, :classes].softmax(1).amax(1),
        "energy": lambda logits, _: score_of(logits[:, :classes], classes),
        "Mahalanobis": mahalanobis,
        "nearest neighbours": neighbours,
    }
    if outputs.shape[1] > classes:
        told["log odds"] = lambda logits, _: score_of(logits, classes)
    return told


def compare(path: str, dataset: Dataset, known: dict[str, Gray]) -> dict[str, dict[str, float]]:
    """Score → kind of outlier → AUROC, and their mean."""
    model = Recognizer.load(path)
    seen = Seen(restore(model)[0])
    inside = seen(held_out(model, dataset).images)
    outside = {kind: (seen(images), images.any((1, 2))) for kind, images in known.items()}
    found = {}
    for name, score in scores(seen, dataset).items():
        digits = score(*inside).double().numpy()
        # An outlier of which the door leaves nothing is refused whatever the score.
        areas = {
            kind: auroc(digits, np.where(inked, score(*said).double().numpy(), -np.inf))
            for kind, (said, inked) in outside.items()
        }
        found[name] = {**areas, "mean": float(np.mean(list(areas.values())))}
    return found


def trained(path: str) -> dict[str, Any]:
    """What is to be known of a network: its recipe, and the commit that trained it."""
    model = Recognizer.load(path)
    recipe = recipes_of(model)[0]
    return {"recipe": recipe.name, "epochs": recipe.epochs, "commit": model.card.provenance.commit}


def main() -> int:
    """Compare, and write the results."""
    options = results.options(__doc__, smoke="a few outliers")
    options.add_argument("taught", help="a run of a recipe with outliers")
    options.add_argument("untaught", help="a run of the same recipe with outliers = 0")
    asked = options.parse_args()
    dataset = open_data("mnist")
    pictures = outliers(Path(os.environ["INKDIGIT_DATA"]), limit=20 if asked.smoke else None)
    known = {kind: prepare_each(grays) for kind, grays in pictures.items()}
    networks = [trained(path) for path in (asked.taught, asked.untaught)]
    about = {**results.stamp(LIBRARIES, smoke=asked.smoke), "about": ABOUT, "networks": networks}
    told = compare(asked.taught, dataset, known)
    plain = compare(asked.untaught, dataset, known)
    merged = {**{f"{name}, without outliers": areas for name, areas in plain.items()}, **told}
    results.write(asked.results / "rejection.json", {**about, "scores": merged})
    return 0


if __name__ == "__main__":
    sys.exit(main())
