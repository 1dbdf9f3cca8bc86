"""The study's settings, the paper's by default, its methods, and the paper's numbers beside them.

Source: docs/reference.md, section 9.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from experiments.common import METHODS as STUDIED
from experiments.common import NoiseSettings, check_positive, create_objective
from ltr.ebm.methods import Method
from ltr.errors import UserError, check_names


@dataclass(frozen=True)
class HeadSettings:
    """The energy head.

    Attributes:
        bins: Side of the pooled map: Precise RoI Pooling makes bins x bins values for each channel.
        hidden: Width of the two fully connected layers.
        class_agnostic: Whether one output serves all classes, for data that are too few for an output each.
    """

    bins: int = 7
    hidden: int = 1024
    class_agnostic: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """How a head is trained.

    Attributes:
        iterations, batch_size: Number of optimiser steps, and of images in a step.
        boxes_per_image: Largest number of annotated boxes that a step draws of an image; 0 takes all.
        optimiser: Name, 'sgd' or 'adam'.
        learning_rate: Learning rate, multiplied by `decay` at each iteration of `decay_at`.
        momentum: Momentum of SGD, the usual one; the paper does not give it.
        max_gradient_norm: Largest norm of the gradient; 0 does not clip.
        checkpoint_every: Number of iterations between training states on disk.
        log_every: Number of iterations between lines of the log.
    """

    iterations: int = 60_000
    batch_size: int = 16
    boxes_per_image: int = 0
    optimiser: str = "sgd"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: float = 0.1
    decay_at: tuple[int, ...] = (40_000, 50_000)
    max_gradient_norm: float = 0.0
    checkpoint_every: int = 1000
    log_every: int = 20

    def __post_init__(self) -> None:
        check_positive(self, ("iterations", "batch_size", "learning_rate", "checkpoint_every", "log_every"))
        check_names("optimiser", [self.optimiser], ("sgd", "adam"))


@dataclass(frozen=True)
class RefinementSettings:
    """Gradient ascent on the energy from every detection.

    Attributes:
        steps: Number of steps of the ascent.
        step_factor: Factor on the step of a box whose score falls.
        factors: Multiples of the method's own step (`STEPS`) that are tried on the tuning images; the
            best is kept. With one factor nothing is tuned.
        below: Score below which detections keep their boxes.
    """

    steps: int = 10
    step_factor: float = 0.5
    factors: tuple[float, ...] = (1.0,)
    below: float = 0.0


@dataclass(frozen=True)
class DetectorSettings:
    """The frozen part.

    Attributes:
        name: Name, 'fasterrcnn' (torchvision's R50-FPN) or 'lite0' (EfficientNet-Lite0's features and given boxes).
        weights: File of torchvision's own weights for 'fasterrcnn'; empty lets torchvision fetch COCO_V1.
        longest_side: Size in pixels to which 'lite0' scales images; 0 keeps theirs. 'fasterrcnn' has its own rule.
        cache: Whether every image's features are kept on disk, for small data only.
    """

    name: str = "fasterrcnn"
    weights: str = ""
    longest_side: int = 0
    cache: bool = False


@dataclass(frozen=True)
class DetectionSettings:
    """Everything that decides the study's results except its data.

    Attributes:
        methods: Keys of `METHODS`.
        seeds: Seeds for the head's first weights, the order of the images and the samples, the same for all methods.
    """

    methods: tuple[str, ...] = ("mlis", "mlmcmc1", "mlmcmc4", "mlmcmc8", "kldis", "nce", "dsm", "nceplus")
    seeds: tuple[int, ...] = (0,)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    refinement: RefinementSettings = field(default_factory=RefinementSettings)

    def __post_init__(self) -> None:
        check_names("method", self.methods, METHODS)
        if not self.methods or not self.seeds:
            raise UserError("methods and seeds must each name at least one")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)


# Those that the paper's detection study has, and the step (centre, size) of the ascent in relative space of each.
METHODS = {name: method for name, method in STUDIED.items() if method.paper}
STEPS = {name: (2.5e-5, 1e-4) if method.chain or name == "dsm" else (4e-4, 1.6e-3) for name, method in METHODS.items()}
STEPS["nceplus"] = (8e-4, 3.2e-3)


def create(name: str, noise: NoiseSettings) -> Method:
    """The training method of a row of the table, from `ltr.ebm`.

    Raises:
        ValueError: an unknown method, or settings out of their range.
    """
    check_names("method", [name], METHODS)
    return create_objective(METHODS[name].objective, noise, METHODS[name].chain)


# For a few hundred images on a CPU: a narrow head of one output, short training, and steps of the ascent that suit it.
SMALL = DetectionSettings(
    detector=DetectorSettings(name="lite0", longest_side=320, cache=True),
    head=HeadSettings(hidden=256, class_agnostic=True),
    noise=NoiseSettings(num_samples=24),
    training=TrainingSettings(
        iterations=250,
        batch_size=4,
        boxes_per_image=3,
        optimiser="adam",
        decay_at=(150, 210),
        max_gradient_norm=10.0,
        checkpoint_every=50,
        log_every=5,
    ),
    refinement=RefinementSettings(factors=tuple(4.0**k for k in range(-3, 5))),
)
# Shows that all works, in a minute; its numbers mean nothing.
QUICK = dataclasses.replace(
    SMALL,
    methods=("nceplus", "dsm"),
    noise=NoiseSettings(num_samples=8),
    detector=DetectorSettings(name="lite0", longest_side=128, cache=True),
    head=HeadSettings(hidden=32, class_agnostic=True),
    training=dataclasses.replace(SMALL.training, iterations=20, decay_at=(15,), checkpoint_every=10),
    refinement=RefinementSettings(steps=3, factors=(1.0, 16.0)),
)
PRESETS: dict[str, DetectionSettings] = {"paper": DetectionSettings(), "small": SMALL, "quick": QUICK}
