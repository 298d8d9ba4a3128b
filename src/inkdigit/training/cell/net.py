"""The cell network: a cell of a table, as a photo shows it → the digit that it holds, or nothing.

In: gray float32 (N, 1, 32, 32), 0 to 255. Out: logits (N, 11); the last is of an empty cell. A plain convolutional
network. It sees gray levels and not ink: where print is out of focus, the hole of a 6 is gray, and no ink has it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inkdigit.types import DIGITS

OUTPUTS = len(DIGITS) + 1
WIDTHS = (32, 64, 128)  # channels at each size: 32, 16 and 8 pixels
MIN_SIGMA = 3.0  # gray levels: less contrast is noise, and is not made larger


class CellNet(nn.Module):
    """The network; `forward` gives logits."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        """Make a network with two convolutions of so many channels at each size."""
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for i, width in enumerate(widths):
            if i:
                layers.append(nn.MaxPool2d(2))
            layers += [_block(inputs, width), _block(width, width)]
            inputs = width
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(2 * inputs, OUTPUTS)

    def forward(self, gray: Tensor) -> Tensor:
        """Logits (N, 11) of gray (N, 1, 32, 32)."""
        sigma, mean = torch.std_mean(gray, (2, 3), correction=0, keepdim=True)
        seen = self.body((gray - mean) / (sigma + MIN_SIGMA))
        return torch.as_tensor(self.out(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution with batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
