"""Train a network, export it as one file, answer images with that file: `python examples/minimal.py [SOURCE]`.

In: SOURCE, data by its name or path; else the 1,797 digits that ship with scikit-learn. `mnist` is looked for on this
machine, then downloaded. Out: a run directory, and on stdout what happens: seconds in all, minutes for large data.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime

import inkdigit

SOURCE = sys.argv[1] if len(sys.argv) > 1 else "sklearn-digits"
EXAMPLES = sorted(Path(__file__).parent.glob("*.png"))  # drawn as if they were photographed, scanned or typed

# Data: every image is prepared when it is read. It is 28x28 pixels then, its ink 255 on 0, its mass in the middle.
data = inkdigit.open_data(SOURCE)
print(f"{data.name}: {len(data.train.images):,} images of {len(data.classes)} classes")

# Train: a recipe has every setting of a network and its training. This one trains in seconds; on a small data set it
# goes through the images until it has made 150 steps.
recipe = inkdigit.Recipe.load("fast", {"min_steps": 150})
run = inkdigit.train(recipe, data=data, seed=0)
for row in run.history[-3:]:
    print(f"epoch {row['epoch']:.0f}: loss {row['train_loss']:.3f}, validation {row['validation_accuracy']:.2%}")
print(f"Accuracy on images that were not trained on: {run.report['accuracy']:.2%}")

# Export: `train` has written the network as ONNX. The file holds all that an answer depends on: normalisation, weights
# and calibration are in its graph, class names and figures in its metadata. Any ONNX tool can run it, without PyTorch.
file = run.model.path  # model.onnx in the run directory
session = onnxruntime.InferenceSession(file)
probabilities, *_ = session.run(None, {"image": data.train.images[:1]})
print(f"{file}: {file.stat().st_size:,} bytes. The first image is a {data.classes[probabilities.argmax()]}.")

# Predict: from here on the file is enough. It takes images of any size, dark ink on light paper or light on dark, and
# prepares them as those of the training were. Where there is not one digit it gives a reason instead of a label.
recognizer = inkdigit.load(file)
for path, prediction in zip(EXAMPLES, recognizer.predict(EXAMPLES), strict=True):
    confidence = "" if prediction.confidence is None else f"{prediction.confidence:.0%}"
    print(f"{path.name:28} {prediction.label or prediction.reason} {confidence}")
