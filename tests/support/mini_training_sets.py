"""Miniature training data sets in the official layouts, with every sequence of the official splits.

A few sequences are real; all others of a split are links to them, so that recipes run as they are and making a data set
takes a second. `set_environment` points the readers at them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image, write_lines

from ltr.dataset import got10k, lasot

FRAMES = 12
SIZE = (80, 60)


def draw_frame(seed: int, frame: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A bright square that moves over a smooth picture: uint8 RGB [60, 80, 3], and its box (x, y, w, h)."""
    image = scene(seed, *SIZE) // 2
    box = (14 + 2 * frame, 12 + frame, 24, 20)
    x, y, w, h = box
    image[y : y + h, x : x + w] = 150 + np.random.default_rng(seed).integers(0, 100, (h, w, 3), dtype=np.uint8)
    return image, box


def write_video(frames: Path, seed: int, first: int, digits: int) -> list[str]:
    """Write `FRAMES` frames; returns their boxes as lines of text."""
    lines = []
    for frame in range(FRAMES):
        image, box = draw_frame(seed, frame)
        write_image(frames / f"{frame + first:0{digits}d}.jpg", image)
        lines.append(",".join(map(str, box)))
    return lines


def make_lasot(folder: Path, links: bool = True) -> Path:
    """LaSOT's 1120 training sequences (only four of them without `links`); frame 2 is hidden, frame 3 out of view."""
    names = lasot.sequence_names("train")
    real = names[:4]
    for seed, name in enumerate(real):
        own = folder / name.rpartition("-")[0] / name
        write_lines(own / "groundtruth.txt", write_video(own / "img", seed, 1, 8))
        write_lines(own / "full_occlusion.txt", [",".join("1" if k == 1 else "0" for k in range(FRAMES))])
        write_lines(own / "out_of_view.txt", [",".join("1" if k == 2 else "0" for k in range(FRAMES))])
    for k, name in enumerate(names[4:] if links else []):
        place = folder / name.rpartition("-")[0]
        place.mkdir(exist_ok=True)
        (place / name).symlink_to((folder / real[k % 4].rpartition("-")[0] / real[k % 4]).resolve())
    return folder


def make_trackingnet(folder: Path, sets: int = 12) -> Path:
    """TrackingNet's sets 0 to 3 with two sequences each."""
    for number in range(sets):
        for k in range(2):
            name = f"vid{number}{k}_0"
            part = folder / f"TRAIN_{number}"
            lines = write_video(part / "frames" / name, 10 * number + k, 0, 1)
            write_lines(part / "anno" / f"{name}.txt", lines)
    return folder


def make_got10k(folder: Path, links: bool = True) -> Path:
    """All sequences of the splits 'vottrain', 'votval' and 'official_val' (four of 'vottrain' without `links`).

    The target is absent in the second frame and covered in the third.
    """
    names = [*got10k.sequence_names("vottrain"), *got10k.sequence_names("votval")]
    for seed, name in enumerate(names[:4]):
        own = folder / "train" / name
        write_lines(own / "groundtruth.txt", write_video(own, 100 + seed, 1, 8))
        write_lines(own / "absence.label", ["1" if k == 1 else "0" for k in range(FRAMES)])
        write_lines(own / "cover.label", ["0" if k == 2 else "8" for k in range(FRAMES)])
    for k, name in enumerate(names[4:] if links else []):
        (folder / "train" / name).symlink_to((folder / "train" / names[k % 4]).resolve())
    (folder / "val").mkdir()
    for k in range(got10k.OFFICIAL if links else 0):
        (folder / "val" / f"GOT-10k_Val_{k + 1:06d}").symlink_to((folder / "train" / names[k % 4]).resolve())
    return folder


def make_coco(folder: Path, split: str = "train2017", images: int = 4) -> Path:
    """COCO with two objects an image: a polygon and a run-length mask; one crowd besides."""
    content: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "a"}],
    }
    for k in range(images):
        image, (x, y, w, h) = draw_frame(200 + k, k)
        name = f"{k + 1:012d}.jpg"
        write_image(folder / "images" / split / name, image)
        content["images"].append({"id": k + 1, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        mask = np.zeros((SIZE[1], SIZE[0]), bool)
        mask[36:56, 50:74] = True
        for box, shape, crowd in (
            ([x, y, w, h], [corners], 0),
            ([50, 36, 24, 20], {"size": [SIZE[1], SIZE[0]], "counts": run_lengths(mask)}, 0),
            ([0, 0, *SIZE], {"size": [SIZE[1], SIZE[0]], "counts": run_lengths(~mask)}, 1),
        ):
            entry = {"id": len(content["annotations"]) + 1, "image_id": k + 1, "category_id": 1, "bbox": box}
            content["annotations"].append({**entry, "iscrowd": crowd, "segmentation": shape, "area": box[2] * box[3]})
    write_lines(folder / "annotations" / f"instances_{split}.json", [json.dumps(content)])
    return folder


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths of a mask [H, W] bool: column by column, zeros first."""
    flat = mask.T.ravel().astype(int)
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, len(flat))
    counts = np.diff(np.concatenate(([0], ends))).tolist()
    return [0, *counts] if flat[0] else counts


def make_lite(folder: Path) -> Path:
    """A folder for the compact recipes: twenty cut-outs and backgrounds, so that both splits have some."""
    for k in range(40):
        write_image(folder / "things" / "rgba" / f"{k:02d}.png", shape_rgba((40 + 5 * k, 90, 200 - 4 * k)))
        write_image(folder / "backgrounds" / f"{k:02d}.png", scene(k, 120, 90))
    return folder


MAKERS = {
    "lasot": make_lasot,
    "trackingnet": make_trackingnet,
    "got10k": make_got10k,
    "coco": make_coco,
    "lite": make_lite,
}


def make_all(folder: Path) -> dict[str, str]:
    """All of them below `folder`; returns the environment variables that point the readers at them and their cache."""
    made = {f"EBM_TRACKING_{name.upper()}": str(make(folder / name)) for name, make in MAKERS.items()}
    return {**made, "EBM_TRACKING_CACHE": str(folder / "cache")}


def set_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set environment variables for a test."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
