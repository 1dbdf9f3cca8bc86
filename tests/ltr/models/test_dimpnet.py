"""Networks against the reference: parameter names, forward passes and gradients with rule-filled weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from golden import DATA, fill_by_rule

from ltr.models.bbreg import atom
from ltr.models.tracking import dimpnet

NETWORKS = {
    "super_dimp": lambda: dimpnet.dimpnet50(init_gauss_sigma=0.25 / 6 * 22),
    "dimp50": lambda: dimpnet.dimpnet50(init_gauss_sigma=0.9),
    "dimp18": lambda: dimpnet.dimpnet18(init_gauss_sigma=0.9),
    "prdimp50": dimpnet.klcedimpnet50,
    "prdimp18": dimpnet.klcedimpnet18,
    "atom": atom.atom_resnet18,
}
RELATIVE = 1e-5


def relative_difference(ours, golden):
    golden = torch.as_tensor(golden)
    return float((ours - golden).detach().abs().max() / golden.abs().max())


def network_input(lowres, size):
    images = torch.nn.functional.interpolate(torch.as_tensor(lowres), (size, size), mode="bicubic", align_corners=False)
    return images.reshape(2, 1, 3, size, size)


@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_has_the_names_and_shapes_of_public_checkpoints(name):
    spec = json.loads((DATA / "state_dict_specs.json").read_text())[name]
    ours = {
        key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in NETWORKS[name]().state_dict().items()
    }
    assert ours == spec


@pytest.mark.parametrize("name", ["super_dimp", "dimp18", "atom"])
def test_forward_and_gradient_equal_the_reference(name):
    golden = np.load(DATA / f"net_{name}.npz")
    net = fill_by_rule(NETWORKS[name]()).eval()
    size = int(golden["image_size"])
    train = network_input(golden["train_lowres"], size)
    test = network_input(golden["test_lowres"], size)
    proposals = torch.as_tensor(golden["proposals"]).requires_grad_(True)

    output = net(train, test, torch.as_tensor(golden["train_boxes"]), proposals)
    maps, boxes = (None, output) if name == "atom" else output
    (gradient,) = torch.autograd.grad(boxes.sum(), proposals)
    with torch.no_grad():
        features = net.extract_backbone_features(test.flatten(0, 1))

    if maps is not None:
        assert relative_difference(torch.stack(maps), golden["target_scores"]) < RELATIVE
    assert relative_difference(boxes, golden["box_scores"]) < RELATIVE
    assert relative_difference(gradient, golden["box_scores_grad"]) < RELATIVE
    for layer, feature in features.items():
        assert relative_difference(feature.mean(dim=(2, 3)), golden[f"feat_{layer}_mean"]) < RELATIVE
        assert relative_difference(feature.std(dim=(2, 3)), golden[f"feat_{layer}_std"]) < RELATIVE
