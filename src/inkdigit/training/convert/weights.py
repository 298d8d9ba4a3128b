"""From a model file to formats of PyTorch: the weights as safetensors, or the whole as an exported program.

In: a recogniser. Out: bytes. The safetensors file holds the `state_dict` of the network, and in its header all that is
needed to rebuild it: recipe, class names, card. The `.pt2` file predicts as the model file does: uint8 (n, 28, 28) →
probs (n, K) and score (n,).
"""

from __future__ import annotations

import copy
import io
import json

import torch
from torch import nn

from inkdigit.errors import MissingExtra
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert.model_file import Answering, verify
from inkdigit.training.convert.restore import restore
from inkdigit.training.own.network import Build
from inkdigit.types import SIDE, Floats, Gray


def safetensors_bytes(recognizer: Recognizer, *, net: Build | None = None) -> bytes:
    """The bytes of a safetensors file: `load_state_dict` of the same network takes what `load_file` returns.

    Before they are returned, a network with these weights is compared with the model file.

    Raises:
        UsageError: the file has no float weights, or those of a network that `net` must build.
        ParityError: the network does not predict what the model file does.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors.torch import load, save
    except ModuleNotFoundError as exc:
        raise MissingExtra("Writing weights needs safetensors", "train") from exc
    restored, recipe = restore(recognizer, net=net)
    card = recognizer.card
    about = {
        "recipe": recipe.to_toml(),
        "classes": json.dumps(card.classes, ensure_ascii=False),
        "inkdigit.card": card.to_json(),
    }
    plain = torch.contiguous_format  # a copy: safetensors refuses weights that share memory
    data = bytes(save({name: value.clone(memory_format=plain) for name, value in restored.state_dict().items()}, about))
    written = copy.deepcopy(restored)
    written.load_state_dict(load(data))
    answering = Answering(written, card.calibration.temperature, classes=len(card.classes)).eval()
    verify(recognizer, lambda images: _probs(answering, images), what="safetensors file")
    return data


def pt2_bytes(recognizer: Recognizer, *, net: Build | None = None) -> bytes:
    """The bytes of an exported program, after it was opened and compared with the model file.

    Raises:
        UsageError: the file has no float weights, or those of a network that `net` must build.
        ParityError: the program does not predict what the model file does.
    """
    restored, _ = restore(recognizer, net=net)
    card = recognizer.card
    answering = Answering(restored, card.calibration.temperature, classes=len(card.classes)).eval()
    program = torch.export.export(
        answering,
        (torch.zeros(2, SIDE, SIDE, dtype=torch.uint8),),
        dynamic_shapes={"image": {0: torch.export.Dim("n")}},
    )
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"inkdigit.card.json": card.to_json()})
    written = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    verify(recognizer, lambda images: _probs(written, images), what="exported program")
    return buffer.getvalue()


def _probs(answering: nn.Module, images: Gray) -> Floats:
    with torch.no_grad():
        probs: Floats = answering(torch.from_numpy(images))[0].numpy()
    return probs
