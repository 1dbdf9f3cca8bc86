"""Miniature but complete copies of the evaluation data sets' official layouts: every sequence, a few frames each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ltr.dataset import got10k, lasot, layout, listed

FRAMES = 4
BOX = (3.0, 4.0, 10.0, 8.0)


def jpeg() -> bytes:
    """A picture of 24 x 20 pixels."""
    image = np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def write_frames(folder: Path, names: Iterable[str], data: bytes) -> None:
    """The same picture under several names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(data)


def write_boxes(path: Path, count: int = FRAMES, separator: str = ",") -> None:
    """`count` boxes, each a pixel further to the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boxes = [(BOX[0] + number, *BOX[1:]) for number in range(count)]
    path.write_text("".join(separator.join(f"{value:g}" for value in box) + "\n" for box in boxes))


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the lists that come with the package end `FRAMES` frames after the first evaluated one."""

    def load_list(file: str) -> Any:
        entries = copy.deepcopy(layout.load_list(file))
        for entry in entries:
            if isinstance(entry, dict):
                entry["endFrame"] = entry["startFrame"] + entry.get("initOmit", 0) + FRAMES - 1
        return entries

    monkeypatch.setattr(listed, "load_list", load_list)
    monkeypatch.setattr(lasot, "load_list", lambda file: layout.load_list(file)[::14])
    monkeypatch.setattr(got10k, "OFFICIAL", 3)


def write_listed(root: Path, dataset: str, separator: str) -> None:
    """A data set with frame ranges: OTB, NFS or UAV123. Call `shorten` first."""
    root.mkdir()
    data = jpeg()
    for files in listed.list_sequences(dataset, root):
        assert files.last is not None
        names = [files.frame_name(number) for number in range(files.first, files.last + 1)]
        write_frames(files.folders[0], names, data)
        write_boxes(files.annotation, len(names), separator)


def write_otb(root: Path) -> None:
    write_listed(root, "otb", "\t")


def write_nfs(root: Path) -> None:
    write_listed(root, "nfs", " ")


def write_uav(root: Path) -> None:
    write_listed(root, "uav", ",")
    (root / "anno" / "UAV123" / "bike1.txt").write_text("3,4,10,8\nNaN,NaN,NaN,NaN\n5,4,10,8\n6,4,10,8\n")


def write_lasot(root: Path) -> None:
    for name in lasot.load_list("lasot_test.json"):
        write_lasot_sequence(root / name.rpartition("-")[0] / name)


def write_lasot_extension_subset(root: Path) -> None:
    for name in ("atv-1", "atv-10", "atv-2", "skatingshoe-1"):
        write_lasot_sequence(root / name.rpartition("-")[0] / name)


def write_lasot_sequence(folder: Path) -> None:
    """The target is fully occluded in the second frame and out of view in the third."""
    write_frames(folder / "img", [f"{number:08d}.jpg" for number in range(1, FRAMES + 1)], jpeg())
    write_boxes(folder / "groundtruth.txt")
    (folder / "full_occlusion.txt").write_text("0,1,0,0")
    (folder / "out_of_view.txt").write_text("0,0,1,0")
    (folder / "nlp.txt").write_text("a thing")


def write_trackingnet(root: Path) -> None:
    for name in ("0-6LB4FqxoE_0", "0-tWxf5zuFs_0", "zzz_1"):
        write_frames(root / "TEST" / "frames" / name, [f"{number}.jpg" for number in range(12)], jpeg())
        write_boxes(root / "TEST" / "anno" / f"{name}.txt", 1)


def write_got10k(root: Path) -> None:
    for split in ("test", "val"):
        for number in range(1, 4):
            folder = root / split / f"GOT-10k_{split.title()}_{number:06d}"
            write_frames(folder, [f"{frame:08d}.jpg" for frame in range(1, FRAMES + 1)], jpeg())
            write_boxes(folder / "groundtruth.txt", 1 if split == "test" else FRAMES)
            (folder / "meta_info.ini").write_text("[METAINFO]\n")
            if split == "val":
                (folder / "absence.label").write_text("0\n0\n1\n0\n")
                (folder / "cover.label").write_text("8\n0\n0\n7\n")


def write_vot(root: Path) -> None:
    """Polygons in 'book', whose frames lie beside the annotation; boxes in 'ants', whose frames lie in 'color'."""
    names = [f"{number:08d}.jpg" for number in range(1, FRAMES + 1)]
    write_frames(root / "book", names, jpeg())
    (root / "book" / "groundtruth.txt").write_text("4,2,8,4,6,8,2,6\n" * FRAMES)
    write_frames(root / "ants" / "color", names, jpeg())
    write_boxes(root / "ants" / "groundtruth.txt")
    (root / "list.txt").write_text("book\nants\n")


def write_davis(root: Path) -> None:
    """'one' has a two-valued mask, empty in the third frame; 'two' has two objects in the colours of the palette."""
    for name in ("one", "two"):
        names = [f"{number:05d}" for number in range(FRAMES)]
        write_frames(root / "JPEGImages" / "480p" / name, [f"{stem}.jpg" for stem in names], jpeg())
        masks = root / "Annotations" / "480p" / name
        masks.mkdir(parents=True)
        for number, stem in enumerate(names):
            cv2.imwrite(str(masks / f"{stem}.png"), draw_mask(name, number))


def draw_mask(name: str, number: int) -> np.ndarray:
    """Grey [20, 24] or coloured (BGR) [20, 24, 3] uint8."""
    if name == "one":
        mask = np.zeros((20, 24), np.uint8)
        mask[4:12, 3 + number : 13 + number] = 0 if number == 2 else 255
        return mask
    coloured = np.zeros((20, 24, 3), np.uint8)
    coloured[4:12, 3 + number : 13 + number] = (0, 0, 128)
    coloured[15:18, 1:5] = (0, 128, 128)
    return coloured


WRITERS: dict[str, Callable[[Path], None]] = {
    "davis": write_davis,
    "got10k_test": write_got10k,
    "got10k_val": write_got10k,
    "lasot": write_lasot,
    "lasot_extension_subset": write_lasot_extension_subset,
    "nfs": write_nfs,
    "otb": write_otb,
    "trackingnet": write_trackingnet,
    "uav": write_uav,
    "vot": write_vot,
}
