"""The trainings of docs/benchmarks.md on a GPU of CUDA, with the cold start told apart from the training.

In: a GPU, and MNIST where `inkdigit` finds it. Out: `results/cuda.json`: for each recipe and seed the stages of a fresh
process, and then of the same training once more in that process, which finds everything loaded and compiled. Without a
GPU there is one line on stderr, and the exit code is 3.

    start     from the start of the process until Python and NumPy are loaded
    import    PyTorch and Inkdigit
    context   the first operation on the GPU: the driver makes a context, loads libraries and kernels
    load      MNIST from its files to the GPU, the network built
    train     the epochs, each from its first batch to its last update or validation; `first_step` is the first of them
    again     `train` once more, with the next random seed: what a training costs that is not the first

`python -m benchmarks.speed.bench --device cuda` writes the table of the page from trainings in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.common import machine, results

LIBRARIES = ("inkdigit", "torch", "numpy", "onnxruntime")
RECIPES = ("fast", "minute", "resnet", "annealed")  # those of `bench_tables.GPU_COMMAND`
NO_GPU = 3  # the exit code where there is none
SMOKE = {"data": "sklearn-digits", "min_steps": 1, "epochs": 1}
FILE = "cuda.json"


def train(name: str, seed: int, *, device: str, smoke: bool) -> dict[str, Any]:
    """Train a recipe twice in this process; the seconds of the stages and the accuracy of the first model."""
    began = time.perf_counter()
    import torch

    from inkdigit.training import trial
    from inkdigit.training.data import open_for, splits_of
    from inkdigit.training.device import choose_device, name_of, uses_bfloat16
    from inkdigit.training.network import loop
    from inkdigit.training.recipe import Recipe

    seconds = {"import": time.perf_counter() - began}
    target = choose_device(device)
    with _timed(seconds, "context", target):
        (torch.ones(8, 1, 28, 28, device=target) * 2).sum().item()
    recipe = Recipe.load(name, {**(SMOKE if smoke else {}), "seed": seed})
    with _timed(seconds, "load", target):
        dataset = open_for(recipe, recipe.data, log=lambda _: None)
        parts = splits_of(dataset, recipe)
        state = loop.start(trial.build(recipe, parts, len(dataset.classes)).to(target), recipe)
    ticks: list[float] = []
    entered = time.perf_counter()
    rows = list(trial.epochs(state, recipe, parts, target, on_tick=lambda _: ticks.append(time.perf_counter())))
    seconds["train"] = sum(row.seconds for row in rows)
    seconds["first_step"] = ticks[0] - entered
    accuracy = trial.accuracy(state, recipe, parts.report, target)
    second = recipe.change({"seed": seed + 1})
    again = loop.start(trial.build(second, parts, len(dataset.classes)).to(target), second)
    seconds["again"] = sum(row.seconds for row in trial.epochs(again, second, parts, target))
    return {
        "recipe": name,
        "seed": seed,
        "recipe_sha256": recipe.sha256,
        "device": target.type,
        "gpu": name_of(target),
        "bfloat16": uses_bfloat16(recipe, target),
        "accuracy": round(accuracy, 6),
        "split": parts.report_name,
        "steps": rows[-1].step,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
    }


class _timed:  # noqa: N801 - a block, as the functions of contextlib are
    """The seconds of a block, after what it gave the GPU to do is done."""

    def __init__(self, seconds: dict[str, float], stage: str, device: Any) -> None:
        self._seconds, self._stage, self._device = seconds, stage, device

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        wait(self._device)
        self._seconds[self._stage] = time.perf_counter() - self._began


def wait(device: Any) -> None:
    """Until the device has done what it was given to do."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def in_a_process(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """`train` in a fresh process, with the seconds until that began, and of all of it.

    Raises:
        SystemExit: it failed.
    """
    words = machine.script("speed.cuda", "--one", name, seed, "--device", options.device, "--began", time.time())
    words += ["--smoke"] if options.smoke else []
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, encoding="utf-8", env=machine.environment(), check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**line, "process_seconds": round(time.perf_counter() - began, 3)}


def has_gpu() -> bool:
    """Whether PyTorch finds a GPU of CUDA here; asked in another process, so that this one makes no context."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def without_gpu() -> int:
    """Say that there is none; the exit code."""
    print("There is no GPU of CUDA here, or PyTorch is not built for it: nothing is measured.", file=sys.stderr)
    return NO_GPU


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every recipe with every seed, and write the file; 3 without a GPU."""
    parser = results.parser(__doc__, smoke="one epoch on scikit-learn's digits")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=RECIPES, metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=3, help="how many of each")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script out")
    parser.add_argument("--one", nargs=2, metavar=("RECIPE", "SEED"), help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        start = time.time() - options.began
        line = train(options.one[0], int(options.one[1]), device=options.device, smoke=options.smoke)
        line["seconds"] = {"start": round(start, 3), **line["seconds"]}
        print(json.dumps(line))
        return 0
    if options.device == "cuda" and not has_gpu():
        return without_gpu()
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.speed.cuda")
    lines = []
    for seed in range(options.seeds):  # in rounds, so that a slow minute affects all of them
        for name in options.only:
            lines.append(in_a_process(name, seed, options))
            taken = lines[-1]["seconds"]
            print(f"{name}, seed {seed}: {taken['train']:.2f} s, again {taken['again']:.2f} s", file=sys.stderr)
    results.write(options.results / FILE, {**about, "trainings": lines})
    return 0


if __name__ == "__main__":
    sys.exit(main())
