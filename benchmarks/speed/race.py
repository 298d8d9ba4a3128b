"""A race to 99 % of MNIST on one GPU: `train_mnist_fast`, written afresh, and Inkdigit, in turns in one process.

In: a GPU of CUDA, and MNIST where `inkdigit` finds it. Out: `results/race.json`: for each seed and racer the seconds
from images that are on the GPU to a trained network, and its test accuracy. Without a GPU there is one line on stderr,
and the exit code is 3. `--device cpu` is the same race on the processor, without a recording: `results/race-cpu.json`.

    published   https://github.com/tuomaso/train_mnist_fast, its last notebook: one epoch, float32
    steps       a recipe of Inkdigit, step by step, as `inkdigit train` does it
    recorded    the same, but its step is a CUDA graph: recorded once, then replayed without Python between the kernels

As in that notebook, loading and normalising the images is not counted, nor is the first training of each racer, which
finds nothing loaded: `first_seconds` has it, with the recording. The test split chooses nothing, and is evaluated off
the clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.common import results
from benchmarks.speed.cuda import has_gpu, wait, without_gpu
from inkdigit.data.sources import open_data
from inkdigit.training.device import choose_device, name_of
from inkdigit.training.network import loop, nets
from inkdigit.training.network.augment import changes
from inkdigit.training.network.order import order_of
from inkdigit.training.recipe import Recipe
from inkdigit.training.trial import WHITENING_IMAGES

LIBRARIES = ("inkdigit", "torch", "numpy")
FILES = {"cuda": "race.json", "cpu": "race-cpu.json"}
COMMANDS = {"cuda": "python -m benchmarks.speed.race", "cpu": "python -m benchmarks.speed.race --device cpu"}
SEEDS, TARGET = 30, 0.99
# A GPU waits for the next step, not for the arithmetic of one: so few steps of many images. Chosen on held-out writers,
# as recipes are: 98.79 % there; `blink` 98.78 % (n = 4).
RECIPE = "fast"
CHANGES = {
    "filters": [24, 48, 128],  # more fill a vector of bfloat16, which is not used here
    "batch": 256,
    "steps_per_epoch": 80,
    "prefer_hard": 0.95,
    "learning_rate": 0.8,
    "warmup_fraction": 0.4,
}
ALONE = {"min_steps": 0, "precision": "float32"}  # casts to bfloat16 cost more than they save in so small a network
SMOKE_STEPS = 2
PUBLISHED, STEPS, RECORDED = "published", "steps", "recorded"
MEAN, DEVIATION = 0.1307, 0.3081  # of the published one
BATCH, RATE, BETAS = 256, 0.01, (0.7, 0.9)
ANSWER_BATCH = 2000
WARM_UP = 3  # steps before the recording, as PyTorch asks for
Answer = Callable[[Tensor], Tensor]  # images uint8 (B, 28, 28) → outputs (B, 10)


@dataclass(frozen=True, slots=True)
class Data:
    """MNIST on the device, and the mean and deviation of its training images, 0 to 1."""

    train: loop.Tensors
    test: loop.Tensors
    mean: float
    std: float


def published_net() -> nn.Sequential:
    """The network of the notebook; it returns log-probabilities."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 5),  # (N, 24, 24, 24)
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(24, 32, 3),  # (N, 32, 10, 10)
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),  # (N, 800)
        nn.Linear(800, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
        nn.LogSoftmax(1),
    )


class Published:
    """The notebook: the images are normalised and shuffled once, before all trainings."""

    def __init__(self, data: Data, *, smoke: bool) -> None:
        """Prepare the images of `data`; `smoke` takes two steps of them."""
        order = torch.randperm(len(data.train.labels), device=data.train.labels.device)
        self.images, self.labels = self._normal(data.train.images)[order], data.train.labels[order]
        self.steps = SMOKE_STEPS if smoke else -(-len(order) // BATCH)

    def train(self, seed: int) -> Answer:
        """One epoch from new weights."""
        torch.manual_seed(seed)
        net = published_net().to(self.images.device)
        optimizer = torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=RATE, total_steps=self.steps, cycle_momentum=False
        )
        for i in range(self.steps):
            batch = slice(i * BATCH, (i + 1) * BATCH)
            optimizer.zero_grad()
            loss = functional.nll_loss(net(self.images[batch]), self.labels[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
        return lambda images: net.eval()(self._normal(images))

    @staticmethod
    def _normal(images: Tensor) -> Tensor:
        return (images.unsqueeze(1).float() / 255 - MEAN) / DEVIATION


class Ours:
    """A recipe of one epoch, without changed images: it trains as `loop.train` does."""

    def __init__(self, data: Data, recipe: Recipe, *, recorded: bool) -> None:
        """Prepare what all trainings share; `recorded` replays a step instead of calling it."""
        self.data, self.recipe, self.recorded = data, recipe, recorded
        device = data.train.images.device
        self.steps, epochs = loop.length(recipe, len(data.train.images))
        if epochs != 1 or changes(recipe):
            sys.exit(f"{recipe.name} is no recipe of one epoch of images as they are: the race needs one")
        rates = [loop.rate_at(recipe, i, steps_per_epoch=self.steps, epochs=1) for i in range(self.steps)]
        self.rates = torch.tensor(rates, device=device)
        self.order = torch.zeros(self.steps, recipe.batch, dtype=torch.int64, device=device)
        self.step, self.rate = torch.zeros(1, dtype=torch.int64, device=device), torch.zeros((), device=device)
        self.some = data.train.images[:: -(-len(data.train.images) // WHITENING_IMAGES)]
        self.net = nets.build(recipe, 10, mean=data.mean, std=data.std)
        self.net.to(device, memory_format=torch.channels_last)
        self.optimizer = loop.make_optimizer(self.net, recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate  # a tensor: a recording would keep the value of a number
        self._graph: torch.cuda.CUDAGraph | None = None

    def train(self, seed: int) -> Answer:
        """All steps from new weights; the first call makes the recording."""
        if self.recorded and self._graph is None:
            self._graph = self._record()
        self._begin(seed)
        for _ in range(self.steps):
            if self._graph is None:
                self._step()
            else:
                self._graph.replay()
        return lambda images: self.net.eval()(images.unsqueeze(1).float())

    @torch.no_grad()
    def _begin(self, seed: int) -> None:
        """New weights and a new order, where those of the training before are: a recording knows no other place."""
        torch.manual_seed(seed)
        drawn = nets.build(self.recipe, 10, mean=self.data.mean, std=self.data.std)
        self.net.load_state_dict(drawn.state_dict())
        if self.recipe.whiten:
            nets.whiten(self.net, self.some)
        for slots in self.optimizer.state.values():
            for moving in slots.values():
                moving.zero_()
        images, labels = self.data.train.images, self.data.train.labels
        generator = torch.Generator(images.device).manual_seed(loop.epoch_seed(seed, 0))
        order = order_of(images, labels, self.recipe, steps=self.steps, generator=generator)
        self.order.copy_(order[: self.order.numel()].view_as(self.order))
        self.step.zero_()
        self.net.train()

    def _step(self) -> None:
        """The next step; what it needs to know is on the device."""
        index = self.order.index_select(0, self.step)[0]
        self.rate.copy_(self.rates.index_select(0, self.step)[0])
        self.step.add_(1)
        x = self.data.train.images.index_select(0, index).unsqueeze(1).float()
        x, y = x.contiguous(memory_format=torch.channels_last), self.data.train.labels.index_select(0, index)
        loss = loop.loss_of(self.net(x), y, self.recipe)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def _record(self) -> torch.cuda.CUDAGraph:
        """A step as a graph, after a few steps on another stream, as PyTorch's notes on CUDA graphs ask for."""
        self._begin(0)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph


def load(device: torch.device) -> Data:
    """MNIST on the device."""
    dataset = open_data("mnist")
    train, test = (loop.Tensors.of(dataset.part(name), device) for name in ("train", "test"))
    images = dataset.train.images
    return Data(train, test, float(images.mean() / 255), float(images.std() / 255))


def recipe(steps: int | None = None) -> Recipe:
    """Ours; `steps` are fewer than it takes."""
    return Recipe.load(RECIPE, {**CHANGES, **ALONE, **({} if steps is None else {"steps_per_epoch": steps})})


def racers(data: Data, recipe: Recipe, *, smoke: bool) -> dict[str, Published | Ours]:
    """Who takes part; a recording needs CUDA."""
    ours: dict[str, Published | Ours] = {STEPS: Ours(data, recipe, recorded=False)}
    if data.train.images.device.type == "cuda":
        ours[RECORDED] = Ours(data, recipe, recorded=True)
    return {PUBLISHED: Published(data, smoke=smoke), **ours}


def run(racer: Published | Ours, seed: int, test: loop.Tensors) -> tuple[float, float]:
    """The seconds of a training and the test accuracy of what it made."""
    wait(test.images.device)
    began = time.perf_counter()
    answer = racer.train(seed)
    wait(test.images.device)
    seconds = time.perf_counter() - began
    with torch.no_grad():
        told = torch.cat([answer(images).argmax(1) for images in torch.split(test.images, ANSWER_BATCH)])
    return seconds, float((told == test.labels).float().mean())


def lines(taking_part: dict[str, Published | Ours], test: loop.Tensors, *, seeds: int) -> Iterator[dict[str, Any]]:
    """One line a training; the first round, of a seed of its own, finds nothing loaded."""
    for seed in (seeds, *range(seeds)):
        for name, racer in taking_part.items():
            seconds, accuracy = run(racer, seed, test)
            yield {"racer": name, "seed": seed, "is_first": seed == seeds, "seconds": seconds, "accuracy": accuracy}


def summary(trainings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For each racer: seconds, accuracy, whether its mean is 99 %, and how often it fits into the published time."""
    counted = [line for line in trainings if not line["is_first"]]
    published = [line["seconds"] for line in counted if line["racer"] == PUBLISHED]
    about: dict[str, Any] = {}
    for name in dict.fromkeys(line["racer"] for line in counted):
        mine = [line for line in counted if line["racer"] == name]
        accuracies, seconds = [line["accuracy"] for line in mine], [line["seconds"] for line in mine]
        (first,) = (line["seconds"] for line in trainings if line["is_first"] and line["racer"] == name)
        about[name] = {
            "n": len(mine),
            "seconds": results.summary(seconds, 4),
            "first_seconds": round(first, 4),
            "accuracy": round(mean(accuracies), 6),
            "accuracy_sd": round(stdev(accuracies), 6) if len(mine) > 1 else None,
            "reaches": mean(accuracies) >= TARGET,
            "times_as_fast": results.summary([theirs / own for theirs, own in zip(published, seconds, strict=True)], 2),
        }
    return about


def main(argv: Sequence[str] | None = None) -> int:
    """Race, and write the file; 3 without a GPU."""
    parser = results.parser(__doc__, smoke="two steps of each")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="where they race")
    options = parser.parse_args(argv)
    if options.seeds < 1:
        parser.error("--seeds is at least 1")
    if options.device == "cuda" and not has_gpu():
        return without_gpu()
    device = choose_device(options.device)
    about = results.stamp(LIBRARIES, smoke=options.smoke, command=COMMANDS[options.device])
    mine, data = recipe(SMOKE_STEPS if options.smoke else None), load(device)
    trainings = []
    for line in lines(racers(data, mine, smoke=options.smoke), data.test, seeds=options.seeds):
        trainings.append(line)
        print(f"{line['racer']}, seed {line['seed']}: {line['seconds']:.3f} s, {line['accuracy']:.2%}", file=sys.stderr)
    record = {
        "gpu": name_of(device),
        "recipe": {"name": RECIPE, **CHANGES, **ALONE},
        "recipe_sha256": mine.sha256,
        "racers": summary(trainings),
        "trainings": trainings,
    }
    results.write(options.results / FILES[options.device], {**about, **record})
    return 0


if __name__ == "__main__":
    sys.exit(main())
