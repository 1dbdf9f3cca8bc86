"""What a training recipe says: typed settings. A recipe file names what differs from its base."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ltr.admin.inputs import Ranges, check_numbers, parse_assignment, replace_fields
from ltr.admin.model_constructor import NetworkConstructor
from ltr.data.processing import CropSettings
from ltr.errors import UserError, check_names


@dataclass(frozen=True)
class DataSource:
    """A data set of the registry in `ltr.train_settings.sources`, and its share of the samples."""

    RANGES: ClassVar[Ranges] = {"weight": (0, 1e9)}

    name: str
    split: str
    weight: float = 1.0


@dataclass(frozen=True)
class DataSettings:
    """What is sampled.

    Attributes:
        train, validation: the data sets.
        samples_per_epoch, validation_samples: sequences drawn an epoch.
        least_frames, least_visible: frames of a video, all and visible ones, below which it is not sampled.
        least_still_side: width and height in pixels that an object of a still image must exceed to be sampled.
        max_gap: frames between the frames of a sample, before it grows because too few are visible.
        train_frames, test_frames: frames of a sample that the filter learns from and is judged on.
        sampling_mode: 'causal' (train frames before test frames) or 'interval' (all around the first train frame).
        hard_samples: path of a file of `experiments.hard_samples`, whose frames are drawn more often; none where empty.
        hard_share: share of the training samples that are made of them.
    """

    RANGES: ClassVar[Ranges] = {
        **dict.fromkeys(("samples_per_epoch", "validation_samples", "train_frames", "test_frames"), (1, 1e9)),
        **dict.fromkeys(("least_frames", "least_visible", "least_still_side", "max_gap"), (0, 1e9)),
        "hard_share": (0, 1),
    }

    train: tuple[DataSource, ...]
    validation: tuple[DataSource, ...]
    samples_per_epoch: int = 26000
    validation_samples: int = 5000
    least_frames: int = 2
    least_visible: int = 2
    least_still_side: float = 0
    max_gap: int = 30
    train_frames: int = 3
    test_frames: int = 3
    sampling_mode: str = "causal"
    hard_samples: str = ""
    hard_share: float = 0.25


@dataclass(frozen=True)
class BoxSettings:
    """How the box head is trained.

    Attributes:
        objective: a name of `ltr.ebm.methods.METHODS`, or 'iou' for IoU regression.
        arguments: settings of that method that differ from its defaults.
        weight: factor of the box loss in the total.
    """

    objective: str = "nceplus"
    arguments: dict[str, Any] = field(default_factory=dict)
    weight: float = 0.01


@dataclass(frozen=True)
class ClassifierSettings:
    """How the target classifier is trained (docs/reference.md, section 3).

    Attributes:
        label_sigma_factor: sigma of the Gaussian label in crops' sides, (1/4) / search area factor.
        loss: 'hinge' (DiMP: squared error, with a hinge where the label is low) or 'kl' (PrDiMP: KL divergence from
            the label as a density to the softmax of the scores).
        hinge_threshold: below this label, only positive scores cost.
        final_weight, initial_weight, iteration_weight: factors of the last filter's loss, the initial filter's, and
            the mean over those between.
        score_threshold: score below which the tracker says that the target is not found.
    """

    label_sigma_factor: float
    loss: str = "hinge"
    hinge_threshold: float = 0.05
    final_weight: float = 100.0
    initial_weight: float = 100.0
    iteration_weight: float = 400.0
    score_threshold: float = 0.25


@dataclass(frozen=True)
class OptimiserSettings:
    """Adam; with `weight_decay` AdamW.

    Attributes:
        learning_rates: parameter-name prefix -> rate; the longest prefix decides, a parameter without one is frozen.
        schedule: 'step' (x `decay` every `decay_epochs` epochs) or 'cosine' (to zero over all steps, with a warm-up).
        warmup_steps: linear warm-up, 'cosine' only.
        weight_decay: part of a weight, times the learning rate, that a step takes away.
        max_gradient_norm: clip the gradient's norm; 0 does not.
        ema_decay: decay a step of an exponential moving average of the weights, which validation and the network that
            comes out then use; 0 keeps none.
    """

    RANGES: ClassVar[Ranges] = {
        "learning_rates": (0, 1e6),
        "decay": (0, 1e3),
        "decay_epochs": (1, 1e9),
        "warmup_steps": (0, 1e9),
        "weight_decay": (0, 1),
        "max_gradient_norm": (0, 1e30),
        "ema_decay": (0, 1),
    }

    learning_rates: dict[str, float]
    schedule: str = "step"
    decay: float = 0.2
    decay_epochs: int = 15
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_gradient_norm: float = 0.0
    ema_decay: float = 0.0


@dataclass(frozen=True)
class Refinement:
    """How validation refines boxes: by the tracker's own rule, from jittered annotations.

    Source: docs/reference.md, section 4.

    Attributes:
        steps, step_length, decay, space, step_control: settings of the gradient ascent.
        starts: jittered boxes a test frame.
        centre_jitter, size_jitter: standard deviations of the starts, in parts of the box.
        top_k: the answer is the mean of the best-scored boxes.
    """

    RANGES: ClassVar[Ranges] = {
        "steps": (0, 10_000),
        **dict.fromkeys(("starts", "top_k"), (1, 10_000)),
        "step_length": (0, 1e6),
        **dict.fromkeys(("decay", "centre_jitter", "size_jitter"), (0, 1e3)),
    }

    steps: int = 10
    step_length: float | tuple[float, float] = 2.5e-3
    decay: float = 1.0
    space: str = "relative"
    step_control: bool = False
    starts: int = 10
    centre_jitter: float = 0.1
    size_jitter: float = 0.2
    top_k: int = 3


@dataclass(frozen=True)
class TrackingValidation:
    """Which sequences the half-trained network tracks between epochs.

    Attributes:
        interval: epochs between; 0 never tracks.
        tracker: name of the tracker.
        parameter: name of its parameters; the recipe's name where empty.
        dataset: an evaluation data set.
        sequences: names of its sequences; all of them where empty.
    """

    interval: int = 0
    tracker: str = "dimp"
    parameter: str = ""
    dataset: str = "demo"
    sequences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights that come out, the data's folder and the files that it names excepted.

    Attributes:
        batch_size: sequences of an optimiser step, over all processes.
        micro_batches: equal parts that a step's batch goes through the network in. They are shared by the processes and
            accumulated within one, so that the number of processes, which must divide them, decides nothing.
        batch_norm: statistics that trained parts use: 'batch' (those of a micro-batch), 'frozen' (the running ones,
            unchanged) or 'sync' (those of the micro-batches of all processes together; CUDA only).
        precision: 'fp32', 'bf16' or 'fp16' (autocast of backbone and box head; the target classifier, whose steps
            are small differences, and the losses stay float32).
        validation_interval: epochs between validations.
        best_metric, best_is: the validation metric, and 'highest' or 'lowest', by which the best network is kept.
        tracking: sequences that are tracked between epochs.
        box: None where the network has no box head.
        classifier: None where the network has none (ATOM, OSTrack).
        refinement: how validation refines boxes; its step suits the objective's scale.
        tracked_with: tracker parameters that differ from what training did, such as a larger search area.
        start: path of a network whose weights training starts from, of the same constructor, or without the box head;
            where empty, from the constructor's own.
        seed: seed for weights, data order, crops and box samples.
    """

    RANGES: ClassVar[Ranges] = {
        **dict.fromkeys(("epochs", "batch_size", "micro_batches", "validation_interval"), (1, 1e9)),
        "seed": (0, 2**62),
    }

    name: str
    network: NetworkConstructor
    data: DataSettings
    crop: CropSettings
    box: BoxSettings | None
    classifier: ClassifierSettings | None
    optimiser: OptimiserSettings
    epochs: int = 50
    batch_size: int = 20
    micro_batches: int = 1
    batch_norm: str = "batch"
    precision: str = "fp32"
    validation_interval: int = 1
    refinement: Refinement = Refinement()
    best_metric: str = "iou/refined"
    best_is: str = "highest"
    tracking: TrackingValidation = TrackingValidation()
    tracked_with: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.batch_size % self.micro_batches:
            raise UserError(f"micro_batches={self.micro_batches} does not divide batch_size={self.batch_size}")
        if self.batch_norm not in ("batch", "frozen", "sync"):
            raise UserError(f"batch_norm must be 'batch', 'frozen' or 'sync', not '{self.batch_norm}'")
        if self.best_is not in ("highest", "lowest"):
            raise UserError(f"best_is must be 'highest' or 'lowest', not '{self.best_is}'")

    def to_dict(self) -> dict[str, Any]:
        """The whole recipe as plain JSON values."""
        return dataclasses.asdict(self)

    def tracking_settings(self) -> dict[str, Any]:
        """What a tracker of the network is to set, by the names of its parameters; it travels with the network."""
        crop, refinement, classifier = self.crop, self.refinement, self.classifier
        settings: dict[str, Any] = {
            "image_sample_size": crop.output_size,
            "search_area_scale": crop.search_area_factor,
            "border_mode": crop.border,
            "patch_max_scale_change": crop.max_scale_change,
        }
        if crop.border == "black":
            # OSTrack's, whose crops have the sizes of its network.
            settings = {"template_factor": crop.template_area_factor, "search_factor": crop.search_area_factor}
        if self.box is not None:
            settings |= {
                "box_refinement_space": refinement.space,
                "box_refinement_iter": refinement.steps,
                "box_refinement_step_length": refinement.step_length,
                "box_refinement_step_decay": refinement.decay,
                "box_refinement_step_control": refinement.step_control,
                "iounet_k": refinement.top_k,
            }
        if classifier is not None:
            settings["target_not_found_threshold"] = classifier.score_threshold
            settings["score_preprocess"] = "softmax" if classifier.loss == "kl" else "none"
        return settings | self.tracked_with


def with_changes(settings: Any, assignments: list[str]) -> Any:
    """Apply `key.sub=value` assignments, as the command line's `--set` gives them.

    Args:
        settings: a `Recipe`, or any dataclass.
        assignments: such as `box.weight=0.1`, `epochs=2`; values as `parse_assignment` takes them.

    Raises:
        ValueError: for a malformed assignment or an unknown key (the nearest is named).
    """
    for assignment in assignments:
        key, value = parse_assignment(assignment)
        settings = _assign(settings, key.split("."), value)
    return settings


def _assign(settings: Any, keys: list[str], value: Any) -> Any:
    head, rest = keys[0], keys[1:]
    if isinstance(settings, dict):
        # Keys of learning_rates have dots of their own.
        return {**settings, ".".join(keys): value}
    check_names(f"setting of {type(settings).__name__}", [head], vars(settings))
    old = getattr(settings, head)
    if rest:
        if old is None:
            raise UserError(f"this {type(settings).__name__} has no {head}, so no '{'.'.join(rest)}' of it")
        if not (dataclasses.is_dataclass(old) or isinstance(old, dict)):
            raise UserError(f"'{head}' of {type(settings).__name__} is a plain value and has no '{'.'.join(rest)}'")
        return replace_fields(settings, {head: _assign(old, rest, value)})
    if dataclasses.is_dataclass(old) or isinstance(old, dict):
        raise UserError(f"'{head}' of {type(settings).__name__} is a group of settings: name one of them")
    return replace_fields(settings, {head: float(value) if type(old) is float and type(value) is int else value})
