"""Where a method follows the gradient of the energy, a box's score does not depend on the boxes scored with it."""

from __future__ import annotations

import pytest
import torch
from tiny_tracking import tiny_atomnet

from ltr.actors.energy import independent_boxes
from ltr.actors.tracking import Actor
from ltr.ebm.methods import METHODS
from ltr.train_settings.recipe import BoxSettings


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    found: dict[str, torch.Tensor] = {}
    for name in ("train", "test"):
        found[f"{name}_images"] = torch.randint(0, 256, (1, 3, 3, 96, 96), generator=generator, dtype=torch.uint8)
        found[f"{name}_boxes"] = torch.tensor([30.0, 34.0, 24.0, 28.0]).expand(1, 3, 4)
    return found


def actor_of(objective: str) -> Actor:
    few = {"sm": {}, "mlmcmc": {"num_samples": 4, "steps": 1}}.get(objective, {"num_samples": 4})
    actor = Actor(tiny_atomnet(), BoxSettings(objective, few))
    actor.net.bb_regressor.train()
    return actor


def scored_alone(actor: Actor, apart: bool) -> bool:
    energy = actor.energy_of(batch())
    generator = torch.Generator().manual_seed(0)
    points = energy.annotation[:, None] + 0.3 * torch.randn(len(energy.annotation), 6, 4, generator=generator)
    if not apart:
        few, many = energy(points[:, :3]), energy(points)[:, :3]
    else:
        with independent_boxes(actor.net.bb_regressor, energy, generator):
            few, many = energy(points[:, :3]), energy(points)[:, :3]
    return torch.allclose(few, many, atol=1e-7 + 1e-4 * float(many.abs().max().detach()))


def test_boxes_see_one_another_in_training_but_not_when_kept_apart():
    actor = actor_of("dsm")
    assert not scored_alone(actor, apart=False)
    assert scored_alone(actor, apart=True)
    assert actor.net.bb_regressor.fc3_rt.bn.training


def test_kept_statistics_stay_as_they_are():
    actor = actor_of("dsm")
    actor.net.bb_regressor.eval()
    before = actor.net.bb_regressor.fc3_rt.bn.running_mean.clone()
    assert scored_alone(actor, apart=True)
    assert torch.equal(actor.net.bb_regressor.fc3_rt.bn.running_mean, before)
    assert not actor.net.bb_regressor.fc3_rt.bn.training


@pytest.mark.parametrize("objective", METHODS)
def test_a_step_keeps_boxes_apart_exactly_where_the_method_follows_the_gradient(objective, monkeypatch):
    actor = actor_of(objective)
    norm = actor.net.bb_regressor.fc3_rt.bn
    seen: list[bool] = []
    loss = type(actor.method).loss

    def watched(method, energy, annotation, generator=None):
        seen.append(norm.training)
        return loss(method, energy, annotation, generator)

    monkeypatch.setattr(type(actor.method), "loss", watched)
    output = actor(batch(), torch.Generator().manual_seed(0))
    output.loss.backward()
    assert seen == [objective not in ("mlmcmc", "sm", "dsm")]
    assert norm.training and norm.num_batches_tracked > 0
    assert not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
