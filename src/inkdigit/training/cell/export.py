"""From the trained cell network to the file that the package ships: `reading/cell.onnx`.

In: a folder that `training/cell/train` has filled. Out: ONNX, `cells: uint8 [n, 32, 32]` → `shares: float32 [n, 11]`.
Batch norm is folded, and each weight is one byte with a scale for each channel. Parity with the network is checked
first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from inkdigit.errors import ParityError
from inkdigit.reading.cell_network import METADATA_KEY, SIDE_PX, VERSION
from inkdigit.synth.drawn import digit
from inkdigit.training.cell.net import CellNet
from inkdigit.training.cell.train import CHECKPOINT
from inkdigit.training.convert.model_file import to_onnx
from inkdigit.training.convert.packed import fold, packed_bytes
from inkdigit.training.network.steps import read_net

PARITY = 0.05  # of a share: what one byte a weight may change


class Answering(nn.Module):
    """The network with all steps around it: the exported graph."""

    def __init__(self, net: CellNet) -> None:
        """Wrap `net`."""
        super().__init__()
        self.net = net

    def forward(self, cells: Tensor) -> Tensor:
        """uint8 (N, 32, 32) → shares float32 (N, 11), which sum to one."""
        return torch.softmax(self.net(cells[:, None].float()), 1)


def export(folder: Path) -> bytes:
    """The bytes of the file.

    Raises:
        ParityError: it does not give what the network gives.
    """
    net = CellNet()
    step = read_net(folder / CHECKPOINT, net)
    answering = Answering(fold(net.eval())).eval()  # type: ignore[arg-type]
    example = torch.zeros(2, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    shapes = ({0: torch.export.Dim("n")},)
    model = to_onnx(answering, example, input_name="cells", outputs=["shares"], shapes=shapes, optimize=True)
    data = packed_bytes(model, key=METADATA_KEY, version=VERSION, step=step)
    _check(data, answering)
    return data


def _check(data: bytes, answering: Answering) -> None:
    rng = np.random.default_rng(0)
    cells = np.stack([230 - digit(i, rng=rng, size_px=SIDE_PX) // 2 for i in range(10)])
    with torch.no_grad():
        expected = answering(torch.from_numpy(cells)).numpy()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    away = float(np.abs(session.run(None, {"cells": cells})[0] - expected).max())
    if not away <= PARITY:
        raise ParityError(
            "The exported cell network does not give what the trained one gives",
            expected=f"a difference of {PARITY} at most",
            received=f"{away:.4f}",
        )
