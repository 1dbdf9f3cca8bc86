"""Which level a box reads, what it reads there, the head's outputs, and torchvision's detector behind the interface."""

from __future__ import annotations

import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_detection import StandIn, tiny_detector

from experiments.detection.detector import FasterRCNN, load_pyramid, save_pyramid, torchvision_model
from experiments.detection.head import (
    EnergyHead,
    FeaturePyramid,
    assign_levels,
    box_energy,
    initialise_from,
    load_head,
    pool,
    save_head,
)
from experiments.detection.settings import HeadSettings
from ltr.errors import CheckpointError, PretrainedWeightsError
from ltr.ops.prroi_pool import prroi_pool

STRIDES = (4, 8, 16, 32)
SMALL = HeadSettings(bins=3, hidden=8)


def pyramid(scale=(1.0, 1.0), seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(4, 512 // s, 512 // s, generator=generator, dtype=dtype) for s in STRIDES)
    return FeaturePyramid(maps, STRIDES, scale)


@pytest.mark.parametrize(
    ("side", "stride"), [(10, 4), (111, 4), (112, 8), (223, 8), (224, 16), (447, 16), (448, 32), (5000, 32), (0, 4)]
)
def test_the_level_of_a_square_box(side, stride):
    level = assign_levels(torch.tensor([float(side), float(side)]), STRIDES)
    assert STRIDES[int(level)] == stride


@settings(deadline=None, derandomize=True)
@given(st.floats(1, 2000), st.floats(1, 2000))
def test_the_level_rule_is_the_papers_formula(w, h):
    exact = 4 + math.log2(math.sqrt(w * h) / 224)
    if abs(exact - round(exact)) > 1e-4:
        assert int(assign_levels(torch.tensor([w, h]), STRIDES)) == min(max(math.floor(exact), 2), 5) - 2


def test_strides_that_are_no_pyramid_are_refused():
    with pytest.raises(ValueError, match="successive powers of two"):
        assign_levels(torch.ones(1, 2), (4, 16))


def test_every_box_reads_its_own_level_and_keeps_its_place():
    boxes = torch.tensor(
        [[10.0, 10, 300, 300], [20, 30, 30, 40], [5, 5, 150, 160], [100, 90, 20, 20], [0, 0, 500, 500]]
    )
    found = pool(pyramid(), boxes, 7)
    assert found.shape == (5, 4, 7, 7)
    for row, level in enumerate((2, 0, 1, 0, 3)):
        x, y, w, h = boxes[row].tolist()
        roi = torch.tensor([[0.0, x, y, x + w, y + h]])
        wanted = prroi_pool(pyramid().maps[level][None], roi, 7, 1 / STRIDES[level])[0]
        torch.testing.assert_close(found[row], wanted)


def test_boxes_are_in_image_pixels_whatever_the_network_sees():
    boxes = torch.tensor([[10.0, 20, 60, 80], [40, 10, 120, 100]])
    stretched = boxes * torch.tensor([2.0, 1.5, 2.0, 1.5])
    torch.testing.assert_close(pool(pyramid((2.0, 1.5)), boxes, 5), pool(pyramid(), stretched, 5))


def test_pooling_no_box_gives_none():
    assert pool(pyramid(), torch.zeros(0, 4), 7).shape == (0, 4, 7, 7)


def test_the_energy_can_be_differentiated_twice_in_the_boxes():
    torch.manual_seed(0)
    head = EnergyHead(4, [1, 18], SMALL).double()
    energy = box_energy(head, [pyramid(dtype=torch.float64)], [2], torch.tensor([1, 18]))
    boxes = torch.tensor([[[31.3, 20.1, 60.7, 80.2]], [[40.4, 11.2, 130.3, 101.9]]], dtype=torch.float64)
    torch.autograd.gradcheck(energy, boxes.requires_grad_())
    torch.autograd.gradgradcheck(energy, boxes)


def test_a_row_is_scored_by_the_output_of_its_class_on_its_own_image():
    torch.manual_seed(0)
    head = EnergyHead(4, [1, 18, 90], SMALL)
    torch.nn.init.normal_(head.energy.weight)
    first, second = pyramid(), pyramid(seed=1)
    boxes = torch.tensor([[[31.0, 20, 60, 80], [31, 22, 50, 70]]]).repeat(3, 1, 1)
    scores = box_energy(head, [first, second], [2, 1], torch.tensor([18, 90, 18]))(boxes)
    assert scores.shape == (3, 2)
    for row, (image, output) in enumerate(((first, 1), (first, 2), (second, 1))):
        hidden = torch.relu(head.fc7(torch.relu(head.fc6(pool(image, boxes[row], 3).flatten(1)))))
        torch.testing.assert_close(scores[row], head.energy(hidden)[:, output])
    with pytest.raises(ValueError, match="no output for category 2"):
        box_energy(head, [first], [1], torch.tensor([2]))


def test_the_papers_head_and_a_class_agnostic_one():
    paper = EnergyHead(256, range(1, 91), HeadSettings())
    assert [tuple(p.shape) for p in paper.parameters() if p.dim() > 1] == [(1024, 12544), (1024, 1024), (90, 1024)]
    one = EnergyHead(4, [1, 18], HeadSettings(hidden=8, class_agnostic=True))
    assert one.energy.out_features == 1
    assert one.outputs_of(torch.tensor([18, 1])).tolist() == [0, 0]


def test_the_head_starts_from_the_detectors_box_head():
    torch.manual_seed(1)
    layers = FasterRCNN(StandIn()).box_head_layers()
    head = EnergyHead(4, [1], SMALL)
    initialise_from(head, layers)
    for own, given_layer in zip((head.fc6, head.fc7), layers):
        assert torch.equal(own.weight, given_layer.weight) and torch.equal(own.bias, given_layer.bias)
        assert own.weight.requires_grad and own.weight.data_ptr() != given_layer.weight.data_ptr()
    with pytest.raises(ValueError, match=r"set head\.hidden and head\.bins"):
        initialise_from(EnergyHead(4, [1], HeadSettings(bins=5, hidden=8)), layers)


def test_a_head_is_read_as_it_was_written_and_a_damaged_one_is_refused(tmp_path):
    head = EnergyHead(4, [1, 18], SMALL)
    save_head(tmp_path / "head.safetensors", head, {"note": 1})
    again, card = load_head(tmp_path / "head.safetensors")
    assert card == {"note": 1} and again.categories == (1, 18)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values()))
    content = (tmp_path / "head.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(content[:-7])
    for name in ("short", "missing"):
        with pytest.raises(CheckpointError, match=name):
            load_head(tmp_path / f"{name}.safetensors")


def test_torchvisions_detector_behind_the_interface():
    model = StandIn()
    detector = FasterRCNN(model)
    image = np.zeros((20, 30, 3), np.uint8)
    image[8:12, 16:24] = 255
    (found,) = detector.pyramids([image])
    assert detector.channels == 4 and found.strides == STRIDES and found.scale == (2.0, 2.0)
    assert [each.shape[-1] for each in found.maps] == [16, 8, 4, 2]
    # The bright rectangle's cells: pixels 8:12, 16:24, doubled, over stride 4.
    assert torch.equal(found.maps[0][0].nonzero().amin(0), torch.tensor([4, 8]))
    (boxes,) = detector.detect([image], [7])
    assert boxes.boxes.tolist() == [[2, 3, 8, 6]] and boxes.classes.tolist() == [18]  # the empty box is dropped
    assert not any(p.requires_grad for p in model.parameters()) and not model.training


def test_without_torchvision_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models.detection", None)
    with pytest.raises(PretrainedWeightsError, match=r"ebm-tracking\[detection\]"):
        torchvision_model()


def test_given_boxes_scale_the_image_and_its_boxes():
    detector = tiny_detector()
    detector.longest_side = 96
    (found,) = detector.pyramids([np.zeros((48, 64, 3), np.uint8)])
    assert found.scale == (1.5, 1.5) and found.strides == (8,)
    assert found.maps[0].shape == (detector.channels, 9, 12)
    assert len(detector.detect([np.zeros((4, 4, 3), np.uint8)], [3])[0]) == 0 and detector.box_head_layers() is None


def test_features_survive_the_cache(tmp_path):
    before = pyramid((1.25, 0.5))
    save_pyramid(tmp_path / "x.safetensors", before)
    after = load_pyramid(tmp_path / "x.safetensors")
    assert (after.strides, after.scale) == (before.strides, before.scale)
    assert all(torch.equal(a.half(), b.half()) for a, b in zip(before.maps, after.maps))


def test_torchvisions_builder_is_called_as_its_interface_says(monkeypatch, tmp_path):
    calls = []

    def build(**arguments):
        calls.append(arguments)
        if arguments["weights"] == "fetch":
            raise OSError("no network")
        return StandIn()

    module = ModuleType("torchvision.models.detection")
    module.FasterRCNN_ResNet50_FPN_Weights = SimpleNamespace(COCO_V1="fetch")
    module.fasterrcnn_resnet50_fpn = build
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.models.detection", module)
    with pytest.raises(PretrainedWeightsError, match=r"no network.*detector\.weights=FILE"):
        torchvision_model()
    given_weights = StandIn()
    torch.save(given_weights.state_dict(), tmp_path / "weights.pth")
    loaded = torchvision_model(str(tmp_path / "weights.pth"))
    assert torch.equal(loaded.roi_heads.box_head.fc6.weight, given_weights.roi_heads.box_head.fc6.weight)
    assert calls[-1] == {"weights": None, "weights_backbone": None, "num_classes": 91}
    torch.save(StandIn(hidden=9).state_dict(), tmp_path / "other.pth")
    with pytest.raises(PretrainedWeightsError, match="does not fit"):
        torchvision_model(str(tmp_path / "other.pth"))
