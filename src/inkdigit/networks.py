"""The small networks of the package: from a file to its answers.

In: the path of an ONNX file beside the code that asks it, and an array. Out: the first output of the network. ONNX
Runtime and the file are loaded for the first array. Models have more around them: `model/session`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inkdigit.types import Floats, Gray

if TYPE_CHECKING:
    import onnxruntime as ort


def ask(path: Path, array: Gray) -> Floats:
    """What the network at `path` gives for an array."""
    session = _session(path)
    (name,) = (each.name for each in session.get_inputs())
    return np.asarray(session.run(None, {name: array})[0], np.float32)


@cache
def _session(path: Path) -> ort.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # pictures are shared among threads
    return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
