"""Make a bundled model: a finished run of the bundled recipe NAME becomes `model/zoo/NAME.onnx`.

In: NAME, and a run or a folder of seeds. It takes the first of several seeds: choosing another would be choosing by the
test split. Out: the file, with the mean over the seeds on its card; with `--ledger`, that over all seeds of the recipe
that were measured before. With `--int8` it is an int8 file, if that loses nothing on held-out training images and is
smaller or faster. With `--calibrate` its threshold is fitted again, as a training would fit it today; the network and
its temperature stay.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import onnx
import torch

import inkdigit.runs as runs
from benchmarks.common import results
from inkdigit.data.sources import open_data
from inkdigit.errors import InkdigitError, UsageError
from inkdigit.files import write_atomic
from inkdigit.measure.ledger import read_finished
from inkdigit.measure.metrics import predict_part
from inkdigit.measure.seeds import format_seeds, open_seeds
from inkdigit.measure.speed import time_batches
from inkdigit.measure.stats import Spread
from inkdigit.model.card import Calibration
from inkdigit.model.recognizer import ZOO, Recognizer
from inkdigit.training.convert.calibrate import calibrate_held_out
from inkdigit.training.convert.int8 import choose, int8_bytes, quantize
from inkdigit.training.convert.model_file import set_card
from inkdigit.training.convert.restore import recipe_of, restore
from inkdigit.training.data import splits_of
from inkdigit.training.environment import describe
from inkdigit.training.openings import log_opening
from inkdigit.training.recipe import Recipe, bundled
from inkdigit.types import Dataset, Part

GAIN = 1 / 3  # of size or time: the gain that makes an int8 file worth bundling
SLACK = 1.1  # times as long as the float file: the margin for a machine that does other work, too
CPU = torch.device("cpu")
ALIKE = 1e-3  # temperatures: any machine finds the same to so many digits
TIMED = 256  # images of one call


@dataclass(frozen=True, slots=True)
class Judged:
    """A file, measured on held-out training images."""

    wrong: int
    n: int
    size: int  # bytes
    pictures_per_s: float

    def __str__(self) -> str:
        """The figures in one line."""
        return (
            f"{self.wrong:,} of {self.n:,} held-out images wrong, {self.size / 1000:,.0f} kB, "
            f"{self.pictures_per_s:,.0f} images/s"
        )


def bundle(
    name: str,
    source: str,
    *,
    zoo: Path = ZOO,
    int8: bool = False,
    twin: str | None = None,
    again: bool = False,
    ledger: Path | None = None,
) -> Path:
    """Write the bundled model `name` from the run or the folder of seeds `source`, and print what was done.

    `ledger` has the seeds that its card tells; without it they are those of `source`. `twin` is a run of the same
    recipe under `select`: what is held out there decides on `int8` where a recipe trains on all images. `again` fits
    the threshold again.

    Raises:
        UsageError: the runs are not those of the bundled recipe, or nothing is held out to decide on.
        DataError: their files, or the data, cannot be read.
        ModelFileError: a model file cannot predict.
        OutputError: the file cannot be written.
    """
    if name not in bundled():
        raise UsageError(f"There is no bundled recipe {name!r}", expected=f"one of {', '.join(bundled())}")
    recipe = Recipe.load(name)
    dataset = open_data(recipe.data, prepare=None if recipe.prepare == "auto" else recipe.prepare)
    models, over_seeds = open_models(source)
    if ledger is not None:
        over_seeds = over_measured(ledger, recipe)
    for model in models:
        check(model, recipe, dataset)
    model = models[0]
    data = calibrated_again(model, dataset) if again else model.path.read_bytes()
    if int8 and pays(model if twin is None else open_twin(twin, recipe), dataset):
        folder = model.path.parent
        log_opening(folder, data=dataset.name, name=name, sha256=recipe.sha256, seed=str(recipe_of(model).seed))
        data = quantize(model, dataset).data
    path = zoo / f"{name}.onnx"
    write_atomic(path, complete(data, name, over_seeds))
    made = Recognizer.load(path).card
    print(
        f"Written: {path}, {path.stat().st_size / 1000:,.0f} kB, {made.numbers}, "
        f"{100 * made.figures['accuracy']:.2f} % of {made.figures['n']:,} test images"
    )
    return path


def open_models(source: str) -> tuple[list[Recognizer], dict[str, Any]]:
    """The models of a run or of a folder of seeds, in their order, and the figures of several seeds for a card.

    Raises:
        UsageError: there is no such run, one is unfinished, or a seed failed: a mean of the others would be too good.
    """
    seeds = open_seeds(source)
    if seeds is None:
        return [_model(read_finished(runs.find(source)).folder)], {}
    if seeds.missing:
        raise UsageError(
            f"{source} is not complete",
            expected="every seed finished",
            received=f"none of seed {format_seeds(sorted(seeds.missing))}",
            hint="Go on with the same command that began it.",
        )
    return [_model(entry.folder) for entry in seeds.entries], _over_seeds(seeds.seeds, seeds.accuracy)


def _model(run: Path) -> Recognizer:
    return Recognizer.load(runs.model_path(run))


def _over_seeds(seeds: Sequence[int], accuracy: Spread) -> dict[str, Any]:
    """Several trainings as a card has them; nothing for a single one."""
    if accuracy.sd is None:
        return {}
    return {"seeds": {"n": len(seeds), "mean": accuracy.mean, "sd": accuracy.sd, "seeds": list(seeds)}}


def over_measured(ledger: Path, recipe: Recipe) -> dict[str, Any]:
    """All seeds of a recipe that a ledger has, as a card has them.

    Raises:
        UsageError: it has fewer than two.
    """
    lines = [line for line in results.read_lines(ledger) if line["recipe_sha256"] == recipe.sha256]
    measured = results.latest(lines, itemgetter("seed"))
    if len(measured) < 2:
        raise UsageError(f"{ledger} has no spread of {recipe.name}", expected="two seeds", received=len(measured))
    seeds = sorted(measured)
    return _over_seeds(seeds, Spread(tuple(measured[seed]["accuracy"] for seed in seeds)))


def check(model: Recognizer, recipe: Recipe, dataset: Dataset) -> None:
    """Check that the model is what the bundled recipe makes of its data, calibrated, measured on the test split.

    Raises:
        UsageError: it is not.
    """
    provenance, figures = model.card.provenance, model.card.figures
    n = len(splits_of(dataset, recipe).report)
    for what, expected, received in (
        ("recipe", recipe.sha256, provenance.recipe_sha256),
        ("training data", dataset.sha256, None if provenance.data is None else provenance.data.sha256),
        ("reported split", f"test, {n} images", f"{figures.get('part')}, {figures.get('n')} images"),
    ):
        if expected != received:
            raise UsageError(
                f"{model.path} cannot be bundled as {recipe.name}: its {what} is another",
                expected=expected,
                received=received,
                hint=f"Train it with: inkdigit train {recipe.name}",
            )
    if model.card.calibration == Calibration():
        raise UsageError(
            f"{model.path} cannot be bundled: it is not calibrated",
            expected="a recipe with a validation split, or with the temperature and accept_score of its select twin",
        )


def count_wrong(model: Recognizer, part: Part) -> int:
    """How many images the model gets wrong, rejected or not."""
    answers = predict_part(model, part)
    return sum(answer.best != label for answer, label in zip(answers, part.labels.tolist(), strict=True))


def open_twin(text: str, recipe: Recipe) -> Recognizer:
    """The model of a run of the same recipe under the protocol `select`.

    Raises:
        UsageError: the run is unfinished, or of another recipe or protocol.
    """
    folder = read_finished(runs.find(text)).folder
    twin = Recipe.load(folder / runs.RECIPE)
    if not twin.is_twin_of(recipe) or twin.protocol != "select":
        raise UsageError(
            f"{folder} is not a twin of {recipe.name}",
            expected="a run of the same recipe under the protocol select",
            received=f"{twin.name}, {twin.protocol}",
            hint=f"Train it with: inkdigit train {recipe.name} --set protocol=select",
        )
    return _model(folder)


def pays(model: Recognizer, dataset: Dataset) -> bool:
    """Whether int8 loses nothing on the training images that the model held out, and gains a third of size or time.

    Raises:
        UsageError: it held nothing out.
    """
    splits = splits_of(dataset, recipe_of(model))
    if splits.validation is None:
        raise UsageError(
            f"{model.path} held nothing out, so nothing can decide on int8",
            hint=f"Name a run of the twin with --twin: inkdigit train {model.name} --set protocol=select",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        path.write_bytes(int8_bytes(model, choose(splits.train.images)))
        before, after = (judge(file, splits.validation) for file in (model, Recognizer.load(path)))
    better = loses_nothing(before, after)
    print(f"float32: {before}\nint8: {after}: {'taken' if better else 'not taken'}")
    return better


def calibrated_again(model: Recognizer, dataset: Dataset) -> bytes:
    """The model file with the threshold that a training would fit today, on the images that its own training held out.

    Raises:
        UsageError: it held nothing out, or its temperature, which is inside the graph, is another today.
    """
    net, recipe = restore(model)
    held_out, old = splits_of(dataset, recipe).validation, model.card.calibration
    fitted = None if held_out is None else calibrate_held_out(net, held_out, recipe, classes=len(model.classes))
    if fitted is None or fitted.accept_score is None:
        raise UsageError(f"{model.path} held too few images out to fit a threshold on")
    if abs(fitted.temperature - old.temperature) > ALIKE:
        raise UsageError(
            f"{model.path} has another temperature today",
            expected=f"temperature {old.temperature}",
            received=fitted.temperature,
        )
    print(f"Accepts from a score of {fitted.accept_score}; it was {old.accept_score}")
    changed = onnx.load(model.path)
    commit = describe(dataset, source=recipe.data, device=CPU)["commit"]
    before = model.card.provenance
    provenance = replace(before, extra={**before.extra, "calibrated_by": commit})
    calibration = replace(fitted, temperature=old.temperature)
    set_card(changed, replace(model.card, calibration=calibration, provenance=provenance))
    return bytes(changed.SerializeToString())


def judge(model: Recognizer, part: Part) -> Judged:
    """Measure a file on held-out images."""
    speed = time_batches(model, part.images[:TIMED]).pictures_per_s
    return Judged(count_wrong(model, part), len(part), model.path.stat().st_size, speed)


def loses_nothing(before: Judged, after: Judged) -> bool:
    """Whether the second file is as accurate and as fast, and is smaller or faster by a third."""
    times = before.pictures_per_s / after.pictures_per_s
    gains = after.size <= (1 - GAIN) * before.size or times <= 1 - GAIN
    return after.wrong <= before.wrong and times <= SLACK and gains


def complete(data: bytes, name: str, figures: dict[str, Any]) -> bytes:
    """The same model file, which passes its self test, called `name` and with more `figures` on its card.

    Raises:
        ModelFileError: it does not pass.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        path.write_bytes(data)
        card = Recognizer.load(path).card
    model = onnx.load_from_string(data)
    set_card(model, replace(card, name=name, figures={**card.figures, **figures}))
    return bytes(model.SerializeToString())


def main(argv: Sequence[str] | None = None) -> int:
    """Make the file, or print in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a bundled recipe: the model is called the same")
    parser.add_argument("source", help="a finished run, or a folder of seeds")
    parser.add_argument("--int8", action="store_true", help="an int8 file, if it loses nothing")
    parser.add_argument("--twin", metavar="RUN", help="its select twin, whose held-out images decide on --int8")
    parser.add_argument("--calibrate", action="store_true", help="fit its threshold again")
    parser.add_argument("--ledger", type=Path, help="a file as results/accuracy.jsonl, whose seeds the card tells")
    parser.add_argument("--zoo", type=Path, default=ZOO, help="the folder of bundled models")
    options = parser.parse_args(argv)
    if options.twin and not options.int8:
        parser.error("--twin decides on --int8, which is not given")
    if options.calibrate and options.int8:
        parser.error("--calibrate is for float files: an int8 file has the threshold of its float file")
    try:
        bundle(
            options.name,
            options.source,
            zoo=options.zoo,
            int8=options.int8,
            twin=options.twin,
            again=options.calibrate,
            ledger=options.ledger,
        )
    except InkdigitError as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
