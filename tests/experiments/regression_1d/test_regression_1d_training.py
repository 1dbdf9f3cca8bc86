"""Training many models at once: each is the model it would be alone; it learns; one that fails harms no other."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from compiler import needs_compiler

from experiments.regression_1d import kernel, network, training
from experiments.regression_1d.data import true_log_density
from experiments.regression_1d.settings import METHODS, RegressionSettings, RegressionUnit
from experiments.regression_1d.training import batches, divergences, initial_stack, losses, train

TINY = RegressionSettings(epochs=2, models=3, samples=8, train_size=80)


@pytest.mark.parametrize("name", METHODS)
def test_models_trained_together_equal_models_trained_alone(name: str) -> None:
    together = train(RegressionUnit("set1", name, TINY), network.score)
    assert together.isfinite().all()
    for index in range(3):
        one = dataclasses.replace(TINY, models=1, first_seed=index)
        (alone,) = train(RegressionUnit("set1", name, one), network.score)
        torch.testing.assert_close(together[index, :-1], alone[:-1], rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0.1


@needs_compiler
@pytest.mark.parametrize("name", ["nceplus", "mlmcmc4", "dsm"])
def test_compiled_and_readable_training_give_the_same_models(name: str) -> None:
    unit = RegressionUnit("set2", name, TINY)
    # The last entry, the output's bias, has no gradient but rounding: a constant in f changes no density.
    compiled, readable = train(unit, kernel.score)[:, :-1], train(unit, network.score)[:, :-1]
    torch.testing.assert_close(compiled, readable, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_models() -> None:
    unit = RegressionUnit("set2", "nceplus", TINY)
    assert torch.equal(train(unit, network.score), train(unit, network.score))
    other = dataclasses.replace(TINY, first_seed=7)
    assert not torch.equal(
        train(RegressionUnit("set2", "nceplus", other), network.score)[0], train(unit, network.score)[0]
    )


def test_every_epoch_shows_each_model_every_pair_once_in_its_own_order() -> None:
    settings = RegressionSettings(epochs=2, models=3, train_size=70)
    steps = list(batches(settings))
    assert len(steps) == settings.steps == 2 * 3
    assert [step.shape for step in steps[:3]] == [(3, 32), (3, 32), (3, 6)]
    epochs = [torch.cat(steps[:3], dim=1), torch.cat(steps[3:], dim=1)]
    for epoch in epochs:
        assert torch.equal(epoch.sort(dim=1).values, torch.arange(70).expand(3, -1))
    assert not torch.equal(epochs[0][0], epochs[0][1]) and not torch.equal(epochs[0], epochs[1])


def test_offsets_are_shared_by_a_batch_and_differ_between_models(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(base: torch.Tensor, points: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
        seen.append(points.detach())
        return network.score(base, points, half)

    unit = RegressionUnit("set1", "nce", TINY)
    weights, y = initial_stack(TINY), torch.zeros(3, 5)
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    assert losses(unit, weights, torch.zeros(3, 5), y, generators, spy).shape == (3,)
    first, second, _ = seen
    assert (first == first[0]).all() and not torch.equal(first, second)


@pytest.mark.parametrize("name", ["nceplus", "mlis"])
def test_learns(name: str) -> None:
    settings = RegressionSettings(epochs=10, models=1, samples=32, grid=256)
    unit = RegressionUnit("set2", name, settings)
    truth = true_log_density("set2", settings.grid)
    before = divergences(initial_stack(settings), truth, network.score)
    after = divergences(train(unit, network.score), truth, network.score)
    assert max(after) < 0.5 * min(before)


def test_a_model_that_diverges_does_not_touch_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = train(RegressionUnit("set1", "nce", TINY), network.score)
    stack = initial_stack(TINY)
    stack[1] = float("nan")
    monkeypatch.setattr(training, "initial_stack", lambda settings: stack)
    found = train(RegressionUnit("set1", "nce", TINY), network.score)
    assert torch.equal(found[[0, 2]], healthy[[0, 2]])
    assert found[1].isnan().all()
