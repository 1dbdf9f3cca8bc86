"""Tiny training data sets on disk, made for the tests that read them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, image: np.ndarray) -> Path:
    """Write an RGB, RGBA or single-channel uint8 array; the format follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[image.shape[2] if image.ndim == 3 else 2]
    done = cv2.imwrite(str(path), image if code is None else cv2.cvtColor(image, code))
    assert done, path
    return path


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write a text file of the given lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def scene(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A random smooth picture, uint8 RGB [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def shape_rgba(colour: tuple[int, int, int] = (100, 100, 100), width: int = 90, height: int = 60) -> np.ndarray:
    """An L-shaped object of one colour, uint8 RGBA; transparent elsewhere, with a margin of 5 pixels."""
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., :3] = colour
    rgba[5:-5, 5 : width // 3, 3] = 255
    rgba[height // 2 : -5, 5:-5, 3] = 255
    return rgba


def write_sequence(folder: Path, boxes: list[str], frames: int | None = None) -> Path:
    """A `FolderSequences` sequence whose frame t is filled with the grey value 10 t."""
    for t in range(len(boxes) if frames is None else frames):
        write_image(folder / "img" / f"{t + 1:04d}.png", np.full((48, 64, 3), 10 * t, np.uint8))
    write_lines(folder / "groundtruth_rect.txt", boxes)
    return folder
