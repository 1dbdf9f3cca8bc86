"""What is wrong with images that have boxes or masks: COCO-format files, tables of boxes, cut-outs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ltr.data.image import read_mask, read_rgba
from ltr.dataset.boxfile import positive
from ltr.dataset.coco import CocoObject, decode_mask, read_objects
from ltr.dataset.cutouts import find_cutouts
from ltr.dataset.filenames import Finding, absent
from ltr.dataset.folders import ImageBoxes
from ltr.dataset.inspection import Mapper, Opened, inspect_extents, open_frame
from ltr.errors import AnnotationError, ImageError


def inspect_coco(path: Path, folder: Path, mapper: Mapper | None) -> Iterator[tuple[str, list[Finding]]]:
    """Findings about a COCO instances file, image by image; '' stands for the file as a whole."""
    if not path.is_file():
        yield "", [absent(path, "annotation")]
        return
    try:
        objects = read_objects(path)
    except AnnotationError as error:
        yield "", [Finding("unreadable", str(error))]
        return
    if not folder.is_dir():
        yield "", [absent(folder, "folder of images")]
        return
    there = {entry.name for entry in folder.iterdir()}
    of_image: dict[str, list[CocoObject]] = {}
    for item in objects:
        of_image.setdefault(item.image, []).append(item)
    present = dict.fromkeys(name for name in of_image if name in there or (folder / name).is_file())
    opened = iter(mapper(open_frame, [folder / name for name in present])) if mapper else None
    for name, objects in of_image.items():
        if name not in present:
            yield name, [absent(folder / name, "image")]
        else:
            yield name, _inspect_objects(folder / name, objects, next(opened) if opened else None)


def _inspect_objects(path: Path, objects: list[CocoObject], opened: Opened | None) -> list[Finding]:
    if opened is not None and opened.error:
        return [Finding("unreadable", opened.error)]
    findings = []
    size, said = (opened.size if opened else (0, 0)), objects[0].size
    header = opened.header if opened else None
    if header is not None and header.orientation > 1 and header.size == header.stored:
        text = f"{path}: EXIF turns the image, and its size does not tell whether the boxes were drawn before or after"
        findings.append(Finding("note", f"{text}: they are taken to belong to the upright picture"))
    if header is not None and header.has(said):
        size = size if said == (0, 0) else said
    elif opened:
        text = f"{path} has {size[0]} x {size[1]} pixels; the annotation says {said[0]} x {said[1]}"
        findings.append(Finding("wrong size", text))
    boxes = np.array([item.box for item in objects])
    broken = [item.identity for item, box in zip(objects, boxes) if not np.isfinite(box).all()]
    if broken:
        findings.append(Finding("wrong box", f"{path}: the box of annotation {broken[0]} is not four numbers"))
    empty = int((np.isfinite(boxes).all(axis=1) & ~positive(boxes)).sum())
    if empty:
        findings.append(Finding("note", f"{path}: {empty} boxes are empty and not used"))
    rows = np.flatnonzero(positive(boxes))
    extent = size if opened else said
    if extent != (0, 0):
        findings += inspect_extents(str(path), boxes[rows], np.tile(np.array(extent, float), (len(rows), 1)), rows)
    if opened:
        findings += [finding for item in objects for finding in _inspect_mask(path, item, size)]
    return findings


def _inspect_mask(path: Path, item: CocoObject, size: tuple[int, int]) -> list[Finding]:
    if item.segmentation is None:
        return []
    try:
        height, width = decode_mask(item.segmentation, size).shape
    except AnnotationError as error:
        return [Finding("unreadable", f"{path}: the mask of annotation {item.identity}: {error}")]
    if (width, height) != size:
        text = f"{path}: the mask of annotation {item.identity} has {width} x {height} pixels"
        return [Finding("wrong size", text)]
    return []


def inspect_table(folder: Path, mapper: Mapper | None) -> list[Finding]:
    """Findings about `images/` with `boxes.csv`."""
    try:
        data = ImageBoxes(folder, folder.name, smallest=0.0)
    except AnnotationError as error:
        return [Finding("unreadable", str(error))]
    if mapper is None:
        return []
    names = [data.sequence_name(k).rpartition("#")[0] for k in range(len(data))]
    paths = {name: folder / "images" / name for name in dict.fromkeys(names)}
    sizes = {opened.path: opened for opened in mapper(open_frame, paths.values())}
    findings = [Finding("unreadable", opened.error) for opened in sizes.values() if opened.error]
    rows = np.array([k for k, name in enumerate(names) if not sizes[paths[name]].error], dtype=int)
    boxes = np.array([data.sequence_info(int(k)).boxes[0] for k in rows]).reshape(-1, 4)
    extents = np.array([sizes[paths[names[k]]].size for k in rows], dtype=float).reshape(-1, 2)
    return findings + inspect_extents(str(folder / "boxes.csv"), boxes, extents, rows)


def inspect_cutouts(folder: Path, mapper: Mapper | None) -> list[Finding]:
    """Findings about `rgba/`, and `images/` with `masks/`."""
    try:
        entries = find_cutouts(folder)
    except ImageError as error:
        return [Finding("missing", str(error))]
    if mapper is None:
        return []
    images = list(dict.fromkeys(image for image, mask in entries if mask is not None))
    opened = {one.path: one for one in mapper(open_frame, images)}
    findings = [Finding("unreadable", one.error) for one in opened.values() if one.error]
    for path, mask in entries:
        try:
            if mask is None:
                read_rgba(path)
                continue
            height, width = read_mask(mask).shape
        except ImageError as error:
            findings.append(Finding("unreadable", str(error)))
            continue
        if not opened[path].error and opened[path].size != (width, height):
            text = f"{mask} has {width} x {height} pixels, its image {path} {' x '.join(map(str, opened[path].size))}"
            findings.append(Finding("wrong size", text))
    return findings
