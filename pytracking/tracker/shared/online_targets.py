"""The frame that DiMP and ATOM share, for any number of targets at once: a target model finds each, a head refines it.

Source: docs/reference.md, section 4.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ltr.models.tracking.tracking_net import BOX_LAYERS, TrackingNet
from pytracking.backends import choose_backend
from pytracking.features.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    augment_first_frame,
    drop_feature_channels,
    expanded_size,
)
from pytracking.tracker.base import TargetErrors, TrackResult
from pytracking.tracker.inputs import as_image, check_first_box
from pytracking.tracker.shared.answers import Answers, Refinement, learning_rates, moved_to, starts_at, trail_after
from pytracking.tracker.shared.frame_pictures import Seen
from pytracking.tracker.shared.geometry import SampleFrame, TargetState
from pytracking.tracker.shared.localisation import (
    FLAGS,
    NOT_FOUND,
    Localisation,
    localise,
)
from pytracking.tracker.shared.memory import SampleMemory
from pytracking.tracker.shared.networks import device_of
from pytracking.tracker.shared.rows import Rows, Slots
from pytracking.tracker.shared.search import Search, Target, checked_images, crop_patch, cut_region, image_sizes
from pytracking.tracker.shared.settings import (
    LocalisationThresholds,
    RefinementParameters,
    TrackerParameters,
    changed_between_frames,
)

_MINIMUM_SIDE = 10

Network = TypeVar("Network", bound=TrackingNet)
Parameters = TypeVar("Parameters", bound=TrackerParameters)


class OnlineTargets(ABC, Generic[Network, Parameters]):
    """Tracks any number of targets, each by its slot, a number; they come and go at any time.

    The work of a frame is done for all targets in one batch on the device, which is waited for once, for the boxes. A
    subclass brings the target model: how it reads the backbone (`_classification_features`), learns from a first frame
    (`_learn_first`), scores a frame (`_score_maps`) and goes on learning (`_update_model`).

    Args:
        params: the tracker's parameters.
        network: with a box head `bb_regressor`, in eval mode; a copy of it is worked on.
        filter_size: side K of the target model's filter in cells.
        graphs: file of the network's graphs (`ltr.models.export`), for ONNX Runtime.

    Raises:
        UserError: a device or a back end that is not there.
        ValueError: the network is in training mode.
    """

    weights_sha256: str | None = None
    _feature_size: int

    def __init__(self, params: Parameters, network: Network, filter_size: int, graphs: Path | None = None) -> None:
        if network.training:
            raise ValueError("the network is in training mode; call its eval() first")
        self.params = params
        self.device = device_of(params.device)
        # A copy, laid out for speed, because the network that is given may be in use elsewhere.
        self.net = deepcopy(network).requires_grad_(False)
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.memory = SampleMemory(params.sample_memory_size, params.learning_rate, params.init_samples_minimum_weight)
        self._backend = choose_backend(
            params.backend,
            self.net,
            self.device,
            size=params.image_sample_size,
            precision=params.precision,
            graphs=graphs,
        )
        self._refinement = Refinement(self._backend.refiner, recorded=params.backend == "cuda_graphs")
        self._filter_size = filter_size
        self._targets: dict[int, Target] = {}
        self._modulation = (Rows(), Rows())
        self._last_slots: Slots | None = None
        self._pictures: Path | None = None
        self._last_scores: tuple[tuple[int, ...], Tensor] | None = None

    @abstractmethod
    def _classification_features(self, features: dict[str, Tensor]) -> Tensor:
        """What the target model sees, [n, C, F, F], of what the back end extracts."""

    @abstractmethod
    def _learn_first(self, slot: int, features: Tensor, boxes: Tensor, generator: torch.Generator | None) -> None:
        """Learn a target's model from first-frame features [n, C, F, F] and boxes [n, 4] in sample pixels."""

    @abstractmethod
    def _score_maps(self, slots: Slots, features: Tensor) -> Tensor:
        """Scores [N, H, W] of classification features [N, C, F, F], each target's by its own model."""

    @abstractmethod
    def _update_model(self, slots: Slots, hard_negative: bool) -> None:
        """Go on learning from the memory: after a hard negative, or as every `train_skipping` frames."""

    def _remembered(self, slots: Slots, features: Tensor) -> Tensor:
        """What the memory keeps of features [N, C, F, F] of the targets; asked only after `_learn_first`."""
        return features

    def __contains__(self, slot: int) -> bool:
        return slot in self._targets

    def __len__(self) -> int:
        return len(self._targets)

    def state(self, slot: int) -> TargetState:
        """A target after its last frame, arrays [1, ...] of numpy."""
        return self._targets[slot].state

    def remove(self, slot: int) -> None:
        """Forget a target; its slot is given to the next one. Raises `KeyError` for an unknown slot."""
        del self._targets[slot]

    @torch.no_grad()
    def add(
        self, image: np.ndarray, box: Sequence[float], slot: int | None = None, *, seed: int | None = None
    ) -> tuple[int, TrackResult]:
        """Learn a target from its first frame.

        Args:
            image: [H, W, 3] uint8 RGB.
            box: (x, y, w, h) in image pixels.
            slot: where to keep it, in place of what is there; None for a free slot.
            seed: Seed for the target's own generator where the parameters have none; None for torch's default one.

        Returns:
            Its slot and what there is to say of the first frame.

        Raises:
            ValueError: a bad image or box.
        """
        start = time.perf_counter()
        image = as_image(image)
        first_box = check_first_box(box, image)
        params = self.params
        if slot is None:
            slot = next(free for free in range(len(self._targets) + 1) if free not in self._targets)
        slots = Slots([slot], self.device)

        state = TargetState.from_box(first_box, params.search_area_scale, params.image_sample_size)
        base_size = state.size / state.scale[:, None]
        limits = [(_MINIMUM_SIDE / base_size).max(1), (image_sizes([image]) / base_size).min(1)]
        seed = seed if params.seed is None else params.seed
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        target = Target(state, base_size, np.stack(limits, axis=1), generator)

        samples, boxes = self._first_frame_samples(image, target)
        layers, features = self._extract(samples)
        dropped = drop_feature_channels(features[:1], self._augmentation, generator)
        features = torch.cat([features, dropped])
        boxes = torch.cat([boxes, boxes[:1].expand(len(dropped), -1)])
        self._feature_size = features.shape[-1]

        self._learn_first(slot, features, boxes, generator)
        self.memory.start(slot, self._remembered(slots, features), boxes.cpu().numpy())
        if params.use_iou_net:
            modulation = self.net.bb_regressor.get_modulation([layer[:1] for layer in layers], boxes[:1])
            for rows, vector in zip(self._modulation, modulation):
                rows.put(slot, vector[0])
        self._targets[slot] = target
        return slot, TrackResult(first_box, 1.0, "init", time.perf_counter() - start)

    @torch.no_grad()
    def track(self, images: Mapping[int, np.ndarray]) -> dict[int, TrackResult]:
        """Track targets in their next frames.

        Args:
            images: the image [H, W, 3] of each target, uint8 RGB, by its slot; targets that are left out wait.

        Returns:
            What there is to say of each; `time` is its share of what the batch took.

        Raises:
            KeyError: an unknown slot.
            TargetErrors: bad images, or score maps that are not finite; raised after all other targets were tracked.
        """
        start = time.perf_counter()
        good, errors = checked_images(images)
        results = self._track(good, errors, start) if good else {}
        if errors:
            raise TargetErrors(errors, results)
        return results

    def _track(
        self, images: Mapping[int, np.ndarray], errors: dict[int, ValueError], start: float
    ) -> dict[int, TrackResult]:
        """One frame of each target."""
        # What is not finite is told by an error of its own, and needs no warnings of numpy's.
        with self._backend.search(), np.errstate(all="ignore"):
            slots = self._slots(images)
            crops, search = self._crop(images)
            layers, features = self._extract(crops)
            scores = self._score_maps(slots, features)
            self._last_scores = slots.numbers, scores
            answers = self._answers(slots, self._localise(scores, search), layers, search)
            results = self._conclude(slots, answers, search.here, errors)
            self._remember(slots, features, answers, search)
            if self._pictures is not None:
                moved = moved_to(answers.peaks.cell, search.here, self.params)
                starts = starts_at(moved, search.here, self.params)
                boxes = search.here.frame.box_of(answers.target)
                begun, ended = (torch.from_numpy(each).to(self.device) for each in (starts, boxes))
                seen = Seen(crops, scores, begun, ended, answers.ascend)
                seen.write(self._pictures, slots.numbers, results, self.memory, self._targets, self.params)
        self._learn(slots, results)
        seconds = (time.perf_counter() - start) / len(images)
        return {slot: replace(result, time=seconds) for slot, result in results.items()}

    def debug_to(self, folder: str | Path | None) -> None:
        """Write a picture of every frame from now on (docs/tracker.md, "Looking inside"); None ends it.

        Args:
            folder: where `target0_0002.png` and on go, by slot and number of the frame.
        """
        self._pictures = None if folder is None else Path(folder).expanduser()

    def score_map(self, slot: int) -> np.ndarray | None:
        """The scores [H, W], float32, of a target's search region in the last frame; None where it was not tracked."""
        numbers, scores = self._last_scores or ((), None)
        return None if scores is None or slot not in numbers else scores[numbers.index(slot)].float().cpu().numpy()

    def change(self, **parameters: Any) -> None:
        """Change thresholds or refinement from the next frame on.

        Args:
            parameters: fields of `LocalisationThresholds` and `RefinementParameters` with their new values.

        Raises:
            UserError: another parameter, which is fixed when a tracker is made, or a value out of its range.
        """
        self.params = changed_between_frames(self.params, parameters, LocalisationThresholds, RefinementParameters)
        for target in self._targets.values():
            target.jitter = None

    @property
    def _augmentation(self) -> Augmentation:
        return self.params.augmentation if self.params.use_augmentation else NO_AUGMENTATION

    def _first_frame_samples(self, image: np.ndarray, target: Target) -> tuple[Tensor, Tensor]:
        """Augmented samples [n, 3, S, S] of the first frame and the target's box in each, [n, 4]."""
        params, size, state = self.params, self.params.image_sample_size, target.state
        centre = state.position.round()
        patch_size = expanded_size(size, params.augmentation_expansion_factor if params.use_augmentation else 1)
        # Whatever the border mode, the border is repeated here, so that the target stays at the patch's centre.
        side = float(state.scale[0] * patch_size)
        patch, _ = crop_patch(image, centre[0].tolist(), side, patch_size, "replicate", None)
        samples, shifts = augment_first_frame(
            patch.to(self.device), size, self._augmentation, params.random_shift_factor, target.generator
        )
        boxes = torch.from_numpy(SampleFrame(centre, state.scale, size).box_of(state)).to(self.device)
        boxes = boxes.repeat(len(samples), 1)
        boxes[:, :2] += shifts.flip(1)
        return samples, boxes

    def _slots(self, numbers: Iterable[int]) -> Slots:
        numbers = tuple(numbers)
        if self._last_slots is None or self._last_slots.numbers != numbers:
            self._last_slots = Slots(numbers, self.device)
        return self._last_slots

    def _crop(self, images: Mapping[int, np.ndarray]) -> tuple[Tensor, Search]:
        """The samples [N, 3, S, S] around the targets, and what their frames start from."""
        params, size = self.params, self.params.image_sample_size
        targets = [self._targets[slot] for slot in images]
        state = TargetState.from_rows(np.concatenate([target.state.rows() for target in targets]))
        # Where features and filter have sizes of different parity, the target is centred between two cells.
        offset = (self._feature_size + self._filter_size) % 2 * (size / (2 * self._feature_size))
        centres, sides = state.position + offset * state.scale[:, None], state.scale * size
        on_host = self.device.type == "cpu"
        patches, shown = zip(
            *(
                (crop_patch if on_host else cut_region)(
                    image, centre, side, size, params.border_mode, params.patch_max_scale_change
                )
                for image, centre, side in zip(images.values(), centres.tolist(), sides.tolist())
            )
        )
        frame = SampleFrame.from_coordinates(np.concatenate(shown), size)
        search = Search(
            state,
            frame,
            np.concatenate([target.base_size for target in targets]),
            np.concatenate([target.scale_limits for target in targets]),
            image_sizes(images.values()),
            np.concatenate([target.trail for target in targets]),
            np.stack([target.next_jitter(params) for target in targets]),
            self._score_side,
            self._feature_size,
        )
        if on_host:
            return torch.cat(patches), search
        search, samples = search.to(self.device, params, patches)
        return samples, search

    def _extract(self, samples: Tensor) -> tuple[list[Tensor], Tensor]:
        """The box head's layers and the classification features of samples [n, 3, S, S] in 0..255."""
        found = self._backend.extract(samples)
        return [found[name] for name in BOX_LAYERS], self._classification_features(found).contiguous()

    @property
    def _score_side(self) -> int:
        return self._feature_size + (self._filter_size + 1) % 2

    def _localise(self, scores: Tensor, search: Search) -> Localisation:
        given = scores if isinstance(search.frame.scale, Tensor) else scores.float().numpy()
        return localise(given, *search.in_cells(self.params.velocity_weight), self.params)

    def _answers(self, slots: Slots, found: Localisation, layers: list[Tensor], search: Search) -> Answers:
        """The targets at the peaks, with the boxes that the box head prefers, and the only wait for the device."""
        modulation = [rows[slots] for rows in self._modulation] if self.params.use_iou_net else []
        return self._refinement.answers(found, modulation, layers, search, self.params)

    def _remember(self, slots: Slots, features: Tensor, answers: Answers, search: Search) -> None:
        """Put the frame's samples into the memory, but for uncertain and lost targets."""
        if self.params.update_classifier:
            rates = learning_rates(answers.peaks.flag, self.params)
            boxes = search.here.frame.box_of(answers.target)
            self.memory.insert(slots, self._remembered(slots, features), boxes, rates, answers.peaks.teaches)

    def _conclude(
        self, slots: Slots, answers: Answers, search: Search, errors: dict[int, ValueError]
    ) -> dict[int, TrackResult]:
        """Take over what was found."""
        results, peaks = {}, answers.peaks
        said = zip(peaks.score.tolist(), peaks.flag.tolist(), peaks.finite.tolist())
        trails, states = trail_after(peaks, search, answers.target), answers.target.rows()
        rows = zip(slots.numbers, said, answers.target.boxes().tolist(), answers.uncertainty)
        for row, (slot, (score, flag, finite), (x, y, w, h), uncertainty) in enumerate(rows):
            target = self._targets[slot]
            target.frame_number += 1
            if not finite:
                errors[slot] = ValueError(
                    "the score map holds values that are not finite: the network's weights or its input are broken"
                )
                continue
            if flag != NOT_FOUND:
                target.state = TargetState.from_rows(states[row : row + 1])
                target.trail, target.jitter = trails[row : row + 1], None
            results[slot] = TrackResult((x, y, w, h), score, FLAGS[flag], 0.0, uncertainty)
        return results

    def _learn(self, slots: Slots, results: Mapping[int, TrackResult]) -> None:
        """Update the target models whose time it is, or who met a hard negative."""
        if not self.params.update_classifier:
            return
        due: dict[bool, list[int]] = {False: [], True: []}
        for slot, result in results.items():
            if result.flag in ("normal", "hard_negative"):
                hard_negative = result.flag == "hard_negative"
                if hard_negative or (self._targets[slot].frame_number - 1) % self.params.train_skipping == 0:
                    due[hard_negative].append(slot)
        for hard_negative, numbers in due.items():
            # A batch saves launches on a GPU; a CPU is as fast one by one, and needs no copy of the memory.
            together = [numbers] if self.device.type != "cpu" else [[slot] for slot in numbers]
            for some in together:
                if some:
                    self._update_model(Slots(some, self.device), hard_negative)
