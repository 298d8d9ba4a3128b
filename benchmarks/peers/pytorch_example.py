"""The basic MNIST example of PyTorch.

Written afresh from its published description (https://github.com/pytorch/examples/tree/main/mnist): 1,199,882
parameters, 14 epochs of batches of 64, Adadelta at rate 1, the rate × 0.7 after each epoch. As there, the training
images keep their order on the processor and are shuffled on an accelerator. Different: a plain data set normalises
each image where the example's goes through torchvision and PIL, which makes this a little quicker than the original;
it prints nothing while it trains; a worker process that the example takes on an accelerator is left out; the test split
is evaluated off the clock. In: a folder with the four IDX files of MNIST. Out: one line of JSON on stdout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import form
import numpy as np
from numpy.typing import NDArray

PARAMETERS = 1_199_882  # 320 + 18,496 + 1,179,776 + 1,290, as its layers have it
EPOCHS = 14
BATCH, ANSWER_BATCH = 64, 1000
RATE, GAMMA = 1.0, 0.7
MEAN, DEVIATION = 0.1307, 0.3081


class Pictures:
    """A data set as PyTorch has it: each image is made a tensor and normalised when it is requested."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Images uint8 (N, 28, 28), labels uint8 (N,)."""
        self.images, self.labels = images, labels.astype(int).tolist()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        """Float (1, 28, 28) of about mean 0 and deviation 1, and its label."""
        import torch

        return (torch.from_numpy(self.images[i])[None].float() / 255 - MEAN) / DEVIATION, self.labels[i]


def build() -> Any:
    """The network; it returns log-probabilities.

    Raises:
        SystemExit: it has not the published number of parameters.
    """
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(1, 32, 3),  # (N, 32, 26, 26)
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),  # (N, 64, 24, 24)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 64, 12, 12)
        nn.Dropout(0.25),
        nn.Flatten(),  # (N, 9216)
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, form.CLASSES),
        nn.LogSoftmax(1),
    )
    form.check_parameters(sum(p.numel() for p in network.parameters()), published=PARAMETERS)
    return network


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure on the test split, print one line of JSON."""
    options = form.options(__doc__, argv, epochs=EPOCHS, cuda=True)
    clock = form.Clock()
    import torch
    from torch.nn import functional
    from torch.optim.lr_scheduler import StepLR
    from torch.utils.data import DataLoader

    clock.stop("import")
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    pictures = Pictures(*form.read_split(options.mnist, "train", pictures=options.pictures))
    test = form.read_split(options.mnist, "t10k")
    batches = DataLoader(pictures, BATCH, shuffle=device.type != "cpu")
    network = build().to(device)
    optimizer = torch.optim.Adadelta(network.parameters(), lr=RATE)
    schedule = StepLR(optimizer, step_size=1, gamma=GAMMA)
    clock.stop("load")

    @torch.no_grad()
    def predict(images: NDArray[np.uint8]) -> NDArray[np.int64]:
        network.eval()
        parts = DataLoader(Pictures(images, np.zeros(len(images), np.uint8)), ANSWER_BATCH)
        return torch.cat([network(x.to(device)).argmax(1) for x, _ in parts]).cpu().numpy()

    def train() -> None:
        network.train()
        for x, y in batches:
            optimizer.zero_grad()
            loss = functional.nll_loss(network(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
        loss.item()  # waits for an accelerator
        schedule.step()

    form.learn(clock, options.epochs, train, predict, test)
    form.conclude(
        clock,
        predict,
        test,
        entrant="pytorch_example",
        seed=options.seed,
        parameters=PARAMETERS,
        threads=torch.get_num_threads(),
        device=options.device,
        libraries=("torch", "numpy"),
    )


if __name__ == "__main__":
    main()
