"""The race to 99 %: that ours trains as Inkdigit does, and what is said where there is no GPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.speed import cuda, race, race_tables
from inkdigit.training.network import loop, nets
from inkdigit.training.recipe import Recipe
from inkdigit.types import Part

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    part = Part(rng.integers(0, 256, (600, 28, 28), dtype=np.uint8), np.arange(600) % 10)
    tensors = loop.Tensors.of(part, CPU)
    return race.Data(tensors, tensors, 0.5, 0.3)


@pytest.fixture(scope="module")
def recipe():
    return race.recipe(steps=2)  # of 256 images: there are 600


def trained_by_the_loop(data: race.Data, recipe: Recipe, seed: int):
    recipe = recipe.change({"seed": seed})
    torch.manual_seed(seed)
    net = nets.build(recipe, 10, mean=data.mean, std=data.std)
    nets.whiten(net, data.train.images)
    state = loop.start(net, recipe)
    (_,) = loop.train(state, recipe, data.train, validation=None, bfloat16=False)
    return state.net.state_dict()


@pytest.mark.parametrize("seed", [3, 4])
def test_ours_trains_as_the_loop_does_also_the_second_time(data, recipe, seed):
    ours = race.Ours(data, recipe, recorded=False)
    ours.train(0)
    ours.train(seed)
    wanted = trained_by_the_loop(data, recipe, seed)
    for name, value in ours.net.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=1e-4, rtol=1e-4)


class _Graph:
    """A CUDA graph for a processor: it replays by calling."""

    def __init__(self, step):
        self.replay = step


def test_a_recording_begins_each_training_anew(data, recipe, monkeypatch):
    ours = race.Ours(data, recipe, recorded=True)

    def record():
        ours._begin(0)
        for _ in range(race.WARM_UP - 1):  # there are two steps
            ours._step()
        return _Graph(ours._step)

    monkeypatch.setattr(ours, "_record", record)
    ours.train(5)
    ours.train(3)
    wanted = trained_by_the_loop(data, recipe, 3)
    for name, value in ours.net.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=1e-4, rtol=1e-4)


def test_the_published_network_has_the_layers_of_its_notebook():
    net = race.published_net()
    assert sum(weights.numel() for weights in net.parameters()) == 624 + 6_944 + 205_056 + 2_570
    assert net(torch.zeros(2, 1, 28, 28)).exp().sum(1).tolist() == pytest.approx([1, 1])


def test_the_published_training_takes_each_image_once(data):
    published = race.Published(data, smoke=False)
    assert published.steps == 3  # of 256 images
    answer = published.train(0)
    assert answer(data.test.images).shape == (600, 10)


def test_the_first_round_is_told_apart_and_pairs_are_compared():
    trainings = [
        {"racer": name, "seed": seed, "is_first": seed == 2, "seconds": seconds, "accuracy": 0.985 + seed / 100}
        for seed, both in ((2, (9.0, 8.0)), (0, (2.0, 0.5)), (1, (3.0, 1.0)))
        for name, seconds in zip((race.PUBLISHED, race.STEPS), both, strict=True)
    ]
    about = race.summary(trainings)
    assert about[race.STEPS]["times_as_fast"] == {"median": 3.5, "min": 3.0, "max": 4.0}
    assert about[race.STEPS]["first_seconds"] == 8.0
    assert about[race.STEPS]["accuracy"] == pytest.approx(0.99)
    assert about[race.STEPS]["reaches"]


def test_a_recipe_that_changes_images_cannot_race(data):
    with pytest.raises(SystemExit, match="one epoch of images as they are"):
        race.Ours(data, Recipe.load("fast", {"rotate_deg": 5.0, "min_steps": 0}), recorded=False)


def test_without_a_gpu_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(race, "has_gpu", lambda: False)
    assert race.main(["--results", str(tmp_path)]) == cuda.NO_GPU
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_script_can_be_tried_out_without_a_gpu(data, tmp_path, monkeypatch):
    monkeypatch.setattr(race, "load", lambda _: data)
    assert race.main(["--device", "cpu", "--smoke", "--seeds", "2", "--results", str(tmp_path)]) == 0
    record = json.loads((tmp_path / race.FILES["cpu"]).read_text(encoding="utf-8"))
    assert record["smoke"] is True
    assert record["racers"].keys() == {race.PUBLISHED, race.STEPS}
    assert len(record["trainings"]) == 6  # a first round, and two


def test_the_page_says_whether_ours_is_quick_enough():
    about = {"n": 30, "seconds": {"median": 0.1, "min": 0.1, "max": 0.2}, "first_seconds": 1.0, "accuracy": 0.991}
    about |= {"accuracy_sd": 0.0004, "times_as_fast": {"median": 1.0, "min": 1.0, "max": 1.0}, "reaches": True}
    quick = {**about, "times_as_fast": {"median": 2.5, "min": 2.1, "max": 2.9}}
    wrong = {**quick, "times_as_fast": {"median": 9.0, "min": 9.0, "max": 9.0}, "reaches": False}
    record = {"gpu": "G1", "racers": {race.PUBLISHED: about, race.STEPS: quick, race.RECORDED: wrong}}
    (row,) = race_tables.bars(record)
    assert "2.50 times [2.10–2.90] | yes | 30" in row
    assert "99.100 ± 0.040 %" in race_tables.section(record)
    on_a_processor = {**record, "gpu": "cpu", "machine": {"processor": "Z80"}}
    assert race_tables.section(on_a_processor).startswith("| on Z80 |")
    assert "not measured" in race_tables.bars(None)[0]
    assert "does not reach" in race_tables.bars({"racers": {race.PUBLISHED: about, race.STEPS: wrong}})[0]
