"""What trains and how fast: groups, schedules, clipping, averaged weights; and batch norm over micro-batches."""

from __future__ import annotations

import pytest
import torch
from tiny_training import squares_recipe
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.train_settings.recipe import OptimiserSettings
from ltr.trainers.batch_norm import StepStatistics, set_train_mode, synchronise
from ltr.trainers.optimisation import (
    average_weights,
    clip_gradients,
    make_optimiser,
    rate_factor,
    set_rates,
)


def test_only_named_parameters_train_and_frozen_parts_keep_their_statistics():
    net = squares_recipe().network.build()
    optimiser = make_optimiser(net, OptimiserSettings({"bb_regressor": 1e-3, "bb_regressor.iou_predictor": 1e-2}))
    names = {id(p): name for name, p in net.named_parameters()}
    groups = {g["name"]: {names[id(p)] for p in g["params"]} for g in optimiser.param_groups}
    assert groups["bb_regressor.iou_predictor"] == {
        "bb_regressor.iou_predictor.weight",
        "bb_regressor.iou_predictor.bias",
    }
    assert not groups["bb_regressor"] & groups["bb_regressor.iou_predictor"]
    assert not any(p.requires_grad for p in net.feature_extractor.parameters())
    set_train_mode(net)
    assert not net.feature_extractor._bn0.training
    assert net.bb_regressor.conv3_1r[1].training
    set_train_mode(net, "frozen")
    assert not net.bb_regressor.conv3_1r[1].training
    assert net.bb_regressor.training
    with pytest.raises(ValueError, match="names 'head'"):
        make_optimiser(net, OptimiserSettings({"head": 1e-3}))


def test_schedules():
    def rates(settings, epochs):
        factor = rate_factor(settings, epochs, 2)
        optimiser = make_optimiser(nn.Sequential(nn.Linear(1, 1)), OptimiserSettings({"0": 0.5}))
        found = []
        for step in range(2 * epochs):
            set_rates(optimiser, factor(step))
            found.append(optimiser.param_groups[0]["lr"] / 0.5)
        return found

    stepwise = rates(OptimiserSettings({}, schedule="step", decay=0.5, decay_epochs=1), 3)
    assert stepwise == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    cosine = rates(OptimiserSettings({}, schedule="cosine", warmup_steps=2), 3)
    assert cosine[:3] == [0.5, 1.0, 1.0]
    assert cosine[4] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="schedule must be"):
        rates(OptimiserSettings({}, schedule="linear"), 1)


def test_gradients_are_measured_a_group_and_clipped_together():
    net = nn.ModuleDict({"a": nn.Linear(1, 1, bias=False), "b": nn.Linear(2, 1, bias=False)})
    optimiser = make_optimiser(net, OptimiserSettings({"a": 1.0, "b": 1.0}))
    net["a"].weight.grad = torch.tensor([[12.0]])
    net["b"].weight.grad = torch.tensor([[3.0, 4.0]])
    norms = {"gradient_norm": 13.0, "gradient_norm/a": 12.0, "gradient_norm/b": 5.0}
    for limit, left in ((0, 12.0), (20.0, 12.0), (1.3, 1.2)):
        assert {name: float(value) for name, value in clip_gradients(optimiser, limit).items()} == pytest.approx(norms)
        assert float(net["a"].weight.grad) == pytest.approx(left, rel=1e-5)


def test_averaged_weights_have_their_closed_form():
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = average_weights(net, 0.6)
    wanted, seen = 0.0, [2.0, -1.0, 7.0, 3.0] * 6
    for n, value in enumerate(seen, 1):
        net[0].weight.data.fill_(value)
        net[1].running_mean.fill_(value)
        net[1].num_batches_tracked.fill_(n)
        average.update_parameters(net)
        decay = min(0.6, n / (n + 9)) if n > 1 else 0.0
        wanted = decay * wanted + (1 - decay) * value
    assert decay == 0.6
    assert average.module[0].weight.item() == pytest.approx(wanted, rel=1e-5)
    assert average.module[1].running_mean.item() == pytest.approx(wanted, rel=1e-5)
    assert int(average.module[1].num_batches_tracked) == len(seen)
    assert net[0].weight.item() == seen[-1]

    again = average_weights(net, 0.6)
    again.load_state_dict(average.state_dict())
    for each in (average, again):
        each.update_parameters(net)
    assert torch.equal(again.module[0].weight, average.module[0].weight)
    assert average_weights(net, 0.0) is None
    with pytest.raises(ValueError, match="ema_decay"):
        average_weights(net, 1.0)


def test_running_statistics_of_a_step_are_the_mean_over_its_micro_batches():
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn((3, 8, 2), generator=generator)
    net = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3)).train()
    statistics = StepStatistics(net)
    statistics.begin()
    for part in parts:
        net(part)
        statistics.add()
    statistics.end()
    assert torch.allclose(net[0].running_mean, 0.3 * parts.mean((0, 1)), atol=1e-6)
    assert torch.allclose(net[0].running_var, 0.7 + 0.3 * parts.var(1).mean(0), atol=1e-6)
    assert int(net[0].num_batches_tracked) == 1

    before = {name: value.clone() for name, value in net.state_dict().items()}
    statistics.begin()
    net(parts[0])
    statistics.add()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_batch_norm_over_processes_needs_several_on_cuda():
    net = nn.Sequential(nn.BatchNorm2d(2))
    assert synchronise(net, torch.device("cpu"), 1) is net
    with pytest.raises(ValueError, match="CUDA only"):
        synchronise(net, torch.device("cpu"), 2)
    assert isinstance(synchronise(net, torch.device("cuda"), 2)[0], nn.SyncBatchNorm)


class Calls(TorchDispatchMode):
    """Counts torch's operations, each of which is a launch on a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func not in (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
        return func(*args, **(kwargs or {}))


def operations_around_a_step(layers: int) -> int:
    net = nn.Sequential(*(nn.BatchNorm1d(3) for _ in range(layers))).train()
    optimiser = torch.optim.SGD([{"params": net.parameters(), "name": "all"}], lr=1.0)
    net(torch.rand(4, 3)).sum().backward()
    statistics = StepStatistics(net)
    with Calls() as calls:
        statistics.begin()
        statistics.add()
        statistics.end()
        clip_gradients(optimiser, 1e-3)
    return calls.count


def test_statistics_and_clipping_take_as_many_operations_for_many_layers_as_for_few():
    assert 0 < operations_around_a_step(2) == operations_around_a_step(40) < 30
