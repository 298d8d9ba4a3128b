"""The line reader: views of lines → for each step along a line the log probabilities of its characters.

In: uint8 (N, 2, H, W), H 48 or 32, W a multiple of 16. Out: log probabilities (N, W / 4, 1 + A), the blank first. A
convolutional network without recurrence, trained with CTC (Graves, Fernández, Gomez, Schmidhuber 2006).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inkdigit.reading.view import HEIGHT_PX

WIDTHS = (24, 40, 64, 96, 144)  # channels at each height, and along the line
DILATIONS = (1, 2, 4, 1, 2)  # of the convolutions along the line: a step sees 60 others, four characters on each side
DEEPER = {3: 1, 5: 1, 7: 2}  # after these layers, where a digit is 12, 6 and 3 high, so many more with a shortcut


class _Block(nn.Sequential):
    """A convolution with batch norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (1, 1),
        dilation: int = 1,
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, (1, dilation), bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Shortcut(nn.Module):
    """Layers that keep the size, and a shortcut around them (He et al. 2015)."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = x + self.steps(x)
        return seen


def _along(channels: int, dilation: int) -> _Shortcut:
    """Two convolutions along the line."""
    wide = _Block(channels, channels, kernel=(1, 5), padding=(0, 2 * dilation), dilation=dilation)
    return _Shortcut(wide, _Block(channels, channels, kernel=(1, 1), padding=(0, 0)))


class LineNet(nn.Module):
    """The network; `forward` gives log probabilities."""

    def __init__(
        self,
        characters: int,
        widths: tuple[int, ...] = WIDTHS,
        *,
        height_px: int = HEIGHT_PX,
        dropout: float = 0.1,
    ) -> None:
        """Make a network for an alphabet of so many characters, and views so high."""
        super().__init__()
        a, b, c, d, e = widths
        self.body = nn.Sequential(
            _Block(2, a, stride=(2, 2)),  # of 48 rows 24
            _Block(a, a),
            _Block(a, b, stride=(2, 2)),  # 12
            _Block(b, b),
            _Block(b, c, stride=(2, 1)),  # 6
            _Block(c, c),
            _Block(c, d, stride=(2, 1)),  # 3
            _Block(d, d),
            _Block(d, e, kernel=(height_px // 16, 1), padding=(0, 0)),  # 1
            *(_along(e, dilation) for dilation in DILATIONS),
            nn.Dropout(dropout),
        )
        sizes = {3: b, 5: c, 7: d}
        self.deeper = nn.ModuleDict(
            {
                str(at): nn.Sequential(*(_Shortcut(_Block(sizes[at], sizes[at])) for _ in range(count)))
                for at, count in DEEPER.items()
            }
        )
        self.out = nn.Conv2d(e, 1 + characters, 1)

    def forward(self, views: Tensor) -> Tensor:
        """Log probabilities (N, W / 4, 1 + A) of views uint8 (N, 2, H, W)."""
        x = views.float() / 255
        for name, layer in self.body.named_children():
            x = layer(x)
            if name in self.deeper:
                x = self.deeper[name](x)
        logits = self.out(x)
        return torch.log_softmax(logits[:, :, 0].transpose(1, 2).float(), 2)
