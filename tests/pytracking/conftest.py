"""A tiny data set on disk: two short sequences of a textured square that moves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

FRAMES = 6
BOX = (20.0, 24.0, 28.0, 24.0)


def draw_square(step: int) -> np.ndarray:
    """[72, 96, 3] uint8 RGB: a textured square on a dim texture, moved to the right by `step` pixels."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 60, (72, 96, 3), dtype=np.uint8)
    patch = rng.integers(60, 255, (6, 7, 3), dtype=np.uint8)
    image[24:48, 20 + step : 48 + step] = cv2.resize(patch, (28, 24), interpolation=cv2.INTER_CUBIC)
    return image


@pytest.fixture
def square_frames() -> list[np.ndarray]:
    """The frames of one sequence, as RGB arrays."""
    return [draw_square(2 * number) for number in range(FRAMES)]


@pytest.fixture
def sequence_root(tmp_path: Path, square_frames: list[np.ndarray]) -> Path:
    """A folder with the sequences 'near' and 'far' (the latter in a group), for the data set 'folder'."""
    root = tmp_path / "sequences"
    for folder in (root / "near", root / "group" / "far"):
        (folder / "img").mkdir(parents=True)
        for number, image in enumerate(square_frames, start=1):
            cv2.imwrite(str(folder / "img" / f"{number:04d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        boxes = [(BOX[0] + 2 * number, *BOX[1:]) for number in range(FRAMES)]
        (folder / "groundtruth_rect.txt").write_text("".join(",".join(map(str, box)) + "\n" for box in boxes))
    return root


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's paths nor results elsewhere reach a test."""
    for name in ("OTB", "FOLDER", "RESULTS", "NETWORKS"):
        monkeypatch.delenv(f"EBM_TRACKING_{name}", raising=False)
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(tmp_path / "no_paths.toml"))
