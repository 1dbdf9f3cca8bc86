"""Compositing: cut-outs placed over a background, frame by frame; their exact boxes and how much of them is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

_PROBES = 96
_WAVES = 3
_LONGEST_STREAK = 25


@dataclass(frozen=True)
class Sprite:
    """A cut-out (colours multiplied by alpha) at its largest appearance, and its placement in every frame.

    looks: uint8 [h, w, 4] each; look: [T], which of them a frame shows; placement: [T, 2, 3], its pixels to the canvas;
    gain: [T, 3], of its colours.
    """

    looks: tuple[np.ndarray, ...]
    look: np.ndarray
    placement: np.ndarray
    gain: np.ndarray

    def boxes(self) -> np.ndarray:
        """Tight boxes [T, 4] of the opaque pixels; see `outline_boxes`."""
        boxes = np.empty((len(self.look), 4), np.float32)
        for look in np.unique(self.look):
            frames = self.look == look
            boxes[frames] = outline_boxes(self.looks[look], self.placement[frames])
        return boxes


@dataclass(frozen=True)
class Plan:
    """Everything that decides a video's frames.

    canvas: (width, height) of the frames; background: uint8 [h, w, 3]; camera: [T, 2, 3], background to canvas; behind,
    target, before: what is drawn, in this order; light: [T, 3], gain of the colours; margins: [4], how much wider than
    the target its boxes are (left, top, right, bottom, in parts of their sides); motion_blur: part of a frame's motion;
    defocus: sigma in pixels; noise: deviation in levels; quality: of the JPEG coding, 0 without.
    """

    canvas: tuple[int, int]
    background: np.ndarray
    camera: np.ndarray
    behind: tuple[Sprite, ...]
    target: Sprite
    before: tuple[Sprite, ...]
    light: np.ndarray
    margins: np.ndarray
    motion_blur: float
    defocus: float
    noise: float
    quality: int
    noise_seed: int


def outline_boxes(rgba: np.ndarray, placement: np.ndarray) -> np.ndarray:
    """Tight boxes [T, 4] float32 of a cut-out's opaque pixels under affine placements [T, 2, 3].

    Coordinates are continuous: pixel (i, j) covers i..i+1, j..j+1.
    """
    opaque = rgba[..., 3] > 127
    rows, cols = np.nonzero(opaque)
    # Under an affine map the extremes lie on the outermost pixels of the rows.
    _, first = np.unique(rows, return_index=True)
    last = np.append(first[1:], len(rows)) - 1
    left, right, y = cols[first], cols[last] + 1, rows[first]
    corners = np.concatenate([np.stack((x, v), 1) for x in (left, right) for v in (y, y + 1)]).astype(float)
    moved = corners @ placement[:, :, :2].transpose(0, 2, 1) + placement[:, None, :, 2]
    low, high = moved.min(axis=1), moved.max(axis=1)
    return np.concatenate((low, high - low), axis=1).astype(np.float32)


def visible_share(target: Sprite, before: Sequence[Sprite], canvas: tuple[int, int]) -> np.ndarray:
    """Share [T] of the target's opaque pixels that lie in the canvas and under no occluder (probed at points)."""
    share = np.empty(len(target.look))
    for look in np.unique(target.look):
        frames = np.flatnonzero(target.look == look)
        rows, cols = np.nonzero(target.looks[look][..., 3] > 127)
        chosen = np.linspace(0, len(rows) - 1, min(_PROBES, len(rows))).astype(int)
        points = np.stack((cols[chosen] + 0.5, rows[chosen] + 0.5), axis=1)
        placement = target.placement[frames]
        moved = points @ placement[:, :, :2].transpose(0, 2, 1) + placement[:, None, :, 2]
        seen = ((moved >= 0) & (moved < np.array(canvas))).all(axis=-1)
        for sprite in before:
            for other in np.unique(sprite.look[frames]):
                at = sprite.look[frames] == other
                seen[at] &= ~_covers(sprite.looks[other], sprite.placement[frames[at]], moved[at])
        share[frames] = seen.mean(axis=1)
    return share


def _covers(rgba: np.ndarray, placement: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points [T, P, 2] of the canvas lie under a cut-out's opaque pixels, [T, P]."""
    inverse = np.linalg.inv(placement[:, :, :2])
    back = (points - placement[:, None, :, 2]) @ inverse.transpose(0, 2, 1)
    index = np.floor(back).astype(int)
    height, width = rgba.shape[:2]
    inside = (index >= 0).all(-1) & (index[..., 0] < width) & (index[..., 1] < height)
    alpha = rgba[index[..., 1].clip(0, height - 1), index[..., 0].clip(0, width - 1), 3]
    covered: np.ndarray = inside & (alpha > 127)
    return covered


def render(plan: Plan, frame: int) -> np.ndarray:
    """One frame of a plan, uint8 RGB [H, W, 3]."""
    width, height = plan.canvas
    image = cv2.warpAffine(
        plan.background,
        _opencv(plan.camera[frame]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if plan.motion_blur and frame:
        step = plan.camera[frame] - plan.camera[frame - 1]
        kernel = _streak(plan.motion_blur * (step @ np.array((*np.array(plan.background.shape[1::-1]) / 2, 1.0))))
        image = image if kernel is None else cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    for sprite in (*plan.behind, plan.target, *plan.before):
        _paste(image, sprite, frame, plan.motion_blur)
    if plan.defocus:
        image = cv2.GaussianBlur(image, (0, 0), plan.defocus)
    values = np.arange(256)[:, None] * plan.light[frame]
    image = cv2.LUT(image, np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(256, 1, 3))
    if plan.noise:
        rng = np.random.default_rng([plan.noise_seed, frame])
        tile = _noise_tile()
        row, col = rng.integers(tile.shape[0] - height), rng.integers(tile.shape[1] - width)
        grain = tile[row : row + height, col : col + width]
        image = cv2.addWeighted(image, 1.0, grain, plan.noise / 32, 0, dtype=cv2.CV_8U)
    if plan.quality:
        _, coded = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, plan.quality))
        image = cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return image


def _paste(image: np.ndarray, sprite: Sprite, frame: int, motion_blur: float) -> None:
    """Blend a cut-out into the image, in place."""
    matrix, rgba = sprite.placement[frame], sprite.looks[sprite.look[frame]]
    kernel = _streak(motion_blur * _velocity(sprite, frame)) if motion_blur and frame else None
    margin = 0 if kernel is None else len(kernel) // 2
    height, width = rgba.shape[:2]
    corners = np.array(((0, 0), (width, 0), (0, height), (width, height))) @ matrix[:, :2].T + matrix[:, 2]
    # The patch is wider than what is seen of it by the streak, which also brings in what lies beyond the image's edge.
    limit = np.array(image.shape[1::-1])
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1 - margin, -margin)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2 + margin, limit + margin)
    (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, limit)
    if x1 <= x0 or y1 <= y0:
        return
    moved = matrix.copy()
    moved[:, 2] -= low
    patch = cv2.warpAffine(rgba, _opencv(moved), tuple((high - low).tolist()), flags=cv2.INTER_LINEAR)
    if kernel is not None:
        patch = cv2.filter2D(patch, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    patch = patch[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]]
    alpha = patch[..., 3:].astype(np.float32) * (1 / 255)
    part = image[y0:y1, x0:x1]
    colour = patch[..., :3] * sprite.gain[frame].astype(np.float32)
    part[:] = np.clip(np.rint(part * (1 - alpha) + colour), 0, 255).astype(np.uint8)


def _velocity(sprite: Sprite, frame: int) -> np.ndarray:
    """How far the middle of a cut-out moves up to a frame, in pixels [2]."""
    now, before = (
        sprite.placement[t] @ np.array((*np.array(sprite.looks[sprite.look[t]].shape[1::-1]) / 2, 1.0))
        for t in (frame, frame - 1)
    )
    return np.asarray(now - before)


def _streak(velocity: np.ndarray) -> np.ndarray | None:
    """A kernel [n, n] that blurs along a velocity, in pixels a frame, about the middle; None where it is slow."""
    speed = float(np.hypot(*velocity))
    length = int(min(speed, _LONGEST_STREAK))
    if length < 2:
        return None
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    half = velocity / speed * middle
    start = (round(middle - half[0]), round(middle - half[1]))
    end = (round(middle + half[0]), round(middle + half[1]))
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()


def _opencv(matrix: np.ndarray) -> np.ndarray:
    """A map of continuous coordinates as OpenCV wants it, with pixel centres at integers."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    return shifted


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    return (32 * np.random.default_rng(0).standard_normal((700, 700, 3))).astype(np.int16)


def smooth_waves(
    rng: np.random.Generator, length: int, channels: int, amplitude: float, frequency: float
) -> np.ndarray:
    """Sums of three sine waves of random phase.

    Args:
        length: T frames.
        amplitude: largest value of the sum.
        frequency: highest, in waves a frame.

    Returns:
        [T, channels].
    """
    rates = rng.uniform(0.1, 1.0, (_WAVES, channels)) * frequency
    phases = rng.uniform(0, 2 * np.pi, (_WAVES, channels))
    shares = rng.dirichlet(np.ones(_WAVES), channels).T
    time = np.arange(length)[:, None, None]
    return amplitude * (shares * np.sin(2 * np.pi * rates * time + phases)).sum(axis=1)


def affine(
    size: tuple[int, int] | np.ndarray, centre: np.ndarray, zoom: np.ndarray, turn: np.ndarray, shear: np.ndarray
) -> np.ndarray:
    """Maps that put the middle of an image at a centre.

    Args:
        size: (width, height) of the image, or of a frame's each, [T, 2].
        centre: [T, 2] (x, y).
        zoom: [T, 2] along the image's axes, before the turn.
        turn: [T] radians.
        shear: [T], x moves by this much of y.

    Returns:
        [T, 2, 3], continuous image coordinates to continuous target coordinates.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), axis=-2)
    slant = np.zeros((len(turn), 2, 2))
    slant[:, 0, 0] = slant[:, 1, 1] = 1
    slant[:, 0, 1] = shear
    linear = rotation @ slant * zoom[:, None, :]
    middle = np.array(size) / 2
    return np.concatenate((linear, centre[..., None] - linear @ middle[..., None]), axis=2)
