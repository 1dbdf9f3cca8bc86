"""The study's settings, its methods by name, and the units it is made of (docs/reference.md, section 8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.common import METHODS as STUDIED
from experiments.common import NoiseSettings, StudiedMethod, check_positive, create_objective
from experiments.regression_1d.data import DATA_SETS
from ltr.ebm.methods import Method
from ltr.errors import UserError, check_names


@dataclass(frozen=True)
class RegressionSettings:
    """What a unit is trained and evaluated with; the defaults are the paper's.

    Attributes:
        epochs, batch_size, learning_rate: Length, batches and learning rate of the training with Adam.
        train_size: Number of training pairs.
        models: Number of models of each unit, with seeds `first_seed`, `first_seed` + 1, ...
        samples: Number M of samples for each pair.
        grid: Number of points a side of the grid on which the KL divergence is summed.
        first_seed: Seed of the first model, for initial weights, order of the data and noise.
        data_seed: Seed of the training pairs, which all models share.
        label_noise: Standard deviation of Gaussian noise on the training y.
        likelihood_sigmas, label_sigma, contrast_sigmas, beta: Noise, as in `NoiseSettings`.
        mcmc_step, dsm_sigma: The same, with 0 for the data set's own.
    """

    epochs: int = 75
    batch_size: int = 32
    learning_rate: float = 1e-3
    train_size: int = 2000
    models: int = 20
    samples: int = 1024
    grid: int = 2048
    first_seed: int = 0
    data_seed: int = 0
    label_noise: float = 0.0
    likelihood_sigmas: tuple[float, ...] = (0.2, 1.6)
    contrast_sigmas: tuple[float, ...] = (0.1, 0.8)
    label_sigma: float = 0.025
    beta: float = 0.025
    mcmc_step: float = 0.0
    dsm_sigma: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, ("epochs", "batch_size", "learning_rate", "train_size", "models", "samples"))
        if self.grid < 2:
            raise UserError(f"grid must be at least 2, not {self.grid}")
        for name in ("first_seed", "data_seed", "label_noise", "mcmc_step", "dsm_sigma"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must not be negative, is {getattr(self, name)}")

    @property
    def seeds(self) -> range:
        """Seeds of the models."""
        return range(self.first_seed, self.first_seed + self.models)

    @property
    def steps(self) -> int:
        """Optimiser steps of a unit."""
        return self.epochs * -(-self.train_size // self.batch_size)


# Few models, epochs and samples: shows that all works, in under two minutes. Its figures are not the study's.
QUICK = RegressionSettings(epochs=10, models=3, samples=64, grid=256)


METHODS: Mapping[str, StudiedMethod] = {name: method for name, method in STUDIED.items() if name != "iou"}


def make_method(name: str, dataset: str, settings: RegressionSettings) -> Method:
    """The training method of `ltr.ebm`, which the trackers use, with the study's settings."""
    choice, data = METHODS[name], DATA_SETS[dataset]
    noise = NoiseSettings(
        settings.samples,
        settings.likelihood_sigmas,
        settings.label_sigma,
        settings.contrast_sigmas,
        settings.beta,
        settings.dsm_sigma or data.dsm_sigma,
        settings.mcmc_step or data.mcmc_step,
    )
    return create_objective(choice.objective, noise, choice.chain, share_noise=True)


@dataclass(frozen=True)
class RegressionUnit:
    """One cell of the study: all models of a method on a data set.

    Attributes:
        dataset, method: Keys of `DATA_SETS` and `METHODS`.
        settings: What it is trained and evaluated with.
        tag: What a smaller study varies, such as 'beta0.1'; part of the name.
    """

    dataset: str
    method: str
    settings: RegressionSettings
    tag: str = ""

    def __post_init__(self) -> None:
        check_names("data set", [self.dataset], DATA_SETS)
        check_names("method", [self.method], METHODS)
        make_method(self.method, self.dataset, self.settings)

    @property
    def name(self) -> str:
        """Name of its files."""
        parts = [self.dataset, self.method]
        if METHODS[self.method].draws:
            parts.append(f"M{self.settings.samples}")
        return "_".join([*parts, self.tag] if self.tag else parts)

    @property
    def cost(self) -> float:
        """Expected work, for the progress bar: milliseconds on one core of the machine it was measured on."""
        choice, samples = METHODS[self.method], self.settings.samples
        fixed, point = {"sm": (1.2, 0.0), "dsm": (0.4, 0.0026)}.get(choice.objective, (0.45, 0.0019))
        step = fixed + 0.06 * choice.chain + samples * (point + 0.001 * choice.chain)
        return self.settings.models * self.settings.steps * step


def _chosen(kind: str, names: Iterable[str] | None, known: Mapping[str, Any]) -> list[str]:
    chosen = list(known) if names is None else list(names)
    check_names(kind, chosen, known)
    return chosen


SAMPLES = (1, 4, 16, 64, 256)


def main_units(
    settings: RegressionSettings,
    datasets: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
    samples: Iterable[int] = (),
) -> list[RegressionUnit]:
    """The main study: every method at the settings' M, then, for methods that draw, at each M of `samples`.

    The quick ones come first: a run that is cut short leaves as many results as it can.

    Args:
        datasets, methods: all without them.

    Raises:
        UserError: an unknown name; the nearest is named.
    """
    cells = [
        (dataset, method)
        for method in _chosen("method", methods, METHODS)
        for dataset in _chosen("data set", datasets, DATA_SETS)
    ]
    found = sorted((RegressionUnit(dataset, method, settings) for dataset, method in cells), key=lambda unit: unit.cost)
    for count in sorted(set(samples) - {settings.samples}, reverse=True):
        changed = replace(settings, samples=count)
        found += [RegressionUnit(dataset, method, changed) for dataset, method in cells if METHODS[method].draws]
    return found


BETAS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SIGMAS = (0.025, 0.05, 0.1, 0.2, 0.4)
SIGMA_RATIO = 8
LABEL_NOISES = (0.0, 0.025, 0.1)
NOISY_BETAS = (0.025, 0.1, 0.25, 0.5)


def _beta_study(dataset: str, settings: RegressionSettings) -> list[RegressionUnit]:
    found = [RegressionUnit(dataset, "nce", settings, "beta0")]
    return found + [RegressionUnit(dataset, "nceplus", replace(settings, beta=beta), f"beta{beta:g}") for beta in BETAS]


def _sigma_study(dataset: str, settings: RegressionSettings) -> list[RegressionUnit]:
    return [
        RegressionUnit(
            dataset, "nceplus", replace(settings, contrast_sigmas=(sigma, SIGMA_RATIO * sigma)), f"sigma{sigma:g}"
        )
        for sigma in SIGMAS
    ]


def _label_noise_study(dataset: str, settings: RegressionSettings) -> list[RegressionUnit]:
    found = []
    for noise in LABEL_NOISES:
        noisy = replace(settings, label_noise=noise)
        found.append(RegressionUnit(dataset, "nce", noisy, f"noise{noise:g}"))
        for beta in NOISY_BETAS:
            found.append(RegressionUnit(dataset, "nceplus", replace(noisy, beta=beta), f"noise{noise:g}_beta{beta:g}"))
    return found


STUDIES = {"beta": _beta_study, "sigma": _sigma_study, "label_noise": _label_noise_study}
# A smaller study's default size: its cells are many, its question is where they differ.
STUDY_SETTINGS = RegressionSettings(models=10, samples=256)


def study_units(name: str, settings: RegressionSettings, datasets: Iterable[str] | None = None) -> list[RegressionUnit]:
    """The units of a smaller study, a key of `STUDIES`.

    Raises:
        UserError: an unknown name; the nearest is named.
    """
    check_names("study", [name], STUDIES)
    return [unit for dataset in _chosen("data set", datasets, DATA_SETS) for unit in STUDIES[name](dataset, settings)]
