"""The ink network: a picture → for each pixel the shares of paper, ruling, writing of numbers, other writing.

In: gray float32 (N, 1, H, W), 0 to 255, height and width multiples of 16. Out: logits (N, 4, H, W). A small U-Net
(Ronneberger, Fischer, Brox 2015) with dilated convolutions at its coarsest level (Yu and Koltun 2016), so that each
pixel sees the whole of a small picture. It brings the brightness of its input to a common range itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

POOL_PX, AROUND = 4, 9  # light is measured in squares of 4 pixels, over 9 of them: 36 pixels are wider than a stroke
MIN_SPAN, MIN_SIGMA = 16.0, 3.0  # gray levels: less contrast is noise, and is not made larger
CLASSES = 4
WIDTHS = (24, 40, 56, 64)  # channels of each level: 281,000 weights, a byte each in the file


class _Block(nn.Sequential):
    """A convolution with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 * dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class InkNet(nn.Module):
    """The network; `forward` gives logits."""

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        """Make a network with `widths` channels at each level."""
        super().__init__()
        a, b, c, d = widths
        self.at_half = nn.Sequential(_Block(8, a), _Block(a, a))
        self.at_quarter = nn.Sequential(_Block(a, b, stride=2), _Block(b, b))
        self.at_eighth = nn.Sequential(_Block(b, c, stride=2), _Block(c, c))
        self.at_sixteenth = nn.Sequential(
            _Block(c, d, stride=2), _Block(d, d), _Block(d, d, dilation=2), _Block(d, d, dilation=4)
        )
        self.to_eighth, self.to_quarter, self.to_half = (
            nn.ModuleList([_Block(coarse, fine, kernel=1), _Block(fine, fine)])
            for coarse, fine in ((d, c), (c, b), (b, a))
        )
        self.out = nn.Conv2d(a, 4 * CLASSES, 3, padding=1)

    def forward(self, gray: Tensor) -> Tensor:
        """Logits (N, 4, H, W) of gray (N, 1, H, W)."""
        half = self.at_half(functional.pixel_unshuffle(even(gray), 2))
        quarter = self.at_quarter(half)
        eighth = self.at_eighth(quarter)
        x = self.at_sixteenth(eighth)
        for (narrow, mix), skip in ((self.to_eighth, eighth), (self.to_quarter, quarter), (self.to_half, half)):
            x = mix(functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest") + skip)
        return functional.pixel_shuffle(self.out(x), 2)


def even(gray: Tensor) -> Tensor:
    """Two channels (N, 2, H, W): brightness over the range of the picture, and over that of its surroundings."""
    small, square = functional.avg_pool2d(gray, POOL_PX), functional.avg_pool2d(gray * gray, POOL_PX)
    low, high = small.amin((2, 3), keepdim=True), small.amax((2, 3), keepdim=True)
    span = (high - low).clamp(min=MIN_SPAN)
    mean, square = (functional.avg_pool2d(t, AROUND, 1, AROUND // 2, count_include_pad=False) for t in (small, square))
    sigma = (square - mean * mean).clamp(min=0).sqrt()
    mean, sigma = (functional.interpolate(t, scale_factor=float(POOL_PX), mode="bilinear") for t in (mean, sigma))
    return torch.cat([(gray - (low + high) / 2) / span, (gray - mean) / (sigma + 0.08 * span + MIN_SIGMA)], 1)
