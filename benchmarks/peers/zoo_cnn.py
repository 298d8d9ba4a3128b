"""A network of 6,000 parameters, in the style of the `mnist-12` file of the ONNX model zoo.

Written afresh from the graph that is described there (https://github.com/onnx/models, validated/vision/classification/
mnist): 5×5 convolutions of 8 and 16 filters, max pooling by 2 and by 3, one dense layer: 5,994 parameters. How its
makers trained it is not part of the file: here it is plain PyTorch, Adam at 0.001, 12 epochs of batches of 128, pixels
within 0–1, nothing clever. In: a folder with the four IDX files of MNIST. Out: one line of JSON on stdout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import form
import numpy as np
from numpy.typing import NDArray

PARAMETERS = 5_994  # 208 + 3,216 + 2,570, as the file has it
EPOCHS = 12
BATCH, ANSWER_BATCH = 128, 1000
RATE = 1e-3


def build() -> Any:
    """The network.

    Raises:
        SystemExit: it has not the published number of parameters.
    """
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2),  # (N, 8, 28, 28)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 8, 14, 14)
        nn.Conv2d(8, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3),  # (N, 16, 4, 4)
        nn.Flatten(),
        nn.Linear(256, form.CLASSES),
    )
    form.check_parameters(sum(p.numel() for p in network.parameters()), published=PARAMETERS)
    return network


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure on the test split, print one line of JSON."""
    options = form.options(__doc__, argv, epochs=EPOCHS, cuda=True)
    clock = form.Clock()
    import torch
    from torch.nn import functional

    clock.stop("import")
    torch.manual_seed(options.seed)
    device = torch.device(options.device)

    def as_input(images: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(images)[:, None].to(device).float() / 255

    images, labels = form.read_split(options.mnist, "train", pictures=options.pictures)
    x, y = as_input(images), torch.from_numpy(labels).long().to(device)
    test = form.read_split(options.mnist, "t10k")
    network = build().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    clock.stop("load")

    @torch.no_grad()
    def predict(images: NDArray[np.uint8]) -> NDArray[np.int64]:
        network.eval()
        return torch.cat([network(part).argmax(1) for part in as_input(images).split(ANSWER_BATCH)]).cpu().numpy()

    def train() -> None:
        network.train()
        for index in torch.randperm(len(x), device=device).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(x[index]), y[index])
            loss.backward()
            optimizer.step()
        loss.item()  # waits for an accelerator

    form.learn(clock, options.epochs, train, predict, test)
    form.conclude(
        clock,
        predict,
        test,
        entrant="zoo_cnn",
        seed=options.seed,
        parameters=PARAMETERS,
        threads=torch.get_num_threads(),
        device=options.device,
        libraries=("torch", "numpy"),
    )


if __name__ == "__main__":
    main()
