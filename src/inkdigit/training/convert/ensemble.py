"""Networks that answer together, each perhaps for a picture and its shifts, joined in one graph.

In: model files as training writes them, and the data that they learnt from. Out: a model file like any other. Each
member's logits are divided by its own temperature; their mean over members and views are the logits of the whole, so
that calibration, export and score are those of a single network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import inkdigit.runs as runs
from inkdigit.data.splits import Splits
from inkdigit.errors import UsageError
from inkdigit.files import write_atomic, writing
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Member, ModelFile, Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import environment
from inkdigit.training.convert import export
from inkdigit.training.convert.calibrate import calibrate_held_out
from inkdigit.training.convert.restore import recipe_of, recipes_of, restore
from inkdigit.training.data import splits_of
from inkdigit.training.device import CPU
from inkdigit.training.evaluate import evaluate_reported, log_opening
from inkdigit.training.recipe import HELD_OUT_BY, Recipe
from inkdigit.types import Dataset, Log, Metrics, silent

STEPS = (0, -1, 1)  # pixels
SHIFTS = {  # views → (down, right) of each
    1: ((0, 0),),
    5: ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)),
    9: tuple(product(STEPS, STEPS)),
}


class Ensemble(nn.Module):
    """The mean of what several networks say of several views of a picture."""

    def __init__(self, members: Sequence[nn.Module], temperatures: Sequence[float], *, views: int = 1) -> None:
        """Each member's logits are divided by its temperature; `views` is a key of SHIFTS."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.temperatures = tuple(temperatures)
        self.shifts = SHIFTS[views]

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, 1, 28, 28), 0–255 → mean logits (N, K)."""
        seen = shifted(x, self.shifts)  # (V·N, 1, 28, 28)
        said = [net(seen) / t for net, t in zip(self.members, self.temperatures, strict=True)]  # M of (V·N, K)
        return torch.cat(said).reshape(len(said) * len(self.shifts), -1, said[0].shape[1]).mean(0)


def shifted(x: Tensor, shifts: Sequence[tuple[int, int]]) -> Tensor:
    """The pictures (N, 1, 28, 28) by each (down, right) in turn, paper moving in: (V·N, 1, 28, 28)."""
    if len(shifts) == 1:
        return x
    return torch.cat([F.pad(x, (right, -right, down, -down)) for down, right in shifts])  # less than 0 cuts off


def join(
    models: Sequence[Recognizer],
    dataset: Dataset,
    *,
    name: str,
    views: int = 1,
    twin: Recognizer | None = None,
    log: Log = silent,
) -> bytes:
    """The bytes of the model file that answers with the mean of `models` over `views`; its figures are not measured.

    Temperature and threshold are taken over from `twin`, the ensemble of the members' twins that held pictures out;
    else fitted on the pictures that all members held out; else there are none. More than one view is told by the name.

    Raises:
        UsageError: models that cannot be joined, other data than they learnt from, or a twin that is none.
        ParityError: the file answers otherwise than the networks.
    """
    recipes = [recipe_of(model) for model in models]
    _check(models, dataset, views)
    _check_honest(models, recipes)
    temperatures = [model.card.calibration.temperature for model in models]
    if twin is not None:
        _check_twin(twin, recipes, dataset, views)
        temperatures = [member.temperature for member in twin.card.provenance.members]
    net = Ensemble([restore(model)[0] for model in models], temperatures, views=views).eval()
    parts, classes = splits_of(dataset, recipes[0]), models[0].classes
    log(f"Joining {len(models)} network{'s' * (len(models) > 1)}, {views} view{'s' * (views > 1)} of each picture.")
    if twin is not None:
        calibration = _taken_over(twin)
    else:
        calibration = _fitted(net, recipes, parts, classes=len(classes), log=log)
    return export.model_bytes(
        net,
        f"{name}-views{views}" if views > 1 else name,
        classes=classes,
        kind=models[0].prepare,
        calibration=calibration,
        samples=parts.train.images,
        provenance=_provenance(models, recipes, dataset, temperatures, views=views),
    )


def write(out: Path, data: bytes, dataset: Dataset, *, log: Log = silent) -> Metrics:
    """Measure the file on the part that its members report on, and write it with the figures on its card.

    A look at a test part is noted beside it.

    Raises:
        OutputError: the file or the note cannot be written.
    """
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        write_atomic(path, data)
        model = Recognizer.load(path)
        recipes = recipes_of(model)
        parts = splits_of(dataset, recipes[0])
        if parts.report_name == "test":
            members = model.card.provenance.members
            sha256 = " ".join(str(member.recipe_sha256) for member in members)
            seed = " ".join(str(member.seed) for member in members)
            log_opening(out, data=dataset.name, name=model.name, sha256=sha256, seed=seed)
        log(f"Answering the {len(parts.report):,} pictures of the {parts.report_name} part.")
        metrics = evaluate_reported(model, dataset, parts)
    write_atomic(out, export.with_figures(data, export.figures_of(metrics)))
    return metrics


def _check(models: Sequence[Recognizer], dataset: Dataset, views: int) -> None:
    """Whether these can be one graph, and the data are those that all of them learnt from."""
    if views not in SHIFTS:
        raise UsageError("Unknown number of views", expected=", ".join(map(str, SHIFTS)), received=views)
    if len(models) == 1 and views == 1:
        raise UsageError("One model by itself is no ensemble", expected="two models or more, or --views above 1")
    files: dict[str, Path] = {}
    for model in models:
        for what, wanted, found in (
            ("classes", ", ".join(models[0].classes), ", ".join(model.classes)),
            ("kind of preparation", models[0].prepare, model.prepare),
            ("outliers", ", ".join(models[0].card.outliers) or "none", ", ".join(model.card.outliers) or "none"),
        ):
            if wanted != found:
                problem = f"{models[0].path} and {model.path} do not have the same {what}"
                raise UsageError(problem, expected=wanted, received=found)
        sha256 = ModelFile.of(model.path).sha256
        if sha256 in files:
            raise UsageError(f"{files[sha256]} and {model.path} are the same file", hint="Name each member once.")
        files[sha256] = model.path
        _check_data(model, dataset)


def _check_data(model: Recognizer, dataset: Dataset) -> None:
    """Other data could hold pictures that a member learnt from among those that are measured."""
    data = model.card.provenance.data
    learnt = None if data is None else data.sha256
    if learnt != dataset.sha256:
        raise UsageError(
            f"{dataset.name} is not the data that {model.path} learnt from",
            expected=f"SHA-256 {str(learnt)[:12]}…",
            received=f"{dataset.sha256[:12]}…",
            hint="Say with --data where they lie.",
        )


def _check_honest(models: Sequence[Recognizer], recipes: Sequence[Recipe]) -> None:
    """No member may have learnt from pictures that the ensemble is measured on."""
    fields = HELD_OUT_BY if recipes[0].protocol == "select" else ("protocol", "test_fraction")
    for field, (model, recipe) in product(fields, zip(models, recipes, strict=True)):
        wanted, found = getattr(recipes[0], field), getattr(recipe, field)
        if wanted != found:
            problem = f"{model.path} may have learnt from pictures that {models[0].path} reports on"
            raise UsageError(problem, expected=f"{field} = {wanted!r}", received=repr(found))


def _check_twin(twin: Recognizer, recipes: Sequence[Recipe], dataset: Dataset, views: int) -> None:
    """A temperature means something for the same networks in the same order, seen the same way."""
    _check_data(twin, dataset)
    provenance, theirs = twin.card.provenance, recipes_of(twin)
    calibrated = twin.card.calibration.accept_score is not None
    same = bool(provenance.members) and provenance.views == views and len(theirs) == len(recipes)
    if not (calibrated and same and all(one.is_twin_of(other) for one, other in zip(theirs, recipes, strict=True))):
        raise UsageError(
            f"{twin.path} is no twin of this ensemble",
            expected=f"a calibrated ensemble of the same recipes, in the same order, views = {views}",
            received=f"{twin.name}, {'of others' if calibrated else 'not calibrated'}",
        )


def _taken_over(twin: Recognizer) -> Calibration:
    told = "the twin of this ensemble that held pictures out"
    return replace(twin.card.calibration, keeps=None, fitted_on=told)


def _fitted(net: Ensemble, recipes: Sequence[Recipe], parts: Splits, *, classes: int, log: Log) -> Calibration:
    """Fitted on what all members held out; nothing where each held out pictures of its own, or none."""
    together = all(len({getattr(recipe, field) for recipe in recipes}) == 1 for field in HELD_OUT_BY)
    if not together or parts.validation is None:
        return Calibration()
    log(f"Fitting one temperature on {len(parts.validation):,} pictures that all of them held out.")
    recipe = min(recipes, key=lambda one: one.stressed)  # copies as photographed only if every member learnt some
    return calibrate_held_out(net, parts.validation, recipe, classes=classes)


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
