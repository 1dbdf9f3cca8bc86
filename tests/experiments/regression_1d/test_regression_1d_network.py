"""The stacked network: equal to plain modules, initial weights as theirs, the compiled half equal to the readable."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from compiler import needs_compiler
from torch import Tensor, nn

from experiments.regression_1d import kernel, network
from experiments.regression_1d.settings import METHODS, RegressionSettings, make_method


class Reference(nn.Module):
    """docs/reference.md, section 8 in modules."""

    def __init__(self) -> None:
        super().__init__()
        self.x1, self.x2, self.y1 = nn.Linear(1, 10), nn.Linear(10, 10), nn.Linear(1, 10)
        self.joint, self.residual1, self.residual2 = nn.Linear(20, 10), nn.Linear(10, 10), nn.Linear(10, 10)
        self.out = nn.Linear(10, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hx = torch.relu(self.x2(torch.relu(self.x1(x[:, None]))))
        hy = torch.tanh(self.y1(y[..., None]))
        h = torch.tanh(self.joint(torch.cat((hx[:, None].expand(-1, y.shape[1], -1), hy), dim=-1)))
        h = h + torch.tanh(self.residual1(h))
        h = h + torch.tanh(self.residual2(h))
        return self.out(h)[..., 0]

    def row(self) -> Tensor:
        """Its weights in the order of the stack."""
        joint = self.joint.weight
        first = [self.x1.weight, self.x1.bias, self.x2.weight, self.x2.bias, joint[:, :10], self.joint.bias]
        second: list[Tensor] = [self.y1.weight, self.y1.bias, joint[:, 10:]]
        for layer in (self.residual1, self.residual2, self.out):
            second += [layer.weight, layer.bias]
        return torch.cat([part.reshape(-1) for part in (*first, *second)])


def random_inputs(models: int = 3, rows: int = 5, points: int = 37) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.stack([network.initial_weights(generator) for _ in range(models)]) * 2
    x = 6 * torch.rand(models, rows, generator=generator) - 3
    return weights, x, 2 * torch.randn(models, rows, points, generator=generator)


def test_equals_modules() -> None:
    torch.manual_seed(0)
    modules = [Reference() for _ in range(3)]
    _, x, points = random_inputs()
    stack = torch.stack([module.row() for module in modules])
    bases, halves = network.x_half(stack, x), network.y_half(stack)
    for index, module in enumerate(modules):
        found = network.score(bases[index], points[index], halves[index])
        torch.testing.assert_close(found, module(x[index], points[index]), rtol=1e-5, atol=1e-6)


def test_initial_weights_are_spread_like_those_of_linear_layers() -> None:
    rows = torch.stack([network.initial_weights(torch.Generator().manual_seed(seed)) for seed in range(400)])
    torch.manual_seed(0)
    reference = torch.stack([Reference().row() for _ in range(400)]).detach()
    assert rows.shape == reference.shape == (400, network.X_COUNT + network.Y_COUNT)
    assert torch.equal(rows[0], network.initial_weights(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(rows.abs().amax(0), reference.abs().amax(0), rtol=0.06, atol=0)
    torch.testing.assert_close(rows.std(0), reference.std(0), rtol=0.2, atol=0)


@needs_compiler
@pytest.mark.parametrize("name", METHODS)
def test_compiled_losses_and_gradients_equal_the_readable(name: str) -> None:
    """With every method of the study, which ask for gradients in y too."""
    if name == "sm":
        with pytest.raises(RuntimeError, match="not differentiable once more"):
            losses_and_gradients(kernel.score, name)
        return
    plain, compiled = losses_and_gradients(network.score, name), losses_and_gradients(kernel.score, name)
    for one, other in zip(plain, compiled):
        torch.testing.assert_close(other, one, rtol=2e-4, atol=2e-5)


def losses_and_gradients(score: network.Score, name: str) -> list[Tensor]:
    weights, x, y = random_inputs(models=1, rows=7)
    row = weights.requires_grad_()
    base = network.x_half(row, x)[0]
    method = make_method(name, "set1", RegressionSettings(samples=50))

    def energy(points: Tensor) -> Tensor:
        return score(base, points.squeeze(-1), network.y_half(row)[0])

    loss = method.loss(energy, y[0, :, :1] / 4, torch.Generator().manual_seed(1)).loss.mean()
    return [loss.detach(), *torch.autograd.grad(loss, row)]


@needs_compiler
def test_kernel_handles_every_number_of_points() -> None:
    weights, x, _ = random_inputs(models=1)
    base, half = network.x_half(weights, x)[0], network.y_half(weights)[0]
    for count in (1, 15, 16, 17, 33):
        points = torch.linspace(-50, 50, 5 * count).reshape(5, count)
        torch.testing.assert_close(
            kernel.score(base, points, half), network.score(base, points, half), rtol=1e-5, atol=3e-6
        )


@needs_compiler
def test_kernel_refuses_what_it_cannot_read() -> None:
    weights, x, points = random_inputs(models=1)
    base, half = network.x_half(weights, x)[0], network.y_half(weights)[0]
    for arguments in ((base.double(), points[0], half), (base, points[0], half[1:]), (base[:2], points[0], half)):
        with pytest.raises(ValueError, match=r"the kernel takes float32 \[B, 10\], \[B, M\] and \[351\]"):
            kernel.score(*arguments)


def test_a_missing_or_failing_compiler_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))
    load = partial(kernel.library.__wrapped__)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(kernel.KernelError, match=r"no C\+\+ compiler found \(looked for no-such-compiler"):
        load()
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'out of registers' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(kernel.KernelError, match=r"could not compile kernel.cpp: out of registers"):
        load()
    assert not list((tmp_path / "cache").rglob("*.so"))
