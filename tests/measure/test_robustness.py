"""Figures on corrupted images: what is counted, and which kinds resemble training or are undone."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest

from inkdigit.errors import DataError, MissingData, UsageError
from inkdigit.measure import robustness
from inkdigit.measure.corruptions import KINDS, Kind, corrupt
from inkdigit.measure.metrics import evaluate
from inkdigit.measure.robustness import (
    TAUGHT_BY,
    UNDONE,
    UNDONE_INSIDE,
    Robustness,
    evaluate_corruptions,
    trained_kinds,
    undone_kinds,
)
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare, prepare_all
from inkdigit.synth.drawn import digit
from inkdigit.synth.stress import RESEMBLES
from inkdigit.training.recipe import Recipe
from inkdigit.types import DIGITS, Dataset, Gray, Part

from ..conftest import Tiny, drawn

RECIPE = "rotate_deg = 10.0\nshift_px = 0.0\nname = 'x'\n"


def dataset(n: int = 10, **part: object) -> Dataset:
    images = np.stack([prepare(drawn(i % 10, seed=i)) for i in range(n)])
    test = Part(images, np.arange(n) % 10, **part)
    return Dataset("drawn", DIGITS, Part(images[:1], np.zeros(1, np.int64)), test)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Robustness:
    file = Tiny(provenance={"recipe": RECIPE}).write(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return evaluate_corruptions(file, dataset())


@pytest.fixture
def few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kinds that cost little."""
    monkeypatch.setattr(robustness, "KINDS", [k for k in KINDS if k.name in ("stripe", "brightness", "rotate")])


def test_every_kind_at_every_level_is_measured(found):
    assert [(row.kind, len(row.levels)) for row in found.rows] == [(kind, len(kind.strengths)) for kind in KINDS]
    assert all(metrics.n == 10 for row in found.rows for metrics in row.levels)
    assert (found.clean.n, found.total, found.split, found.clean.data) == (10, 10, "test", "drawn")
    assert found.clean.accuracy > 0.5  # the model reads these digits
    assert found.mean < found.clean.accuracy


def test_a_figure_is_that_of_the_prepared_corrupted_images(found, tiny):
    data = dataset()
    for row in found.rows[:3]:
        images = corrupt(data.part("test").images, row.kind, row.kind.named)
        expected = evaluate(tiny, replace(data, test=replace(data.part("test"), images=images)))
        assert row.named.accuracy == expected.accuracy
        assert np.array_equal(row.named.confusion, expected.confusion)
        assert any(np.array_equal(row.before[row.kind.named - 1], image) for image in images)
        assert np.array_equal(row.after[0], prepare(row.before[0]))


def test_the_means_are_over_kinds_at_the_named_levels(found):
    named = {row.kind.name: row.levels[row.kind.named - 1].accuracy for row in found.rows}
    assert found.mean == pytest.approx(fmean(named.values()))
    assert found.deviation == pytest.approx(stdev(named.values()))
    assert found.lowest.named.accuracy == min(named.values())
    assert [row.kind.name for row in found.rows if row.in_training] == ["rotate"]
    assert {row.kind.name for row in found.rows if row.undone} == set(UNDONE)
    new = [v for name, v in named.items() if name != "rotate" and name not in UNDONE]
    assert found.mean_unseen == pytest.approx(fmean(new))


def test_json_has_the_figures(found):
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["mean"], content["n"], content["unseen"]) == (found.mean, 10, 3)
    fog = next(row for row in content["kinds"] if row["kind"] == "fog")
    assert (fog["named_level"], fog["in_training"], fog["undone"]) == (5, False, UNDONE["fog"])
    assert len(fog["levels"]) == 5
    assert fog["levels"][4]["strength"] == [3.0, 1.4]
    assert list(fog["levels"][0]) == ["strength", "accuracy", "accuracy_ci95", "answered", "accuracy_answered"]


@pytest.mark.usefixtures("few_kinds")
def test_a_limit_takes_the_first_images_and_corrupts_them_in_the_same_way(tiny):
    full, some = evaluate_corruptions(tiny, dataset()), evaluate_corruptions(tiny, dataset(), limit=9)
    assert (some.clean.n, some.total) == (9, 10)
    assert np.array_equal(some.rows[0].before, full.rows[0].before)
    assert evaluate_corruptions(tiny, dataset(), limit=1000).mean == full.mean


@pytest.mark.usefixtures("few_kinds")
def test_progress_counts_pairs_of_kind_and_level(tiny):
    calls = []
    evaluate_corruptions(tiny, dataset(3), progress=lambda *counts: calls.append(counts))
    assert calls == [(done, 11) for done in range(1, 12)]


@pytest.mark.usefixtures("few_kinds")
def test_rejections_lower_the_share_answered_and_not_the_accuracy(tiny, tmp_path):
    file = Tiny(calibration=Calibration(accept_score=1e6)).write(tmp_path / "strict.onnx")
    strict, lenient = evaluate_corruptions(file, dataset()), evaluate_corruptions(tiny, dataset())
    assert (strict.answered, lenient.answered) == (0, 1)
    assert strict.mean == lenient.mean
    assert strict.rows[0].to_json()["levels"][0]["accuracy_answered"] is None


@pytest.mark.usefixtures("few_kinds")
def test_an_image_that_could_not_be_read_stays_wrong(tiny):
    found = evaluate_corruptions(tiny, dataset(10, faults=dict.fromkeys(range(10), "broken")))
    assert found.mean == found.clean.accuracy == 0


@pytest.mark.usefixtures("few_kinds")
def test_without_recipes_on_the_card_there_is_no_mean_over_the_unseen(tiny):
    found = evaluate_corruptions(tiny, dataset(10))
    assert found.mean_unseen is None
    assert {row.in_training for row in found.rows} == {None}


@pytest.mark.usefixtures("few_kinds")
def test_a_data_set_without_a_test_split_is_measured_completely(tiny):
    data = Dataset("one", DIGITS, dataset().part("test"))
    assert evaluate_corruptions(tiny, data).split == "all"


@pytest.mark.usefixtures("few_kinds")
def test_plain_images_are_not_changed_by_a_plain_preprocessing(tmp_path):
    recognizer = Recognizer.load(Tiny(kind="plain").write(tmp_path / "plain.onnx"))
    found = evaluate_corruptions(recognizer, replace(dataset(), prepare="plain"))
    assert all(np.array_equal(row.before, row.after) for row in found.rows)


def test_what_cannot_be_measured(tiny, tmp_path):
    with pytest.raises(UsageError, match="There is no model"):
        evaluate_corruptions("nope", dataset())
    with pytest.raises(MissingData):
        evaluate_corruptions(tiny, tmp_path / "no.npz")
    with pytest.raises(UsageError, match="does not know the class 'x'"):
        evaluate_corruptions(tiny, replace(dataset(), classes=(*DIGITS[:9], "x")))
    with pytest.raises(DataError, match="nothing to measure"):
        evaluate_corruptions(tiny, dataset(), limit=0)


@pytest.mark.usefixtures("few_kinds")
def test_an_interruption_ends_it(tiny):
    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_corruptions(tiny, dataset(3), progress=stop)


MEMBER = {"file": "a", "sha256": "b", "name": "c", "recipe": RECIPE, "seed": 0, "temperature": 1.0}
STEP = {"data": {"name": "hand"}, "pictures": {}}


def test_the_recipes_on_a_card_tell_what_training_did():
    cases = [
        ({"recipe": ""}, set()),
        ({"recipe": RECIPE}, {"rotate"}),
        ({"recipe": "zoom = 0.1\nshear = 0.2\nshift_px = 2.0"}, {"scale", "shear", "translate"}),
        ({"recipe": "squish = 0.1"}, {"scale"}),
        ({"recipe": "stressed = 1.0"}, set(RESEMBLES)),
        ({"recipe": "drawn = 20000"}, set(RESEMBLES)),  # half of the drawn images are on paper
        ({"recipe": "outliers = 500"}, set(RESEMBLES)),
        ({"recipe": "", "members": [MEMBER, {**MEMBER, "recipe": "zoom = 0.1"}]}, {"rotate", "scale"}),
        ({"recipe": "", "adapted": [{**STEP, "augmentation": {"shear": 0.1, "thickness": 0.2}}]}, {"shear"}),
        ({"recipe": "", "adapted": [STEP]}, None),
        ({}, None),
        ({"recipe": "rotate_deg = = 3"}, None),
    ]
    for provenance, kinds in cases:
        assert trained_kinds(Provenance.from_json(provenance)) == kinds, provenance


def test_the_table_of_training_has_recipe_fields_and_kinds():
    assert set(TAUGHT_BY) <= set(Recipe.model_fields)
    assert {name for names in TAUGHT_BY.values() for name in names} <= {kind.name for kind in KINDS}
    assert trained_kinds(Provenance(recipe=Recipe().to_toml())) == set()


def distance_left(kind: Kind, images: Gray) -> float:
    """The distance of corrupted images from the clean ones after the preprocessing, as a share of that before."""
    corrupted = corrupt(images, kind, kind.named).astype(float)
    prepared = prepare_all(corrupted.astype(np.uint8)).astype(float)
    before, after = (np.sqrt(((changed - images) ** 2).sum(axis=(1, 2))).mean() for changed in (corrupted, prepared))
    return float(after / before)


def test_the_kinds_that_the_preprocessing_undoes_are_measured():
    images = np.stack([prepare(digit(i % 10, rng=np.random.default_rng(i), size_px=28)) for i in range(60)])
    undone = {kind.name for kind in KINDS if distance_left(kind, images) < 0.7}
    assert {"scale", "translate", "fog", "brightness"} <= undone <= set(UNDONE), (
        "change UNDONE in measure/robustness.py"
    )


def test_a_plain_preprocessing_undoes_nothing_and_moments_are_undone_in_the_network(tmp_path):
    plain = Recognizer.load(Tiny(kind="plain").write(tmp_path / "plain.onnx"))
    assert undone_kinds(plain) == {}
    inside = Tiny(kind="plain", provenance={"recipe": "moments = true"}).write(tmp_path / "moments.onnx")
    assert undone_kinds(Recognizer.load(inside)) == UNDONE_INSIDE
