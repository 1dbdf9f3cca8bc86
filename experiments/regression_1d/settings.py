"""The study's settings, its methods by name, and the units it is made of (docs/reference.md, section 8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.regression_1d.data import DATA_SETS
from ltr.ebm.methods import Method, create_method
from ltr.errors import replace_fields, unknown_name


@dataclass(frozen=True)
class Settings:
    """What a unit is trained and evaluated with; the defaults are the paper's.

    Attributes:
        epochs, batch_size, learning_rate: of Adam.
        train_size: pairs.
        models: of each unit, with seeds `first_seed`, `first_seed` + 1, ...
        samples: M.
        grid: points a side of the grid that the KL divergence is summed on.
        first_seed: of the models: initial weights, order of the data, noise.
        data_seed: of the training pairs, which all models share.
        label_noise: standard deviation of Gaussian noise on the training y.
        likelihood_sigmas: the noise mixture of ML-IS and KLD-IS.
        contrast_sigmas: that of NCE and NCE+.
        label_sigma: of KLD-IS.
        beta: of NCE+.
        mcmc_step: a of ML-MCMC; 0 for the data set's.
        dsm_sigma: of DSM; 0 for the data set's.
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
        for name in ("epochs", "batch_size", "learning_rate", "train_size", "models", "samples"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.grid < 2:
            raise ValueError(f"grid must be at least 2, not {self.grid}")
        for name in ("first_seed", "data_seed", "label_noise", "mcmc_step", "dsm_sigma"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, is {getattr(self, name)}")

    @property
    def seeds(self) -> range:
        """Of the models."""
        return range(self.first_seed, self.first_seed + self.models)

    @property
    def steps(self) -> int:
        """Optimiser steps of a unit."""
        return self.epochs * -(-self.train_size // self.batch_size)


# Few models, epochs and samples: shows that all works, in under two minutes. Its figures are not the study's.
QUICK = Settings(epochs=10, models=3, samples=64, grid=256)


@dataclass(frozen=True)
class MethodChoice:
    """A method of the study.

    Attributes:
        title: for tables and figures.
        registered: its name in `ltr.ebm.methods`.
        draws: whether M matters to it.
        chain: Langevin steps of ML-MCMC, else 0.
    """

    title: str
    registered: str
    draws: bool = True
    chain: int = 0


METHODS: Mapping[str, MethodChoice] = {
    "mlis": MethodChoice("ML-IS", "mlis"),
    "mlmcmc1": MethodChoice("ML-MCMC-1", "mlmcmc", chain=1),
    "mlmcmc4": MethodChoice("ML-MCMC-4", "mlmcmc", chain=4),
    "mlmcmc8": MethodChoice("ML-MCMC-8", "mlmcmc", chain=8),
    "mlmcmc16": MethodChoice("ML-MCMC-16", "mlmcmc", chain=16),
    "kldis": MethodChoice("KLD-IS", "kldis"),
    "nce": MethodChoice("NCE", "nce"),
    "sm": MethodChoice("SM", "sm", draws=False),
    "dsm": MethodChoice("DSM", "dsm"),
    "nceplus": MethodChoice("NCE+", "nceplus"),
}


def make_method(name: str, dataset: str, settings: Settings) -> Method:
    """The training method of `ltr.ebm`, which the trackers use, with the study's settings."""
    choice, data = METHODS[name], DATA_SETS[dataset]
    shared: dict[str, Any] = {"num_samples": settings.samples, "share_noise": True}
    of_method: dict[str, dict[str, Any]] = {
        "mlis": {"noise_sigmas": settings.likelihood_sigmas, **shared},
        "kldis": {"noise_sigmas": settings.likelihood_sigmas, "label_sigma": settings.label_sigma, **shared},
        "nce": {"noise_sigmas": settings.contrast_sigmas, **shared},
        "nceplus": {"noise_sigmas": settings.contrast_sigmas, "beta": settings.beta, **shared},
        "mlmcmc": {
            "num_samples": settings.samples,
            "steps": choice.chain,
            "step_length": settings.mcmc_step or data.mcmc_step,
        },
        "sm": {},
        "dsm": {"sigma": settings.dsm_sigma or data.dsm_sigma, **shared},
    }
    return create_method(choice.registered, **of_method[choice.registered])


@dataclass(frozen=True)
class Unit:
    """One cell of the study: all models of a method on a data set.

    Attributes:
        dataset, method: keys of `DATA_SETS` and `METHODS`.
        settings: of this unit.
        tag: what a smaller study varies, such as 'beta0.1'; part of the name.
    """

    dataset: str
    method: str
    settings: Settings
    tag: str = ""

    def __post_init__(self) -> None:
        for kind, name, known in (("data set", self.dataset, DATA_SETS), ("method", self.method, METHODS)):
            if name not in known:
                raise unknown_name(kind, name, known)
        make_method(self.method, self.dataset, self.settings)

    @property
    def name(self) -> str:
        """Of its files."""
        parts = [self.dataset, self.method]
        if METHODS[self.method].draws:
            parts.append(f"M{self.settings.samples}")
        return "_".join([*parts, self.tag] if self.tag else parts)

    @property
    def cost(self) -> float:
        """Expected work, for the progress bar: milliseconds on one core of the machine it was measured on."""
        choice, samples = METHODS[self.method], self.settings.samples
        fixed, point = {"sm": (1.2, 0.0), "dsm": (0.4, 0.0026)}.get(choice.registered, (0.45, 0.0019))
        step = fixed + 0.06 * choice.chain + samples * (point + 0.001 * choice.chain)
        return self.settings.models * self.settings.steps * step


def _chosen(kind: str, names: Iterable[str] | None, known: Mapping[str, Any]) -> list[str]:
    chosen = list(known) if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise unknown_name(kind, name, known)
    return chosen


SAMPLES = (1, 4, 16, 64, 256)


def main_units(
    settings: Settings,
    datasets: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
    samples: Iterable[int] = (),
) -> list[Unit]:
    """The main study: every method at the settings' M, then, for methods that draw, at each M of `samples`.

    The quick ones come first: a run that is cut short leaves as many results as it can.

    Args:
        datasets, methods: all without them.

    Raises:
        ValueError: an unknown name; the nearest is named.
    """
    cells = [
        (dataset, method)
        for method in _chosen("method", methods, METHODS)
        for dataset in _chosen("data set", datasets, DATA_SETS)
    ]
    found = sorted((Unit(dataset, method, settings) for dataset, method in cells), key=lambda unit: unit.cost)
    for count in sorted(set(samples) - {settings.samples}, reverse=True):
        changed = replace_fields(settings, {"samples": count})
        found += [Unit(dataset, method, changed) for dataset, method in cells if METHODS[method].draws]
    return found


BETAS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SIGMAS = (0.025, 0.05, 0.1, 0.2, 0.4)
SIGMA_RATIO = 8
LABEL_NOISES = (0.0, 0.025, 0.05, 0.1, 0.2)
NOISY_BETAS = (0.025, 0.1, 0.25, 0.5)


def _beta_study(dataset: str, settings: Settings) -> list[Unit]:
    found = [Unit(dataset, "nce", settings, "beta0")]
    return found + [Unit(dataset, "nceplus", _with(settings, beta=beta), f"beta{beta:g}") for beta in BETAS]


def _sigma_study(dataset: str, settings: Settings) -> list[Unit]:
    return [
        Unit(dataset, "nceplus", _with(settings, contrast_sigmas=(sigma, SIGMA_RATIO * sigma)), f"sigma{sigma:g}")
        for sigma in SIGMAS
    ]


def _label_noise_study(dataset: str, settings: Settings) -> list[Unit]:
    found = []
    for noise in LABEL_NOISES:
        noisy = _with(settings, label_noise=noise)
        found.append(Unit(dataset, "nce", noisy, f"noise{noise:g}"))
        for beta in NOISY_BETAS:
            found.append(Unit(dataset, "nceplus", _with(noisy, beta=beta), f"noise{noise:g}_beta{beta:g}"))
    return found


def _with(settings: Settings, **changes: Any) -> Settings:
    return dataclasses.replace(settings, **changes)


STUDIES = {"beta": _beta_study, "sigma": _sigma_study, "label_noise": _label_noise_study}
# A smaller study's default size: its cells are many, its question is where they differ.
STUDY_SETTINGS = Settings(models=10, samples=256)


def study_units(name: str, settings: Settings, datasets: Iterable[str] | None = None) -> list[Unit]:
    """The units of a smaller study, a key of `STUDIES`.

    Raises:
        ValueError: an unknown name; the nearest is named.
    """
    if name not in STUDIES:
        raise unknown_name("study", name, STUDIES)
    return [unit for dataset in _chosen("data set", datasets, DATA_SETS) for unit in STUDIES[name](dataset, settings)]
