"""Train a network, export it as one file, predict images with that file: `python examples/minimal.py [SOURCE]`.

In: SOURCE, the name or path of a data set; by default the 1,797 digits that come with scikit-learn. `mnist` is
downloaded if it is not on this machine. Out: a run directory, and a report of each step on stdout. It takes seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime

import inkdigit

SOURCE = sys.argv[1] if len(sys.argv) > 1 else "sklearn-digits"
EXAMPLES = sorted(Path(__file__).parent.glob("*.png"))  # drawn to look like photos, scans and screenshots

# Data: every image is preprocessed when it is read. After that it has 28x28 pixels, ink 255 on 0, centred.
data = inkdigit.open_data(SOURCE)
print(f"{data.name}: {len(data.train.images):,} images of {len(data.classes)} classes")

# Train: a recipe holds every setting of a network and its training. This one trains in seconds. If the data set is
# small, it repeats the images until it has made 150 steps, each time turned, zoomed and shifted a little.
changes = {"min_steps": 150, "rotate_deg": 10.0, "zoom": 0.1, "shift_px": 2.0}
recipe = inkdigit.Recipe.load("fast", changes)
run = inkdigit.train(recipe, data=data, seed=0)
for row in run.history[-3:]:
    print(f"epoch {row['epoch']:.0f}: loss {row['train_loss']:.3f}, validation {row['validation_accuracy']:.2%}")
print(f"Accuracy on images that it was not trained on: {run.report['accuracy']:.2%}")

# Export: `train` has written the network as an ONNX file. It holds everything that a prediction depends on: the graph
# holds normalisation, weights and calibration, the metadata class names and figures. Any ONNX tool can run it.
file = run.model.path  # model.onnx in the run directory
session = onnxruntime.InferenceSession(file)
probabilities, *_ = session.run(None, {"image": data.train.images[:1]})
print(f"{file}: {file.stat().st_size:,} bytes. The first image is a {data.classes[probabilities.argmax()]}.")

# Predict: from here on the file is enough, and PyTorch is not needed. An image may have any size, dark ink on light
# paper or light on dark: it gets the preprocessing of the training. An image that is rejected gets a reason, no label.
recognizer = inkdigit.load(file)
for path, prediction in zip(EXAMPLES, recognizer.predict(EXAMPLES), strict=True):
    confidence = "" if prediction.confidence is None else f"{prediction.confidence:.0%}"
    print(f"{path.name:28} {prediction.label or prediction.reason} {confidence}")
