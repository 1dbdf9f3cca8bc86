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
from ltr.dataset.coco import MaskCutouts
from ltr.dataset.compositing import Plan, Sprite, affine, render, smooth_waves, visible_share
from ltr.dataset.cutouts import CutoutSource, shrunk
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
        same_distractor, alike_distractor: probabilities that a distractor is the target's twin (the same object, in
            another pose where it moves, mirrored half the time), or an object that looks like it.
        company: probability that a distractor goes along with the target, beside it.
        occlusion: probability of an occluder that stays in front of a part of the target for a while.
        cover: smallest and largest part of the target that it hides.
        absence: probability that the target leaves the picture for a while.
        shake: probability of a shaking camera.
        loose: probability that all boxes of a video are wider than the target, by up to a fifth on each side.
        night: probability of a dark video.
        blur, defocus, noise, compression: probabilities a video.
    """

    length: int = 36
    size: tuple[float, float] = (10.0, 190.0)
    distractors: int = 4
    occluders: int = 2
    same_distractor: float = 0.3
    alike_distractor: float = 0.3
    company: float = 0.4
    occlusion: float = 0.3
    cover: tuple[float, float] = (0.25, 0.55)
    absence: float = 0.1
    shake: float = 0.25
    loose: float = 0.2
    night: float = 0.08
    blur: float = 0.35
    defocus: float = 0.2
    noise: float = 0.3
    compression: float = 0.3


class CompositedVideo:
    """Composited videos as a training data set.

    Args:
        cutouts: the objects.
        backgrounds: image files; where there are none, plain and textured ones are made.
        sequences: number of videos.
        settings: probabilities and amplitudes of what happens in them.
        seed: seed for everything that is random.

    Raises:
        ValueError: no cut-out.
    """

    is_video = True

    def __init__(
        self,
        cutouts: CutoutSource | MaskCutouts,
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
        """Boxes: the tight box of the moved outline (alpha > 1/2), occluded or not, not clipped to the image; wider
        by the same parts in all frames where the video's boxes are loose."""
        plan = self._plan(index)
        boxes = _widened(plan.target.boxes(), plan.margins)
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
        if rng.random() < options.absence:
            target_path = target_path + _excursion(rng, length)
        target = self._sprite(rng, cutout, scale, target_path, canvas)
        behind = tuple(
            self._other(rng, cutout, scale, target_path, canvas) for _ in range(rng.integers(options.distractors + 1))
        )
        before = tuple(
            self._crossing(rng, cutout, scale, target_path, canvas) for _ in range(rng.integers(options.occluders + 1))
        )
        if rng.random() < options.occlusion:
            before = (*before, self._covering(rng, scale, target, target_path, canvas))
        background = self._background(rng, canvas)
        shake = np.zeros((length, 2))
        if rng.random() < options.shake:
            # Jolts of a hand-held camera, in parts of the canvas.
            shake = smooth_waves(rng, length, 2, rng.uniform(0.005, 0.03), 0.3) * max(canvas)
        dark = float(rng.uniform(0.2, 0.5)) if rng.random() < options.night else 1.0
        return Plan(
            canvas=canvas,
            background=background,
            camera=_moved(_camera(rng, length, background.shape[:2], canvas), shake),
            behind=tuple(replace(sprite, placement=_moved(sprite.placement, shake)) for sprite in behind),
            target=replace(target, placement=_moved(target.placement, shake)),
            before=tuple(replace(sprite, placement=_moved(sprite.placement, shake)) for sprite in before),
            light=_light(rng, length) * dark,
            margins=rng.uniform(0, 0.2, 4) if rng.random() < options.loose else np.zeros(4),
            motion_blur=float(rng.uniform(0.3, 1.0)) if rng.random() < options.blur else 0.0,
            defocus=float(rng.uniform(0.4, 1.6)) if rng.random() < options.defocus else 0.0,
            noise=float(rng.uniform(2, 10)) if rng.random() < options.noise else 0.0,
            quality=int(rng.integers(25, 80)) if rng.random() < options.compression else 0,
            noise_seed=int(rng.integers(2**31)),
        )

    def _sprite(
        self, rng: np.random.Generator, cutout: int, scale: float, path: np.ndarray, canvas: tuple[int, int]
    ) -> Sprite:
        """Place a cut-out of mean size `scale` (pixels, square root of area) along `path` [T, 2] in canvas parts."""
        length = len(path)
        looks = self.cutouts[cutout]
        look = _playing(rng, len(looks), length)
        if rng.random() < 0.5:
            looks = tuple(rgba[:, ::-1] for rgba in looks)
        sizes = np.array([rgba.shape[1::-1] for rgba in looks])
        usual = float(np.sqrt(sizes[look].prod(axis=1)).mean())
        zoom = scale / usual * np.exp(smooth_waves(rng, length, 1, rng.uniform(0, 0.35), 0.04))[:, 0]
        aspect = np.exp(smooth_waves(rng, length, 1, rng.uniform(0, 0.18), 0.04))[:, 0]
        lean = rng.normal(0, 0.1)
        turn = lean + smooth_waves(rng, length, 1, rng.choice([0.05, 0.15, 0.5]), 0.03)[:, 0]
        shear = smooth_waves(rng, length, 1, rng.uniform(0, 0.15), 0.04)[:, 0]
        zooms = np.stack((zoom * aspect, zoom / aspect), 1)
        placement = affine(sizes[look], path * np.array(canvas), zooms, turn, shear)
        largest = float(zooms.max())
        shown = {int(k): looks[k] for k in np.unique(look)}
        if largest < 1:
            for k, rgba in shown.items():
                width, height = (max(round(side * largest), 2) for side in rgba.shape[1::-1])
                shown[k] = cv2.resize(rgba, (width, height), interpolation=cv2.INTER_AREA)
                placement[look == k, :, 0] *= rgba.shape[1] / width
                placement[look == k, :, 1] *= rgba.shape[0] / height
        tint = rng.uniform(0.85, 1.15, (1, 3))
        gain = tint * (1 + smooth_waves(rng, length, 1, rng.uniform(0, 0.15), 0.05))
        pictures = tuple(np.ascontiguousarray(rgba) for rgba in shown.values())
        return Sprite(pictures, np.searchsorted(list(shown), look), placement, gain)

    def _which(self, rng: np.random.Generator, cutout: int) -> int:
        """What a distractor or occluder shows: the target's twin, something that looks like it, or anything."""
        draw = rng.random()
        if draw < self.settings.same_distractor:
            return cutout
        if draw < self.settings.same_distractor + self.settings.alike_distractor:
            return self.cutouts.alike(cutout, rng)
        return int(rng.integers(len(self.cutouts)))

    def _other(
        self, rng: np.random.Generator, cutout: int, scale: float, target_path: np.ndarray, canvas: tuple[int, int]
    ) -> Sprite:
        """A distractor, which goes along with the target or its own way."""
        length = self.settings.length
        which = self._which(rng, cutout)
        if rng.random() < self.settings.company:
            angle = rng.uniform(0, 2 * np.pi)
            beside = rng.uniform(0.9, 2.5) * scale * np.array((np.cos(angle), np.sin(angle))) / np.array(canvas)
            path = target_path + beside + smooth_waves(rng, length, 2, rng.uniform(0, 1.0), 0.05) * scale / max(canvas)
            return self._sprite(rng, which, scale * float(np.exp(rng.normal(0, 0.15))), path, canvas)
        path = smooth_waves(rng, length, 2, rng.uniform(0.05, 0.5), 0.05) + rng.uniform(0, 1, 2)
        return self._sprite(rng, which, scale * float(np.exp(rng.normal(0, 0.4))), path, canvas)

    def _crossing(
        self, rng: np.random.Generator, cutout: int, scale: float, target_path: np.ndarray, canvas: tuple[int, int]
    ) -> Sprite:
        """An occluder, which may look like the target, that passes over it at some time, on a straight line."""
        length = self.settings.length
        when = rng.integers(length)
        angle = rng.uniform(0, 2 * np.pi)
        speed = rng.uniform(0.3, 1.5) * scale * np.array((np.cos(angle), np.sin(angle))) / 4 / np.array(canvas)
        offset = rng.normal(0, 0.25, 2) * scale / np.array(canvas)
        path = target_path[when] + offset + (np.arange(length)[:, None] - when) * speed
        return self._sprite(rng, self._which(rng, cutout), scale * float(rng.uniform(0.4, 1.0)), path, canvas)

    def _covering(
        self, rng: np.random.Generator, scale: float, target: Sprite, target_path: np.ndarray, canvas: tuple[int, int]
    ) -> Sprite:
        """An occluder that comes before the target, hides a part of it for a while, and leaves."""
        length = self.settings.length
        size = scale * float(rng.uniform(0.6, 1.3))
        start, held = rng.uniform(0, 0.6) * length, rng.uniform(0.2, 0.6) * length
        middle = int(min(start + held / 2, length - 1))
        follow = rng.uniform(0.6, 1.0)
        path = target_path[middle] + follow * (target_path - target_path[middle])
        occluder = self._sprite(rng, int(rng.integers(len(self.cutouts))), size, path, canvas)
        angle = rng.uniform(0, 2 * np.pi) + smooth_waves(rng, length, 1, rng.uniform(0, 0.8), 0.03)[:, 0]
        ray = np.stack((np.cos(angle), np.sin(angle)), axis=1)
        cover = float(rng.uniform(*self.settings.cover))
        near = _distance(target, occluder, middle, ray[middle], cover, 1.2 * (scale + size))
        time = np.arange(length)
        away = np.maximum(start - time, 0) + np.maximum(time - start - held, 0)
        speed = rng.uniform(0.05, 0.25) * scale
        return replace(occluder, placement=_moved(occluder.placement, ray * (near + speed * away)[:, None]))

    def _background(self, rng: np.random.Generator, canvas: tuple[int, int]) -> np.ndarray:
        if self.backgrounds and rng.random() < 0.95:
            photo = _read_background(self.backgrounds[rng.integers(len(self.backgrounds))])
            return photo[:, ::-1] if rng.random() < 0.5 else photo
        # A gradient with blotches of random colour.
        coarse = rng.integers(0, 256, (rng.integers(2, 24), rng.integers(2, 24), 3), dtype=np.uint8)
        return cv2.resize(coarse, canvas, interpolation=cv2.INTER_CUBIC)


def _distance(target: Sprite, occluder: Sprite, frame: int, ray: np.ndarray, cover: float, farthest: float) -> float:
    """The largest distance along `ray` [2], in pixels, at which an occluder hides the part `cover` of the target."""
    distances = np.linspace(0, farthest, _DISTANCES)
    # Far inside a canvas without edges, so that only the occluder hides anything; distances in place of frames.
    still, tried = (
        replace(
            sprite,
            look=np.repeat(sprite.look[frame], _DISTANCES),
            placement=_moved(np.repeat(sprite.placement[frame : frame + 1], _DISTANCES, axis=0), shift + _FAR),
        )
        for sprite, shift in ((target, np.zeros((_DISTANCES, 2))), (occluder, distances[:, None] * ray))
    )
    shares = visible_share(still, [tried], (2 * _FAR, 2 * _FAR))
    enough = np.flatnonzero(1 - shares >= cover)
    return float(distances[enough[-1]]) if len(enough) else 0.0


def _playing(rng: np.random.Generator, looks: int, length: int) -> np.ndarray:
    """Which look each frame shows [T]: forwards and backwards, from anywhere, at a speed of 1/2, 1 or 2 looks."""
    if looks == 1:
        return np.zeros(length, int)
    turn = 2 * looks - 2
    place = (rng.integers(turn) + np.arange(length) * rng.choice((0.5, 1.0, 1.0, 2.0))).astype(int) % turn
    return np.where(place < looks, place, turn - place)


def _excursion(rng: np.random.Generator, length: int) -> np.ndarray:
    """A way out of the picture and back, [T, 2] in canvas parts."""
    angle, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.25) * length
    time = (np.arange(length) - rng.uniform(0.3, 0.7) * length) / width
    return np.exp(-(time**2))[:, None] * np.array((np.cos(angle), np.sin(angle)))


def _moved(placement: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Maps [T, 2, 3] followed by shifts [T, 2]."""
    return np.concatenate((placement[:, :, :2], placement[:, :, 2:] + shift[:, :, None]), axis=2)


def _widened(boxes: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Boxes [T, 4] with margins [4] (left, top, right, bottom) added, in parts of their sides."""
    left_top, right_bottom = margins[:2] * boxes[:, 2:], margins[2:] * boxes[:, 2:]
    return np.hstack((boxes[:, :2] - left_top, boxes[:, 2:] + left_top + right_bottom)).astype(np.float32)


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


@lru_cache(maxsize=256)
def _read_background(path: Path) -> np.ndarray:
    image = read_image(path)
    return shrunk(image, _BACKGROUND_LONGEST / max(image.shape[:2]))
