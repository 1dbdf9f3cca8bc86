"""The parameters that every online tracker has, and the checks of their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from ltr.actors.energy import PRECISIONS
from ltr.admin.inputs import Ranges, check_numbers, replace_fields
from ltr.errors import UserError, unknown_name
from pytracking.backends import BACKENDS
from pytracking.features.augmentation import Augmentation
from pytracking.tracker.shared.localisation import LocalisationThresholds
from pytracking.tracker.shared.refinement import RefinementParameters

_CHOICES = {
    "border_mode": ("replicate", "inside", "inside_major"),
    "box_refinement_space": ("relative", "absolute"),
    "precision": (*PRECISIONS, "int8"),
    "backend": BACKENDS,
}
# Far beyond what any tracker needs, and below what no memory holds or no one waits for.
_TINY, _MANY = 1e-6, 10_000
# What a box head's refinement has of `RefinementParameters`.
REFINEMENT_RANGES: Ranges = {
    "box_refinement_iter": (0, _MANY),
    "box_refinement_step_length": (0, 1e6),
    "box_refinement_step_decay": (0, 1e3),
    "num_init_random_boxes": (0, _MANY),
    "box_jitter_pos": (0, 1e3),
    "box_jitter_sz": (0, 1e3),
    "iounet_k": (1, _MANY),
    "maximal_aspect_ratio": (_TINY, 1e6),
    "uncertainty_temperature": (_TINY, 1e6),
}

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class TrackerParameters(LocalisationThresholds, RefinementParameters):
    """Settings of every online tracker; defaults: SuperDiMP and the energy trackers (docs/reference.md, section 4).

    Names follow the public parameter files; those of localisation and box refinement are documented in their classes.

    Attributes:
        net_name: name of the network in the package's or the user's collection.
        net_path: a checkpoint file, instead of `net_name`.
        device: 'cpu', 'cuda', ... or 'auto' for CUDA where there is one.
        precision: what the backbone computes in: 'fp32', 'bf16' or 'fp16', refused where the device is slower with it,
            or 'int8', for networks that have a graph in it.
        backend: what computes the networks: 'torch', 'compile' (torch.compile), 'cuda_graphs' (on an NVIDIA GPU),
            'onnx' (ONNX Runtime on the CPU), 'openvino', or 'auto' for ONNX Runtime where it is installed, the device
            is a CPU and the network has graphs for it (docs/speed.md).
        seed: seed for the tracker's own generator, set at `initialize`; None draws from torch's default generator.
        image_sample_size: side S of a sample in pixels.
        search_area_scale: side of the search area over the square root of the target's area.
        border_mode: how a crop treats the image's border: 'replicate', 'inside' or 'inside_major'.
        patch_max_scale_change: how far the 'inside' modes may shrink the search area.
        sample_memory_size: samples that the target model learns from at most.
        learning_rate: weight of a new sample.
        hard_negative_learning_rate: weight of a new sample with a hard negative in it.
        init_samples_minimum_weight: weight that the first-frame samples together keep.
        update_classifier: whether the target model learns after the first frame.
        train_skipping: the target model is optimised every so many frames.
        target_inside_ratio: part of the target that is kept inside the image.
        use_iou_net: whether the box head refines the box; without it the box keeps its aspect.
        use_augmentation: whether the first frame is augmented.
        augmentation: with what.
        augmentation_expansion_factor: side of the patch that augmented samples are cut from, over S.
        random_shift_factor: random shift of the flipped, blurred and rotated samples, over S; None for no shift.

    Raises:
        UserError: a value that is not one of its choices or out of its range.
    """

    RANGES: ClassVar[Ranges] = {
        **REFINEMENT_RANGES,
        "seed": (-(2**63), 2**63 - 1),
        "image_sample_size": (16, 4096),
        "search_area_scale": (0.1, 1000),
        "patch_max_scale_change": (1, 1000),
        "sample_memory_size": (1, _MANY),
        "learning_rate": (_TINY, 1 - _TINY),
        "hard_negative_learning_rate": (_TINY, 1 - _TINY),
        "init_samples_minimum_weight": (0, 1),
        "train_skipping": (1, 1e9),
        "target_inside_ratio": (0, 1),
        "augmentation_expansion_factor": (1, 100),
        "random_shift_factor": (0, 100),
        # With random weights, benchmarks take every peak for a target.
        "target_not_found_threshold": (-math.inf, math.inf),
        "target_neighborhood_scale": (0, 1e6),
        "displacement_scale": (0, 1e6),
        "displacement_sigma": (_TINY, 1e6),
    }

    net_name: str = "super_dimp"
    net_path: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    backend: str = "auto"
    seed: int | None = 0

    image_sample_size: int = 352
    search_area_scale: float = 6.0
    border_mode: str = "inside_major"
    patch_max_scale_change: float = 1.5

    sample_memory_size: int = 50
    learning_rate: float = 0.01
    hard_negative_learning_rate: float = 0.02
    init_samples_minimum_weight: float = 0.25
    update_classifier: bool = True
    train_skipping: int = 20

    target_inside_ratio: float = 0.2
    use_iou_net: bool = True

    use_augmentation: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    augmentation_expansion_factor: float = 2.0
    random_shift_factor: float | None = 1 / 3

    @property
    def has_energy(self) -> bool:
        """Whether the box head is an energy that is climbed in relative space, so that boxes have an uncertainty."""
        return self.use_iou_net and self.box_refinement_space == "relative"

    def __post_init__(self) -> None:
        check_choices(self, _CHOICES)
        check_numbers(self)
        if self.box_uncertainty and not self.has_energy:
            raise UserError(
                "parameter box_uncertainty needs an energy: a box head that refines in relative space. One that was "
                "trained to predict the IoU, which refines in absolute space, has no density"
            )


def check_choices(params: Any, choices: Mapping[str, Iterable[str]]) -> None:
    """Raise `UserError`, naming the nearest, where a parameter is none of its choices."""
    for name, known in choices.items():
        if getattr(params, name) not in known:
            raise unknown_name(f"value of parameter {name}", str(getattr(params, name)), known)


def changed_between_frames(params: Settings, changes: Mapping[str, Any], *parts: type) -> Settings:
    """Parameters with some fields replaced that a running tracker may change.

    Args:
        parts: dataclasses whose fields these are, such as `LocalisationThresholds`.

    Raises:
        UserError: another field, which is fixed when a tracker is made, or a value out of its range or of another type.
    """
    free = {one.name for part in parts for one in fields(part)}
    for name in changes:
        if name not in free:
            raise unknown_name("parameter that can be changed between frames", name, free)
    return replace_fields(params, changes)
