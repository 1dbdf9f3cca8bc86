"""The OSTrack tracker: template and search crop go through one transformer, and a Hann window picks the target.

Where the network has an energy, the box that the centre head finds then climbs it.

Source: Ye et al., "Joint Feature Learning and Relation Modeling for Tracking: A One-Stream Framework", ECCV 2022,
section 3.3; docs/reference.md, section 10.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ltr.errors import UserError
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.tracking.ostrack import EnergyOSTrack, OSTrack, OSTrackOutput, decode
from ltr.ops.square_crops import SquareCrop, square_crop
from pytracking.networks import checksum
from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.tracker.inputs import as_image, check_first_box
from pytracking.tracker.shared.networks import checkpoint_of, device_of, load_tracking_network
from pytracking.tracker.shared.refinement import RefinementParameters, draw_jitter, propose, refine
from pytracking.tracker.shared.settings import check_at_least, check_choices, check_positive

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
        seed: of the refinement's starts, set at `initialize`; None draws from torch's default generator.
    """

    net_name: str = "ostrack_256"
    net_path: str | None = None
    device: str = "auto"
    template_factor: float = 2.0
    search_factor: float = 4.0
    candidate_elimination: bool | None = None
    use_iou_net: bool | None = None
    seed: int | None = 0

    def __post_init__(self) -> None:
        check_positive(self, ("template_factor", "search_factor", "maximal_aspect_ratio"))
        check_choices(self, {"box_refinement_space": ("relative", "absolute")})
        check_at_least(self, ("iounet_k",), 1)
        check_at_least(self, ("box_refinement_iter", "num_init_random_boxes"), 0)


class OSTrackTracker:
    """Tracks one target; see `pytracking.tracker.base.Tracker`.

    The template of the first frame is kept; there is no online learning and no re-detection, and `flag` is always
    'normal'. `score` is the highest value of the score map, between 0 and 1.
    """

    weights_sha256: str | None = None

    def __init__(self, params: OSTrackParameters, network: OSTrack) -> None:
        self.params = params
        self._device = device_of(params.device)
        self._net = network.to(self._device).eval()
        self._keep = 1.0 if params.candidate_elimination is False else None
        if params.candidate_elimination and not network.backbone.eliminates:
            raise UserError("candidate_elimination: this network was built without it")
        if params.use_iou_net and not isinstance(network, EnergyOSTrack):
            raise UserError("use_iou_net: this network has no energy that boxes could climb")
        self._refiner: ClosedFormHead | None = None
        if isinstance(network, EnergyOSTrack) and params.use_iou_net is not False:
            self._refiner = ClosedFormHead(network.bb_regressor)
        self._generator: torch.Generator | None = None
        self._window = hann_window(network.backbone.search_cells).to(self._device)
        self._template: Tensor | None = None
        self._template_box = torch.zeros(1, 4)
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    @torch.no_grad()
    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Keep the template. Raises `ValueError` for a bad image or box."""
        start = time.perf_counter()
        image = as_image(image)
        self._box = check_first_box(box, image)
        crop = square_crop(image, self._box, self.params.template_factor, self._net.template_size)
        self._template = self._tensor(crop)
        self._template_box = torch.tensor([crop.of_image(self._box)], device=self._device)
        self._generator = None if self.params.seed is None else torch.Generator().manual_seed(self.params.seed)
        return TrackResult(self._box, 1.0, "init", time.perf_counter() - start)

    @torch.no_grad()
    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        start = time.perf_counter()
        if self._template is None:
            raise RuntimeError("track() was called before initialize()")
        image = as_image(image)
        crop = square_crop(image, self._box, self.params.search_factor, self._net.search_size)
        output = self._locate(self._template, self._tensor(crop))
        found = decode(output.maps, self._window * output.maps.score)[0].cpu().numpy()
        box = box_in_image(self._box, found, self._net.search_size, crop.scale)
        if self._refiner is not None:
            box = self._refined(self._refiner, box, output, crop)
        self._box = kept_inside(box, image.shape)
        return TrackResult(self._box, float(output.maps.score.max()), "normal", time.perf_counter() - start)

    def _tensor(self, crop: SquareCrop) -> Tensor:
        return self._net.normalise(torch.from_numpy(crop.patch).permute(2, 0, 1)[None].to(self._device))

    def _refined(self, refiner: ClosedFormHead, box: Box, output: OSTrackOutput, crop: SquareCrop) -> Box:
        """The box that the energy prefers near a box in the image; the box itself if no refined one is fair."""
        start = torch.tensor([crop.of_image(box)])
        starts = propose(start, draw_jitter(self.params, self._generator)[None], self.params)
        modulation = refiner.head.get_modulation([output.features.template], self._template_box)
        ascend = partial(refiner.refine, modulation, [output.features.search])
        found, fair = refine(ascend, starts, self.params)
        return crop.in_image(found[0].tolist()) if fair[0] else box

    def _locate(self, template: Tensor, search: Tensor) -> OSTrackOutput:
        """The network's answer. The template attends to the search image, so its tokens are computed each time."""
        eliminates = self._keep is None and self._net.backbone.eliminates
        output: OSTrackOutput = self._net(template, search, self._net.centre_token if eliminates else None, self._keep)
        return output


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


def create(params: OSTrackParameters) -> Tracker:
    """Create the tracker with the network that its parameters name. Raises `UserError` when there is none."""
    path = checkpoint_of(params)
    tracker = OSTrackTracker(params, load_tracking_network(path, OSTrack))
    tracker.weights_sha256 = checksum(path)
    return tracker
