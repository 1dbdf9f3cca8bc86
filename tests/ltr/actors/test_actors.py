"""Actors: what a step sums up, with which statistics, and as a module that other modules can wrap."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_tracking import tiny_atomnet, tiny_dimpnet
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ltr.actors.tracking import Actor, DiMPActor, StepOutput, make_actor
from ltr.ebm.objectives import kl_grid
from ltr.ops.labels import gaussian_label
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings, with_changes

OBJECTIVES = ("iou", "mlis", "kldis", "nce", "nceplus", "mlmcmc", "sm", "dsm")
CLASSIFIER = ClassifierSettings(label_sigma_factor=0.05)


def batch(size: int = 96) -> dict[str, torch.Tensor]:
    """Two train and two test frames of three sequences, targets near the middle."""
    generator = torch.Generator().manual_seed(5)
    found: dict[str, torch.Tensor] = {}
    for name in ("train", "test"):
        images = torch.randint(0, 256, (2, 3, 3, size, size), generator=generator, dtype=torch.uint8)
        corner = 30 + 6 * torch.rand(2, 3, 2, generator=generator)
        side = 20 + 10 * torch.rand(2, 3, 2, generator=generator)
        found[f"{name}_images"], found[f"{name}_boxes"] = images, torch.cat((corner, side), -1)
    return found


def box(objective: str, weight: float = 1.0) -> BoxSettings:
    few = {"sm": {}, "iou": {"num_proposals": 4}}.get(objective, {"num_samples": 8})
    if objective == "mlmcmc":
        few["steps"] = 2
    return BoxSettings(objective, few, weight)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_a_step_of_every_objective_has_a_loss_its_parts_and_gradients_in_the_box_head(kind, objective):
    settings = box(objective, weight=0.5)
    actor: Actor = Actor(tiny_atomnet(), settings)
    if kind == "dimp":
        actor = DiMPActor(tiny_dimpnet(), settings, CLASSIFIER)
    output = actor(batch(), generator())
    statistics = output.statistics
    wanted = 0.5 * statistics["loss/box"] + statistics.get("loss/classifier", torch.tensor(0.0))
    torch.testing.assert_close(output.loss.detach(), wanted)
    assert torch.equal(statistics["loss"], output.loss.detach())
    assert ("loss/classifier" in statistics) == (kind == "dimp")
    assert all(value.ndim == 0 and not value.requires_grad for value in statistics.values())
    logged = {
        "iou": {"iou_error", "proposal_iou"},
        "mlis": {"margin", "effective_samples"},
        "kldis": {"margin", "effective_samples"},
        "nce": {"margin", "effective_samples", "accuracy"},
        "nceplus": {"margin", "effective_samples", "accuracy"},
        "mlmcmc": {"margin", "chain_distance"},
        "sm": {"gradient_norm", "hessian_trace"},
        "dsm": {"gradient_norm"},
    }[objective]
    assert {name.removeprefix("box/") for name in statistics if name.startswith("box/")} == logged
    output.loss.backward()
    gradient = actor.net.bb_regressor.iou_predictor.weight.grad
    assert gradient is not None and gradient.isfinite().all() and gradient.abs().max() > 0
    without = [name for name, p in actor.net.named_parameters() if p.requires_grad and p.grad is None]
    assert without == [], "DistributedDataParallel would wait for these"


def test_the_generator_decides_the_box_samples():
    actor = Actor(tiny_atomnet(), box("nceplus"))
    first, second = (float(actor(batch(), generator()).loss.detach()) for _ in range(2))
    assert first == second
    assert first != float(actor(batch(), torch.Generator().manual_seed(1)).loss.detach())


@pytest.mark.parametrize("loss", ["hinge", "kl"])
def test_the_classifiers_loss_weighs_the_filter_iterates(loss):
    net = tiny_dimpnet()
    parts = {}
    for chosen in ("final", "initial", "iteration"):
        weights = {f"{name}_weight": float(name == chosen) for name in ("final", "initial", "iteration")}
        actor = DiMPActor(net, box("nce"), ClassifierSettings(0.05, loss=loss, **weights))
        parts[chosen] = actor(batch(), generator()).statistics["loss/classifier"]
    settings = ClassifierSettings(0.05, loss=loss, final_weight=2.0, initial_weight=3.0, iteration_weight=5.0)
    total = DiMPActor(net, box("nce"), settings)(batch(), generator()).statistics["loss/classifier"]
    torch.testing.assert_close(total, 2 * parts["final"] + 3 * parts["initial"] + 5 * parts["iteration"])


def test_prdimps_classifier_loss_is_the_kl_divergence_on_the_grid():
    """For targets inside the map, where the label density sums to 1 by itself."""
    net, data = tiny_dimpnet(), batch()
    settings = ClassifierSettings(0.15, loss="kl", final_weight=1.0, initial_weight=0.0, iteration_weight=0.0)
    actor = DiMPActor(net, box("kldis"), settings)
    found = actor(data, generator()).statistics
    train, test = actor.features(data["train_images"], data["test_images"])
    maps = net.classifier(train["layer3"], test["layer3"], data["train_boxes"])
    label = gaussian_label(data["test_boxes"], image_size=96, feature_size=6, filter_size=4, sigma_factor=0.15)
    density = label / (2 * math.pi * (0.15 * 6) ** 2)
    assert (density.sum((-2, -1)) - 1).abs().max() < 2e-3
    wanted = kl_grid(maps[-1], density).mean()
    torch.testing.assert_close(found["loss/classifier"], wanted.detach(), rtol=5e-3, atol=0)
    assert torch.equal(found["classifier/final"], found["loss/classifier"])


def test_near_the_border_a_constant_on_all_scores_still_changes_no_kl_loss(monkeypatch):
    net, data = tiny_dimpnet(), batch()
    data["test_boxes"][..., :2] = -9.0
    actor = DiMPActor(net, box("kldis"), ClassifierSettings(0.15, loss="kl"))
    before = actor(data, generator()).statistics["loss/classifier"]
    original = type(net.classifier).forward
    monkeypatch.setattr(
        type(net.classifier), "forward", lambda *arguments: [scores + 7 for scores in original(*arguments)]
    )
    torch.testing.assert_close(actor(data, generator()).statistics["loss/classifier"], before)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="'hinge' or 'kl', not 'mse'"):
        DiMPActor(tiny_dimpnet(), box("nce"), ClassifierSettings(0.05, loss="mse"))
    with pytest.raises(ValueError, match="unknown precision 'fp8'; did you mean"):
        Actor(tiny_atomnet(), box("nce"), precision="fp8")
    with pytest.raises(ValueError, match="did you mean 'nceplus'"):
        Actor(tiny_atomnet(), BoxSettings("ncepluss"))


def test_the_actor_follows_from_the_recipe_and_its_network():
    dimp, atom = load_recipe(["dimp50"]), load_recipe(["atom"])
    assert isinstance(make_actor(dimp, tiny_dimpnet()), DiMPActor)
    made = make_actor(with_changes(atom, ["precision=bf16"]), tiny_atomnet())
    assert isinstance(made, Actor) and made.precision == "bf16"
    with pytest.raises(ValueError, match="'atom' has no classifier settings"):
        make_actor(atom, tiny_dimpnet())
    with pytest.raises(ValueError, match="'dimp50' has classifier settings"):
        make_actor(dimp, tiny_atomnet())
    with pytest.raises(ValueError, match="no actor for a Linear"):
        make_actor(dimp, nn.Linear(1, 1))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_close(precision):
    net = tiny_atomnet()
    full, half = (Actor(net, box("iou"), chosen)(batch(), generator()).loss for chosen in ("fp32", precision))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.02, atol=0.01)


def test_distributed_data_parallel_wraps_the_whole_step():
    plain, wrapped = (DiMPActor(tiny_dimpnet(), box("nceplus"), CLASSIFIER) for _ in range(2))
    plain(batch(), generator()).loss.backward()
    with tempfile.TemporaryDirectory() as folder:
        store = (Path(folder) / "store").as_uri()
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        try:
            output = DistributedDataParallel(wrapped)(batch(), generator())
            assert isinstance(output, StepOutput)
            output.loss.backward()
        finally:
            torch.distributed.destroy_process_group()
    gradients = {name: p.grad for name, p in plain.net.named_parameters()}
    assert any(gradient is not None for gradient in gradients.values())
    for name, parameter in wrapped.net.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name])


def test_an_unused_setting_of_the_classifier_changes_nothing_of_the_box_loss():
    base = load_recipe(["dimp50"])
    data, losses = batch(), []
    for classifier in (base.classifier, replace(CLASSIFIER, loss="kl")):
        actor = make_actor(replace(base, classifier=classifier, box=box("iou")), tiny_dimpnet())
        losses.append(actor(data, generator()).statistics["loss/box"])
    assert torch.equal(*losses)
