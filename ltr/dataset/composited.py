"""Composited video: cut-outs moved over photographs along smooth random paths, with boxes that are exact.

A video is a pure function of (seed, index): its plan (who moves how) is drawn first, boxes follow from the plan alone,
and frames are rendered only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.compositing import Actor, Plan, outline_boxes, render, visible_share
from ltr.dataset.cutouts import Cutouts
from ltr.dataset.motion import affine, smooth_waves
from ltr.errors import UserError

_CANVASES = ((480, 360), (400, 300), (360, 360), (320, 420), (512, 288))
_BACKGROUND_LONGEST = 720
_VISIBLE_SHARE = 0.35
_DISTANCES = 48
_FAR = 1 << 19


@dataclass(frozen=True)
class CompositedSettings:
    """What happens in the videos; probabilities and amplitudes.

    Attributes:
        length: frames of a video.
        size: smallest and largest square root of the target's area, in pixels.
        distractors, occluders: most of them in a video; these occluders cross the target's way, mostly in passing.
        same_distractor: probability that a distractor is the target's twin.
        occlusion: probability of an occluder that stays in front of a part of the target for a while.
        cover: smallest and largest part of the target that it hides.
        blur, defocus, noise, compression: probabilities a video.
    """

    length: int = 48
    size: tuple[float, float] = (18.0, 150.0)
    distractors: int = 3
    occluders: int = 2
    same_distractor: float = 0.3
    occlusion: float = 0.3
    cover: tuple[float, float] = (0.25, 0.55)
    blur: float = 0.3
    defocus: float = 0.2
    noise: float = 0.3
    compression: float = 0.3


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
            raise UserError("composited video needs at least one cut-out")
        self.cutouts = cutouts
        self.backgrounds = list(backgrounds)
        self.sequences = sequences
        self.settings = settings or CompositedSettings()
        self.seed = seed
        self.name = name
        self._last: tuple[int, Plan] | None = None

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

    def _plan(self, index: int) -> Plan:
        # A sample asks for a video's boxes, then for its frames: the plan is kept in between.
        if self._last is None or self._last[0] != index:
            self._last = (index, self._draw_plan(index))
        return self._last[1]

    def _draw_plan(self, index: int) -> Plan:
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
        if rng.random() < options.occlusion:
            before = (*before, self._covering(rng, scale, target, target_path, canvas))
        background = self._background(rng, canvas)
        return Plan(
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
    ) -> Actor:
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
        return Actor(np.ascontiguousarray(rgba), placement, gain)

    def _other(self, rng: np.random.Generator, cutout: int, scale: float, canvas: tuple[int, int]) -> Actor:
        twin = rng.random() < self.settings.same_distractor
        which = cutout if twin else int(rng.integers(len(self.cutouts)))
        length = self.settings.length
        path = smooth_waves(rng, length, 2, rng.uniform(0.05, 0.5), 0.05) + rng.uniform(0, 1, 2)
        return self._actor(rng, which, scale * float(np.exp(rng.normal(0, 0.4))), path, canvas)

    def _crossing(
        self, rng: np.random.Generator, scale: float, target_path: np.ndarray, canvas: tuple[int, int]
    ) -> Actor:
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

    def _covering(
        self, rng: np.random.Generator, scale: float, target: Actor, target_path: np.ndarray, canvas: tuple[int, int]
    ) -> Actor:
        """An occluder that comes before the target, hides a part of it for a while, and leaves."""
        length = self.settings.length
        size = scale * float(rng.uniform(0.6, 1.3))
        start, held = rng.uniform(0, 0.6) * length, rng.uniform(0.2, 0.6) * length
        middle = int(min(start + held / 2, length - 1))
        follow = rng.uniform(0.6, 1.0)
        path = target_path[middle] + follow * (target_path - target_path[middle])
        occluder = self._actor(rng, int(rng.integers(len(self.cutouts))), size, path, canvas)
        angle = rng.uniform(0, 2 * np.pi) + smooth_waves(rng, length, 1, rng.uniform(0, 0.8), 0.03)[:, 0]
        ray = np.stack((np.cos(angle), np.sin(angle)), axis=1)
        cover = float(rng.uniform(*self.settings.cover))
        near = _distance(target, occluder, middle, ray[middle], cover, 1.2 * (scale + size))
        time = np.arange(length)
        away = np.maximum(start - time, 0) + np.maximum(time - start - held, 0)
        speed = rng.uniform(0.05, 0.25) * scale
        placement = occluder.placement.copy()
        placement[:, :, 2] += ray * (near + speed * away)[:, None]
        return replace(occluder, placement=placement)

    def _background(self, rng: np.random.Generator, canvas: tuple[int, int]) -> np.ndarray:
        if self.backgrounds and rng.random() < 0.95:
            photo = _read_background(self.backgrounds[rng.integers(len(self.backgrounds))])
            return photo[:, ::-1] if rng.random() < 0.5 else photo
        return _made_background(rng, canvas)


def _distance(target: Actor, occluder: Actor, frame: int, ray: np.ndarray, cover: float, farthest: float) -> float:
    """The largest distance along `ray` [2], in pixels, at which an occluder hides the part `cover` of the target."""
    distances = np.linspace(0, farthest, _DISTANCES)
    # Far inside a canvas without edges, so that only the occluder hides anything; distances in place of frames.
    tried = np.repeat(occluder.placement[frame : frame + 1], _DISTANCES, axis=0)
    tried[:, :, 2] += distances[:, None] * ray + _FAR
    still = np.repeat(target.placement[frame : frame + 1], _DISTANCES, axis=0)
    still[:, :, 2] += _FAR
    shares = visible_share(replace(target, placement=still), [replace(occluder, placement=tried)], (2 * _FAR, 2 * _FAR))
    enough = np.flatnonzero(1 - shares >= cover)
    return float(distances[enough[-1]]) if len(enough) else 0.0


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
