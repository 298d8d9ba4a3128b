"""The networks: from a recipe to a plain list of layers.

In: a recipe, the number of classes, the mean and deviation of the pixels; or a network of the user's own. Out: an
`nn.Sequential` whose input is float (N, 1, 28, 28) with values 0–255 and whose output is logits (N, K). Normalisation
is inside, so that the input is always the image as it is.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkdigit.errors import UsageError
from inkdigit.training.network.layers import Layer
from inkdigit.training.recipe import Recipe
from inkdigit.types import SIDE

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
# One standard deviation of the ink's width after moment normalisation, as a share of half a side: 4 px. MNIST's digits
# other than 1 have 0.26 on average.
UPRIGHT_WIDTH = 0.28
OWN = "own"  # the layer that is a network of the user's
STRETCHES = (0.6, 1.6)  # limits of the change of width: a 1 must not become as wide as a 0
MIN_VARIANCE = 1e-4  # below it there is no ink, or one row of it
WHITENING_FLOOR = 5e-3  # added to the variances, so that directions with almost none do not dominate the filters


class Normalize(nn.Module):
    """Pixels 0–255 → (pixel / 255 − mean) / deviation; mean and deviation travel with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        """`mean` and `std` are those of pixels in [0, 1]."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) → the same shape."""
        return (x / 255 - self.mean) / self.std


class MomentNormalize(nn.Module):
    """Centre the ink, undo its slant and give it a fixed width, by the moments of the image (Casey 1970).

    The height is unchanged, and the change of width is limited.
    """

    at: Tensor

    def __init__(self) -> None:
        """There is nothing to learn in it."""
        super().__init__()
        self.register_buffer("at", (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1, persistent=False)  # pixels in [−1, 1]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28), ink above 0 → the same shape."""
        ink = x[:, 0]
        mass = ink.sum((1, 2)).clamp_min(1.0)[:, None]  # at least one gray level: an image may be blank
        columns, rows = ink.sum(1) / mass, ink.sum(2) / mass  # (N, 28)
        middle_x, middle_y = ((profile * self.at).sum(1, keepdim=True) for profile in (columns, rows))
        dx, dy = self.at - middle_x, self.at - middle_y
        xx, yy = (columns * dx.square()).sum(1, keepdim=True), (rows * dy.square()).sum(1, keepdim=True)
        xy = (ink * dx[:, None, :] * dy[:, :, None]).sum((1, 2))[:, None] / mass
        slant = (xy / (yy + MIN_VARIANCE)).clamp(-1.0, 1.0)  # pixels sideways per pixel down
        width = (xx - slant * xy).clamp_min(MIN_VARIANCE).sqrt()  # one deviation, upright; more where slant is clamped
        stretch = (width / UPRIGHT_WIDTH).clamp(*STRETCHES)
        from_x = (middle_x + stretch * self.at)[:, None, :] + (slant * self.at)[:, :, None]  # (N, 28, 28)
        from_y = (middle_y + self.at)[:, :, None].expand_as(from_x)
        return F.grid_sample(x, torch.stack([from_x, from_y], dim=3), align_corners=False)


class GlobalMax(nn.Module):
    """The strongest response of each filter: (N, C, H, W) → (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """`amax` shares the gradient among ties, so it is deterministic on every device."""
        return x.amax((2, 3))


class GlobalAverage(nn.Module):
    """The mean response of each filter: (N, C, H, W) → (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average over both axes of the image."""
        return x.mean((2, 3))


class Residual(nn.Module):
    """Two convolutions and a shortcut around them (He, Zhang, Ren, Sun 2015); it is 1×1 where the shape changes."""

    def __init__(self, inputs: int, filters: int, kernel: int, stride: int, recipe: Recipe) -> None:
        """(N, inputs, H, W) → (N, filters, H / stride, W / stride)."""
        super().__init__()
        bias = not recipe.batch_norm
        self.conv1 = nn.Conv2d(inputs, filters, kernel, stride, kernel // 2, bias=bias)
        self.norm1 = _norm(recipe, filters)
        self.conv2 = nn.Conv2d(filters, filters, kernel, 1, kernel // 2, bias=bias)
        self.norm2 = _norm(recipe, filters)
        self.activation = ACTIVATIONS[recipe.activation]()
        same = stride == 1 and inputs == filters
        self.project = nn.Identity() if same else nn.Conv2d(inputs, filters, 1, stride, bias=bias)
        self.project_norm = nn.Identity() if same else _norm(recipe, filters)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the two convolutions, added to the shortcut."""
        y = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        out: Tensor = self.activation(y + self.project_norm(self.project(x)))
        return out


class PooledConv2d(nn.Conv2d):
    """A convolution of stride 1 and the average pooling after it, as one convolution of stride 2.

    Both are linear, so that the mean of four neighbours is a convolution by the mean of the kernel at four places, one
    pixel larger: less than half the work, and the same weights.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, F, H / 2, W / 2)."""
        kernel = F.avg_pool2d(self.weight, 2, stride=1, padding=1)  # (F, C, k + 1, k + 1)
        return F.conv2d(x, kernel, self.bias, stride=2, padding=self.padding)


class Again(nn.Module):
    """An earlier layer once more: it has no weights of its own, and both learn together."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        """`layer`, a convolution, is called `name` where it stands first."""
        super().__init__()
        self.of = name
        self._layer = (layer,)  # in a tuple, so that its weights are not registered, stored and exported twice

    @property
    def layer(self) -> nn.Module:
        """The layer whose weights it uses."""
        return self._layer[0]

    def forward(self, x: Tensor) -> Tensor:
        """What the layer makes of `x`; not by a call, of which its hooks would hear."""
        out: Tensor = self.layer.forward(x)
        return out


def build(recipe: Recipe, classes: int, *, mean: float = 0.0, std: float = 1.0) -> nn.Sequential:
    """Build the network that `recipe` describes, with freshly drawn weights.

    It has an output for each of the `classes` and, where it learns from outliers, one for each kind of outlier.

    Raises:
        UsageError: the blocks shrink the image to nothing, or so many classes make the network too large.
    """
    if problem := recipe.too_large(classes):
        raise UsageError(f"{recipe.name}: {problem}", received=f"{classes} classes")
    layers = _before(recipe, mean, std)
    features = _add_listed(layers, recipe) if recipe.layers else _add_blocks(layers, recipe)
    layers["output"] = nn.Linear(features, recipe.outputs(classes))  # (N, K), or (N, K + M) with M kinds of outliers
    net = nn.Sequential(layers)
    _initialize(net, recipe)
    return net


def around(own: nn.Module, recipe: Recipe, *, mean: float = 0.0, std: float = 1.0) -> nn.Sequential:
    """A network of the user's own, with the normalisation that `recipe` describes before it."""
    layers = _before(recipe, mean, std)
    layers[OWN] = own
    return nn.Sequential(layers)


def _before(recipe: Recipe, mean: float, std: float) -> OrderedDict[str, nn.Module]:
    """The layers that every network begins with."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(moments=MomentNormalize()) if recipe.moments else OrderedDict()
    layers["normalize"] = Normalize(mean, std)
    return layers


class FirstOutputs(nn.Sequential):
    """The outputs of the classes alone, of a network that may also have some for outliers."""

    def __init__(self, net: nn.Sequential, classes: int) -> None:
        """`net` gives (N, K + M), of which this keeps (N, K)."""
        super().__init__(OrderedDict(net.named_children()))
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) → (N, K)."""
        logits: Tensor = super().forward(x)[:, : self.classes]  # type: ignore[no-untyped-call]
        return logits


def only_classes(net: nn.Sequential, classes: int) -> nn.Sequential:
    """`net` without the outputs of outliers; `net` itself where there are none."""
    output = net[-1]
    if not isinstance(output, nn.Linear):  # a network of the user's own
        return FirstOutputs(net, classes).train(net.training)
    if output.out_features == classes:
        return net
    inside = nn.Linear(output.in_features, classes)
    inside.weight, inside.bias = nn.Parameter(output.weight[:classes]), nn.Parameter(output.bias[:classes])
    layers = OrderedDict(net.named_children())
    layers["output"] = inside
    return nn.Sequential(layers).train(net.training)


def _add_blocks(layers: OrderedDict[str, nn.Module], recipe: Recipe) -> int:
    """Add the blocks of convolutions, the head and the dense layers; return the number of features.

    Raises:
        UsageError: the blocks shrink the image to nothing.
    """
    width, side = 1, SIDE  # (N, 1, 28, 28)
    if recipe.block == "residual":
        kernel = recipe.per_block("kernel")[0]
        shape = (width, recipe.filters[0], kernel, 1, kernel // 2)
        width, side = _add_conv(layers, recipe, "stem_conv", shape, side=side)
        _add_activation(layers, recipe, "stem_conv", width)
    add_block = _add_residuals if recipe.block == "residual" else _add_convs
    for b in range(1, len(recipe.filters) + 1):
        width, side = add_block(layers, recipe, b, width, side=side)
        if not recipe.pool_first:
            side = _add_pool(layers, recipe, b, side=side)
        if side < 1:
            raise UsageError(f"Block {b} leaves nothing of the image", hint="Use fewer blocks, or padding = 'same'.")
        if share := recipe.per_block("dropout")[b - 1]:
            layers[f"block{b}_dropout"] = nn.Dropout(share)
    return _add_head(layers, recipe, width, side)


def _add_listed(layers: OrderedDict[str, nn.Module], recipe: Recipe) -> int:
    """Add the layers that the recipe lists; return the number of features."""
    listed = recipe.listed()
    for layer in listed:
        again = layer.of
        layers[layer.name] = Again(again.name, layers[again.name]) if again else _of_kind(layer, recipe)
    return listed[-1].after[0]


def _of_kind(layer: Layer, recipe: Recipe) -> nn.Module:
    inputs, is_image = layer.before[0], len(layer.before) > 1
    match layer.kind:
        case "conv":
            shape = (inputs, layer.size, layer.kernel, layer.stride, layer.padding)
            return nn.Conv2d(*shape, bias=not layer.normed)
        case "depthwise":  # its bias would be that of the layer after it
            shape = (inputs, inputs, layer.kernel, layer.stride, layer.padding)
            return nn.Conv2d(*shape, groups=inputs, bias=False)
        case "residual":
            return Residual(inputs, layer.size, layer.kernel, layer.stride, recipe)
        case "batch_norm":
            return nn.BatchNorm2d(inputs) if is_image else nn.BatchNorm1d(inputs)
        case "max_pool":
            return nn.MaxPool2d(layer.size)
        case "average_pool":
            return nn.AvgPool2d(layer.size)
        case "dropout":
            return nn.Dropout(layer.share)
        case "flatten":
            return nn.Flatten()
        case "global_average":
            return GlobalAverage()
        case "global_max":
            return GlobalMax()
        case "dense":
            return nn.Linear(inputs, layer.size, bias=not layer.normed)
    return ACTIVATIONS[layer.kind]()


def _add_convs(
    layers: OrderedDict[str, nn.Module], recipe: Recipe, block: int, width: int, *, side: int
) -> tuple[int, int]:
    """Add the convolutions of a block, one after the other; return the new number of filters and the new side."""
    filters, kernel, convs, pooling = _block(recipe, block)
    padding = kernel // 2 if recipe.per_block("padding")[block - 1] == "same" else 0
    for c in range(1, convs + 1):
        stride = 2 if pooling == "stride" and c == convs else 1
        shape = (width, filters, kernel, stride, padding)
        name = f"block{block}_conv{c}"
        pools = recipe.pool_first and c == convs
        averages = pools and pooling == "average"
        width, side = _add_conv(layers, recipe, name, shape, side=side, kind=PooledConv2d if averages else nn.Conv2d)
        if averages:
            side //= 2
        elif pools:
            side = _add_pool(layers, recipe, block, side=side)
        _add_activation(layers, recipe, name, width)
    return width, side


def _add_pool(layers: OrderedDict[str, nn.Module], recipe: Recipe, block: int, *, side: int) -> int:
    """Add the pooling of a block, where it is a separate layer; return the new side."""
    pools = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
    if (pool := pools.get(recipe.per_block("pooling")[block - 1])) is None:
        return side
    layers[f"block{block}_pool"] = pool(2)
    return side // 2


def _add_residuals(
    layers: OrderedDict[str, nn.Module], recipe: Recipe, block: int, width: int, *, side: int
) -> tuple[int, int]:
    """Add the residual units of a block, two convolutions each; the first unit strides."""
    filters, kernel, convs, pooling = _block(recipe, block)
    for u in range(1, convs // 2 + 1):
        stride = 2 if pooling == "stride" and u == 1 else 1
        layers[f"block{block}_residual{u}"] = Residual(width, filters, kernel, stride, recipe)
        width, side = filters, -(-side // stride)
    return width, side


def _block(recipe: Recipe, block: int) -> tuple[int, int, int, str]:
    """Filters, kernel, convolutions and pooling of a block, counted from 1."""
    i = block - 1
    kernel, convs, pooling = (recipe.per_block(field)[i] for field in ("kernel", "convs_per_block", "pooling"))
    return recipe.filters[i], kernel, convs, pooling


def _norm(recipe: Recipe, filters: int) -> nn.Module:
    return nn.BatchNorm2d(filters) if recipe.batch_norm else nn.Identity()


def _add_conv(
    layers: OrderedDict[str, nn.Module],
    recipe: Recipe,
    name: str,
    shape: tuple[int, int, int, int, int],
    *,
    side: int,
    kind: type[nn.Conv2d] = nn.Conv2d,
) -> tuple[int, int]:
    """Add a convolution of inputs, filters, kernel, stride, padding; return the number of filters and the new side."""
    _, filters, kernel, stride, padding = shape
    layers[name] = kind(*shape, bias=not recipe.batch_norm)
    return filters, (side + 2 * padding - kernel) // stride + 1


def _add_activation(layers: OrderedDict[str, nn.Module], recipe: Recipe, name: str, filters: int) -> None:
    """Add the layers after a convolution: batch norm, activation."""
    if recipe.batch_norm:
        layers[f"{name}_norm"] = nn.BatchNorm2d(filters)
    layers[f"{name}_{recipe.activation}"] = ACTIVATIONS[recipe.activation]()


def _add_head(layers: OrderedDict[str, nn.Module], recipe: Recipe, width: int, side: int) -> int:
    """Add the layer that turns (N, C, H, W) into features (N, F), and the dense layers; return F."""
    if recipe.head == "flatten":
        layers["flatten"] = nn.Flatten()
        features = width * side * side
    else:
        layers[recipe.head] = GlobalMax() if recipe.head == "global_max" else GlobalAverage()
        features = width
    for d, units in enumerate(recipe.dense, 1):
        layers[f"dense{d}"] = nn.Linear(features, units)
        layers[f"dense{d}_{recipe.activation}"] = ACTIVATIONS[recipe.activation]()
        if recipe.dense_dropout:
            layers[f"dense{d}_dropout"] = nn.Dropout(recipe.dense_dropout)
        features = units
    if recipe.dense_dropout and not recipe.dense:
        layers["output_dropout"] = nn.Dropout(recipe.dense_dropout)
    return features


def _initialize(net: nn.Module, recipe: Recipe) -> None:
    """Draw the weights by the initializer's name; biases are 0. (Keras also cuts `normal` at two deviations.)"""
    draw = {
        "he_uniform": nn.init.kaiming_uniform_,
        "he_normal": nn.init.kaiming_normal_,
        "glorot_uniform": nn.init.xavier_uniform_,
        "glorot_normal": nn.init.xavier_normal_,
        "orthogonal": nn.init.orthogonal_,
    }[recipe.initializer]
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            draw(layer.weight)  # type: ignore[operator]
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@torch.no_grad()
def whiten(net: nn.Sequential, images: Tensor) -> None:
    """Start the first convolution as one that whitens patches of `images` uint8 (N, 28, 28), as airbench does.

    Its filters are the principal directions of the patches, each divided by its deviation, the strongest first; then
    the same with the opposite sign. Further filters stay as drawn. The scale of all is that of the drawn ones.
    """
    conv = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    side = conv.kernel_size[0]
    patches = F.unfold(images.unsqueeze(1) / 255, side).mT.reshape(-1, side * side)  # (patches, side²)
    patches = patches[patches.any(1)]  # patches without ink have no direction
    if len(patches) < 2:
        return
    variance, directions = torch.linalg.eigh(torch.cov(patches.T))
    filters = (directions / (variance + WHITENING_FLOOR).sqrt()).T.flip(0)
    filters = torch.cat([filters, -filters])[: len(conv.weight)].view(-1, 1, side, side)
    conv.weight[: len(filters)] = filters * conv.weight.std() / filters.std()


def parameters(net: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in net.parameters())
