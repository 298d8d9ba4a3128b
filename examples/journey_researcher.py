"""A researcher's way: a network of one's own against a bundled recipe, several seeds each, and a table for the paper.

    python examples/journey_researcher.py [FOLDER] [--short]

In: MNIST; with --short the digits of scikit-learn, two seeds and short trainings. Out: the runs, table.md and table.tex
in FOLDER, by default a new temporary one. It takes some minutes. Call it again with the same FOLDER, and it goes on.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import inkdigit  # before torch: its threads then sleep while they wait, and leave the cores to other programs

# isort: split
from torch import nn

SHORT = "--short" in sys.argv
FOLDERS = [word for word in sys.argv[1:] if not word.startswith("-")]
FOLDER = Path(FOLDERS[0] if FOLDERS else tempfile.mkdtemp(prefix="researcher-"))
DATA, SEEDS = ("sklearn-digits", range(2)) if SHORT else ("mnist", range(5))
LOG_TO = [name for name in ["tensorboard"] if find_spec(name)]


def build(outputs: int, width: int = 32) -> nn.Module:
    """Any module will do: float32 (N, 1, 28, 28) → logits (N, outputs). This one has few weights and a wide view."""
    return nn.Sequential(
        nn.Conv2d(1, width, 6, stride=2, padding=2),  # (N, width, 14, 14)
        nn.BatchNorm2d(width),
        nn.GELU(),
        nn.Conv2d(width, width, 3, stride=2, padding=1),  # (N, width, 7, 7)
        nn.BatchNorm2d(width),
        nn.GELU(),
        nn.Conv2d(width, 2 * width, 3),  # (N, 2 * width, 5, 5)
        nn.BatchNorm2d(2 * width),
        nn.GELU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, outputs),
    )


# %% Only the network differs: recipe, data and seeds are the same. Whatever was chosen before, was chosen with
# `protocol = "select"`; these runs use the test split, once each, and the test-openings.csv beside them says so.
recipe = inkdigit.Recipe.load("fast", {"precision": "float32"})  # else the bundled network may have bfloat16
if SHORT:
    recipe = recipe.change({"min_steps": 40})
trained = {
    name: inkdigit.train_seeds(recipe, SEEDS, data=DATA, net=net, out=FOLDER / name, log_to=LOG_TO, log=print)
    for name, net in {"fast": None, "mine": build}.items()
}
if LOG_TO:
    print(f"Curves: tensorboard --logdir {FOLDER}")

# %% Is the difference more than chance? The test is exact, by the signs of the differences: with five seeds its p is
# never below 0.05, however large they are; take six to show one.
paired = inkdigit.compare([trained["fast"], trained["mine"]])
points = 100 * paired.differences.mean
print(f"mine against fast: {points:+.3f} points, p = {paired.p:.3g} (at best {paired.min_p:.3g}), {paired.verdict}")

# %% The table: mean ± standard deviation over the seeds, and Student's 95 % interval of the mean.
rows = [("network", "weights", "seeds", "accuracy, %", "95 % interval", "trained in, s")]
for name, several in trained.items():
    results, first = several.seeds, several.seeds.entries[0]
    accuracy = f"{100 * results.accuracy.mean:.2f} ± {100 * results.accuracy.sd:.2f}"
    interval = "–".join(f"{100 * end:.2f}" for end in results.accuracy_ci95 or ())  # equal accuracies have none
    seconds = f"{results.train_seconds.mean:.1f}"
    rows.append((name, f"{first.parameters:,}", str(len(results.seeds)), accuracy, interval, seconds))

markdown = "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:]))
body = "".join(" & ".join(row) + " \\\\\n" for row in rows)
latex = body.replace("%", r"\%").replace(" ± ", r" $\pm$ ").replace("–", "--")
(FOLDER / "table.md").write_text(f"{markdown}\n", encoding="utf-8")
(FOLDER / "table.tex").write_text(f"\\begin{{tabular}}{{lrrrrr}}\n{latex}\\end{{tabular}}\n", encoding="utf-8")
print(markdown)
