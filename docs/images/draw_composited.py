"""Draw docs/images/composited.jpg: composited video of shapes made here, with its boxes.

python docs/images/draw_composited.py
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from ltr.dataset.composited import CompositedSettings, CompositedVideo
from ltr.dataset.cutouts import CutoutSource

TARGET = Path(__file__).with_name("composited.jpg")
SEQUENCES = (16, 78, 99)
FRAMES = (0, 8, 16, 24, 32)
TILE = (240, 180)
SEEN, HIDDEN = (0, 230, 0), (230, 0, 0)


def shape(rng: np.random.Generator, size: int = 160) -> np.ndarray:
    """A star-like outline with stripes of two colours, uint8 BGRA [size, size, 4]."""
    corners = int(rng.integers(5, 11))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) + np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = size / 2 * rng.uniform(0.45, 0.95, corners)
    points = size / 2 + radii[:, None] * np.stack((np.cos(angles / 2), np.sin(angles / 2)), axis=1)
    alpha = cv2.fillPoly(np.zeros((size, size), np.uint8), [np.rint(points).astype(np.int32)], 255, cv2.LINE_AA)
    light, dark = rng.integers(90, 256, 3), rng.integers(0, 160, 3)
    stripes = (np.add.outer(np.arange(size), rng.integers(-2, 3) * np.arange(size)) // 14 % 2)[..., None]
    return np.dstack((np.where(stripes, light, dark).astype(np.uint8), alpha))


def landscape(rng: np.random.Generator, width: int = 640, height: int = 480) -> np.ndarray:
    """Ranges of hills under a sky, uint8 BGR [height, width, 3]."""
    ramp = np.linspace(0, 1, height)[:, None, None]
    image = np.repeat((1 - ramp) * rng.uniform(150, 230, 3) + ramp * rng.uniform(190, 250, 3), width, axis=1)
    across, down = np.arange(width), np.arange(height)[:, None]
    for depth in np.linspace(0.35, 0.8, 5):
        crest = sum(rng.uniform(5, 20) * np.sin(across / rng.uniform(20, 90) + rng.uniform(0, 6)) for _ in range(4))
        colour = rng.uniform(40, 170, 3) * (1.2 - depth)
        image = np.where((down > depth * height + crest)[..., None], colour, image)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def row(video: CompositedVideo, index: int) -> np.ndarray:
    """Frames of a video side by side, with their boxes: green where the target counts as visible, else red."""
    info = video.sequence_info(index)
    tiles = []
    for frame, image in zip(FRAMES, video.frames(index, FRAMES)):
        scale = min(TILE[0] / image.shape[1], TILE[1] / image.shape[0])
        tile = np.full((TILE[1], TILE[0], 3), 255, np.uint8)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y, w, h = np.rint(info.boxes[frame] * scale).astype(int).tolist()
        cv2.rectangle(small, (x, y), (x + w, y + h), SEEN if info.visible[frame] else HIDDEN, 2)
        left = (TILE[0] - small.shape[1]) // 2
        tile[: small.shape[0], left : left + small.shape[1]] = small[: TILE[1]]
        tiles.append(tile)
    return np.hstack(tiles)


def main() -> None:
    """Draw the picture."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k:02d}.png" for k in range(12)]
        for path in paths:
            cv2.imwrite(str(path), shape(rng))
        scenes = [Path(folder) / f"scene{k}.png" for k in range(6)]
        for scene in scenes:
            cv2.imwrite(str(scene), landscape(rng))
        settings = CompositedSettings(size=(50.0, 110.0))
        video = CompositedVideo(CutoutSource([((path, None),) for path in paths]), scenes, 100, settings)
        picture = np.vstack([row(video, index) for index in SEQUENCES])
    part = TARGET.with_name("composited.part.jpg")
    cv2.imwrite(str(part), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, 85))
    os.replace(part, TARGET)


if __name__ == "__main__":
    main()
