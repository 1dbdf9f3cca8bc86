"""Training an energy head: every method learns, resuming changes nothing, faults are named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny_detection import StandIn, small_data, tiny_detector, tiny_settings

from experiments.common import NoiseSettings, step_order
from experiments.detection import training
from experiments.detection.coco_files import read_instances
from experiments.detection.detector import FasterRCNN
from experiments.detection.head import EnergyHead, FeaturePyramid, box_energy
from experiments.detection.settings import METHODS, STEPS, DetectionSettings, HeadSettings, create
from experiments.detection.training import TrainingPlace, batch_loss, rate_at, train_head
from ltr.ebm.methods import DSM, KLDIS, MLIS, MLMCMC, NCE, NCEPlus
from ltr.train_settings.recipe import with_changes

CATEGORIES = [1, 18]
SIGMAS = (0.0375, 0.075, 0.15)
WIDE = (0.075, 0.15, 0.3)


@pytest.fixture
def instances(tmp_path):
    data = small_data(tmp_path)
    return read_instances(data / "instances_train.json", data / "images")


def test_every_method_has_the_papers_settings():
    noise = DetectionSettings().noise
    assert [create(name, noise) for name in DetectionSettings().methods] == [
        MLIS(SIGMAS, 128),
        *(MLMCMC(128, steps, 1e-5) for steps in (1, 4, 8)),
        KLDIS(SIGMAS, 128, label_sigma=0.0225),
        NCE(WIDE, 128),
        DSM(0.075, 128),
        NCEPlus(WIDE, 128, beta=0.1),
    ]
    assert STEPS["nceplus"] == (8e-4, 3.2e-3) and STEPS["dsm"] == (2.5e-5, 1e-4)
    assert {STEPS[name] for name in ("mlis", "kldis", "nce")} == {(4e-4, 1.6e-3)}
    schedule = DetectionSettings().training
    assert [rate_at(step, schedule) for step in (0, 39_999, 40_000, 50_000)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])


def test_settings_are_changed_by_name_and_checked():
    changed = with_changes(DetectionSettings(), ["noise.beta=0.2", "training.optimiser=adam", "seeds=(0, 1)"])
    assert (changed.noise.beta, changed.training.optimiser, changed.seeds) == (0.2, "adam", (0, 1))
    for assignment, message in [
        ("noise.betta=1", "did you mean 'beta'"),
        ("training.optimiser=adm", "did you mean 'adam'"),
        ("methods=('ncep',)", "did you mean 'nce"),
        ("training.iterations=0", "must be positive"),
        ("seeds=()", "at least one"),
    ]:
        with pytest.raises(ValueError, match=message):
            with_changes(DetectionSettings(), [assignment])


@pytest.mark.parametrize("name", list(METHODS))
def test_a_training_step_lowers_the_loss(name):
    noise = NoiseSettings(num_samples=16, mcmc_step=0.02)
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(8, 6, 8, generator=generator, dtype=torch.float64) for _ in range(2)]
    pyramids = [FeaturePyramid((each,), (8,), (1.0, 1.0)) for each in maps]
    boxes = [torch.tensor([[4.0, 6, 16, 20], [34, 3, 14, 25]]).double(), torch.tensor([[20.0, 9, 30, 24]]).double()]
    classes = [torch.tensor([18, 1]), torch.tensor([1])]
    torch.manual_seed(0)
    head = EnergyHead(8, CATEGORIES, HeadSettings(bins=3, hidden=16)).double()
    torch.nn.init.normal_(head.energy.weight, std=0.5)
    loss_of = partial(batch_loss, create(name, noise), head, pyramids, boxes, classes)
    before = loss_of(torch.Generator().manual_seed(0)).loss
    assert before.shape == (3,) and before.isfinite().all()
    before.mean().backward()
    # Of the biases, score matching sees only what they do to the ReLUs.
    trained = [p for p in head.parameters() if p.grad is not None]
    assert all(p.grad.isfinite().all() for p in trained)
    assert all(layer.weight.grad.abs().sum() > 0 for layer in (head.fc6, head.fc7, head.energy))
    length = torch.cat([p.grad.flatten() for p in trained]).norm()
    with torch.no_grad():
        for p in trained:
            p -= 1e-2 / length * p.grad
    after = loss_of(torch.Generator().manual_seed(0)).loss
    assert after.mean() < before.detach().mean()


def weights(head):
    return torch.cat([value.flatten() for value in head.state_dict().values()])


@pytest.mark.parametrize("name", ["nceplus", "mlmcmc1"])
def test_a_stopped_training_goes_on_as_if_nothing_had_happened(name, instances, tmp_path):
    detector, settings = tiny_detector(), tiny_settings()
    train = partial(train_head, name, 3, detector, instances.images, CATEGORIES, settings)
    whole = train(TrainingPlace(tmp_path / "whole"))
    stopped = TrainingPlace(tmp_path / "stopped", cache=tmp_path / "cache")
    exact = TrainingPlace(tmp_path / "exact", cache=tmp_path / "cache")
    assert train(stopped, stop_after=3) is None and (stopped.folder / "state.pt").is_file()
    # Lines that a killed run wrote after its last state are written again.
    with open(stopped.folder / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 4, "loss": 999, "rate": 0}\n{"kind": "train", "st')
    resumed, unbroken = train(stopped), train(exact)
    assert torch.equal(weights(resumed), weights(unbroken))
    assert not torch.equal(weights(whole), weights(resumed))  # the cache has half precision
    lines = [json.loads(line) for line in (stopped.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] != 999 and line["rate"] > 0 for line in lines)
    assert not (stopped.folder / "state.pt").exists()


def test_a_trained_head_is_read_and_not_trained_again(instances, tmp_path, monkeypatch):
    train = partial(train_head, "nce", 0, tiny_detector(), instances.images, CATEGORIES)
    first = train(tiny_settings(), TrainingPlace(tmp_path / "nce"))
    monkeypatch.setattr(training, "batches", None)
    assert torch.equal(weights(train(tiny_settings(), TrainingPlace(tmp_path / "nce"))), weights(first))
    other = replace(tiny_settings(), noise=NoiseSettings(num_samples=7))
    with pytest.raises(ValueError, match=r"other settings \(noise\)"):
        train(other, TrainingPlace(tmp_path / "nce"))


def test_the_seed_decides_the_start_and_the_order(instances, tmp_path):
    detector, settings = tiny_detector(), tiny_settings()
    heads = [training.new_head(detector, CATEGORIES, settings, seed, torch.device("cpu")) for seed in (0, 0, 1)]
    assert torch.equal(weights(heads[0]), weights(heads[1])) and not torch.equal(weights(heads[0]), weights(heads[2]))
    order, again, other = ([rows.tolist() for rows in step_order(5, 2, 6, seed=seed)] for seed in (0, 0, 1))
    assert order == again != other
    flat = [row for rows in order for row in rows]
    assert sorted(flat[:5]) == sorted(flat[5:10]) == [0, 1, 2, 3, 4]


def test_a_loss_that_is_no_number_stops_the_training(instances, tmp_path):
    settings = with_changes(tiny_settings(), ["training.learning_rate=1e30", "training.optimiser=sgd"])
    settings = with_changes(settings, ["training.max_gradient_norm=0.0"])
    with pytest.raises(training.NonFiniteLossError, match=r"NCE, seed 0: loss .* at iteration [1-5]"):
        train_head("nce", 0, tiny_detector(), instances.images, CATEGORIES, settings, TrainingPlace(tmp_path / "nce"))


def test_training_on_torchvisions_interface_starts_from_its_box_head(instances, tmp_path):
    detector = FasterRCNN(StandIn(channels=4, bins=3, hidden=8))
    images = [replace(image, boxes=image.boxes / 2) for image in instances.images]
    start = training.new_head(detector, CATEGORIES, tiny_settings(), 0, torch.device("cpu"))
    assert torch.equal(start.fc6.weight, detector.box_head_layers()[0].weight)

    # The stand-in pads to 64 x 64, so the images are cut to fit its doubling.
    class Cut(FasterRCNN):
        def pyramids(self, images):
            return super().pyramids([image[:32, :32] for image in images])

    cut = Cut(StandIn(channels=4, bins=3, hidden=8))
    head = train_head("dsm", 0, cut, images, CATEGORIES, tiny_settings(), TrainingPlace(tmp_path / "dsm"))
    assert head is not None and weights(head).isfinite().all() and not head.fc6.weight.requires_grad


def test_images_without_boxes_are_left_out(instances, tmp_path):
    empty = [replace(image, boxes=image.boxes[:0], classes=image.classes[:0]) for image in instances.images]
    with pytest.raises(ValueError, match="no image has an annotated box"):
        train_head("nce", 0, tiny_detector(), empty, CATEGORIES, tiny_settings(), TrainingPlace(tmp_path))
    mixed = [*empty[:3], instances.images[4]]
    assert train_head("nce", 0, tiny_detector(), mixed, CATEGORIES, tiny_settings(), TrainingPlace(tmp_path))


def test_a_methods_points_are_boxes_in_units_of_their_annotation():
    torch.manual_seed(0)
    head = EnergyHead(8, CATEGORIES, HeadSettings(bins=3, hidden=16))
    pyramid = FeaturePyramid((torch.randn(8, 6, 8),), (8,), (1.0, 1.0))
    boxes, classes = torch.tensor([[4.0, 6, 16, 20], [34, 3, 14, 25]]), torch.tensor([18, 1])
    seen = {}

    class Probe:
        def loss(self, energy, annotation, generator):
            # A tenth of its width to the right, and 1.2 times as high.
            seen["scores"] = energy(annotation[:, None] + torch.tensor([0.1, 0, 0, math.log(1.2)]))

    batch_loss(Probe(), head, [pyramid], [boxes], [classes])
    moved = torch.tensor([[5.6, 4, 16, 24], [35.4, 0.5, 14, 30]])
    torch.testing.assert_close(seen["scores"], box_energy(head, [pyramid], [2], classes)(moved[:, None]))
