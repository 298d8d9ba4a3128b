"""The loop: what repeats bit for bit, what learns, how rates move, when it stops, which weights it ends with."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from inkdigit.errors import Diverged
from inkdigit.training.network import loop, nets
from inkdigit.types import Part

from ..conftest import draw, fit, tensors, tiny, weights

AUGMENTED = {"rotate_deg": 10, "shift_px": 2, "erase_px": 4, "elastic_px": 1, "dropout": 0.2}
OPTIMIZERS = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01, "rmsprop": 0.003, "adadelta": 1.0, "muon": 0.05}
SCHEDULES = ("constant", "plateau", "one-cycle", "cosine", "exponential")


def test_the_same_seed_gives_the_same_weights_bit_for_bit(easy):
    nets_of = [weights(fit(tiny(seed=seed, **AUGMENTED), easy)[0].net) for seed in (5, 5, 6)]
    assert nets_of[0] == nets_of[1]
    assert nets_of[0]["output.weight"] != nets_of[2]["output.weight"]


def test_what_was_drawn_before_does_not_matter(easy):
    recipe = tiny(**AUGMENTED)
    torch.manual_seed(0)
    net = nets.build(recipe, 3)
    torch.rand(17)
    first = loop.start(net, recipe)
    list(loop.train(first, recipe, tensors(easy), validation=None, bfloat16=False))
    assert weights(first.net) == weights(fit(recipe, easy)[0].net)


@pytest.mark.parametrize(("optimizer", "schedule"), [*itertools.product(OPTIMIZERS, SCHEDULES)])
def test_every_optimizer_learns_on_every_schedule(easy, optimizer, schedule):
    recipe = tiny(
        optimizer=optimizer,
        learning_rate=OPTIMIZERS[optimizer],
        schedule=schedule,
        validation=0.2,
        epochs=5,
        plateau_patience_epochs=0,
    )
    _, rows = fit(recipe, easy, validation=draw(12, seed=2))
    assert rows[-1].train_loss < 0.9 * rows[0].train_loss


def test_a_row_has_the_progress_of_training(easy):
    validation = draw(12, seed=2)
    state, rows = fit(tiny(epochs=2, batch=5), easy, validation=validation)
    assert [row.epoch for row in rows] == [1, 2]
    assert [row.step for row in rows] == [24, 48]
    assert [sample.step for row in rows for sample in row.samples] == [20, 24, 40, 48]
    loss, accuracy = loop.evaluate(state.net, tensors(validation), bfloat16=False)
    assert (rows[-1].validation_loss, rows[-1].validation_accuracy) == (loss, accuracy)
    assert rows[-1].seconds > 0
    assert rows[-1].images_per_second > 0
    assert 0 <= rows[-1].train_accuracy <= 1


def test_without_a_validation_split_its_figures_are_absent(easy):
    _, (row, *_) = fit(tiny(), easy)
    assert (row.validation_loss, row.validation_accuracy) == (None, None)


def test_ticks_come_every_few_steps_and_at_the_end_of_an_epoch(easy):
    recipe, ticks = tiny(epochs=2, batch=5), []
    state = loop.start(nets.build(recipe, 3), recipe)
    rows = loop.train(
        state, recipe, tensors(easy), validation=tensors(draw(12, seed=2)), bfloat16=False, on_tick=ticks.append
    )
    list(rows)
    assert [(t.step, t.steps, t.epoch) for t in ticks] == [(20, 48, 1), (24, 48, 1), (40, 48, 2), (48, 48, 2)]
    assert ticks[0].validation_accuracy is None
    assert ticks[-1].validation_accuracy is not None


def rates(recipe, *, epochs: int = 10, steps: int = 10) -> list[float]:
    return [loop.rate_at(recipe, step, steps_per_epoch=steps, epochs=epochs) for step in range(steps * epochs)]


def test_a_constant_rate_stays():
    assert set(rates(tiny(learning_rate=0.1))) == {0.1}


def test_a_cosine_falls_from_the_start_to_nothing():
    values = rates(tiny(schedule="cosine", learning_rate=0.1))
    assert values[0] == 0.1
    assert values[50] == pytest.approx(0.05)
    assert 0 < values[-1] < 0.001
    assert values == sorted(values, reverse=True)


def test_an_exponential_falls_by_its_factor_every_epoch():
    values = rates(tiny(schedule="exponential", learning_rate=0.1, decay_per_epoch=0.5))
    assert values[0] == values[9] == 0.1
    assert values[10] == values[19] == 0.05
    assert values[-1] == pytest.approx(0.1 * 0.5**9)


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    values = rates(tiny(schedule="one-cycle", learning_rate=0.1, warmup_fraction=0.2))
    assert values[0] == pytest.approx(0.005)
    assert values[20] == max(values) == pytest.approx(0.1)
    assert 0 < values[-1] < 0.002
    assert values[:21] == sorted(values[:21])
    assert values[20:] == sorted(values[20:], reverse=True)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_one_cycle_may_have_one_slope_only(warmup):
    values = rates(tiny(schedule="one-cycle", learning_rate=0.1, warmup_fraction=warmup))
    assert all(0 <= value <= 0.1 for value in values)
    assert max(values) > 0.098


def test_a_plateau_scales_the_rate_down_to_the_least():
    recipe = tiny(schedule="plateau", learning_rate=0.1, min_learning_rate=0.01, validation=0.1)
    at = [loop.rate_at(recipe, 0, steps_per_epoch=1, epochs=1, plateau_scale=scale) for scale in (1.0, 0.5, 0.01)]
    assert at == [0.1, 0.05, 0.01]


@pytest.mark.parametrize(
    ("fields", "pictures", "expected"),
    [
        ({"batch": 10, "epochs": 3}, 100, (10, 3)),
        ({"batch": 10, "epochs": 3}, 109, (10, 3)),  # the odd ones wait for another order
        ({"batch": 10, "epochs": 3, "min_steps": 95}, 100, (10, 10)),
        ({"batch": 10, "epochs": 3, "min_steps": 5}, 100, (10, 3)),
        ({"batch": 500, "epochs": 3, "min_steps": 7}, 100, (1, 7)),
        ({"batch": 10, "epochs": 3, "steps_per_epoch": 4}, 100, (4, 3)),
        ({"batch": 10, "epochs": 3, "steps_per_epoch": 40}, 100, (10, 3)),
        ({"batch": 10, "epochs": 1, "steps_per_epoch": 4, "min_steps": 9}, 100, (4, 1)),  # it is cut short, not small
    ],
)
def test_the_length_of_a_training(fields, pictures, expected):
    assert loop.length(tiny(**fields), pictures) == expected


def test_a_set_smaller_than_a_batch_is_one_batch():
    _, rows = fit(tiny(batch=500, epochs=2), draw(7))
    assert [row.step for row in rows] == [1, 2]


@pytest.fixture(scope="module")
def confused(easy) -> Part:
    """Wrong labels: what is learned helps here at first, and then no more."""
    return replace(easy, labels=(easy.labels + 1) % 3)


def losses_of(rows: list[loop.Row]) -> list[float]:
    return [row.validation_loss or math.nan for row in rows]


def test_early_stopping_ends_with_the_best_weights(easy, confused):
    recipe = tiny(epochs=9, early_stopping_patience_epochs=2, keep="best", validation=0.1)
    state, rows = fit(recipe, easy, validation=confused)
    losses = losses_of(rows)
    best = losses.index(min(losses))
    assert len(rows) == best + 1 + 2 < 9  # two epochs without a better one
    assert state.stopped
    assert loop.evaluate(state.net, tensors(confused), bfloat16=False)[0] == min(losses)


def test_keep_last_keeps_the_last(easy, confused):
    state, rows = fit(tiny(epochs=6), easy, validation=confused)
    losses = losses_of(rows)
    assert losses[-1] > min(losses)
    assert loop.evaluate(state.net, tensors(confused), bfloat16=False)[0] == losses[-1]
    assert state.best is None


def test_the_monitored_figure_may_be_the_accuracy(easy):
    recipe = tiny(epochs=3, monitor="validation_accuracy", keep="best", validation=0.1)
    state, rows = fit(recipe, easy, validation=easy)
    assert state.best_value == -max(row.validation_accuracy or 0.0 for row in rows)


def test_a_plateau_lowers_the_rate_after_its_patience():
    fields = {"schedule": "plateau", "plateau_patience_epochs": 1, "plateau_factor": 0.5, "validation": 0.1}
    recipe = tiny(epochs=7, learning_rate=0.01, **fields)
    state, rates = loop.start(nets.build(recipe, 3), recipe), []
    for epoch, value in enumerate([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0]):
        rates.append(loop.rate_at(recipe, epoch, steps_per_epoch=1, epochs=7, plateau_scale=state.plateau_scale))
        loop.decide(state, recipe, value)
    assert rates == [0.01, 0.01, 0.01, 0.005, 0.005, 0.005, 0.005]


def test_averaged_weights_end_in_the_network_with_statistics_of_their_own(easy):
    recipe = tiny(ema_decay=0.9, epochs=4)
    state, rows = fit(recipe, easy, validation=easy)
    assert state.average is not None
    assert torch.equal(state.net.get_parameter("output.weight"), state.average["output.weight"])
    mean = state.net.get_buffer("block1_conv1_norm.running_mean")
    assert not torch.equal(mean, state.average["block1_conv1_norm.running_mean"])
    assert rows[-1].validation_loss == loop.evaluate(state.net, tensors(easy), bfloat16=False)[0]
    norm = state.net.get_submodule("block1_conv1_norm")
    assert norm.momentum == 0.1  # as before


def test_validating_an_average_does_not_disturb_the_training(easy):
    recipe = tiny(ema_decay=0.9, epochs=3, dropout=0.2)
    watched, _ = fit(recipe, easy, validation=draw(12, seed=2))
    alone, _ = fit(recipe, easy)
    assert weights(watched.net) == weights(alone.net)


def test_both_losses_are_the_same_number():
    logits, labels = torch.randn(16, 10), torch.arange(16) % 10
    for smoothing in (0.0, 0.1):
        sparse, one_hot = (
            loop.loss_of(logits, labels, tiny(loss=loss, label_smoothing=smoothing))
            for loss in ("sparse_categorical_crossentropy", "categorical_crossentropy")
        )
        assert float(sparse) == pytest.approx(float(one_hot), rel=1e-6)


def test_label_smoothing_is_in_the_training_loss_and_not_in_the_validation_loss(easy):
    state, _ = fit(tiny(label_smoothing=0.3, epochs=1), easy)
    loss, _ = loop.evaluate(state.net, tensors(easy), bfloat16=False)
    with torch.no_grad():
        logits = state.net.eval()(torch.from_numpy(easy.images).unsqueeze(1).float())
        plain = torch.nn.functional.cross_entropy(logits, torch.from_numpy(easy.labels))
    assert loss == pytest.approx(float(plain), rel=1e-5)


def test_a_loss_that_is_not_a_number_ends_the_training(easy):
    with pytest.raises(Diverged, match=r"The loss is (nan|inf) at step \d+\. Use a smaller learning_rate") as caught:
        fit(tiny(learning_rate=1e6, optimizer="sgd", filters=(8, 8, 8), batch_norm=False), easy)
    assert caught.value.exit_code == 6


def test_bfloat16_trains_too(easy):
    recipe = tiny(epochs=3, precision="bfloat16")
    state = loop.start(nets.build(recipe, 3), recipe)
    rows = list(loop.train(state, recipe, tensors(easy), validation=tensors(easy), bfloat16=True))
    assert math.isfinite(rows[-1].train_loss)
    assert all(p.dtype == torch.float32 for p in state.net.parameters())


def test_two_runs_never_share_a_seed():
    seeds = [loop.epoch_seed(seed, epoch) + extra for seed in range(20) for epoch in range(50) for extra in (0, 1)]
    assert len(set(seeds)) == len(seeds)
