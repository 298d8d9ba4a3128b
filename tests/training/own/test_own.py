"""A network, an augmentation and a listener of the user's own: trained, resumed, restored; and what is wrong."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from inkdigit import runs
from inkdigit.data.splits import Splits
from inkdigit.errors import UsageError
from inkdigit.measure.metrics import predict_part
from inkdigit.training import run, trial
from inkdigit.training.adapt import adapt
from inkdigit.training.convert.int8 import quantize
from inkdigit.training.convert.restore import restore
from inkdigit.training.data import splits_of
from inkdigit.training.internals import explain_weights, insight
from inkdigit.training.network import loop
from inkdigit.training.own import functions
from inkdigit.training.own.round_trip import check_export
from inkdigit.training.recipe import Recipe
from inkdigit.training.run import Run
from inkdigit.types import OUTLIERS, Dataset

from ..conftest import drawn_digits, only_training, single_thread, tiny, weights, write_small_report

__all__ = ["only_training"]
RECIPE = Recipe(
    name="mine", batch=32, epochs=3, learning_rate=0.01, ema_decay=0.5, validation=0.25, normalize="standard"
)


class Net(nn.Module):
    """What checkpoints and the model file have to bear: shared weights, unused ones, masks, views, chance."""

    def __init__(self, outputs: int, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3.weight = self.conv2.weight
        self.norm = nn.BatchNorm1d(width * 49, momentum=0.3)
        self.unused = nn.Linear(2, 2)
        self.output = nn.Linear(width * 49, outputs)
        self.register_buffer("mask", torch.ones(width, 1, 1, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(x))
        if not self.training or torch.rand(()) < 0.5:  # some weights have no gradient in some steps
            x = functional.relu(self.conv3(functional.relu(self.conv2(x))))
        x = functional.max_pool2d(x * self.mask, 4)
        return self.output(self.norm(x.view(-1, self.output.in_features)))


def jitter(x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def stop(row: loop.Row) -> None:
    if row.epoch == 2:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose file is a real one, and whose report is small."""
    out = tmp_path_factory.mktemp("own") / "run"
    with single_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "write_report", write_small_report)
        patch.setattr(functions, "check_export", lambda *_: None)
        return run.train(RECIPE, data=drawn_digits(), net=Net, augment=jitter, out=out, device="cpu")


def test_the_recipe_of_the_card_says_what_it_was(done):
    card = done.model.card
    (fields,) = card.provenance.recipe_fields()
    assert (fields["net"], fields["net_source"], fields["augment_source"]) == (
        "external",
        "test_own.py:Net",
        "test_own.py:jitter",
    )
    assert len(fields["net_sha256"]) == 64
    assert "filters" not in fields
    assert card.parameters == sum(p.numel() for p in Net(3).parameters())
    assert "class Net(nn.Module):" in (done.folder / "net.py").read_text(encoding="utf-8")


def test_the_file_alone_predicts_and_becomes_integers(done):
    dataset = drawn_digits()
    quantized = quantize(done.model, dataset)
    assert quantized.before.accuracy == done.report["accuracy"]
    assert quantized.after.n == quantized.before.n


def test_the_network_comes_back_with_its_function_and_not_with_another(done):
    net, recipe = restore(done.model, net=Net)
    images = drawn_digits().test.images[:5]
    with torch.no_grad():
        probs = net(torch.tensor(images).unsqueeze(1).float()).softmax(1).numpy()
    assert np.allclose(probs, done.model.probs_as_prepared(images), atol=1e-4)
    assert recipe.net == "external"
    for other, problem in [
        (None, r"a network of your own, test_own.py:Net, which is not in it. Give the function that builds it: net=…"),
        (functools.partial(Net, width=5), "net is not the network of"),
        (lambda outputs: nn.Sequential(nn.Flatten(), nn.Linear(784, outputs)), "predicts something else"),
    ]:
        with pytest.raises(UsageError, match=problem):
            restore(done.model, net=other)
    with pytest.raises(UsageError, match="a network of your own"):
        adapt.adapt(done.model, drawn_digits(), out=done.folder.parent / "adapted.onnx")


def test_gradients_and_feature_maps_need_the_function(done):
    from inkdigit.model.explain import explain

    explanation = explain(done.model, drawn_digits().test.images[0])  # occlusion: from the file alone
    with pytest.raises(UsageError, match="a network of your own"):
        explain_weights(done.model, [explanation])
    (explained,), inside = explain_weights(done.model, [explanation], net=Net)
    assert np.abs(explained.gradients).max() > 0
    assert inside.maps["own.conv"].shape == (1, 4, 28, 28)


@pytest.mark.usefixtures("only_training")
def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(functions, "check_export", lambda *_: None)
    data, rows, recipe = drawn_digits(), [], RECIPE.change({"optimizer": "muon"})
    mine = {"net": Net, "augment": jitter, "data": data}
    whole = run.train(recipe, **mine, out=tmp_path / "whole", on_epoch=rows.append)
    assert [row.epoch for row in rows] == [1, 2, 3]
    with pytest.raises(KeyboardInterrupt, match=r"Go on with: inkdigit.resume\(.*run', net=…, augment=…\)$"):
        run.train(recipe, **mine, out=tmp_path / "run", on_epoch=stop)
    for other, problem in [
        ({}, "has a network of your own, test_own.py:Net"),
        ({"net": Net}, "an augmentation of your own, test_own.py:jitter"),
        ({"net": functools.partial(Net, width=4), "augment": jitter}, "New is the line: # with"),
        ({"net": Net, "augment": stop}, "Gone is the line: def jitter"),
    ]:
        with pytest.raises(UsageError, match=problem):
            run.resume(tmp_path / "run", data=data, **other)
    again = run.resume(tmp_path / "run", **mine)
    checkpoints = [(each.folder / "checkpoint" / "state.safetensors").read_bytes() for each in (whole, again)]
    assert checkpoints[0] == checkpoints[1]


def parts_of(dataset: Dataset) -> Splits:
    return splits_of(dataset, RECIPE)


def test_a_seed_draws_the_same_weights(drawn):
    recipe = RECIPE.change({"net": "external"})
    first, again, other = (
        weights(trial.build(recipe.change({"seed": seed}), parts_of(drawn), 3, own=Net)) for seed in (1, 1, 2)
    )
    assert first == again != other


class Two(nn.Linear):
    def __init__(self) -> None:
        super().__init__(784, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x.flatten(1)), x


class Fixed(Two):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.reshape(2, 784), self.weight)


class Chance(Two):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.dropout(x.flatten(1)), self.weight)  # in evaluation mode, too


def dense(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, outputs))


def not_a_number() -> nn.Module:
    net = dense(3)
    nn.init.constant_(net[1].bias, float("nan"))
    return net


def fails() -> nn.Module:
    raise KeyError("no such width")


def complex_buffer() -> nn.Module:
    net = dense(3)
    net.register_buffer("phase", torch.ones(1, dtype=torch.complex64))
    return net


@pytest.mark.parametrize(
    ("net", "problem"),
    [
        (dense(3), "net is a network that is built already. Expected: a function"),
        ("model.py:build", "net cannot be called"),
        (lambda: 3, "net returns no network. Expected: an nn.Module. Received: int"),
        (fails, "cannot be built: KeyError in line .* of test_own.py: 'no such width'"),
        (
            lambda: dense(4),
            r"another shape. Expected: .*\(3, 3\) for 3 images.*Received: \(3, 4\).*parameter 'outputs'",
        ),
        (lambda: nn.Conv2d(1, 3, 3), r"another shape.*Received: \(3, 3, 26, 26\)"),
        (Two, "not one tensor.*Received: tuple of 2"),
        (Fixed, "cannot be trained: RuntimeError in line .* of test_own.py: shape '.2, 784.' is invalid"),
        (not_a_number, "values that are not numbers"),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten()), "no weights that can be trained"),
        (lambda: dense(3).requires_grad_(False), "no weights that can be trained"),
        (complex_buffer, "does not fit into a checkpoint: phase"),
    ],
)
def test_a_network_that_cannot_be_trained_is_one_error(net, problem, drawn):
    with pytest.raises(UsageError, match=problem):
        trial.build(RECIPE.change({"net": "external"}), parts_of(drawn), 3, own=net)


def test_a_network_that_cannot_be_exported_is_one_error_before_it_is_trained(drawn):
    net = trial.build(RECIPE.change({"net": "external"}), parts_of(drawn), 3, own=Chance)
    with pytest.raises(UsageError, match=r"cannot be exported: .*Does it draw random numbers in evaluation mode"):
        check_export(net, Chance, RECIPE.change({"net": "external"}), drawn)


class Features(nn.Module):
    """Random features, which no file has; and at first its answers do not depend on them."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.drawn = torch.randn(784, 16)
        self.output = nn.Linear(16, outputs)
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.tanh(x.flatten(1) @ self.drawn))


SHARED = dense(3)


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (Features, "cannot be restored from its weights.*register_buffer"),
        (lambda: SHARED, "returns weights that it has returned before"),
    ],
)
def test_a_network_that_cannot_be_built_again_is_one_error_before_it_is_trained(own, problem, drawn):
    recipe = RECIPE.change({"net": "external"})
    with pytest.raises(UsageError, match=problem):
        check_export(trial.build(recipe, parts_of(drawn), 3, own=own), own, recipe, drawn)


def test_a_network_that_cannot_be_restored_does_not_cost_the_report(done):
    part = drawn_digits().test
    predictions = predict_part(done.model, part)
    shown = insight(done.model, part, predictions, net=functools.partial(Net, width=5))
    assert shown.left_out.startswith("Filters, feature maps and gradients are left out. net is not the network of")
    assert all(example.explanation.occlusion.any() for example in (*shown.examples, *shown.mistakes))
    complete = insight(done.model, part, predictions, net=Net)
    assert (complete.left_out, complete.activated, len(complete.maps)) == (None, False, 3)


def test_outputs_for_outliers_are_asked_for(drawn):
    recipe = RECIPE.change({"net": "external", "outliers": 5})
    net = trial.build(recipe, parts_of(drawn), 3, own=dense)
    assert net[-1][1].out_features == 3 + len(OUTLIERS)
    with pytest.raises(UsageError, match="with 5 outputs"):
        trial.build(recipe, parts_of(drawn), 3, own=lambda: dense(3))


@pytest.mark.parametrize(
    ("augment", "received"),
    [
        (lambda x: x[:1], r"torch.float32 \(1, 1, 28, 28\)"),
        (lambda x: x.byte(), "torch.uint8"),
        (lambda _: None, "NoneType"),
    ],
)
def test_an_augmentation_that_gives_no_batch_is_one_error(augment, received, tmp_path):
    with pytest.raises(UsageError, match=f"augment does not return a batch.*Received: {received}"):
        run.train(tiny(), data=drawn_digits(), augment=augment, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_augmentation_that_fails_is_one_error(tmp_path):
    with pytest.raises(UsageError, match=r"augment cannot be used: AttributeError in line \d+ of test_own.py: .*blur"):
        run.train(tiny(), data=drawn_digits(), augment=lambda x: x.blur(), out=tmp_path / "run")


def test_env_json_has_no_places_without_log_to(done):
    assert json.loads((done.folder / runs.ENVIRONMENT).read_text(encoding="utf-8"))["logged"] == {}
