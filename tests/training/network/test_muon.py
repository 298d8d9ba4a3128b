"""Muon: orthogonal steps for convolutions, plain SGD for everything else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inkdigit.training.network.muon import ITERATIONS, NEWTON_SCHULZ, Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 72), (16, 16), (48, 18)])
def test_the_direction_of_a_matrix_is_nearly_orthogonal(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    stretched = max(1, shape[0] / shape[1]) ** 0.5
    singular = torch.linalg.svdvals(orthogonal(matrix)) / stretched
    assert singular.max() < 1.3
    assert singular.median() > 0.5
    assert torch.linalg.svdvals(matrix / matrix.norm()).median() < 0.4  # which it was not before


def test_the_direction_has_no_scale():
    matrix = torch.randn(8, 18, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(orthogonal(matrix), orthogonal(1000 * matrix), atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 72), (48, 18)])
def test_the_direction_is_that_of_newton_schulz_steps(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b, c = NEWTON_SCHULZ
    x = matrix / matrix.norm()
    for _ in range(ITERATIONS):
        x = a * x + (b * x @ x.T + c * x @ x.T @ x @ x.T) @ x
    assert torch.allclose(orthogonal(matrix), x * max(1, shape[0] / shape[1]) ** 0.5, atol=1e-6)


def test_everything_but_inner_convolutions_takes_plain_sgd():
    nets = [_net() for _ in range(2)]
    ours = Muon(nets[0].parameters(), 0.1, momentum=0.8, weight_decay=1e-2)
    plain = torch.optim.SGD(nets[1].parameters(), 0.1, momentum=0.8, nesterov=True, weight_decay=1e-2)
    for net, optimizer in zip(nets, (ours, plain), strict=True):
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            for weight in net.parameters():
                weight.grad = torch.randn(weight.shape, generator=generator)
            optimizer.step()
    for (name, mine), theirs in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6) == (name != "1.weight"), name


def test_a_convolution_moves_by_its_momentum_and_decays_by_itself():
    net = _net()
    before = net[1].weight.detach().clone()
    optimizer = Muon(net.parameters(), 0.1, momentum=0.5, weight_decay=0.2)
    gradients = [torch.randn(before.shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    expected, moving = before, torch.zeros_like(before)
    for gradient in gradients:
        net[1].weight.grad = gradient.clone()
        optimizer.step()
        moving = 0.5 * moving + gradient
        direction = orthogonal((gradient + 0.5 * moving).flatten(1)).view_as(before)
        expected = expected - 0.1 * (direction + 0.2 * expected)
    assert torch.allclose(net[1].weight, expected, atol=1e-6)


def test_a_network_without_inner_convolutions_takes_sgd_alone():
    net = nn.Linear(3, 2)
    optimizer = Muon(net.parameters(), 0.1, momentum=0.0, weight_decay=0.0)
    before = net.bias.detach().clone()
    net.bias.grad = torch.ones(2)
    optimizer.step()
    assert torch.allclose(net.bias, before - 0.1)


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Linear(8, 2))
