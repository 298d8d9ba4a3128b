"""The inside of a network: its first filters, its feature maps, and gradients for an image.

In: explanations of `model.explain`. Out: the same with gradients, and filters and feature maps as plain arrays; the
`Insight` of a run, for the report to draw.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inkdigit.errors import InkdigitError, MissingExtra, UsageError, first_line
from inkdigit.measure.metrics import stack_probs, worst_mistakes
from inkdigit.model.explain import Explanation, explain_prediction
from inkdigit.model.recognizer import Recognizer
from inkdigit.report.explain import LEFT_OUT, Example, Insight
from inkdigit.training.convert.restore import restore
from inkdigit.training.network import nets
from inkdigit.training.network.nets import ACTIVATIONS
from inkdigit.training.own.network import Build
from inkdigit.training.recipe import EXTERNAL
from inkdigit.types import Floats, Gray, Part, Prediction

PATH_STEPS = 32  # points from the blank image to the image, for the integral: its sum is right to a tenth
PATH_BATCH = 256  # images times points that go through the network at a time, to bound the memory
EXAMPLES = 3  # images with feature maps in the report of a run: a row each
MISTAKES = 5  # images with an explanation beside them: a row of the page


def filters(net: nn.Module) -> Floats:
    """The weights of the first convolution: float32 (F, k, k); (0, 1, 1) where the network has none."""
    first = next((layer for layer in net.modules() if isinstance(layer, nn.Conv2d)), None)
    return np.zeros((0, 1, 1), np.float32) if first is None else first.weight.detach()[:, 0].float().cpu().numpy()


def feature_maps(net: nn.Module, images: Gray, *, activated: bool = True) -> dict[str, Floats]:
    """The output of each convolution after its activation: name → float32 (N, C, H, W), in the order of the network.

    `images` is uint8 (N, 28, 28). Inside a residual unit the second convolution's maps are those after the sum; the
    1×1 convolution of the shortcut has no maps. Without `activated` maps are the output of the convolution itself: of a
    user's network it is not known what follows, and what is not a map for each image is left out: the convolution may
    be of a tensor of its own, or of several patches an image.
    """
    batch = _tensor(images)
    if not activated:
        batch = torch.cat([batch, batch[:1]])  # never one image: a tensor of the network's own is often a batch of one
    maps: dict[str, Floats] = {}
    waiting: list[str] = []  # convolutions whose activation has not run yet

    def convolved(name: str, out: Tensor) -> None:
        if not name.endswith("project"):
            waiting.append(name)
        if not activated:
            store(out)

    def store(out: Tensor) -> None:
        if waiting and out.ndim == 4 and len(out) == len(batch):
            maps[waiting[-1]] = out[: len(images)].detach().float().cpu().numpy()
            waiting.clear()  # those before it have no activation of their own

    hooks = []
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nets.Again):
            hooks.append(layer.register_forward_hook(lambda *seen, name=name: convolved(name, seen[-1])))
        elif activated and type(layer) in ACTIVATIONS.values():
            hooks.append(layer.register_forward_hook(lambda *seen: store(seen[-1])))
    try:
        with torch.no_grad():
            net(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def gradients(net: nn.Module, images: Gray, classes: Sequence[int]) -> Floats:
    """How much each pixel adds to the evidence for a class, by integrated gradients: float32 (N, 28, 28).

    `images` is uint8 (N, 28, 28) and `classes` names one class for each. The evidence is the log-odds of the class, as
    for `model.explain.occlusion`; the values of an image sum to its evidence minus that of a blank image (Sundararajan,
    Taly, Yan 2017; Captum).

    Raises:
        MissingExtra: Captum is not installed.
        UsageError: a network of the user's own has no gradients.
    """
    try:
        with warnings.catch_warnings():  # in a notebook, tqdm misses the library of a bar that nobody sees
            warnings.filterwarnings("ignore", message="IProgress not found")
            from captum.attr import IntegratedGradients
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Gradients need {exc.name}", "train") from exc

    def log_odds(images: Tensor, chosen: Tensor) -> Tensor:
        logits = net(images)  # (N, K)
        others = torch.ones_like(logits, dtype=torch.bool).scatter(1, chosen[:, None], False)
        own = logits.gather(1, chosen[:, None]).squeeze(1)
        evidence: Tensor = own - logits.masked_fill(~others, -torch.inf).logsumexp(1)
        return evidence

    was_training = net.training
    net.eval()
    try:
        values = IntegratedGradients(log_odds).attribute(
            _tensor(images),
            baselines=0.0,
            additional_forward_args=torch.tensor(list(classes)),
            n_steps=PATH_STEPS,
            internal_batch_size=PATH_BATCH,
        )
    except RuntimeError as exc:  # PyTorch's, of a step without derivative
        raise UsageError(f"The network has no gradients for an image: {first_line(exc)}") from exc
    finally:
        net.train(was_training)
    out: Floats = values.detach().squeeze(1).float().cpu().numpy()
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Internals:
    """What the weights in a model file show: the first filters, and the feature maps of N images.

    `left_out` says what is missing and how to get it; `activated`, whether the maps are those after the activation.
    """

    filters: Floats | None = None  # (F, k, k)
    maps: dict[str, Floats] = field(default_factory=dict)  # convolution → (N, C, H, W)
    left_out: str | None = None
    activated: bool = True


def explain_weights(
    recognizer: Recognizer, explanations: Sequence[Explanation], *, net: Build | None = None
) -> tuple[list[Explanation], Internals]:
    """Add gradients to N explanations; return them, and the filters and feature maps for all.

    Without Captum there are no gradients, nor of a network that has none. `net` builds the network of a model that is
    the user's own.

    Raises:
        UsageError: the file was made from another one (int8, ensemble), and has no trainable weights; or its network is
            external, and there is no `net`.
        NotAModelFile: the weights of the recipe on its card are not in it.
        MissingExtra: onnx is not installed.
    """
    restored, recipe = restore(recognizer, net=net)
    inside = nets.only_classes(restored, len(recognizer.classes))
    images = np.stack([explanation.image for explanation in explanations])
    complete = list(explanations)
    left_out = None
    try:
        values = gradients(inside, images, [explanation.class_index for explanation in explanations])
        complete = [replace(one, gradients=value) for one, value in zip(explanations, values, strict=True)]
    except (MissingExtra, UsageError) as exc:
        left_out = str(exc)
    activated = recipe.net != EXTERNAL
    return complete, Internals(filters(inside), feature_maps(inside, images, activated=activated), left_out, activated)


def insight(
    recognizer: Recognizer, part: Part, predictions: Sequence[Prediction], *, net: Build | None = None
) -> Insight:
    """The examples that a run's report explains: a few clear ones and the worst mistakes among its `predictions`.

    The predicted class is explained: a mistake shows the evidence for the wrong class. Of a network that cannot be
    restored there is occlusion, which needs the file alone.
    """
    wrong = worst_mistakes(stack_probs(predictions, len(recognizer.classes)), part.labels, MISTAKES)
    clear = clear_examples(predictions, part.labels, recognizer.classes)
    index = np.concatenate([clear, wrong])
    if not len(index):
        return Insight(())
    explained = [explain_prediction(recognizer, part.images[i], predictions[i]) for i in index]
    try:
        explained, internals = explain_weights(recognizer, explained, net=net)
    except InkdigitError as exc:
        internals = Internals(left_out=f"{LEFT_OUT} {exc}")
    labels = [recognizer.classes[label] for label in part.labels[index]]
    examples = tuple(map(Example, explained, labels))
    return Insight(
        examples=examples[: len(clear)],
        mistakes=examples[len(clear) :],
        filters=internals.filters,
        maps={name: maps[: len(clear)] for name, maps in internals.maps.items()},
        activated=internals.activated,
        left_out=internals.left_out,
        prepare=recognizer.prepare,
    )


def clear_examples(
    predictions: Sequence[Prediction], labels: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.int64]:
    """The correct image with the highest score of up to three classes, spread over all correct ones: index (≤ 3,)."""
    best: dict[int, int] = {}  # class → index of the image
    for i, (prediction, label) in enumerate(zip(predictions, labels.tolist(), strict=True)):
        score = prediction.score
        if score is None or prediction.label != classes[label]:
            continue
        if label not in best or score > (predictions[best[label]].score or -np.inf):
            best[label] = i
    spread = np.unique(np.linspace(0, len(best) - 1, min(EXAMPLES, len(best))).astype(int))
    return np.array([best[label] for label in np.array(sorted(best))[spread]], np.int64)


def _tensor(images: Gray) -> Tensor:
    """uint8 (N, 28, 28) → the network's input (N, 1, 28, 28)."""
    return torch.from_numpy(images).unsqueeze(1).float()
