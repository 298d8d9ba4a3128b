"""Networks: every option builds, gives (N, K) and can be described."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from inkdigit.errors import UsageError
from inkdigit.training.network import nets
from inkdigit.training.network.describe import layers_of
from inkdigit.training.recipe import Recipe, bundled
from inkdigit.types import OUTLIERS

from ..conftest import tiny

POOLINGS = ("max", "average", "stride", "none")
HEADS = ("flatten", "global_average", "global_max")
INITIALIZERS = ("he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "orthogonal")


def outputs(recipe: Recipe, *, classes: int = 10) -> torch.Tensor:
    net = nets.build(recipe, classes)
    pictures = torch.randint(0, 256, (3, 1, 28, 28)).float()
    return net(pictures)  # (3, K)


@pytest.mark.parametrize(("pooling", "head", "padding"), [*itertools.product(POOLINGS, HEADS, ("same", "valid"))])
def test_every_form_builds_and_gives_one_output_a_class(pooling, head, padding):
    assert outputs(tiny(pooling=pooling, head=head, padding=padding)).shape == (3, 10)


@pytest.mark.parametrize("activation", nets.ACTIVATIONS)
def test_every_activation_builds(activation):
    recipe = tiny(activation=activation, dense=(6,))
    assert outputs(recipe).shape == (3, 10)
    assert any(isinstance(layer, nets.ACTIVATIONS[activation]) for layer in nets.build(recipe, 10))


@pytest.mark.parametrize(
    "fields",
    [
        {"filters": (), "dense": (16,)},
        {"filters": (), "head": "flatten"},
        {"filters": (4, 4, 4), "kernel": (5, 3, 1), "convs_per_block": (2, 1, 3), "pooling": ("stride", "max", "none")},
        {"batch_norm": False},
        {"dropout": 0.3, "dense": (8, 8), "dense_dropout": 0.5},
        {"dense_dropout": 0.5},
        {"kernel": 2, "padding": "valid"},
        {"filters": (2,) * 4, "kernel": 7},
        {"dropout": (0.0, 0.5)},
        {"filters": (4, 4, 4), "kernel": (4, 3, 3), "padding": ("valid", "same", "valid"), "pooling": "average"},
        {"block": "residual", "convs_per_block": 2, "pooling": ("stride", "none")},
        {"block": "residual", "filters": (4, 4, 8), "convs_per_block": (2, 4, 2), "pooling": "stride", "kernel": 5},
        {"block": "residual", "convs_per_block": 2, "batch_norm": False, "pooling": "max"},
    ],
)
@pytest.mark.parametrize("classes", [2, 10, 256])
def test_unusual_forms_build_too(fields, classes):
    assert outputs(tiny(**fields), classes=classes).shape == (3, classes)


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_recipe_builds(name):
    recipe = Recipe.load(name)
    assert outputs(recipe).shape == (3, 10 + (len(OUTLIERS) if recipe.outliers else 0))


@pytest.mark.parametrize(
    "fields",
    [
        {"filters": (2,) * 5},
        {"filters": (2,), "kernel": 29, "padding": "valid"},
        {"filters": (2, 2, 2), "kernel": 7, "padding": "valid"},
        {"filters": (2,), "kernel": (15,), "convs_per_block": 2, "padding": "valid", "pooling": "none"},
    ],
)
def test_blocks_that_leave_nothing_are_an_error(fields):
    with pytest.raises(UsageError, match=r"Block \d leaves nothing of the image.*fewer blocks"):
        nets.build(tiny(**fields), 10)


def test_a_network_can_be_described():
    recipe = tiny(filters=(4, 8), kernel=(5, 3), pooling=("stride", "max"), head="flatten", dense=(16,))
    net = nets.build(recipe, 10).train()
    rows = layers_of(net)
    assert {name: tuple(about) for name, *about in (row.values() for row in rows)} == {
        "normalize": ("Normalize", "", "1×28×28", 0),
        "block1_conv1": ("Conv2d", "5×5, stride 2", "4×14×14", 100),
        "block1_conv1_norm": ("BatchNorm2d", "", "4×14×14", 8),
        "block1_conv1_relu": ("ReLU", "", "4×14×14", 0),
        "block2_conv1": ("Conv2d", "3×3", "8×14×14", 288),
        "block2_conv1_norm": ("BatchNorm2d", "", "8×14×14", 16),
        "block2_conv1_relu": ("ReLU", "", "8×14×14", 0),
        "block2_pool": ("MaxPool2d", "2×2", "8×7×7", 0),
        "flatten": ("Flatten", "", "392", 0),
        "dense1": ("Linear", "", "16", 6288),
        "dense1_relu": ("ReLU", "", "16", 0),
        "output": ("Linear", "", "10", 170),
    }
    assert sum(row["parameters"] for row in rows) == nets.parameters(net)
    assert net.training  # as it was


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_average_pooling_before_the_activation_is_inside_the_convolution(kernel, padding, batch_norm):
    """It gives what the two layers give, also where the side is odd, and learns what they learn."""
    fields = {"filters": (4, 3), "kernel": kernel, "padding": padding, "pooling": ("none", "average")}
    net = nets.build(tiny(**fields, pool_first=True, batch_norm=batch_norm), 10)
    pooled = net.get_submodule("block2_conv1")
    assert isinstance(pooled, nets.PooledConv2d)
    apart = torch.nn.Conv2d(4, 3, kernel, padding=pooled.padding, bias=not batch_norm)
    apart.load_state_dict(pooled.state_dict())
    for side in (28, 27):
        x = torch.rand(2, 4, side, side)
        ours, theirs = pooled(x), torch.nn.functional.avg_pool2d(apart(x), 2)
        assert torch.allclose(ours, theirs, atol=1e-5)
        gradients = [
            torch.autograd.grad(out.square().sum(), layer.weight) for out, layer in ((ours, pooled), (theirs, apart))
        ]
        assert torch.allclose(gradients[0][0], gradients[1][0], rtol=1e-3, atol=1e-3)
    rows = {row["name"]: row for row in layers_of(net)}
    assert rows["block2_conv1"]["kernel"] == f"{kernel}×{kernel} + 2×2"
    assert sum(row["parameters"] for row in rows.values()) == nets.parameters(net)


def test_pooling_may_come_before_batch_norm_and_activation():
    fields = {"filters": (4, 8), "convs_per_block": 2, "pooling": ("stride", "max")}
    names = list(dict(nets.build(tiny(**fields, pool_first=True), 10).named_children()))
    at = names.index("block2_pool")
    assert names[at - 1 : at + 3] == ["block2_conv2", "block2_pool", "block2_conv2_norm", "block2_conv2_relu"]
    assert set(names) == set(dict(nets.build(tiny(**fields), 10).named_children()))
    assert outputs(tiny(**fields, pool_first=True)).shape == (3, 10)


def test_a_residual_unit_goes_around_itself_and_projects_only_where_the_shape_changes():
    net = nets.build(tiny(block="residual", filters=(4, 8), convs_per_block=4, pooling=("none", "stride")), 10).eval()
    units = {name: layer for name, layer in net.named_children() if isinstance(layer, nets.Residual)}
    assert [*units] == ["block1_residual1", "block1_residual2", "block2_residual1", "block2_residual2"]
    assert [isinstance(unit.project, nn.Conv2d) for unit in units.values()] == [False, False, True, False]
    x = torch.rand(2, 4, 28, 28)
    unit = units["block1_residual1"]
    nn.init.zeros_(unit.conv2.weight)  # nothing goes through the convolutions
    assert torch.equal(unit(x), x)
    assert units["block2_residual1"](x).shape == (2, 8, 14, 14)


def test_dropout_goes_where_its_share_is_not_zero():
    names = [name for name, _ in nets.build(tiny(dropout=(0.0, 0.5)), 10).named_children() if "dropout" in name]
    assert names == ["block2_dropout"]


def test_parameters_are_counted():
    net = nets.build(tiny(filters=(4,), batch_norm=False, head="global_max"), 10)
    assert nets.parameters(net) == (9 * 4 + 4) + (4 * 10 + 10)


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_an_initializer_draws_the_weights_and_leaves_the_biases_at_zero(initializer):
    torch.manual_seed(0)
    net = nets.build(tiny(initializer=initializer, batch_norm=False, filters=(64,)), 10)
    conv = net.get_submodule("block1_conv1")
    assert isinstance(conv, nn.Conv2d)
    fan_in, fan_out = 9, 64 * 9
    if initializer == "orthogonal":
        columns = conv.weight.detach().flatten(1)  # (64, 9)
        assert torch.allclose(columns.T @ columns, torch.eye(9), atol=1e-5)
    else:
        variance = 2 / fan_in if initializer.startswith("he") else 2 / (fan_in + fan_out)
        assert float(conv.weight.detach().var()) == pytest.approx(variance, rel=0.25)
    assert all(not bias.any() for name, bias in net.named_parameters() if name.endswith("bias"))


def test_the_same_seed_draws_the_same_weights():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(nets.build(tiny(), 3).get_parameter("output.weight"))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_normalisation_is_the_first_layer_and_travels_with_the_weights():
    net = nets.build(tiny(), 3, mean=0.13, std=0.31)
    first = net[0]
    assert isinstance(first, nets.Normalize)
    assert float(first(torch.full((1, 1, 28, 28), 255.0)).mean()) == pytest.approx((1 - 0.13) / 0.31)
    other = nets.build(tiny(), 3)
    other.load_state_dict(net.state_dict())
    assert float(other.get_buffer("normalize.std")) == pytest.approx(0.31)


def stroke(*, slant: float, wide: int, at: tuple[int, int]) -> torch.Tensor:
    """A bar of ink 16 pixels high: (28, 28)."""
    picture = torch.zeros(28, 28)
    for down in range(-8, 8):
        left = at[1] + round(slant * down) - wide // 2
        picture[at[0] + down, left : left + wide] = 255.0
    return picture


def moments(picture: torch.Tensor) -> tuple[float, ...]:
    """Middle (down, right), standard deviation of the width, and slant of some ink, in pixels."""
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    mass = picture / picture.sum()
    y, x = y - (middle_y := (mass * y).sum()), x - (middle_x := (mass * x).sum())
    return tuple(
        map(float, (middle_y, middle_x, (mass * x * x).sum().sqrt(), (mass * x * y).sum() / (mass * y * y).sum()))
    )


def test_moments_are_normalised_before_anything_else():
    net = nets.build(tiny(moments=True), 3)
    assert [name for name, _ in net.named_children()][:2] == ["moments", "normalize"]
    assert nets.parameters(net) == nets.parameters(nets.build(tiny(), 3))
    pictures = torch.stack([stroke(slant=0.5, wide=9, at=(12, 15)), stroke(slant=-0.4, wide=14, at=(16, 12))])
    upright = net[0](pictures.unsqueeze(1))[:, 0]
    for picture in upright:
        assert moments(picture) == pytest.approx((13.5, 13.5, 0.28 * 14, 0), abs=0.15)
    narrow, blank = net[0](torch.stack([stroke(slant=0, wide=2, at=(14, 14)), torch.zeros(28, 28)]).unsqueeze(1))[:, 0]
    assert moments(narrow)[2] < 1.5  # a one stays one
    assert not blank.any()


def test_global_heads_pool_the_whole_image():
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert nets.GlobalMax()(x).tolist() == [[3, 7]]
    assert nets.GlobalAverage()(x).tolist() == [[1.5, 5.5]]


def test_a_whitening_start_makes_patches_uncorrelated(easy):
    net = nets.build(tiny(filters=(16, 8), kernel=3), 3)
    drawn = net.block1_conv1.weight.detach().clone()
    images = torch.tensor(easy.images)
    nets.whiten(net, images)
    weight = net.block1_conv1.weight.detach()
    assert torch.equal(weight[9:], -weight[:7])  # 9 directions of a 3×3 patch, then the same with the other sign
    assert float(weight.std()) == pytest.approx(float(drawn.std()), rel=0.3)
    patches = torch.nn.functional.unfold(images.unsqueeze(1) / 255, 3).mT.reshape(-1, 9)
    correlations = torch.corrcoef((patches[patches.any(1)] @ weight[:4].flatten(1).T).T)
    assert float((correlations - torch.eye(4)).abs().max()) < 0.01


def test_bare_paper_whitens_nothing():
    net = nets.build(tiny(), 3)
    drawn = net.block1_conv1.weight.detach().clone()
    nets.whiten(net, torch.zeros(5, 28, 28, dtype=torch.uint8))
    assert torch.equal(net.block1_conv1.weight, drawn)
