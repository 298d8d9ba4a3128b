"""An ensemble: several networks, or several views of each image, joined in one graph.

In: model files as training writes them, and the data that they learned from. Out: a model file like any other. Each
member's logits are divided by its own temperature. The mean over members and views are the logits of the ensemble, so
that calibration, export and score are those of a single network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import inkdigit.runs as runs
from inkdigit.data.splits import Splits
from inkdigit.errors import UsageError
from inkdigit.files import write_atomic, writing
from inkdigit.measure.metrics import Metrics
from inkdigit.measure.seeds import open_seeds
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Member, ModelFile, Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import environment
from inkdigit.training.convert import model_file
from inkdigit.training.convert.calibrate import calibrate_held_out
from inkdigit.training.convert.restore import recipe_of, recipes_of, restore
from inkdigit.training.convert.source import open_source, source_of_model
from inkdigit.training.data import splits_of
from inkdigit.training.device import CPU
from inkdigit.training.evaluate import evaluate_reported
from inkdigit.training.openings import log_opening
from inkdigit.training.own.network import Build
from inkdigit.training.recipe import HELD_OUT_BY, Recipe
from inkdigit.types import DataLike, Dataset, Log, check_functions, silent

STEPS = (0, -1, 1)  # pixels: handwriting is centred to within one
SHIFTS = {  # views → (down, right) of each: the image, its four neighbours, its eight
    1: ((0, 0),),
    5: ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)),
    9: tuple(product(STEPS, STEPS)),
}


class Ensemble(nn.Module):
    """The mean logits of several networks for several views of an image."""

    def __init__(self, members: Sequence[nn.Module], temperatures: Sequence[float], *, views: int = 1) -> None:
        """Each member's logits are divided by its temperature; `views` is a key of SHIFTS."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.temperatures = tuple(temperatures)
        self.shifts = SHIFTS[views]

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, 1, 28, 28), 0–255 → mean logits (N, K)."""
        views = shifted(x, self.shifts)  # (V·N, 1, 28, 28)
        logits = [net(views) / t for net, t in zip(self.members, self.temperatures, strict=True)]  # M of (V·N, K)
        return torch.cat(logits).reshape(len(logits) * len(self.shifts), -1, logits[0].shape[1]).mean(0)


def shifted(x: Tensor, shifts: Sequence[tuple[int, int]]) -> Tensor:
    """The images (N, 1, 28, 28) moved by each (down, right) in turn, filled with 0: (V·N, 1, 28, 28)."""
    if len(shifts) == 1:
        return x
    return torch.cat([F.pad(x, (right, -right, down, -down)) for down, right in shifts])  # a negative number cuts off


@dataclass(frozen=True, eq=False)
class Joined:
    """An ensemble: its file, its members, and its figures on the split that they report on."""

    path: Path
    members: tuple[Recognizer, ...]
    metrics: Metrics = field(repr=False)


def ensemble(
    models: Sequence[Recognizer | str | Path],
    out: str | Path,
    *,
    views: int = 1,
    name: str | None = None,
    data: DataLike | None = None,
    calibrated_as: Recognizer | str | Path | None = None,
    net: Build | None = None,
    log: Log = silent,
) -> Joined:
    """Join models in one file that answers with their mean; measure it on the split that they report on.

    `models` are loaded ones, bundled names, runs, files, or folders of a training with several seeds. With 5 or 9
    `views` the file also reads the image shifted by a pixel. `name` stands on its card, `data` is what the models
    learned from if their cards do not lead to it, and `calibrated_as` an ensemble of their select twins, whose
    calibration is taken over. `net` builds the network of members that are your own. A file that is at `out` is
    replaced.

    Raises:
        UsageError: models that cannot be joined, other data than they learned from, or a twin that is not one.
        DataError: `data` cannot be used.
        ModelFileError: a file cannot be used.
        ParityError: the file does not predict what the networks do.
        OutputError: the file cannot be written.
    """
    check_functions(net=net, log=log)
    out = Path(out)
    words = [models] if isinstance(models, str | Path) else models
    members = [member for word in words for member in _members(word)]
    if not members:
        raise UsageError("There is nothing to join", expected="one model or more")
    twin = None if calibrated_as is None else Recognizer.of(calibrated_as)
    runs.check_place(out, reads=[read.path for read in (*members, *([] if twin is None else [twin]))])
    source = source_of_model(members[0]) if data is None else data
    dataset = open_source(source, members[0], named=data is not None, log=log)
    chosen = name or (members[0].name if len(members) == 1 else "ensemble")
    joined = join(members, dataset, name=chosen, views=views, twin=twin, net=net, log=log)
    return Joined(out, tuple(members), write(out, joined, dataset, log=log))


def _members(model: Recognizer | str | Path) -> list[Recognizer]:
    """The models that a word names: those of a folder of seeds, else itself."""
    if isinstance(model, str | Path) and runs.find_seeds(model) is not None:
        seeds = open_seeds(str(model))
        return [Recognizer.load(entry.folder) for entry in (seeds.entries if seeds is not None else ())]
    return [Recognizer.of(model)]


def join(
    models: Sequence[Recognizer],
    dataset: Dataset,
    *,
    name: str,
    views: int = 1,
    twin: Recognizer | None = None,
    net: Build | None = None,
    log: Log = silent,
) -> bytes:
    """The bytes of the model file that predicts the mean of `models` over `views`; its figures are not measured.

    Temperature and threshold are taken over from `twin`, the ensemble of the members' twins that held images out; else
    fitted on the images that all members held out; else there are none. The name says how many views there are. `net`
    builds the network of members that are the user's own.

    Raises:
        UsageError: models that cannot be joined, other data than they learned from, or a twin that is not one.
        ParityError: the file does not predict what the networks do.
    """
    recipes = [recipe_of(model) for model in models]
    _check(models, dataset, views)
    _check_honest(models, recipes)
    temperatures = [model.card.calibration.temperature for model in models]
    if twin is not None:
        _check_twin(twin, recipes, dataset, views)
        temperatures = [member.temperature for member in twin.card.provenance.members]
    joined = Ensemble([restore(model, net=net)[0] for model in models], temperatures, views=views).eval()
    splits = splits_of(dataset, recipes[0])
    classes = models[0].classes
    log(f"Joining {len(models)} network{'s' * (len(models) > 1)}, {views} view{'s' * (views > 1)} of each image.")
    if twin is not None:
        calibration = _taken_over(twin)
    else:
        calibration = _fitted(joined, recipes, splits, classes=len(classes), log=log)
    return model_file.model_bytes(
        joined,
        f"{name}-views{views}" if views > 1 else name,
        classes=classes,
        kind=models[0].prepare,
        calibration=calibration,
        samples=splits.train.images,
        provenance=_provenance(models, recipes, dataset, temperatures, views=views),
    )


def write(out: Path, data: bytes, dataset: Dataset, *, log: Log = silent) -> Metrics:
    """Measure the file on the split that its members report on, and write it with the figures on its card.

    Every use of a test split is noted beside it.

    Raises:
        OutputError: the file or the note cannot be written.
    """
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        write_atomic(path, data)
        model = Recognizer.load(path)
        recipes = recipes_of(model)
        splits = splits_of(dataset, recipes[0])
        if splits.report_name == "test":
            members = model.card.provenance.members
            sha256 = " ".join(str(member.recipe_sha256) for member in members)
            seed = " ".join(str(member.seed) for member in members)
            log_opening(out, data=dataset.name, name=model.name, sha256=sha256, seed=seed)
        log(f"Predicting the {len(splits.report):,} images of the {splits.report_name} split.")
        metrics = evaluate_reported(model, dataset, splits)
    write_atomic(out, model_file.with_figures(data, model_file.figures_of(metrics)))
    return metrics


def _check(models: Sequence[Recognizer], dataset: Dataset, views: int) -> None:
    """Check that these can be one graph, and that the data are those that all of them learned from.

    Raises:
        UsageError: they cannot, or the data are others.
    """
    if views not in SHIFTS:
        raise UsageError("Unknown number of views", expected=", ".join(map(str, SHIFTS)), received=views)
    if len(models) == 1 and views == 1:
        raise UsageError("One model is not an ensemble", expected="two models or more, or --views above 1")
    files: dict[str, Path] = {}
    for model in models:
        for what, expected, received in (
            ("classes", ", ".join(models[0].classes), ", ".join(model.classes)),
            ("preprocessing", models[0].prepare, model.prepare),
            ("outliers", ", ".join(models[0].card.outliers) or "none", ", ".join(model.card.outliers) or "none"),
        ):
            if expected != received:
                problem = f"{models[0].path} and {model.path} do not have the same {what}"
                raise UsageError(problem, expected=expected, received=received)
        sha256 = ModelFile.of(model.path).sha256
        if sha256 in files:
            raise UsageError(f"{files[sha256]} and {model.path} are the same file", hint="Name each member once.")
        files[sha256] = model.path
        _check_data(model, dataset)


def _check_data(model: Recognizer, dataset: Dataset) -> None:
    """Check that the data are those of `model`: other data could have its training images in their test split.

    Raises:
        UsageError: they are others.
    """
    data = model.card.provenance.data
    sha256 = None if data is None else data.sha256
    if sha256 != dataset.sha256:
        raise UsageError(
            f"{dataset.name} is not the data that {model.path} learned from",
            expected=f"SHA-256 {str(sha256)[:12]}…",
            received=f"{dataset.sha256[:12]}…",
            hint="Name them with --data.",
        )


def _check_honest(models: Sequence[Recognizer], recipes: Sequence[Recipe]) -> None:
    """Check that no member trained on images that the ensemble is measured on.

    Raises:
        UsageError: one may have.
    """
    first = recipes[0]
    fields = HELD_OUT_BY if first.protocol == "select" else ("protocol", "test_fraction")
    for model, recipe in zip(models, recipes, strict=True):
        if field := first.differs_in(fields, recipe):
            problem = f"{model.path} may have learned from images that {models[0].path} reports on"
            expected, received = f"{field} = {getattr(first, field)!r}", repr(getattr(recipe, field))
            raise UsageError(problem, expected=expected, received=received)


def _check_twin(twin: Recognizer, recipes: Sequence[Recipe], dataset: Dataset, views: int) -> None:
    """Check that `twin` joins the same networks in the same order and views: a temperature is for those alone.

    Raises:
        UsageError: it does not.
    """
    _check_data(twin, dataset)
    provenance, theirs = twin.card.provenance, recipes_of(twin)
    calibrated = twin.card.calibration.accept_score is not None
    same = bool(provenance.members) and provenance.views == views and len(theirs) == len(recipes)
    if not (calibrated and same and all(map(Recipe.is_twin_of, theirs, recipes))):
        raise UsageError(
            f"{twin.path} is not a twin of this ensemble",
            expected=f"a calibrated ensemble of the same recipes, in the same order, views = {views}",
            received=f"{twin.name}, {'of others' if calibrated else 'not calibrated'}",
        )


def _taken_over(twin: Recognizer) -> Calibration:
    fitted_on = "the twin of this ensemble that held images out"
    return replace(twin.card.calibration, keeps=None, fitted_on=fitted_on)


def _fitted(net: Ensemble, recipes: Sequence[Recipe], splits: Splits, *, classes: int, log: Log) -> Calibration:
    """Fit on the images that all members held out; no calibration where they held out different ones, or none."""
    together = all(len({getattr(recipe, field) for recipe in recipes}) == 1 for field in HELD_OUT_BY)
    if not together or splits.validation is None:
        return Calibration()
    log(f"Fitting one temperature on {len(splits.validation):,} images that all of them held out.")
    recipe = min(recipes, key=lambda recipe: recipe.stressed)  # stressed copies only if every member learned from some
    return calibrate_held_out(net, splits.validation, recipe, classes=classes)


def _provenance(
    models: Sequence[Recognizer],
    recipes: Sequence[Recipe],
    dataset: Dataset,
    temperatures: Sequence[float],
    *,
    views: int,
) -> Provenance:
    """Where the ensemble comes from, for its card; the data are those of every member."""
    about = environment.describe(dataset, source=dataset.name, device=CPU)
    files = [ModelFile.of(model.path) for model in models]
    members = [
        Member(
            file.file,
            file.sha256,
            name=model.name,
            recipe=model.card.provenance.recipes[0],
            seed=recipe.seed,
            temperature=temperature,
            recipe_sha256=model.card.provenance.recipe_sha256 or recipe.sha256,
            adaptations=model.card.provenance.adaptations,
        )
        for file, model, recipe, temperature in zip(files, models, recipes, temperatures, strict=True)
    ]
    return Provenance(
        members=tuple(members),
        made_from=tuple(files),
        views=views,
        created=about["started"],
        commit=about["commit"],
        libraries=about["libraries"],
        data=models[0].card.provenance.data,
        saw_mnist=any(model.card.provenance.saw_mnist for model in models),
    )
