"""Fuzzed inputs: model files.

In: a folder of its own and a random generator. Out: a call that passes one input; `KINDS` by their names in the table.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.hardening.fuzz_inputs import digits, empty, write
from benchmarks.hardening.fuzz_kinds import Call, Kind, Make
from benchmarks.hardening.fuzz_mutate import EDGES, mutate_bytes, mutate_text, mutate_value


def models(folder: Path) -> Make:
    """Model files: bytes, the card's JSON, weights elsewhere, graphs that need much memory; loaded, run, restored."""
    import onnx  # noqa: F401 - importing it now keeps its memory out of the measurement

    from inkdigit.model.recognizer import Recognizer, bundled
    from inkdigit.training.convert.restore import restore

    files = [bundled()[name].read_bytes() for name in ("tiny", "fast", "best")]
    picture = digits(4)[0][3]

    def make(rng: Random) -> Call:
        data = rng.choice(files)
        match rng.randrange(5):
            case 0 | 1:
                data = _change_card(rng, data)
            case 2:
                data = _change_graph(rng, data)
            case _:
                data = mutate_bytes(rng, data, others=files)
        path = write(empty(folder / "model") / "model.onnx", data, rng)

        def call() -> None:
            recognizer = Recognizer.load(path)
            recognizer.predict(picture)
            restore(recognizer)

        return call

    return make


@cache
def _bomb() -> bytes:
    """A few kilobytes that become large when they are unpacked."""
    return zlib.compress(bytes(50_000_000), 9)


def _change_card(rng: Random, data: bytes) -> bytes:
    """The model with its card changed: its text, its self test, or one value."""
    import onnx

    from inkdigit.model.card import METADATA_KEY

    model = onnx.load_from_string(data)
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    raw = json.loads(entry.value)
    match rng.randrange(6):
        case 0:
            entry.value = mutate_text(rng, entry.value).decode(errors="replace")
        case 1:
            raw["self_test"]["images"] = base64.b64encode(_bomb()).decode()
            raw["self_test"]["probs"] *= rng.choice((1, 1, 30))
            entry.value = json.dumps(raw)
        case _:
            entry.value = json.dumps(mutate_value(rng, raw))
    return model.SerializeToString()


def _change_graph(rng: Random, data: bytes) -> bytes:
    """The model with its graph changed: a weight, an attribute, a node, or a huge output more."""
    import onnx

    model = onnx.load_from_string(data)
    graph = model.graph
    weight = rng.choice(list(graph.initializer))
    match rng.randrange(5):
        case 0:
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(
                key="location", value=rng.choice(("w.bin", "/etc/passwd", "../w.bin", "/dev/zero"))
            )
        case 1:
            weight.dims[rng.randrange(len(weight.dims)) if weight.dims else 0 :] = [rng.choice(EDGES) % 2**62]
        case 2:
            node = rng.choice(list(graph.node))
            for attribute in node.attribute:
                if attribute.ints:
                    attribute.ints[0] = rng.choice(EDGES) % 2**62
        case 3:
            del graph.node[rng.randrange(len(graph.node))]
        case _:
            shape = onnx.numpy_helper.from_array(np.array([rng.choice(EDGES) % 2**62] * 2, np.int64), "shape")
            graph.initializer.append(shape)
            graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["shape"], ["more"]))
            graph.output.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, None))
    return model.SerializeToString()


KINDS = {
    "model files": Kind(models, 1_100, "bytes, card, graph, weights elsewhere; loaded, run, restored"),
}
