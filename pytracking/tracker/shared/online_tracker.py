"""The loop that DiMP and ATOM share: a target model finds the target, a box head refines its box.

Source: docs/reference.md, section 4.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from ltr.errors import UserError
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.tracking.tracking_net import BOX_LAYERS, TrackingNet
from pytracking.features.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    augment_first_frame,
    drop_feature_channels,
    expanded_size,
)
from pytracking.features.crops import crop_patch
from pytracking.tracker.base import TrackResult, check_first_box
from pytracking.tracker.shared.geometry import SampleFrame, TargetState
from pytracking.tracker.shared.localisation import Localisation, from_centre, localise
from pytracking.tracker.shared.memory import SampleMemory
from pytracking.tracker.shared.refinement import propose, refine
from pytracking.tracker.shared.settings import TrackerParameters

_MINIMUM_SIDE = 10

Network = TypeVar("Network", bound=TrackingNet)
Parameters = TypeVar("Parameters", bound=TrackerParameters)


class OnlineTracker(ABC, Generic[Network, Parameters]):
    """Tracks one target; see `pytracking.tracker.base.Tracker`.

    A subclass brings the target model: how it reads the backbone (`_classification_features`), how it learns from the
    first frame (`_learn_first`), scores a frame (`_score_map`) and goes on learning (`_update_model`).

    Args:
        params: the tracker's parameters.
        network: with a box head `bb_regressor`, in eval mode; the tracker works on a copy of it.
        filter_size: side K of the target model's filter in cells.

    Raises:
        UserError: a device that is not there.
        ValueError: the network is in training mode.
    """

    memory: SampleMemory
    weights_sha256: str | None = None
    _generator: torch.Generator | None
    _frame_number: int
    _base_size: np.ndarray
    _scale_limits: tuple[np.float32, np.float32]
    _feature_size: int
    _modulation: tuple[Tensor, Tensor]

    def __init__(self, params: Parameters, network: Network, filter_size: int) -> None:
        if network.training:
            raise ValueError("the network is in training mode; call its eval() first")
        self.params = params
        self._device = _device(params.device)
        # A copy, laid out for speed, because the network that is given may be in use elsewhere.
        self._net = deepcopy(network).requires_grad_(False)
        self._net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._net.feature_extractor.to(getattr(torch, params.feature_dtype))
        self._refiner = ClosedFormHead(self._box_head)
        self._filter_size = filter_size
        self._target: TargetState | None = None

    @abstractmethod
    def _classification_features(self, backbone: dict[str, Tensor]) -> Tensor:
        """What the target model sees, [n, C, F, F], of float32 backbone features by layer."""

    @abstractmethod
    def _learn_first(self, features: Tensor, boxes: Tensor) -> None:
        """Learn the target model from the first frame's features [n, C, F, F] and boxes [n, 4] in sample pixels."""

    @abstractmethod
    def _score_map(self, features: Tensor) -> np.ndarray:
        """Scores [H, W] of classification features [1, C, F, F]."""

    @abstractmethod
    def _update_model(self, hard_negative: bool) -> None:
        """Go on learning from the memory: after a hard negative, or as every `train_skipping` frames."""

    def _remembered(self, features: Tensor) -> Tensor:
        """What the memory keeps of classification features [n, C, F, F]; asked only after `_learn_first`."""
        return features

    @torch.no_grad()
    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Learn the target from the first frame. Raises `ValueError` for a bad image or box."""
        start = time.perf_counter()
        first_box = check_first_box(box, image)
        params = self.params
        self._generator = None if params.seed is None else torch.Generator().manual_seed(params.seed)
        self._frame_number = 1

        area = np.prod(np.array(first_box[2:], dtype=np.float32) * np.float32(params.search_area_scale))
        scale = np.float32(math.sqrt(area)) / np.float32(params.image_sample_size)
        target = TargetState.from_box(first_box, scale)
        self._base_size = target.size / scale
        self._scale_limits = (_MINIMUM_SIDE / self._base_size).max(), (_image_size(image) / self._base_size).min()

        samples, boxes = self._first_frame_samples(image, target)
        layers, features = self._extract(samples)
        dropped = drop_feature_channels(features[:1], self._augmentation, self._generator)
        features = torch.cat([features, dropped])
        boxes = torch.cat([boxes, boxes[:1].expand(len(dropped), -1)])
        self._feature_size = features.shape[-1]

        self._learn_first(features, boxes)
        self.memory = SampleMemory(
            self._remembered(features),
            boxes,
            params.sample_memory_size,
            params.learning_rate,
            params.init_samples_minimum_weight,
        )
        if params.use_iou_net:
            self._modulation = self._box_head.get_modulation([layer[:1] for layer in layers], boxes[:1])
        self._target = target
        return TrackResult(first_box, 1.0, "init", time.perf_counter() - start)

    @torch.no_grad()
    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        start = time.perf_counter()
        if self._target is None:
            raise RuntimeError("track() was called before initialize()")
        self._frame_number += 1

        sample, frame = self._search_sample(image, self._target)
        layers, features = self._extract(sample)
        scores = self._score_map(features)
        found = self._localise(scores, frame, self._target)

        if found.flag != "not_found":
            target = self._moved(self._target, found, scores.shape, frame, _image_size(image))
            if self.params.use_iou_net:
                target = self._refined(target, frame, layers)
            self._target = target
            if self.params.update_classifier and found.flag != "uncertain":
                self._learn(features, frame.box_of(target), hard_negative=found.flag == "hard_negative")
        return TrackResult(self._target.box(), found.score, found.flag, time.perf_counter() - start)

    @property
    def _box_head(self) -> BoxHead:
        return cast(BoxHead, self._net.bb_regressor)

    @property
    def _augmentation(self) -> Augmentation:
        return self.params.augmentation if self.params.use_augmentation else NO_AUGMENTATION

    def _first_frame_samples(self, image: np.ndarray, target: TargetState) -> tuple[Tensor, Tensor]:
        """Augmented samples [n, 3, S, S] of the first frame and the target's box in each, [n, 4]."""
        params, size = self.params, self.params.image_sample_size
        centre = np.round(target.position)
        patch_size = expanded_size(size, params.augmentation_expansion_factor if params.use_augmentation else 1)
        # Whatever the border mode, the border is repeated here, so that the target stays at the patch's centre.
        patch, _ = crop_patch(image, centre, target.scale * np.float32(patch_size), patch_size, "replicate", None)
        samples, shifts = augment_first_frame(
            patch.to(self._device), size, self._augmentation, params.random_shift_factor, self._generator
        )
        box = SampleFrame(centre, target.scale, size).box_of(target).to(self._device)
        boxes = box.repeat(len(samples), 1)
        boxes[:, :2] += shifts.flip(1)
        return samples, boxes

    def _search_sample(self, image: np.ndarray, target: TargetState) -> tuple[Tensor, SampleFrame]:
        """The sample [1, 3, S, S] around the target and its frame."""
        size = self.params.image_sample_size
        # Where features and filter have sizes of different parity, the target is centred between two cells.
        offset = (self._feature_size + self._filter_size) % 2 * np.float32(size / (2 * self._feature_size))
        patch, coordinates = crop_patch(
            image,
            target.position + offset * target.scale,
            target.scale * np.float32(size),
            size,
            self.params.border_mode,
            self.params.patch_max_scale_change,
        )
        return patch.to(self._device), SampleFrame.from_coordinates(coordinates, size)

    def _extract(self, samples: Tensor) -> tuple[list[Tensor], Tensor]:
        """The box head's layers and the classification features of samples [n, 3, S, S] in 0..255."""
        dtype = getattr(torch, self.params.feature_dtype)
        images = self._net.normalise(samples).to(dtype=dtype, memory_format=torch.channels_last)
        backbone = {name: feature.float() for name, feature in self._net.extract_backbone_features(images).items()}
        features = self._classification_features(backbone)
        return [backbone[name] for name in BOX_LAYERS], features.contiguous()

    def _pixels_per_cell(self, shape: tuple[int, ...]) -> np.ndarray:
        """Sample pixels [2] per cell of a score map of this shape."""
        cells = np.array(shape, dtype=np.float32) - (self._filter_size + 1) % 2
        return np.float32(self.params.image_sample_size) / cells

    def _localise(self, scores: np.ndarray, frame: SampleFrame, target: TargetState) -> Localisation:
        cell = self._pixels_per_cell(scores.shape) * frame.scale
        return localise(scores, (target.position - frame.position) / cell, target.size / cell, self.params)

    def _moved(
        self,
        target: TargetState,
        found: Localisation,
        shape: tuple[int, ...],
        frame: SampleFrame,
        image_size: np.ndarray,
    ) -> TargetState:
        """The target at the peak, kept in the image; without a box head the crop's scale is taken over too."""
        displacement = from_centre(found.cell, shape) * self._pixels_per_cell(shape) * frame.scale
        target = replace(target, position=frame.position + displacement)
        if not self.params.use_iou_net:
            scale = np.clip(frame.scale, *self._scale_limits)
            target = replace(target, scale=scale, size=self._base_size * scale)
        return target.moved_inside(image_size, self.params.target_inside_ratio)

    def _refined(self, target: TargetState, frame: SampleFrame, layers: list[Tensor]) -> TargetState:
        """The target with the box that the box head prefers; unchanged if no refined box is fair."""
        starts = propose(frame.box_of(target), self.params, self._generator)
        box = refine(partial(self._refiner.refine, self._modulation, layers), starts, self.params)
        return target if box is None else frame.state_of(box, self._base_size)

    def _learn(self, features: Tensor, box: Tensor, hard_negative: bool) -> None:
        """Remember this frame's sample, and update the target model when it is time."""
        params = self.params
        self.memory.insert(
            self._remembered(features), box, params.hard_negative_learning_rate if hard_negative else None
        )
        if hard_negative or (self._frame_number - 1) % params.train_skipping == 0:
            self._update_model(hard_negative)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"parameter device: '{name}' is no device; use 'auto', 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"parameter device is '{name}', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    return device


def _image_size(image: np.ndarray) -> np.ndarray:
    return np.array(image.shape[:2], dtype=np.float32)
