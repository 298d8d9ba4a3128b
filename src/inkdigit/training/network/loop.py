"""The training loop: a generator that yields a row per epoch.

In: a `State` (network, optimizer, counters), the images as one uint8 tensor on the device. Out: a `Row` per epoch; at
the end `state.net` has the weights that the recipe asks for. Every random number comes from (seed, epoch), so a run
that is resumed after any epoch ends with the weights of a run that was never stopped. Several processes may train
together, each with its `Share` of every batch: all run this loop, and have the same weights after every step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkdigit.errors import Diverged
from inkdigit.training.network.augment import Augment, augment
from inkdigit.training.network.muon import Muon
from inkdigit.training.network.order import order_of
from inkdigit.training.network.predict import EVALUATE_BATCH
from inkdigit.training.network.share import ALONE, Share
from inkdigit.training.recipe import EXTERNAL, Recipe
from inkdigit.types import Part

Weights = dict[str, Tensor]

SAMPLE_EVERY = 20  # steps between two points of the curve: reading the loss waits for the device, so not every step
# Batch norm's statistics of averaged weights come from so many batches at most: ten thousand images are enough for a
# mean and a variance of each filter.
STATISTICS_BATCH = 256
STATISTICS_BATCHES = 40


@dataclass(frozen=True, slots=True)
class Tick:
    """The progress of training, every few steps."""

    step: int
    steps: int  # in total
    epoch: int  # that is trained, from 1
    epochs: int  # in total; fewer where it stops early
    images_per_second: float
    loss: float
    validation_accuracy: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """Means over a few steps, so that a run of one epoch has a curve too."""

    step: int
    learning_rate: float
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Row:
    """One epoch. Losses are means over images; the validation figures are None without a validation split."""

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    images_per_second: float
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """All that training carries from one epoch to the next; a checkpoint stores all of it."""

    net: nn.Sequential
    optimizer: torch.optim.Optimizer
    average: Weights | None  # moving average of the weights
    best: Weights | None = None
    best_value: float = math.inf  # of the monitored figure, lower is better
    epochs_since_best: int = 0
    plateau_scale: float = 1.0
    plateau_epochs: int = 0
    epoch: int = 0
    step: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Tensors:
    """One split of the data on the device: images uint8 (N, 28, 28), labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, part: Part, device: torch.device) -> Tensors:
        """Copy a split to the device once, as it is."""
        return cls(torch.tensor(part.images, device=device), torch.tensor(part.labels, device=device))


def start(net: nn.Sequential, recipe: Recipe) -> State:
    """The state before the first step."""
    average = {k: v.clone() for k, v in net.state_dict().items()} if recipe.ema_decay else None
    return State(net, make_optimizer(net, recipe), average)


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer that the recipe names; its learning rate is set again before every step."""
    weights, rate, decay = list(net.parameters()), recipe.learning_rate, recipe.weight_decay
    fused = recipe.net != EXTERNAL  # which wants a gradient for every weight in every step
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                weights, rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay, fused=fused
            )
        case "adam":
            return torch.optim.Adam(weights, rate, betas=recipe.betas, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(weights, rate, betas=recipe.betas, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(weights, rate, alpha=0.9, momentum=recipe.momentum, weight_decay=decay)
        case "adadelta":
            return torch.optim.Adadelta(weights, rate, weight_decay=decay)
        case "muon":
            return Muon(weights, rate, momentum=recipe.momentum, weight_decay=decay, fused=fused)


def length(recipe: Recipe, images: int) -> tuple[int, int]:
    """The number of steps in an epoch, and the maximum number of epochs."""
    steps = max(1, images // recipe.batch)
    return min(steps, recipe.steps_per_epoch or steps), max(recipe.epochs, math.ceil(recipe.min_steps / steps))


def rate_at(recipe: Recipe, step: int, *, steps_per_epoch: int, epochs: int, plateau_scale: float = 1.0) -> float:
    """The learning rate of one step (0 is the first)."""
    progress = step / (steps_per_epoch * epochs)  # 0 to 1
    scale = 1.0
    match recipe.schedule:
        case "plateau":
            return max(recipe.learning_rate * plateau_scale, recipe.min_learning_rate)
        case "exponential":
            scale = recipe.decay_per_epoch ** (step // steps_per_epoch)
        case "cosine":
            scale = 0.5 * (1 + math.cos(math.pi * progress))
        case "one-cycle":  # Smith 2018, with straight lines: up from a twentieth of the peak, then down to 0
            up = recipe.warmup_fraction
            scale = 0.05 + 0.95 * progress / up if progress < up else (1 - progress) / max(1 - up, 1e-9)
    return recipe.learning_rate * scale


def train(
    state: State,
    recipe: Recipe,
    data: Tensors,
    *,
    validation: Tensors | None,
    bfloat16: bool,
    teacher: Callable[[Tensor], Tensor] | None = None,
    own_augment: Augment | None = None,
    on_tick: Callable[[Tick], None] | None = None,
    share: Share = ALONE,
) -> Iterator[Row]:
    """Train `state.net` as the recipe says, from the epoch that `state` has reached; yield a row per epoch.

    `teacher` predicts the same augmented images: float (B, 1, 28, 28), 0–255 → probabilities (B, K). `own_augment`
    changes them after the recipe's augmentation. Of every batch the images of `share` are trained on here; B is their
    number.

    Raises:
        Diverged: the loss is no longer a number.
    """
    device = data.images.device
    net = state.net.to(device, memory_format=layout(recipe))  # type: ignore[call-overload]
    steps, epochs = length(recipe, len(data.images))
    batch = min(recipe.batch, len(data.images))
    rows = share.rows(batch)
    part = (rows.stop - rows.start) / batch
    last_accuracy: float | None = None  # on the validation split, for the progress bar
    while state.epoch < epochs and not state.stopped:
        began = time.perf_counter()
        generator = torch.Generator(device).manual_seed(epoch_seed(recipe.seed, state.epoch))
        torch.manual_seed(share.seed(epoch_seed(recipe.seed, state.epoch) + 1))  # dropout, and the user's augmentation
        order = order_of(data.images, data.labels, recipe, steps=steps, generator=generator)
        losses = torch.zeros(steps, device=device)
        hits = torch.zeros(steps, device=device)
        samples = []
        net.train()
        for i in range(steps):
            index = order[i * batch : (i + 1) * batch]
            x = augment(data.images[index], recipe, generator=generator)[rows]  # of all: each has its random numbers
            x = own_augment(x) if own_augment else x
            x, y = x.contiguous(memory_format=layout(recipe)), data.labels[index][rows]
            rate = rate_at(recipe, state.step, steps_per_epoch=steps, epochs=epochs, plateau_scale=state.plateau_scale)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                logits = net(x)  # (B, K)
            loss = loss_of(logits.float(), y, recipe, taught=teacher(x) if teacher else None)
            state.optimizer.zero_grad(set_to_none=True)
            (loss * part).backward()
            hit = (logits.detach().argmax(1) == y).float().mean()
            losses[i], hits[i] = share.add_up(net, torch.stack([loss.detach(), hit]) * part)
            state.optimizer.step()
            state.step += 1
            if state.average is not None:
                _move_average(state.average, net, min(recipe.ema_decay, (1 + state.step) / (10 + state.step)))
            if state.step % SAMPLE_EVERY == 0 or i == steps - 1:
                recent = slice(max(0, i + 1 - SAMPLE_EVERY), i + 1)
                value = float(losses[recent].mean())
                if not math.isfinite(value):
                    raise Diverged(
                        f"The loss is {value} at step {state.step}", hint="Use a smaller learning_rate, or float32."
                    )
                samples.append(Sample(state.step, rate, value, float(hits[recent].mean())))
                if on_tick:
                    speed = (i + 1) * batch / (time.perf_counter() - began)
                    on_tick(Tick(state.step, steps * epochs, state.epoch + 1, epochs, speed, value, last_accuracy))
        state.epoch += 1
        speed = steps * batch / (time.perf_counter() - began)
        share.average_statistics(net)
        val_loss = val_accuracy = None
        if validation is not None:
            with candidate(state, data, recipe, own_augment) as net_now:
                val_loss, val_accuracy = share.agree(*evaluate(net_now, validation, bfloat16=bfloat16))
                last_accuracy = val_accuracy
                decide(state, recipe, val_loss if recipe.monitor == "validation_loss" else -val_accuracy)
        if state.epoch == epochs or state.stopped:
            _load_final(state, data, recipe, own_augment)
        seconds = time.perf_counter() - began
        mean, accuracy = float(losses.mean()), float(hits.mean())
        yield Row(state.epoch, state.step, rate, mean, accuracy, val_loss, val_accuracy, seconds, speed, samples)


def layout(recipe: Recipe) -> torch.memory_format:
    """How images and weights lie in memory: pixel by pixel, which is faster.

    Not for a network of the user's own: `view(-1, 320)`, as many examples have it, fails on images that lie so.
    """
    return torch.contiguous_format if recipe.net == EXTERNAL else torch.channels_last


def epoch_seed(seed: int, epoch: int) -> int:
    """A random seed for one epoch of one run: no two runs or epochs share it, or the number after it."""
    return seed * 1_000_003 + 2 * epoch


def loss_of(logits: Tensor, labels: Tensor, recipe: Recipe, *, taught: Tensor | None = None) -> Tensor:
    """Mean cross-entropy with the labels, and with a teacher's probabilities `taught` (B, K) where there is one.

    The labels are class numbers, or one-hot rows as in the notebooks; the value is the same.
    """
    one_hot = recipe.loss == "categorical_crossentropy"
    target = F.one_hot(labels, logits.shape[1]).to(logits.dtype) if one_hot else labels
    loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
    return loss if taught is None else torch.lerp(loss, F.cross_entropy(logits, taught), recipe.teacher_weight)


@torch.no_grad()
def evaluate(net: nn.Module, data: Tensors, *, bfloat16: bool) -> tuple[float, float]:
    """Mean loss and accuracy of `net` on a split, without augmentation.

    They are those of all outputs: an image whose strongest output is an outlier's counts as wrong, as in the loss.
    """
    net.eval()
    total, correct = 0.0, 0
    for i in range(0, len(data.images), EVALUATE_BATCH):
        x = data.images[i : i + EVALUATE_BATCH].unsqueeze(1).float().contiguous(memory_format=torch.channels_last)
        y = data.labels[i : i + EVALUATE_BATCH]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            logits = net(x).float()
        total += float(F.cross_entropy(logits, y, reduction="sum"))
        correct += int((logits.argmax(1) == y).sum())
    return total / len(data.images), correct / len(data.images)


def decide(state: State, recipe: Recipe, value: float) -> None:
    """Store the best epoch, lower the rate on a plateau, stop early: all by the monitored figure."""
    if value < state.best_value:
        state.best_value, state.epochs_since_best, state.plateau_epochs = value, 0, 0
        if recipe.keep == "best":
            state.best = {k: v.clone() for k, v in state.net.state_dict().items()}
        return
    state.epochs_since_best += 1
    state.plateau_epochs += 1
    if recipe.schedule == "plateau" and state.plateau_epochs > recipe.plateau_patience_epochs:
        state.plateau_scale *= recipe.plateau_factor
        state.plateau_epochs = 0
    patience = recipe.early_stopping_patience_epochs
    state.stopped = bool(patience) and state.epochs_since_best >= patience


@torch.no_grad()
def _move_average(average: Weights, net: nn.Module, decay: float) -> None:
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


@contextmanager
def candidate(
    state: State, data: Tensors, recipe: Recipe, own_augment: Augment | None = None
) -> Iterator[nn.Sequential]:
    """The network that is validated: with averaged weights where the recipe averages, else as it is."""
    if state.average is None:
        yield state.net
        return
    current = {k: v.clone() for k, v in state.net.state_dict().items()}
    state.net.load_state_dict(state.average)
    _recompute_statistics(state.net, data, recipe, own_augment)
    try:
        yield state.net
    finally:
        state.net.load_state_dict(current)


def _load_final(state: State, data: Tensors, recipe: Recipe, own_augment: Augment | None) -> None:
    """Load the weights that the recipe asks for into the network."""
    if state.best is not None:
        state.net.load_state_dict(state.best)
    elif state.average is not None:
        state.net.load_state_dict(state.average)
        _recompute_statistics(state.net, data, recipe, own_augment)


@torch.no_grad()
def _recompute_statistics(net: nn.Module, data: Tensors, recipe: Recipe, own_augment: Augment | None) -> None:
    """Compute batch norm's means and variances for averaged weights: an average of old statistics would be far off."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    generator = torch.Generator(data.images.device).manual_seed(recipe.seed)
    rng_state = torch.get_rng_state()
    net.train()
    for _ in range(min(STATISTICS_BATCHES, math.ceil(len(data.images) / STATISTICS_BATCH))):
        index = torch.randint(len(data.images), (STATISTICS_BATCH,), generator=generator, device=data.images.device)
        x = augment(data.images[index], recipe, generator=generator)
        x = own_augment(x) if own_augment else x
        net(x.contiguous(memory_format=layout(recipe)))
    torch.set_rng_state(rng_state)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
