"""The figures of a head, against energies whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch

from experiments.training_methods import evaluation
from experiments.training_methods.features import CachedCrops
from ltr.ebm.ascent import gradient_ascent
from ltr.ops.boxes import to_relative

CPU = torch.device("cpu")


class Gaussian:
    """f = -|y - annotation|^2 / (2 sigma^2) in relative space."""

    def __init__(self, boxes, sigma):
        self.size, self.sigma = boxes[:, 2:], sigma
        self.annotation = to_relative(boxes, self.size)

    def __call__(self, points):
        return -(points - self.annotation[:, None]).square().sum(-1) / (2 * self.sigma**2)

    def score_boxes(self, boxes):
        return self(to_relative(boxes, self.size[:, None]))

    def ascend(self, boxes, **options):
        return gradient_ascent(self.score_boxes, boxes, **options)


@pytest.fixture
def crops():
    boxes = torch.tensor([[40.0, 50, 30, 20], [60, 30, 25, 50], [50, 50, 40, 40]])
    layer = torch.zeros(1, 3, 1, 1, 1)
    features = {part: {"layer2": layer, "layer3": layer} for part in ("train", "test")}
    return CachedCrops(features, {"train": boxes[None], "test": boxes[None]}, ["a", "b", "a"])


def use(monkeypatch, sigma):
    monkeypatch.setattr(evaluation, "energy_of", lambda head, part: Gaussian(part.boxes["test"].flatten(0, 1), sigma))


def test_the_likelihood_of_a_gaussian_energy(monkeypatch, crops):
    use(monkeypatch, 0.2)
    found = evaluation.negative_log_likelihood(None, crops, 20000, CPU)
    assert found.shape == (3, 1)
    assert found.mean() == pytest.approx(2 * math.log(2 * math.pi * 0.2**2), abs=0.05)


def test_the_right_step_refines_and_a_wrong_one_does_not(monkeypatch, crops):
    use(monkeypatch, 0.1)
    # A step of sigma^2 reaches the top at once; 1e-7 stays; 100 sigma^2 flies off.
    ious = evaluation.refined_ious(None, crops, [(0.01, 0.01), (1e-7, 1e-7), (1.0, 1.0)], CPU)
    right, still, wild = ious["refined"].flatten(1).mean(1)
    start = ious["start"].mean()
    assert right > 0.999
    assert wild < 0.2 < start < 0.9
    assert start <= still < 0.95


def test_starts_are_the_same_for_every_head(monkeypatch, crops):
    use(monkeypatch, 0.1)
    first = evaluation.refined_ious(None, crops, [(1e-3, 1e-3)], CPU)
    use(monkeypatch, 0.3)
    second = evaluation.refined_ious(None, crops, [(1e-3, 1e-3)], CPU)
    assert torch.equal(first["start"], second["start"])
    assert not torch.equal(first["refined"], second["refined"])


def test_the_best_step_is_that_of_the_mean_over_heads():
    table = {(1.0, 1.0): [0.9, 0.1], (2.0, 2.0): [0.6, 0.6], (4.0, 4.0): [0.6, 0.6], (8.0, 8.0): [float("nan"), 1.0]}
    assert evaluation.best_step(table) == ((2.0, 2.0), 0.6)


def test_the_fine_grid_surrounds_the_best_coarse_step():
    best = evaluation.coarse_grid()[3]
    grid = evaluation.fine_grid(best)
    assert best in grid and len(set(grid)) == 6
    assert min(centre for centre, _ in grid) < best[0] < max(centre for centre, _ in grid)


def test_figures_by_sequence(monkeypatch, crops):
    use(monkeypatch, 0.1)
    found = evaluation.evaluate(None, crops, (0.01, 0.01), 500, CPU)
    assert found["iou"] > 99.9 and found["over_75"] == 100
    assert set(found["by_source"]) == set(found["nll_by_source"]) == {"a", "b"}
    assert "nll" not in evaluation.evaluate(None, crops, (0.01, 0.01), None, CPU)
    values = torch.tensor([[0.2], [0.5], [0.4]])
    assert evaluation.by_source(values, ["a", "b", "a"]) == pytest.approx({"a": 0.3, "b": 0.5})
