"""The OSTrack tracker: template and search crop go through one transformer, and a Hann window picks the target.

Where the network has an energy, the box that the centre head finds then climbs it.

Source: Ye et al., "Joint Feature Learning and Relation Modeling for Tracking: A One-Stream Framework", ECCV 2022,
section 3.3; docs/reference.md, section 10.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ltr.admin.inputs import Ranges, check_numbers
from ltr.errors import UserError
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.tracking.ostrack import EnergyOSTrack, OSTrack, OSTrackOutput, decode
from ltr.ops.square_crops import SquareCrop, square_crop
from pytracking.networks import checksum
from pytracking.tracker.base import Box, BoxUncertainty, TargetErrors, Tracker, TrackResult
from pytracking.tracker.inputs import as_image, check_first_box
from pytracking.tracker.shared.networks import checkpoint_of, device_of, load_tracking_network
from pytracking.tracker.shared.online_tracker import SingleTarget
from pytracking.tracker.shared.refinement import RefinementParameters, best_mean, climb, draw_jitter, propose
from pytracking.tracker.shared.settings import REFINEMENT_RANGES, changed_between_frames, check_choices
from pytracking.tracker.shared.uncertainty import ascent_rows, uncertainty_of

# Least side of a box, and how much of it stays in the image, in pixels.
_MARGIN = 10


@dataclass(frozen=True)
class OSTrackParameters(RefinementParameters):
    """Parameters of the OSTrack tracker; the crops' sizes are the network's.

    Those of box refinement are documented in their class.

    Attributes:
        net_name: name of the network in the package's or the user's collection.
        net_path: checkpoint file, instead of `net_name`.
        device: 'cpu', 'cuda', ... or 'auto' for CUDA where there is one.
        template_factor: side of the template crop over the square root of the target's area.
        search_factor: side of the search crop over it.
        candidate_elimination: drop search tokens that the template does not attend to; None as the network was built.
        use_iou_net: refine boxes by the network's energy; None where it has one.
        seed: seed for the refinement's starts, set at `initialize`; None draws from torch's default generator.
    """

    RANGES: ClassVar[Ranges] = {
        **REFINEMENT_RANGES,
        "template_factor": (0.1, 1000),
        "search_factor": (0.1, 1000),
        "seed": (-(2**63), 2**63 - 1),
    }

    net_name: str = "ostrack_256"
    net_path: str | None = None
    device: str = "auto"
    template_factor: float = 2.0
    search_factor: float = 4.0
    candidate_elimination: bool | None = None
    use_iou_net: bool | None = None
    seed: int | None = 0

    def __post_init__(self) -> None:
        check_choices(self, {"box_refinement_space": ("relative", "absolute")})
        check_numbers(self)
        if self.box_uncertainty and (self.box_refinement_space == "absolute" or self.use_iou_net is False):
            raise UserError("parameter box_uncertainty needs boxes that are refined by the energy, in relative space")


@dataclass
class _Target:
    """A target: its last box in the image, its template [1, 3, Z, Z], its box [1, 4] there, and what draws starts."""

    box: Box
    template: Tensor
    template_box: Tensor
    generator: torch.Generator | None


class OSTrackTargets:
    """Tracks any number of targets, each by its slot, a number; they come and go at any time.

    All targets of a frame go through the network in one batch. The template of a target's first frame is kept; there
    is no online learning and no re-detection, and `flag` is always 'normal'. `score` is the highest value of the score
    map, between 0 and 1.

    Raises:
        UserError: a device that is not there, or parameters that ask for what the network has not.
    """

    weights_sha256: str | None = None

    def __init__(self, params: OSTrackParameters, network: OSTrack) -> None:
        self.params = params
        self._device = device_of(params.device)
        self._net = network.to(self._device).eval()
        self._keep = 1.0 if params.candidate_elimination is False else None
        if params.candidate_elimination and not network.backbone.eliminates:
            raise UserError("candidate_elimination: this network was built without it")
        if (params.use_iou_net or params.box_uncertainty) and not isinstance(network, EnergyOSTrack):
            wish = "use_iou_net" if params.use_iou_net else "box_uncertainty (--uncertainty)"
            raise UserError(f"{wish}: this network has no energy that boxes could climb")
        self._refiner: ClosedFormHead | None = None
        if isinstance(network, EnergyOSTrack) and params.use_iou_net is not False:
            self._refiner = ClosedFormHead(network.bb_regressor)
        self._window = hann_window(network.backbone.search_cells).to(self._device)
        self._targets: dict[int, _Target] = {}

    def __contains__(self, slot: int) -> bool:
        return slot in self._targets

    def remove(self, slot: int) -> None:
        """Forget a target; its slot is given to the next one. Raises `KeyError` for an unknown slot."""
        del self._targets[slot]

    def change(self, **parameters: Any) -> None:
        """Change box refinement from the next frame on.

        Raises:
            UserError: another parameter, which is fixed when a tracker is made, or a value out of its range.
        """
        self.params = changed_between_frames(self.params, parameters, RefinementParameters)

    @torch.no_grad()
    def add(
        self, image: np.ndarray, box: Sequence[float], slot: int | None = None, *, seed: int | None = None
    ) -> tuple[int, TrackResult]:
        """Keep a target's template.

        Args:
            image: [H, W, 3] uint8 RGB.
            box: (x, y, w, h) in image pixels.
            slot: where to keep it, in place of what is there; None for a free slot.
            seed: seed for the refinement's starts, where the parameters have none.

        Returns:
            Its slot and what there is to say of the first frame.

        Raises:
            ValueError: a bad image or box.
        """
        start = time.perf_counter()
        image = as_image(image)
        first = check_first_box(box, image)
        crop = square_crop(image, first, self.params.template_factor, self._net.template_size)
        if slot is None:
            slot = next(free for free in range(len(self._targets) + 1) if free not in self._targets)
        seed = self.params.seed if seed is None or self.params.seed is not None else seed
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        place = torch.tensor([crop.of_image(first)], device=self._device)
        self._targets[slot] = _Target(first, self._tensor([crop]), place, generator)
        return slot, TrackResult(first, 1.0, "init", time.perf_counter() - start)

    @torch.no_grad()
    def track(self, images: Mapping[int, np.ndarray]) -> dict[int, TrackResult]:
        """Track targets in their next frames.

        Args:
            images: the image [H, W, 3] of each target, uint8 RGB, by its slot; targets that are left out wait.

        Returns:
            What there is to say of each; `time` is its share of what the batch took.

        Raises:
            KeyError: an unknown slot.
            TargetErrors: bad images, or maps that are not finite; raised after all other targets were tracked.
        """
        start = time.perf_counter()
        crops: dict[int, SquareCrop] = {}
        shapes: dict[int, Sequence[int]] = {}
        errors: dict[int, ValueError] = {}
        for slot, given in images.items():
            box = self._targets[slot].box
            try:
                image = as_image(given)
                crops[slot] = square_crop(image, box, self.params.search_factor, self._net.search_size)
                shapes[slot] = image.shape
            except ValueError as error:
                errors[slot] = error
        results = {}
        for slot, (box, score, doubt) in self._answers(crops).items() if crops else ():
            if not math.isfinite(score + sum(box)):
                errors[slot] = ValueError(
                    "the network's maps hold values that are not finite: its weights or its input are broken"
                )
                continue
            self._targets[slot].box = kept_inside(box, shapes[slot])
            seconds = (time.perf_counter() - start) / len(crops)
            results[slot] = TrackResult(self._targets[slot].box, score, "normal", seconds, doubt)
        if errors:
            raise TargetErrors(errors, results)
        return results

    def _tensor(self, crops: Iterable[SquareCrop]) -> Tensor:
        patches = torch.from_numpy(np.stack([crop.patch for crop in crops]))
        return self._net.normalise(patches.permute(0, 3, 1, 2).to(self._device))

    def _answers(self, crops: Mapping[int, SquareCrop]) -> dict[int, tuple[Box, float, BoxUncertainty | None]]:
        """Box in the image, score and uncertainty of each target, from the crop around its last box."""
        targets = [self._targets[slot] for slot in crops]
        # The template attends to the search image, so its tokens are computed each time.
        templates, searched = torch.cat([target.template for target in targets]), self._tensor(crops.values())
        centre = self._net.centre_token if self._keep is None and self._net.backbone.eliminates else None
        output: OSTrackOutput = self._net(templates, searched, centre, self._keep)
        found = decode(output.maps, self._window * output.maps.score).cpu().numpy()
        size = self._net.search_size
        boxes = [box_in_image(t.box, f, size, c.scale) for t, f, c in zip(targets, found, crops.values())]
        doubts: list[BoxUncertainty | None] = [None] * len(targets)
        if self._refiner is not None:
            boxes, doubts = self._refined(self._refiner, boxes, output, targets, list(crops.values()))
        scores = output.maps.score.flatten(1).amax(1).tolist()
        return dict(zip(crops, zip(boxes, scores, doubts)))

    def _refined(
        self,
        refiner: ClosedFormHead,
        boxes: Sequence[Box],
        output: OSTrackOutput,
        targets: Sequence[_Target],
        crops: Sequence[SquareCrop],
    ) -> tuple[list[Box], list[BoxUncertainty | None]]:
        """The boxes that the energy prefers near boxes in the image; a box itself if no refined one is fair.

        And how sure the refined ones are.
        """
        first = np.array([crop.of_image(box) for crop, box in zip(crops, boxes)], np.float32)
        jitter = torch.stack([draw_jitter(self.params, target.generator) for target in targets]).numpy()
        places = torch.cat([target.template_box for target in targets])
        modulation = refiner.head.get_modulation([output.features.template], places)
        ascend = partial(refiner.refine, modulation, [output.features.search])
        starts = propose(first, jitter, self.params)
        reached, energies = climb(ascend, starts, self.params)
        found, fair = best_mean(reached, energies, self.params)
        refined = [
            crop.in_image(place) if is_fair else box
            for crop, place, is_fair, box in zip(crops, found.tolist(), fair.tolist(), boxes)
        ]
        if self.params.box_uncertainty is False or self.params.box_refinement_space == "absolute":
            return refined, [None] * len(refined)
        rows = ascent_rows(starts, reached, fair, np.array([1 / crop.scale for crop in crops], np.float32))
        return refined, [uncertainty_of(row, box, self.params) for row, box in zip(rows, refined)]


def hann_window(cells: int) -> Tensor:
    """Window [1, 1, cells, cells] without zeros at its ends, not normalised."""
    index = torch.arange(1, cells + 1, dtype=torch.float32)
    row = 0.5 * (1 - torch.cos(2 * torch.pi / (cells + 1) * index))
    return (row[:, None] * row)[None, None]


def box_in_image(state: Box, found: np.ndarray, size: int, scale: float) -> Box:
    """The centre head's box in the image, by the public rule, which leaves out the rounding of the crop's corner.

    Args:
        state: box (x, y, w, h) that the search crop was cut around.
        found: (cx, cy, w, h) in parts of the crop, float32.
        size: side of the crop in its own pixels.
        scale: crop pixels per image pixel.
    """
    cx, cy, w, h = (float(value) for value in found * np.float32(size) / np.float32(scale))
    half = 0.5 * size / scale
    x = cx + (state[0] + 0.5 * state[2] - half) - 0.5 * w
    y = cy + (state[1] + 0.5 * state[3] - half) - 0.5 * h
    return x, y, w, h


def kept_inside(box: Box, image_shape: Sequence[int]) -> Box:
    """A box kept in an image of shape (H, W, ...), and at least the margin wide and high."""
    left, width = _clipped(box[0], box[2], image_shape[1])
    top, height = _clipped(box[1], box[3], image_shape[0])
    return left, top, width, height


def _clipped(low: float, extent: float, length: int) -> tuple[float, float]:
    """An interval kept in the image: (low, extent), at least the margin wide."""
    high = low + extent
    low = min(max(0.0, low), length - _MARGIN)
    high = min(max(_MARGIN, high), length)
    return low, max(_MARGIN, high - low)


class OSTrackTracker(SingleTarget[OSTrackTargets]):
    """Tracks one target; see `pytracking.tracker.base.Tracker`."""

    def __init__(self, params: OSTrackParameters, network: OSTrack) -> None:
        super().__init__(OSTrackTargets(params, network))


def create(params: OSTrackParameters) -> Tracker:
    """Create the tracker with the network that its parameters name. Raises `UserError` when there is none."""
    return SingleTarget(create_targets(params))


def create_targets(params: OSTrackParameters) -> OSTrackTargets:
    """The same for many targets at once."""
    path = checkpoint_of(params)
    targets = OSTrackTargets(params, load_tracking_network(path, OSTrack))
    targets.weights_sha256 = checksum(path)
    return targets
