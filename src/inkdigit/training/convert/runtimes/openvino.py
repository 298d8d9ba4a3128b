"""From a model file to OpenVINO's own format, for processors and graphics of Intel, and ARM.

In: a recogniser. Out: two files, `.xml` (the graph) and `.bin` (the weights): `image: uint8 [n, 28, 28]` → the outputs
of the model file. The card is in the runtime information of the graph. OpenVINO reads the plain graph itself; its
Python converter, which sends usage statistics, is not called.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inkdigit.errors import requiring
from inkdigit.files import writing
from inkdigit.model.card import METADATA_KEY
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.runtimes import plain
from inkdigit.training.convert.runtimes.compare import compare, output_names
from inkdigit.types import Floats, Gray

CARD_PLACE = METADATA_KEY.split(".")  # in the runtime information: a group, and its entry
# By default OpenVINO computes with 16 bits where a processor is faster with them, and predicts otherwise there.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def openvino_files(recognizer: Recognizer) -> dict[str, bytes]:
    """The two files by the ends of their names, after OpenVINO has opened them and answered as the model file does.

    Raises:
        ParityError: they do not predict what the model file does.
        MissingExtra: OpenVINO is not installed.
    """
    with requiring("Writing OpenVINO's format needs", "openvino"):
        import openvino
    data = plain.plain_model(recognizer).SerializeToString()
    model = openvino.Core().read_model(data)
    model.set_friendly_name(recognizer.card.name)
    model.set_rt_info(plain.card_of(recognizer, data).to_json(), CARD_PLACE)
    place = Path(tempfile.gettempdir())
    with writing(place), tempfile.TemporaryDirectory() as folder:
        graph, weights = Path(folder) / "model.xml", Path(folder) / "model.bin"
        openvino.serialize(model, graph, weights)
        compare(recognizer, runner(graph), what="OpenVINO file")
        return {".xml": graph.read_bytes(), ".bin": weights.read_bytes()}


def runner(graph: Path) -> Callable[[Gray], list[Floats]]:
    """What OpenVINO computes on the processor: uint8 (N, 28, 28) → its outputs in the order of the model file."""
    import openvino

    compiled: Any = openvino.Core().compile_model(graph, "CPU", EXACT)
    names = output_names(len(compiled.outputs))  # OpenVINO has them in another order

    def run(images: Gray) -> list[Floats]:
        outputs = compiled({"image": images})
        return [np.array(outputs[name]) for name in names]

    return run
