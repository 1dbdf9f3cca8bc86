"""A training step of OSTrack: which parts learn, from which loss, and the energy as the tracker climbs it."""

from __future__ import annotations

import pytest
import torch

from ltr.actors.base import BaseActor
from ltr.actors.ostrack import OSTrackActor
from ltr.actors.ostrack_losses import ostrack_losses
from ltr.models.tracking.ostrack import keep_ratio, ostrack_energy
from ltr.train_settings.recipe import BoxSettings
from ltr.trainers.batch_norm import set_train_mode

SMALL = {"search_size": 96, "width": 24, "depth": 2, "heads": 3, "head_channels": 16, "elimination_blocks": (1,)}


def batch() -> dict[str, torch.Tensor]:
    """One template and two search frames of three sequences."""
    generator = torch.Generator().manual_seed(5)
    found: dict[str, torch.Tensor] = {}
    for name, frames, size in (("train", 1, 128), ("test", 2, 96)):
        shape = (frames, 3, 3, size, size)
        found[f"{name}_images"] = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        corner, side = (torch.rand(frames, 3, 2, generator=generator) for _ in range(2))
        found[f"{name}_boxes"] = torch.cat((30 + 6 * corner, 20 + 10 * side), -1)
        found[f"{name}_labels"] = found[f"{name}_boxes"] - torch.tensor([0.5, 0.5, 0, 0])
    return found


def actor_of(trains_tracker: bool, elimination: bool = False, warm_up: int = 80) -> OSTrackActor:
    torch.manual_seed(0)
    net = ostrack_energy(candidate_elimination=elimination, elimination_warm_up=warm_up, box_channels=8, **SMALL)
    for name, parameter in net.named_parameters():
        if not trains_tracker and not name.startswith("bb_regressor"):
            parameter.requires_grad_(False)
    actor = OSTrackActor(net, BoxSettings("nceplus", {"num_samples": 8}, 0.5), trains_tracker=trains_tracker)
    set_train_mode(net)
    return actor


def step(actor: BaseActor) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Statistics of a step, and the parts of the network that its loss has a gradient in."""
    output = actor(batch(), torch.Generator().manual_seed(0))
    output.loss.backward()
    learned = {name for name, parameter in actor.net.named_parameters() if parameter.grad is not None}
    return {"total": output.loss.detach(), **output.statistics}, learned


def test_a_frozen_tracker_leaves_the_energy_to_learn_alone() -> None:
    actor = actor_of(trains_tracker=False)
    before = {name: value.clone() for name, value in actor.net.named_buffers() if not name.startswith("bb_")}
    values, learned = step(actor)
    assert learned == {name for name, _ in actor.net.named_parameters() if name.startswith("bb_regressor")}
    torch.testing.assert_close(values["total"], 0.5 * values["loss/box"])
    assert all(torch.equal(value, before[name]) for name, value in actor.net.named_buffers() if name in before)


def test_all_together_has_both_losses() -> None:
    actor = actor_of(trains_tracker=True)
    values, learned = step(actor)
    torch.testing.assert_close(values["total"], values["loss/centre"] + 0.5 * values["loss/box"])
    unused = {"backbone.cls_token", "backbone.pos_embed"}
    assert learned == {name for name, _ in actor.net.named_parameters()} - unused


def test_the_centre_head_learns_the_labels_of_its_own_rule() -> None:
    actor = actor_of(trains_tracker=True).eval()
    given = batch()
    wanted, _ = ostrack_losses(actor.locate(given).maps, given["test_labels"].flatten(0, 1) / 96)
    torch.testing.assert_close(
        actor(given, torch.Generator().manual_seed(0)).statistics["loss/centre"], wanted.detach()
    )


@pytest.mark.parametrize("warm_up", [80, 50])
def test_candidates_are_kept_as_the_epoch_wants(warm_up: int) -> None:
    actor = actor_of(trains_tracker=True, elimination=True, warm_up=warm_up).eval()
    for epoch in (1, 60, 100):
        actor.begin_epoch(epoch)
        gone = actor.locate(batch()).features.search.abs().sum(1).flatten(1).eq(0).sum(1)
        kept = -(-36 * keep_ratio(epoch, warm_up=warm_up) // 1)
        assert gone.tolist() == [36 - kept] * 6


def test_the_energy_is_the_trackers_own() -> None:
    """That of the same images and boxes, pooled from the tokens by the head directly."""
    actor = actor_of(trains_tracker=False).eval()
    given, net = batch(), actor.net
    energy = actor.energy_of(given)
    boxes = given["test_boxes"].flatten(0, 1)
    # The fourth image is the second frame of the first sequence.
    template, search = (
        net.normalise(given[f"{name}_images"][frame, :1]) for name, frame in (("train", 0), ("test", 1))
    )
    features = net(template, search).features
    head = net.bb_regressor
    modulation = head.get_modulation([features.template], given["train_boxes"][0, :1])
    alone = head.predict_iou(modulation, head.get_iou_feat([features.search]), boxes[3:4, None])
    torch.testing.assert_close(energy.score_boxes(boxes[:, None])[3:4], alone)
