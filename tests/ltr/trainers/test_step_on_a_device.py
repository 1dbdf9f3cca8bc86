"""A training step on a pretended accelerator: how many kernels it launches, and that it waits once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pretended_device import pretended

from ltr.actors.tracking import make_actor
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import with_changes
from ltr.trainers import loop
from ltr.trainers.batch_norm import set_train_mode
from ltr.trainers.optimisation import make_optimiser
from ltr.trainers.processes import start_processes


def batch(frames: int, sequences: int, size: int) -> dict[str, torch.Tensor]:
    """Random crops with the targets near the middle."""
    found = {}
    for name in ("train", "test"):
        found[f"{name}_images"] = torch.randint(0, 256, (frames, sequences, 3, size, size), dtype=torch.uint8)
        found[f"{name}_boxes"] = torch.tensor([40.0, 44, 30, 34]).expand(frames, sequences, 4).clone()
    return found


@pytest.mark.parametrize(("name", "most"), [("dimp_nceplus", 1600), ("dimp_nceplus_lite", 1550)])
def test_a_step_launches_few_kernels_and_waits_once(name, most, monkeypatch):
    """Their number does not depend on the size of the crops, nor on how many there are."""
    torch.manual_seed(0)
    recipe = with_changes(load_recipe([name]), ["precision=fp32"])
    # There are no generators on the pretended device.
    monkeypatch.setattr(loop, "seeded_generator", lambda *_: None)
    arguments = {**recipe.network.arguments, "backbone_pretrained": False}
    with pretended() as counts:
        net = replace(recipe.network, arguments=arguments).build().to("pretend")
        set_train_mode(net, recipe.batch_norm)
        actor = make_actor(recipe, net)
        optimiser = make_optimiser(net, recipe.optimiser)
        # Adam takes a few launches on a GPU, and many here.
        monkeypatch.setattr(optimiser, "step", lambda: None)
        training = SimpleNamespace(
            recipe=recipe, net=net, optimiser=optimiser, scaler=torch.amp.GradScaler("cpu", enabled=False),
            factor=lambda step: 1.0, own=(0,), step=0, average=None, accelerator=start_processes("cpu"),
            device=torch.device("pretend"), step_actor=actor,
        )  # fmt: skip
        launched = []
        for size in (96, 128):
            counts.reset()
            steps = loop.train_steps(training, iter([[batch(3, 2, size)]]))
            next(steps)
            launched.append(counts.launches)
            assert len(counts.waits) == 1, counts.waits
    print(f"{name}: {launched[0]} kernels a step")
    assert launched[0] == launched[1] <= most
