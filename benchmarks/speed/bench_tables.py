"""The parts of `docs/benchmarks.md` about training: recipes and peers side by side, on the processor and on a GPU.

In: the lines of `bench.jsonl`. Out: rows, tables, and the figures that the template quotes. An entrant is shown by its
seeds in the latest run that holds it; a ratio is that of medians within one run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean, median
from typing import Any

from benchmarks.accuracy.entries import RECIPES
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, figure, listed, machine_line, middle, percent, row, table

Groups = dict[str, list[Record]]  # entrant → one line a seed
TITLES = {
    "keras_convnet": "keras.io's convnet",
    "pytorch_example": "PyTorch's example",
    "zoo_cnn": "ONNX zoo's style",
    "sklearn_svm": "scikit-learn's SVM",
    "sklearn_knn": "scikit-learn's 3-NN",
}
# Recipe → (lower bound of the mean accuracy, seeds it needs), (peer, how many times as long the peer takes where the
# processor has bfloat16, and elsewhere).
BARS = {
    "fast": ((0.9925, 10), ("keras_convnet", 40, 20)),
    "minute": ((0.995, 5), ("pytorch_example", 8, 8)),
    "fast-float32": ((0.990, 5), ("keras_convnet", 30, 20)),
    "minute-float32": ((0.995, 2), ("pytorch_example", 8, 8)),
    "blink": ((0.990, 10), ("keras_convnet", 60, 40)),
}
TARGETS = (0.98, 0.99, 0.995)
GPU_TARGETS = (0.99, 0.995, 0.997)
GPU_COMMAND = "python -m benchmarks.speed.bench --device cuda --only fast minute resnet annealed --seeds 10"
STAGES = ("import", "load", "train", "export")


def latest(lines: Sequence[Record], *, device: str) -> Groups:
    """Entrant → its seeds in the latest run that holds it, with the recipe as it was last; smoke runs are left out."""
    groups: dict[str, list[Record]] = {}
    for line in lines:
        if line["device"] == device and not line["smoke"]:
            groups.setdefault(line["entrant"], []).append(line)
    return {entrant: _last_run(group) for entrant, group in groups.items()}


def _last_run(group: Sequence[Record]) -> list[Record]:
    last = _identity(group[-1])
    seeds = {line["seed"]: line for line in group if _identity(line) == last}  # the latest line of a seed counts
    return [seeds[seed] for seed in sorted(seeds)]


def _identity(line: Record) -> tuple[str, str | None]:
    return line["run"], line.get("recipe_sha256")


def together(lines: Sequence[Record], first: str, second: str) -> list[tuple[Record, Record]]:
    """Two entrants seed by seed, in the latest run on the processor that holds both as they were last."""
    newest = latest(lines, device="cpu")
    if first not in newest or second not in newest:
        return []
    recipes = {entrant: newest[entrant][-1].get("recipe_sha256") for entrant in (first, second)}
    held = [
        line for line in lines if line["entrant"] in recipes and line.get("recipe_sha256") == recipes[line["entrant"]]
    ]
    for run in dict.fromkeys(line["run"] for line in reversed(held)):
        groups = latest([line for line in held if line["run"] == run], device="cpu")
        seeds = {line["seed"]: line for line in groups.get(second, [])}
        if pairs := [(line, seeds[line["seed"]]) for line in groups.get(first, []) if line["seed"] in seeds]:
            return pairs
    return []


def mean_curve(group: Sequence[Record]) -> list[tuple[float, float]]:
    """Median seconds and mean accuracy at the end of each epoch; a seed that stopped early stays where it stopped."""
    epochs = max(len(line["curve"]) for line in group)
    padded = [[*line["curve"], *[line["curve"][-1]] * (epochs - len(line["curve"]))] for line in group]
    return [(median(s for _, s, _ in ends), mean(a for _, _, a in ends)) for ends in zip(*padded, strict=True)]


def seconds_to(group: Sequence[Record], accuracy: float) -> float | None:
    """Training time at the first end of an epoch at which the mean accuracy is there; None if it never is."""
    return next((seconds for seconds, reached in mean_curve(group) if reached >= accuracy - 1e-9), None)


def title(entrant: str) -> str:
    """The name of an entrant on the page."""
    return TITLES.get(entrant, f"`{entrant}`")


def command(entrant: str) -> str:
    """The command that repeats a row."""
    return f"`python -m benchmarks.speed.bench --only {entrant}`"


def values(group: Sequence[Record], key: str) -> list[Any]:
    """One figure of every seed."""
    return [line[key] for line in group]


def bars(lines: Sequence[Record]) -> list[str]:
    """The rows of the figures that have a bar."""
    groups, rows = latest(lines, device="cpu"), []
    for recipe, ((lower, seeds), (peer, *times)) in BARS.items():
        rows.append(_accuracy_bar(recipe, groups.get(recipe), lower=lower, seeds=seeds))
        rows.append(_time_bar(recipe, peer, together(lines, recipe, peer), times=times))
    return rows


def _accuracy_bar(recipe: str, group: list[Record] | None, *, lower: float, seeds: int) -> str:
    name, bar = f"`{recipe}`: mean test accuracy of {seeds} seeds", f"≥ {_percent(lower)}"
    if group is None:
        return row(name, bar, NOT_MEASURED, "–", "–", command(recipe))
    reached = values(group, "accuracy")
    met = MET[mean(reached) >= lower - 1e-9] if len(group) >= seeds else f"n < {seeds}"
    return row(name, bar, percent(reached), met, len(group), command(recipe))


def _time_bar(recipe: str, peer: str, pairs: list[tuple[Record, Record]], *, times: Sequence[int]) -> str:
    name = f"`{recipe}`: training time over that of {title(peer)}, seed by seed"
    again = f"`python -m benchmarks.speed.bench --only {recipe} {peer}`"
    if not pairs:
        limit = f"≤ 1/{times[0]}" + (f" (1/{times[1]} without bfloat16)" if times[0] != times[1] else "")
        return row(name, limit, NOT_MEASURED, "–", "–", again)
    required, ratios = times[0] if pairs[-1][0]["bfloat16"] else times[1], _ratios(pairs)
    spread = f" [1/{min(ratios):.1f}–1/{max(ratios):.1f}]" if len(ratios) > 1 else ""
    measured = f"1/{median(ratios):.1f}{spread}"
    return row(name, f"≤ 1/{required}", measured, MET[median(ratios) >= required], len(pairs), again)


def _ratios(pairs: Sequence[tuple[Record, Record]]) -> list[float]:
    return [theirs["train_seconds"] / ours["train_seconds"] for ours, theirs in pairs]


def header(lines: Sequence[Record], recipe: str) -> str:
    """The comment at the top of a recipe that has bars: claim, accuracy, time, seeds, machine; nothing unmeasured."""
    if not (group := latest(lines, device="cpu").get(recipe)):
        return ""
    (lower, seeds), (peer, with_bfloat16, without) = BARS[recipe]
    elsewhere = f", 1/{without} where the processor has no bfloat16" if without != with_bfloat16 else ""
    box, pairs = group[-1]["machine"], together(lines, recipe, peer)
    times = with_bfloat16 if group[-1]["bfloat16"] else without
    is_met = mean(values(group, "accuracy")) >= lower - 1e-9 and (not pairs or median(_ratios(pairs)) >= times)
    words = [
        f"{'Claim' if is_met else 'Goal'}: at least {_percent(lower)} in the mean of {seeds} seeds, "
        f"in at most 1/{with_bfloat16} of the training "
        f"time of {title(peer)}{elsewhere}.",
        f"Measured on MNIST's test split: {percent(values(group, 'accuracy'))} over {len(group)} "
        f"seed{'s' * (len(group) > 1)}, trained in {middle(values(group, 'train_seconds'))} s on {box['processor']}, "
        f"{box['cores']} cores, {'with' if group[-1]['bfloat16'] else 'without'} bfloat16.",
    ]
    if pairs:
        words.append(f"In the same run, seed by seed, {title(peer)} takes {median(_ratios(pairs)):.1f} times as long.")
    return " ".join(words)


def training(lines: Sequence[Record], figures: Sequence[str], entrants: Iterable[str] = ()) -> dict[str, Any] | None:
    """The section of all entrants, quickest first, with `figures` as Markdown; None without a line.

    Those of `entrants` without a line are named.
    """
    groups = latest(lines, device="cpu")
    if not groups:
        return None
    header = [
        "trained",
        "parameters",
        "test accuracy",
        "n",
        "training",
        *(f"to {_percent(target)}" for target in TARGETS),
    ]
    header += ["10,000 predictions", "peak memory, MB", "command"]
    rows = [
        row(
            title(entrant),
            _size(group[-1]),
            percent(values(group, "accuracy")),
            len(group),
            middle(values(group, "train_seconds")),
            *(figure(seconds_to(group, target)) for target in TARGETS),
            middle(values(group, "answer_seconds")),
            "–" if group[-1]["peak_mb"] is None else f"{median(values(group, 'peak_mb')):,.0f}",
            command(entrant),
        )
        for entrant, group in quickest_first(groups)
    ]
    return {
        "bfloat16": any(line.get("bfloat16") for group in groups.values() for line in group),
        "elsewhere": listed([*RECIPES]),
        "table": table(header, rows),
        "missing": ", ".join(title(entrant) for entrant in entrants if entrant not in groups),
        "figures": figures,
    }


def quickest_first(groups: Groups) -> list[tuple[str, list[Record]]]:
    """Entrants in the order of their training time."""
    return sorted(groups.items(), key=lambda item: median(values(item[1], "train_seconds")))


def _size(line: Record) -> str:
    return line["note"] if line["parameters"] is None else f"{line['parameters']:,}"


def _percent(target: float) -> str:
    return f"{target * 100:g} %"


def gpu(lines: Sequence[Record]) -> str | None:
    """The table of what was trained on a GPU; None without a line."""
    groups = latest(lines, device="cuda")
    if not groups:
        return None
    header = ["trained", "GPU", "test accuracy", "n", "training", *(f"to {_percent(target)}" for target in GPU_TARGETS)]
    header += ["import", "data and network", "export", "from start to model file", "command"]
    rows = [
        row(
            title(entrant),
            group[-1].get("gpu", "–"),
            percent(values(group, "accuracy")),
            len(group),
            middle(values(group, "train_seconds")),
            *(figure(seconds_to(group, target)) for target in GPU_TARGETS),
            *(_stage(group, key) for key in ("import_seconds", "load_seconds", "export_seconds")),
            middle([sum(line.get(f"{stage}_seconds", 0.0) for stage in STAGES) for line in group]),
            f"`python -m benchmarks.speed.bench --device cuda --only {entrant} --seeds {len(group)}`",
        )
        for entrant, group in quickest_first(groups)
    ]
    return table(header, rows)


def _stage(group: Sequence[Record], key: str) -> str:
    return middle(values(group, key)) if key in group[-1] else "–"


def machines(lines: Sequence[Record]) -> list[str]:
    """One sentence a run that the tables quote: when, on what, with which versions, who."""
    quoted = [line for device in ("cpu", "cuda") for group in latest(lines, device=device).values() for line in group]
    for recipe, (_, (peer, *_times)) in BARS.items():
        quoted += [line for pair in together(lines, recipe, peer) for line in pair]
    sentences = []
    for run in sorted({line["run"] for line in quoted}):
        held = [line for line in quoted if line["run"] == run]
        versions = {name: version for line in held for name, version in line["versions"].items()}
        who = ", ".join(dict.fromkeys(title(line["entrant"]) for line in held))
        commits = ", ".join(dict.fromkeys(line["commit"] or "unknown" for line in held))
        about = {**held[0], "versions": versions, "commit": commits}
        sentences.append(machine_line(f"Training, run {run} ({who})", about))
    return sentences
