"""What the study compares and how much of it: the methods, the sizes, the data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.common import METHODS as STUDIED
from experiments.common import StudiedMethod, check_positive
from ltr.admin.checkpoint import read_checkpoint
from ltr.errors import UserError, check_names
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Recipe
from pytracking.networks import network_file

REFERENCE = "nceplus"
# Steps of the box centre that are tried first; neighbours of the best at half and double the step come second.
COARSE_STEPS = tuple(2e-6 * 4**k for k in range(9))
SIZE_FACTORS = (1.0, 4.0)


@dataclass(frozen=True)
class TunedMethod(StudiedMethod):
    """A column of the comparison.

    Attributes:
        arguments: Settings of the objective (`ltr.train_settings.recipe.BoxSettings`).
        candidates: Settings of the objective that are tried on validation crops first, besides `arguments`.
        like: Method whose chosen settings and rate this one takes over; it has no trials of its own.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[dict[str, Any], ...] = ()
    like: str | None = None

    @property
    def paper_cost(self) -> float | None:
        """Training time over the plain detector; None where the paper has none."""
        return self.paper[3] if self.paper else None


# Step lengths of ML-MCMC: the paper's detection study has 1e-5, its 1-D study 0.0125 and 0.05; sigmas of DSM: 0.075
# and 0.2. Noise and M of the others are the trackers' (docs/reference.md, section 1).
_TUNING: dict[str, dict[str, Any]] = {
    "iou": {},
    "mlis": {},
    "mlmcmc1": {"arguments": {"steps": 1}, "like": "mlmcmc4"},
    "mlmcmc4": {
        "arguments": {"steps": 4, "step_length": 1e-5},
        "candidates": ({"step_length": 0.0125}, {"step_length": 0.05}),
    },
    "mlmcmc8": {"arguments": {"steps": 8}, "like": "mlmcmc4"},
    "kldis": {},
    "nce": {},
    "dsm": {"arguments": {"sigma": 0.075}, "candidates": ({"sigma": 0.2},)},
    "nceplus": {"arguments": {"beta": 0.1}},
}
METHODS = {name: TunedMethod(**vars(STUDIED[name]), **tuning) for name, tuning in _TUNING.items()}


@dataclass(frozen=True)
class StudySettings:
    """Sizes of the study; the defaults are for two CPU cores and an hour.

    Attributes:
        methods: Keys of `METHODS`.
        seeds: Seeds for the head's first weights, the order of the crops and the box samples.
        steps: Number of training steps of a head.
        sequences_per_step: Number of sequences in a step; each has the recipe's number of test frames.
        num_samples: Number M of box samples.
        rates: Learning rates of Adam that are tried.
        train_samples, validation_samples, test_samples: Number of sequences in the cache of features.
        coarse_samples, fine_samples: Number of validation sequences for the coarse and for the fine choice of the
            ascent's step.
        nll_samples: Number of samples of the partition function's estimate.
        crop_size, search_area, centre_jitter: Crops of the study in pixels, over the target's size, and in it. The
            target is as large as in the tracker's crops; what lies further away no box reaches.
        precision: Arithmetic of the head in training, 'bf16' or 'fp32'.
        network: Network whose frozen backbone and classifier are used, by name or file.
        recipe: Recipe that names data and crops.
        data_seed: Seed for the crops.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 600
    sequences_per_step: int = 8
    num_samples: int = 128
    rates: tuple[float, ...] = (1e-3, 3e-3)
    train_samples: int = 6000
    validation_samples: int = 150
    test_samples: int = 400
    coarse_samples: int = 30
    fine_samples: int = 150
    nll_samples: int = 512
    crop_size: int = 160
    search_area: float = 3.125
    centre_jitter: float = 1.5
    precision: str = "bf16"
    network: str = "dimp_nceplus_lite"
    recipe: str = "dimp_nceplus_lite"
    data_seed: int = 0

    def __post_init__(self) -> None:
        check_names("method", self.methods, METHODS)
        check_positive(self, ("steps", "sequences_per_step", "num_samples", "train_samples", "nll_samples"))
        if not self.methods or not self.seeds or not self.rates:
            raise UserError("methods, seeds and rates must each name at least one")
        if self.train_samples < self.sequences_per_step:
            raise UserError(f"{self.train_samples} training samples do not fill a step of {self.sequences_per_step}")

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain JSON values."""
        return dataclasses.asdict(self)


def quick(settings: StudySettings) -> StudySettings:
    """The same study so small that it takes two minutes and its numbers mean nothing."""
    return replace(
        settings,
        seeds=settings.seeds[:2],
        steps=12,
        sequences_per_step=4,
        num_samples=32,
        rates=settings.rates[:1],
        train_samples=48,
        validation_samples=8,
        test_samples=12,
        coarse_samples=4,
        nll_samples=64,
    )


def study_recipe(settings: StudySettings) -> Recipe:
    """The recipe whose data, split and augmentation the study's crops come from.

    Raises:
        ValueError: an unknown recipe, or crop settings out of their range.
    """
    base = load_recipe([settings.recipe])
    crop = replace(
        base.crop,
        output_size=settings.crop_size,
        search_area_factor=settings.search_area,
        centre_jitter_train=settings.centre_jitter,
        centre_jitter_test=settings.centre_jitter,
    )
    return replace(base, name="training_methods", crop=crop, precision=settings.precision, seed=settings.data_seed)


def network_path(settings: StudySettings) -> Path:
    """The file of the study's network.

    Raises:
        UserError: no network of that name, and no such file.
        CheckpointError: the file is no checkpoint.
    """
    given = Path(settings.network)
    path = given if given.suffix == ".safetensors" else network_file(settings.network)
    read_checkpoint(path)
    return path
