"""The ascent in closed form against `gradient_ascent` by autograd, in float64, and where it falls back on it
or, for a device, says that it has failed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ltr.ebm.ascent import gradient_ascent
from ltr.models.bbreg.box_head import CNN_LEVELS, TOKEN_LEVELS, BoxHead
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.bbreg.device_ascent import DeviceAscent

CHANNELS = (5, 7)
STEPS = {"relative": (0.02, 0.05), "absolute": 0.2}


@pytest.fixture(scope="module")
def head() -> BoxHead:
    return random_head(BoxHead(CHANNELS, (8, 12), (6, 10), CNN_LEVELS))


def random_head(made: BoxHead) -> BoxHead:
    """With the statistics of a head that was trained, in eval mode and float64."""
    torch.manual_seed(0)
    made.double().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.3)
    nn.init.normal_(made.iou_predictor.weight)
    return made.eval()


def scene(head: BoxHead, images: int, size: int = 192) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Modulation, layers and starts of boxes at other places in each image."""
    generator = torch.Generator().manual_seed(images)
    shape = {"generator": generator, "dtype": torch.float64}
    layers = []
    for level in head.levels:
        channels, cells = level.convolutions[0][0].weight.shape[1], size // level.settings.stride
        layers.append(torch.randn(images, channels, cells, cells, **shape))
    place = 40 * torch.arange(images, dtype=torch.float64)[:, None, None] * torch.tensor([1.0, 0.5, 0, 0])
    starts = torch.tensor([30.0, 60, 52, 38]) + place + 4 * torch.randn(images, 6, 4, **shape)
    return list(head.get_modulation(layers, starts[:, 0])), layers, starts


def by_autograd(head: BoxHead, modulation: list[Tensor], layers: list[Tensor], starts: Tensor, **options):
    features = head.modulate(modulation, head.get_iou_feat(layers))
    return gradient_ascent(lambda boxes: head.score(features, boxes), starts, **options), features


@pytest.mark.parametrize("space", ["relative", "absolute"])
@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("images", [1, 3])
def test_equals_autograd(head: BoxHead, space: str, control: bool, images: int) -> None:
    modulation, layers, starts = scene(head, images)
    options = {"space": space, "steps": 10, "step_length": STEPS[space], "decay": 0.9, "per_box_step_control": control}
    expected, features = by_autograd(head, modulation, layers, starts, **options)
    assert (expected[0] - starts).abs().max() > 2
    closed = ClosedFormHead(head)
    for found in (closed.ascend(features, starts, **options), closed.refine(modulation, layers, starts, **options)):
        torch.testing.assert_close(found[0], expected[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(found[1], expected[1], atol=1e-10, rtol=0)


def test_one_level_of_tokens_equals_autograd() -> None:
    head = random_head(BoxHead((7,), (8,), (6,), TOKEN_LEVELS))
    assert {name.split(".")[0] for name, _ in head.named_parameters()} == {
        *("conv4_1r", "conv4_1t", "conv4_2t", "fc4_1r", "fc4_4r", "fc4_rt", "iou_predictor")
    }
    modulation, layers, starts = scene(head, 3)
    options = {"steps": 10, "step_length": STEPS["relative"]}
    expected, features = by_autograd(head, modulation, layers, starts, **options)
    assert (expected[0] - starts).abs().max() > 2
    closed = ClosedFormHead(head)
    for found in (closed.ascend(features, starts, **options), closed.refine(modulation, layers, starts, **options)):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_a_token_lies_in_the_middle_of_its_patch() -> None:
    """A box around the middle of the only token that is not zero is scored alike from all sides."""
    head = random_head(BoxHead((1,), (4,), (4,), TOKEN_LEVELS))
    feature = torch.zeros(1, 4, 12, 12, dtype=torch.float64)
    feature[0, :, 5, 6] = 1
    middle = torch.tensor([6 * 16 + 8.0, 5 * 16 + 8], dtype=torch.float64)
    pooled = head._pool(feature, torch.cat((middle - 20, middle + 20))[None, None], TOKEN_LEVELS[0], 5)[0, 0]
    torch.testing.assert_close(pooled, pooled.flip(0))
    torch.testing.assert_close(pooled, pooled.flip(1))
    assert pooled.argmax() == 12 and pooled[2, 2] > 0.7


def test_levels_and_channels_must_agree() -> None:
    with pytest.raises(ValueError, match="has 1 levels"):
        BoxHead((3, 3), (8, 8), (8, 8), TOKEN_LEVELS)


def test_a_unit_of_the_centre_is_heeded(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 2)
    options = {"steps": 3, "step_length": 0.01, "normalise_size": torch.tensor([[70.0, 20.0]], dtype=torch.float64)}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    found = ClosedFormHead(head).refine(modulation, layers, starts, **options)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_scores_without_a_step(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 2)
    expected, _ = by_autograd(head, modulation, layers, starts, steps=0, step_length=1.0)
    found = ClosedFormHead(head).refine(modulation, layers, starts, steps=0, step_length=1.0)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_boxes_at_the_edge_of_the_map_and_beyond(head: BoxHead) -> None:
    modulation, layers, _ = scene(head, 1)
    starts = torch.tensor([[[-20.0, -10, 50, 40], [-70, -60, 40, 40], [160, 170, 60, 50], [300, 10, 30, 30]]])
    for box in starts.double().split(1, dim=1):
        expected, _ = by_autograd(head, modulation, layers, box, steps=5, step_length=0.02)
        found = ClosedFormHead(head).refine(modulation, layers, box, steps=5, step_length=0.02)
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_an_empty_box_scores_as_nothing_and_stays(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 1)
    starts[0, 1, 2] = -3
    starts[0, 2, 3] = 0
    options = {"space": "absolute", "steps": 3, "step_length": 0.05}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    found = ClosedFormHead(head).refine(modulation, layers, starts, **options)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(found[0][0, 1:3], starts[0, 1:3])


@pytest.mark.parametrize("step", [0.4, 50.0])
def test_boxes_that_run_away_are_followed(head: BoxHead, step: float) -> None:
    modulation, layers, starts = scene(head, 3)
    options = {"steps": 6, "step_length": step}
    # One image stays where it is; so the images part ways.
    modulation = [each * torch.tensor([1.0, 0, 1])[:, None] for each in modulation]
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    closed = ClosedFormHead(head)
    found = closed.refine(modulation, layers, starts, **options)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6, equal_nan=True)
    with torch.inference_mode():
        modulation, layers = ([each.clone() for each in given] for given in (modulation, layers))
        inferred = closed.refine(modulation, layers, starts.clone(), **options)
    torch.testing.assert_close(inferred, found, atol=0, rtol=0, equal_nan=True)


def test_a_box_that_is_not_finite_shows(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 2)
    starts[1, 2, 0] = torch.nan
    boxes, scores = ClosedFormHead(head).refine(modulation, layers, starts, steps=2, step_length=0.01)
    assert boxes[0].isfinite().all()
    assert scores[1].isnan().tolist() == [False, False, True, False, False, False]


def test_common_boxes_need_no_autograd(head: BoxHead, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the reference was asked")

    modulation, layers, starts = scene(head, 3)
    monkeypatch.setattr(head, "score", refuse)
    ClosedFormHead(head).refine(modulation, layers, starts, steps=10, step_length=0.002)


def test_only_the_reached_part_of_a_layer_is_computed(head: BoxHead, monkeypatch: pytest.MonkeyPatch) -> None:
    modulation, layers, starts = scene(head, 1, size=320)
    sizes = []
    climb = ClosedFormHead.climb

    def noted(closed, windowed, *arguments, **options):
        sizes.extend(part.shape[3] for part in windowed.parts)
        return climb(closed, windowed, *arguments, **options)

    monkeypatch.setattr(ClosedFormHead, "climb", noted)
    ClosedFormHead(head).refine(modulation, layers, starts, steps=10, step_length=0.002)
    assert len(sizes) == 2
    assert sizes[0] <= 24 < layers[0].shape[3]


@pytest.mark.parametrize("images", [1, 2])
def test_beyond_a_layers_ends_features_are_made_of_zeros_as_there(head: BoxHead, images: int) -> None:
    modulation, layers, starts = scene(head, images)
    places = torch.tensor([[-9.0, -6.0, 0, 0], [150.0, 155.0, 0, 0]], dtype=torch.float64)[:images, None]
    starts = starts - starts[:, :1] * torch.tensor([1.0, 1, 0, 0]) + places
    options = {"steps": 5, "step_length": 0.001}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    found = ClosedFormHead(head).refine(modulation, layers, starts, **options)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_a_head_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="training mode"):
        ClosedFormHead(BoxHead(CHANNELS, (4, 4), (4, 4)))


def refined_on_a_device(head: BoxHead, modulation, layers, starts, **options):
    ascent = DeviceAscent(ClosedFormHead(head))
    return ascent.ascend(ascent.features(modulation, layers), starts, ascent.cells(starts), **options)


@pytest.mark.parametrize("space", ["relative", "absolute"])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("tokens", [False, True])
def test_for_a_device_equals_autograd(head: BoxHead, space: str, images: int, tokens: bool) -> None:
    head = random_head(BoxHead((7,), (8,), (6,), TOKEN_LEVELS)) if tokens else head
    modulation, layers, starts = scene(head, images)
    lengths = {"relative": (0.002, 0.005), "absolute": 0.05}
    options = {"space": space, "steps": 10, "step_length": lengths[space], "decay": 0.9}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    assert (expected[0] - starts).abs().max() > 1
    boxes, scores, kept = refined_on_a_device(head, modulation, layers, starts, **options)
    assert kept.all()
    torch.testing.assert_close((boxes, scores), expected, atol=1e-9, rtol=0)


def test_for_a_device_a_unit_of_the_centre_is_heeded(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 2)
    unit = torch.tensor([[70.0, 20.0]], dtype=torch.float64).expand(2, 1, 2)
    options = {"steps": 3, "step_length": 0.002, "normalise_size": unit}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    torch.testing.assert_close(
        refined_on_a_device(head, modulation, layers, starts, **options)[:2], expected, atol=1e-9, rtol=0
    )


def test_for_a_device_boxes_at_the_edge_of_the_map_and_beyond(head: BoxHead) -> None:
    modulation, layers, _ = scene(head, 1)
    starts = torch.tensor([[[-20.0, -10, 50, 40], [-70, -60, 40, 40], [160, 170, 60, 50], [300, 10, 30, 30]]])
    for box in starts.double().split(1, dim=1):
        expected, _ = by_autograd(head, modulation, layers, box, steps=5, step_length=0.002)
        boxes, scores, kept = refined_on_a_device(head, modulation, layers, box, steps=5, step_length=0.002)
        assert kept.all()
        torch.testing.assert_close((boxes, scores), expected, atol=1e-9, rtol=0)


def test_for_a_device_an_empty_box_scores_as_nothing_and_stays(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 1)
    starts[0, 1, 2] = -3
    starts[0, 2, 3] = 0
    options = {"space": "absolute", "steps": 3, "step_length": 0.05}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    boxes, scores, _ = refined_on_a_device(head, modulation, layers, starts, **options)
    torch.testing.assert_close((boxes, scores), expected, atol=1e-9, rtol=0)
    assert torch.equal(boxes[0, 1:3], starts[0, 1:3])


@pytest.mark.parametrize("step", [0.4, 50.0])
def test_for_a_device_boxes_that_run_away_are_told_and_the_others_are_right(head: BoxHead, step: float) -> None:
    modulation, layers, starts = scene(head, 3)
    unit = starts[:, :1, 2:].clone()
    unit[1] /= 1e3
    options = {"steps": 6, "step_length": (step, 1e-4), "normalise_size": unit}
    expected, _ = by_autograd(head, modulation, layers, starts, **options)
    boxes, _, kept = refined_on_a_device(head, modulation, layers, starts, **options)
    assert kept.tolist() == [False, True, False]
    torch.testing.assert_close(boxes[1], expected[0][1], atol=1e-6, rtol=0)


def test_for_a_device_large_boxes_and_bad_ones_are_told(head: BoxHead) -> None:
    modulation, layers, starts = scene(head, 2)
    starts[0, :, 2:] *= 5
    starts[1, 0, 0] = torch.nan
    assert not refined_on_a_device(head, modulation, layers, starts, steps=1, step_length=1e-4)[2].any()
