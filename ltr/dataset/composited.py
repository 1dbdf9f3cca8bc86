"""Composited video: cut-outs moved over photographs along smooth random paths, with boxes that are exact.

A video is a pure function of (seed, index): its plan (who moves how) is drawn first, boxes follow from the plan alone,
and frames are rendered only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.cutouts import Cutouts
from ltr.dataset.motion import affine, smooth_waves

_CANVASES = ((480, 360), (400, 300), (360, 360), (320, 420), (512, 288))
_BACKGROUND_LONGEST = 720
_VISIBLE_SHARE = 0.35
_PROBES = 96


@dataclass(frozen=True)
class CompositedSettings:
    """What happens in the videos; probabilities and amplitudes.

    Attributes:
        length: frames of a video.
        size: smallest and largest square root of the target's area, in pixels.
        distractors, occluders: most of them in a video.
        same_distractor: probability that a distractor is the target's twin.
        blur, defocus, noise, compression: probabilities a video.
    """

    length: int = 48
    size: tuple[float, float] = (18.0, 150.0)
    distractors: int = 3
    occluders: int = 2
    same_distractor: float = 0.3
    blur: float = 0.3
    defocus: float = 0.2
    noise: float = 0.3
    compression: float = 0.3


@dataclass(frozen=True)
class _Actor:
    """A cut-out (colours multiplied by alpha) at its largest appearance, and its placement in every frame.

    rgba: uint8 [h, w, 4]; placement: [T, 2, 3], its pixels to the canvas; gain: [T, 3], of its colours.
    """

    rgba: np.ndarray
    placement: np.ndarray
    gain: np.ndarray


@dataclass(frozen=True)
class _Plan:
    canvas: tuple[int, int]
    background: np.ndarray
    camera: np.ndarray
    behind: tuple[_Actor, ...]
    target: _Actor
    before: tuple[_Actor, ...]
    light: np.ndarray
    motion_blur: float
    defocus: float
    noise: float
    quality: int
    noise_seed: int


class CompositedVideo:
    """Composited videos as a training data set.

    Args:
        cutouts: the objects.
        backgrounds: image files; where there are none, plain and textured ones are made.
        sequences: number of videos.
        settings: what happens in them.
        seed: of all randomness.

    Raises:
        ValueError: no cut-out.
    """

    is_video = True

    def __init__(
        self,
        cutouts: Cutouts,
        backgrounds: Sequence[Path],
        sequences: int,
        settings: CompositedSettings | None = None,
        seed: int = 0,
        name: str = "composited",
    ) -> None:
        if not len(cutouts):
            raise ValueError("composited video needs at least one cut-out")
        self.cutouts = cutouts
        self.backgrounds = list(backgrounds)
        self.sequences = sequences
        self.settings = settings or CompositedSettings()
        self.seed = seed
        self.name = name
        self._last: tuple[int, _Plan] | None = None

    def __len__(self) -> int:
        return self.sequences

    def sequence_name(self, index: int) -> str:
        """Seed and number of the video, which are all that is needed to make it again."""
        return f"seed{self.seed}_{index}"

    def sequence_info(self, index: int) -> SequenceInfo:
        """Boxes: the tight box of the moved outline (alpha > 1/2), occluded or not, not clipped to the image."""
        plan = self._plan(index)
        boxes = outline_boxes(plan.target.rgba, plan.target.placement)
        share = visible_share(plan.target, plan.before, plan.canvas)
        valid = np.ones(len(boxes), dtype=bool)
        return SequenceInfo(boxes, valid, share > _VISIBLE_SHARE)

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 RGB [H, W, 3], rendered now."""
        plan = self._plan(index)
        return [render(plan, int(frame)) for frame in frame_ids]

    def _plan(self, index: int) -> _Plan:
        # A sample asks for a video's boxes, then for its frames: the plan is kept in between.
        if self._last is None or self._last[0] != index:
            self._last = (index, self._draw_plan(index))
        return self._last[1]

    def _draw_plan(self, index: int) -> _Plan:
        rng = np.random.default_rng([self.seed, index])
        options = self.settings
        length = options.length
        canvas = _CANVASES[rng.integers(len(_CANVASES))]
        cutout = int(rng.integers(len(self.cutouts)))
        scale = float(np.exp(rng.uniform(*np.log(options.size))))
        target_path = smooth_waves(rng, length, 2, rng.uniform(0.02, 0.35), 0.06) + rng.uniform(0.3, 0.7, 2)
        target = self._actor(rng, cutout, scale, target_path, canvas)
        behind = tuple(self._other(rng, cutout, scale, canvas) for _ in range(rng.integers(options.distractors + 1)))
        before = tuple(
            self._crossing(rng, scale, target_path, canvas) for _ in range(rng.integers(options.occluders + 1))
        )
        background = self._background(rng, canvas)
        return _Plan(
            canvas=canvas,
            background=background,
            camera=_camera(rng, length, background.shape[:2], canvas),
            behind=behind,
            target=target,
            before=before,
            light=_light(rng, length),
            motion_blur=float(rng.uniform(0.3, 1.0)) if rng.random() < options.blur else 0.0,
            defocus=float(rng.uniform(0.4, 1.6)) if rng.random() < options.defocus else 0.0,
            noise=float(rng.uniform(2, 10)) if rng.random() < options.noise else 0.0,
            quality=int(rng.integers(25, 80)) if rng.random() < options.compression else 0,
            noise_seed=int(rng.integers(2**31)),
        )

    def _actor(
        self, rng: np.random.Generator, cutout: int, scale: float, path: np.ndarray, canvas: tuple[int, int]
    ) -> _Actor:
        """Place a cut-out of mean size `scale` (pixels, square root of area) along `path` [T, 2] in canvas parts."""
        length = len(path)
        rgba = self.cutouts[cutout]
        height, width = rgba.shape[:2]
        if rng.random() < 0.5:
            rgba = rgba[:, ::-1]
        zoom = scale / np.sqrt(width * height) * np.exp(smooth_waves(rng, length, 1, rng.uniform(0, 0.35), 0.04))[:, 0]
        aspect = np.exp(smooth_waves(rng, length, 1, rng.uniform(0, 0.18), 0.04))[:, 0]
        lean = rng.normal(0, 0.1)
        turn = lean + smooth_waves(rng, length, 1, rng.choice([0.05, 0.15, 0.5]), 0.03)[:, 0]
        shear = smooth_waves(rng, length, 1, rng.uniform(0, 0.15), 0.04)[:, 0]
        placement = affine(
            (width, height), path * np.array(canvas), np.stack((zoom * aspect, zoom / aspect), 1), turn, shear
        )
        largest = float(max((zoom * aspect).max(), (zoom / aspect).max()))
        if largest < 1:
            size = (max(round(width * largest), 2), max(round(height * largest), 2))
            rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
            placement[:, :, 0] *= width / size[0]
            placement[:, :, 1] *= height / size[1]
        tint = rng.uniform(0.85, 1.15, (1, 3))
        gain = tint * (1 + smooth_waves(rng, length, 1, rng.uniform(0, 0.15), 0.05))
        return _Actor(np.ascontiguousarray(rgba), placement, gain)

    def _other(self, rng: np.random.Generator, cutout: int, scale: float, canvas: tuple[int, int]) -> _Actor:
        twin = rng.random() < self.settings.same_distractor
        which = cutout if twin else int(rng.integers(len(self.cutouts)))
        length = self.settings.length
        path = smooth_waves(rng, length, 2, rng.uniform(0.05, 0.5), 0.05) + rng.uniform(0, 1, 2)
        return self._actor(rng, which, scale * float(np.exp(rng.normal(0, 0.4))), path, canvas)

    def _crossing(
        self, rng: np.random.Generator, scale: float, target_path: np.ndarray, canvas: tuple[int, int]
    ) -> _Actor:
        """An occluder that passes over the target at some time, on a straight line."""
        length = self.settings.length
        when = rng.integers(length)
        angle = rng.uniform(0, 2 * np.pi)
        speed = rng.uniform(0.3, 1.5) * scale * np.array((np.cos(angle), np.sin(angle))) / 4 / np.array(canvas)
        offset = rng.normal(0, 0.25, 2) * scale / np.array(canvas)
        path = target_path[when] + offset + (np.arange(length)[:, None] - when) * speed
        return self._actor(
            rng, int(rng.integers(len(self.cutouts))), scale * float(rng.uniform(0.4, 0.9)), path, canvas
        )

    def _background(self, rng: np.random.Generator, canvas: tuple[int, int]) -> np.ndarray:
        if self.backgrounds and rng.random() < 0.95:
            photo = _read_background(self.backgrounds[rng.integers(len(self.backgrounds))])
            return photo[:, ::-1] if rng.random() < 0.5 else photo
        return _made_background(rng, canvas)


def outline_boxes(rgba: np.ndarray, placement: np.ndarray) -> np.ndarray:
    """Tight boxes [T, 4] float32 of a cut-out's opaque pixels under affine placements [T, 2, 3].

    Coordinates are continuous: pixel (i, j) covers i..i+1, j..j+1.
    """
    opaque = rgba[..., 3] > 127
    rows, cols = np.nonzero(opaque)
    # Under an affine map the extremes lie on the outermost pixels of the rows.
    order = np.unique(rows, return_index=True)
    first = order[1]
    last = np.append(first[1:], len(rows)) - 1
    left, right, y = cols[first], cols[last] + 1, rows[first]
    corners = np.concatenate([np.stack((x, v), 1) for x in (left, right) for v in (y, y + 1)]).astype(float)
    moved = corners @ placement[:, :, :2].transpose(0, 2, 1) + placement[:, None, :, 2]
    low, high = moved.min(axis=1), moved.max(axis=1)
    return np.concatenate((low, high - low), axis=1).astype(np.float32)


def visible_share(target: _Actor, before: Sequence[_Actor], canvas: tuple[int, int]) -> np.ndarray:
    """Share [T] of the target's opaque pixels that lie in the canvas and under no occluder (probed at points)."""
    rows, cols = np.nonzero(target.rgba[..., 3] > 127)
    chosen = np.linspace(0, len(rows) - 1, min(_PROBES, len(rows))).astype(int)
    points = np.stack((cols[chosen] + 0.5, rows[chosen] + 0.5), axis=1)
    moved = points @ target.placement[:, :, :2].transpose(0, 2, 1) + target.placement[:, None, :, 2]
    seen = ((moved >= 0) & (moved < np.array(canvas))).all(axis=-1)
    for actor in before:
        inverse = np.linalg.inv(actor.placement[:, :, :2])
        back = (moved - actor.placement[:, None, :, 2]) @ inverse.transpose(0, 2, 1)
        index = np.floor(back).astype(int)
        height, width = actor.rgba.shape[:2]
        inside = (index >= 0).all(-1) & (index[..., 0] < width) & (index[..., 1] < height)
        alpha = actor.rgba[index[..., 1].clip(0, height - 1), index[..., 0].clip(0, width - 1), 3]
        seen &= ~(inside & (alpha > 127))
    return seen.mean(axis=1)


def render(plan: _Plan, frame: int) -> np.ndarray:
    """One frame of a plan, uint8 RGB [H, W, 3]."""
    width, height = plan.canvas
    image = cv2.warpAffine(
        plan.background,
        _opencv(plan.camera[frame]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    for actor in (*plan.behind, plan.target, *plan.before):
        _paste(image, actor, frame, plan.motion_blur)
    if plan.defocus:
        image = cv2.GaussianBlur(image, (0, 0), plan.defocus)
    values = np.arange(256)[:, None] * plan.light[frame]
    image = cv2.LUT(image, np.clip(values, 0, 255).astype(np.uint8).reshape(256, 1, 3))
    if plan.noise:
        rng = np.random.default_rng([plan.noise_seed, frame])
        tile = _noise_tile()
        row, col = rng.integers(tile.shape[0] - height), rng.integers(tile.shape[1] - width)
        grain = tile[row : row + height, col : col + width]
        image = cv2.addWeighted(image, 1.0, grain, plan.noise / 32, 0, dtype=cv2.CV_8U)
    if plan.quality:
        _, coded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, plan.quality))
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return image


def _paste(image: np.ndarray, actor: _Actor, frame: int, motion_blur: float) -> None:
    """Blend a cut-out into the image, in place."""
    matrix = actor.placement[frame]
    height, width = actor.rgba.shape[:2]
    corners = np.array(((0, 0), (width, 0), (0, height), (width, height))) @ matrix[:, :2].T + matrix[:, 2]
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, image.shape[1::-1])
    if x1 <= x0 or y1 <= y0:
        return
    moved = matrix.copy()
    moved[:, 2] -= (x0, y0)
    patch = cv2.warpAffine(actor.rgba, _opencv(moved), (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
    if motion_blur and frame:
        patch = _streak(patch, motion_blur * (matrix[:, 2] - actor.placement[frame - 1, :, 2]))
    alpha = patch[..., 3:].astype(np.float32) * (1 / 255)
    part = image[y0:y1, x0:x1]
    colour = patch[..., :3] * actor.gain[frame].astype(np.float32)
    part[:] = np.clip(part * (1 - alpha) + colour, 0, 255).astype(np.uint8)


def _streak(patch: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Blur along a velocity, in pixels a frame; the object's middle stays where it is."""
    length = int(np.clip(np.hypot(*velocity), 0, 15))
    if length < 2:
        return patch
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    half = velocity / np.hypot(*velocity) * (size // 2)
    middle = size // 2
    start = (round(middle - half[0]), round(middle - half[1]))
    end = (round(middle + half[0]), round(middle + half[1]))
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(patch, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _opencv(matrix: np.ndarray) -> np.ndarray:
    """A map of continuous coordinates as OpenCV wants it, with pixel centres at integers."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    return shifted


def _camera(rng: np.random.Generator, length: int, background: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Pan and zoom of the background: [T, 2, 3], background to canvas."""
    width, height = canvas
    fill = max(width / background[1], height / background[0])
    zoom = fill * rng.uniform(1.02, 1.6) * np.exp(smooth_waves(rng, length, 1, rng.uniform(0, 0.1), 0.03))
    zoom = np.maximum(zoom, fill)[:, 0]
    turn = smooth_waves(rng, length, 1, rng.choice([0.0, 0.0, 0.04]), 0.03)[:, 0]
    sway = smooth_waves(rng, length, 2, rng.uniform(0, 0.15), 0.04) + rng.uniform(-0.1, 0.1, 2)
    slack = np.stack((zoom * background[1] - width, zoom * background[0] - height), axis=1) / 2
    centre = np.array(canvas) / 2 + np.clip(sway * np.array(canvas), -slack, slack)
    return affine(background[::-1], centre, np.stack((zoom, zoom), 1), turn, np.zeros(length))


def _light(rng: np.random.Generator, length: int) -> np.ndarray:
    """Gain of every channel and frame, [T, 3]."""
    tint = rng.uniform(0.92, 1.08, (1, 3))
    return rng.uniform(0.7, 1.15) * tint * (1 + smooth_waves(rng, length, 1, rng.uniform(0, 0.25), 0.04))


def _made_background(rng: np.random.Generator, canvas: tuple[int, int]) -> np.ndarray:
    """A gradient with blotches of random colour."""
    coarse = rng.integers(0, 256, (rng.integers(2, 24), rng.integers(2, 24), 3), dtype=np.uint8)
    return cv2.resize(coarse, canvas, interpolation=cv2.INTER_CUBIC)


@lru_cache(maxsize=256)
def _read_background(path: Path) -> np.ndarray:
    image = read_image(path)
    scale = _BACKGROUND_LONGEST / max(image.shape[:2])
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    return (32 * np.random.default_rng(0).standard_normal((700, 700, 3))).astype(np.int16)
