"""A learner's way, as cells of a notebook: Kaggle's train.csv → a network → a look at it → submission.csv.

    python examples/journey_learner.py [FOLDER] [--short]

In: FOLDER with train.csv and test.csv of Kaggle's Digit Recognizer. If they are not there, they are written from MNIST;
with --short from the digits of scikit-learn, and the training is short. Out: a run, curves and a submission in FOLDER,
by default a new temporary one. It takes half a minute.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import inkdigit

SHORT = "--short" in sys.argv
FOLDERS = [word for word in sys.argv[1:] if not word.startswith("-")]
FOLDER = Path(FOLDERS[0] if FOLDERS else tempfile.mkdtemp(prefix="learner-"))
PHOTO = Path(__file__).parent / "7-pen-on-paper.png"

# %% The files of the competition. If you have none, the last sixth of another data set is what Kaggle asks.
truth = None
if not (FOLDER / "train.csv").is_file():
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = inkdigit.open_data("sklearn-digits" if SHORT else "mnist").train
    rows, labels = known.images.reshape(len(known), -1), known.labels[:, None]  # (N, 784), (N, 1)
    cut, pixels = len(rows) * 5 // 6, ",".join(f"pixel{i}" for i in range(784))
    as_csv = {"fmt": "%d", "delimiter": ",", "comments": ""}
    np.savetxt(FOLDER / "train.csv", np.hstack([labels, rows])[:cut], header=f"label,{pixels}", **as_csv)
    np.savetxt(FOLDER / "test.csv", rows[cut:], header=pixels, **as_csv)
    truth = known.labels[cut:]

# %% Look at the data before anything is trained on it: in a notebook `data` alone shows its images.
data = inkdigit.open_data(FOLDER / "train.csv")
print(f"{data.name}: {len(data.train):,} images, {np.bincount(data.train.labels)} of each digit")
for finding in inkdigit.check(data).findings() or ["nothing is wrong with them"]:
    print(f"- {finding}")

# %% Train. A tenth of the rows is held out: the network never sees them, and they say how good it is. Each training has
# a folder of its own, so that this cell can be run again with another recipe.
recipe = inkdigit.Recipe.load("fast", {"protocol": "select", "validation": 0.1, "test_fraction": 0.0})
if SHORT:
    recipe = recipe.change({"min_steps": 60})
run = inkdigit.train(recipe, FOLDER / "train.csv", out=FOLDER / f"run-{time.strftime('%H%M%S')}", seed=0)
print(f"{run.report['accuracy']:.2%} right of {run.report['n']:,} rows that were held out")

# %% Look at the network: its curves, and what it confuses. The whole report is a page in the folder of the run.
print(f"Look at {run.folder / 'report.html'}")
run.plot().savefig(FOLDER / "curves.png")
metrics = inkdigit.evaluate(run.model, data)  # only the rows that were held out
mistakes = metrics.confusion.copy()  # (10, 10): rows are true digits, columns the answers
np.fill_diagonal(mistakes, 0)
for pair in np.argsort(-mistakes, axis=None)[:3]:
    true, answer = divmod(int(pair), len(metrics.classes))
    if mistakes[true, answer]:
        print(f"{mistakes[true, answer]} × {true} taken for {answer}")

# %% Does it read a photo of your own? It was trained on clean digits; `inkdigit.predict` asks a model that knows paper.
for name, model in {"yours": run.model, "general": inkdigit.load("general")}.items():
    (prediction,) = model.predict(PHOTO)
    print(f"{PHOTO.name}, {name}: {prediction.label or '-'}, {prediction.summary(model.classes)}")

# %% Submit: every row of test.csv gets a digit. The page beside it shows those that the network is least sure of.
submission = inkdigit.submit(run.model, FOLDER / "test.csv", FOLDER / "submission.csv", log=print)
unsure = sum((one.confidence or 0) < 0.9 for one in submission.predictions)
print(f"{len(submission.predictions):,} rows, {unsure} of them less than 90 % sure. Look at {submission.page}")
if truth is not None:
    answers = np.loadtxt(submission, int, delimiter=",", skiprows=1)[:, 1]
    print(f"The submission would score {(answers == truth).mean():.2%}")

# For the final entry train on every row: `inkdigit kaggle train.csv test.csv --all-rows --out final.csv`.
