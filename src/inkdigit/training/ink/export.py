"""From the trained ink network to the file that the package ships: `picture/photo/ink.onnx`.

In: a folder that `training/ink/train` has filled. Out: ONNX, `gray: uint8 [h, w]` → `shares: float32 [4, h, w]`, height
and width multiples of 16. Batch norm is folded; each weight is one byte with a scale for each channel, which ONNX
Runtime turns into float32 when it loads the file. Parity with the network is checked first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from inkdigit.errors import ParityError
from inkdigit.picture.photo.network import METADATA_KEY, VERSION
from inkdigit.training.convert.model_file import to_onnx
from inkdigit.training.convert.packed import fold, packed_bytes
from inkdigit.training.ink.net import InkNet
from inkdigit.training.ink.train import CHECKPOINT
from inkdigit.training.network.steps import read_net

PARITY_MEAN, PARITY_MAX = 0.004, 0.35  # of a share: what one byte a weight may change, on average and at most


class Answering(nn.Module):
    """The network with all steps around it: the exported graph."""

    def __init__(self, net: InkNet) -> None:
        """Wrap `net`."""
        super().__init__()
        self.net = net

    def forward(self, gray: Tensor) -> Tensor:
        """uint8 (H, W) → shares float32 (4, H, W), which sum to one."""
        return torch.softmax(self.net(gray[None, None].float()), 1)[0]


def export(folder: Path) -> bytes:
    """The bytes of the file.

    Raises:
        ParityError: it does not give what the network gives.
    """
    net = InkNet()
    step = read_net(folder / CHECKPOINT, net)
    answering = Answering(fold(net.eval())).eval()  # type: ignore[arg-type]
    example = torch.randint(0, 256, (96, 128), dtype=torch.uint8)
    sides = {0: torch.export.Dim("rows", min=1, max=64) * 16, 1: torch.export.Dim("columns", min=1, max=64) * 16}
    model = to_onnx(answering, example, input_name="gray", outputs=["shares"], shapes=(sides,), optimize=True)
    data = packed_bytes(model, key=METADATA_KEY, version=VERSION, step=step)
    _check(data, answering)
    return data


def _check(data: bytes, answering: Answering) -> None:
    from inkdigit.synth.drawn import digit

    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    for shape in ((128, 128), (64, 256)):
        rng = np.random.default_rng(0)
        gray = np.full(shape, 230, np.uint8) - rng.integers(0, 9, shape).astype(np.uint8)
        gray[:64, :64] -= digit(5, rng=rng, size_px=64) // 2
        with torch.no_grad():
            expected = answering(torch.from_numpy(gray)).numpy()
        away = np.abs(session.run(None, {"gray": gray})[0] - expected)
        if not (away.mean() <= PARITY_MEAN and away.max() <= PARITY_MAX):
            raise ParityError(
                "The exported ink network does not give what the trained one gives",
                expected=f"differences of {PARITY_MEAN} on average and {PARITY_MAX} at most",
                received=f"{away.mean():.4f}, {away.max():.4f}",
            )
