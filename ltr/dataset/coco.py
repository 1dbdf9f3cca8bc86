"""COCO and COCO-format annotations of any source as training data, and masks in COCO's notation.

Every annotated object is a sequence of one frame. COCO's official layout is `<root>/images/<split>/*.jpg`,
`<root>/annotations/instances_<split>.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ltr.admin.inputs import number_array, read_json
from ltr.data.image import read_annotated, read_header
from ltr.data.media import MAX_PIXELS
from ltr.dataset.cutouts import cut_out
from ltr.dataset.index import Index, IndexedSequences, make_index, open_index
from ltr.errors import AnnotationError

# Behind the names in the index; the size that the annotation gives decides whether an image is turned upright.
_SIZE = " ({}x{})"
# OpenCV takes polygon corners in these parts of a pixel.
_SHIFT = 4
# A corner further outside than this is no corner of an image.
_FARTHEST = 1e6
# Shortest side of a cut-out, in pixels.
_SMALLEST = 20.0


@dataclass(frozen=True)
class CocoObject:
    """One annotated object that is no crowd.

    Attributes:
        image_id: id of the image.
        image: file name, relative to the folder of images.
        size: (width, height) of the image; zeros where the file does not say.
        identity: id of the annotation.
        box: (x, y, w, h), the tight box of the mask where there is no `bbox`.
        segmentation: as it stands in the file; None where there is none.
        category: id of the category as it stands in the file; None where there is none.
    """

    image_id: Any
    image: str
    size: tuple[int, int]
    identity: int
    box: tuple[float, float, float, float]
    segmentation: Any
    category: Any


def read_objects(path: Path) -> list[CocoObject]:
    """The objects of a COCO instances file, crowds left out.

    Raises:
        AnnotationError: the file is missing or is not COCO's; the annotation is named.
    """
    return objects_of(path, read_json(path, AnnotationError))


def objects_of(path: Path, content: Any) -> list[CocoObject]:
    """`read_objects` of what the JSON file `path` holds."""
    try:
        images = {image["id"]: (str(image["file_name"]), _size(image)) for image in content["images"]}
        annotations = [item for item in content["annotations"] if not item.get("iscrowd", 0)]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise AnnotationError(f"{path} is not a COCO instances file: {error!r}") from error
    objects = []
    for item in annotations:
        try:
            image, size = images[item["image_id"]]
            # A name that is not valid UTF-8 names no file.
            image.encode()
            segmentation = item.get("segmentation") or None
            box = item["bbox"] if "bbox" in item or segmentation is None else mask_box(segmentation)
            x, y, w, h = number_array(box, finite=False).tolist()
            box, category = (x, y, w, h), item.get("category_id")
            objects.append(CocoObject(item["image_id"], image, size, int(item["id"]), box, segmentation, category))
        except (AnnotationError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise AnnotationError(
                f"{path} is not a COCO instances file: annotation {item.get('id')}: {error!r}"
            ) from error
    return objects


def coco_format_files(root: Path, split: str) -> tuple[Path, Path]:
    """Annotation file and folder of images that a split '<file>.json' or '<file>.json:<folder>' names below `root`.

    The folder of images is `images` where none is given; '.' is `root` itself.
    """
    annotation, _, folder = split.partition(":")
    return root / annotation, root / (folder or "images")


def coco_files(root: Path, split: str) -> tuple[Path, Path]:
    """Annotation file and folder of images of a split. Raises AnnotationError where the former is missing."""
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise AnnotationError(
            f"cannot read {path}: no such file; wanted images/{split}/ and annotations/instances_{split}.json below "
            f"{root}"
        )
    return path, root / "images" / split


class CocoFormat(IndexedSequences):
    """Objects of a COCO instances file and a folder of images.

    Args:
        smallest: boxes whose shorter side is not above this, in pixels, are left out; so are boxes that are no numbers.

    Raises:
        AnnotationError: the annotation file is missing or not COCO's, or the folder of images is missing.
    """

    is_video = False

    def __init__(self, path: Path, folder: Path, name: str, smallest: float = 4.0) -> None:
        self.name = name
        self.folder = folder
        if not folder.is_dir():
            raise AnnotationError(f"{folder} is not a folder: the images of {path} should lie there")
        rule = f"{path.name}, boxes above {smallest:g} px, sizes of images"
        self.index = open_index(name, path.parent, [path], rule, lambda: _index(path, smallest))

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """The image, once a frame asked for.

        Raises:
            ImageError: it cannot be read, or has another size than the annotation says, even as stored.
        """
        name, _, size = self.index.name(index).rpartition(" (")
        width, height = (int(side) for side in size.rstrip(")").split("x"))
        return [read_annotated(self.folder / name.rpartition("#")[0], (width, height))] * len(frame_ids)

    def sequence_name(self, index: int) -> str:
        """'<image>#<annotation>'."""
        return self.index.name(index).rpartition(" (")[0]


class Coco(CocoFormat):
    """COCO's instances, crowds left out; every object is a sequence of one frame. See `CocoFormat`.

    Args:
        root: the folder with `images/` and `annotations/`.
        split: 'train2017', 'val2017', ...
    """

    def __init__(self, root: Path, split: str = "train2017", smallest: float = 4.0) -> None:
        path, folder = coco_files(root, split)
        super().__init__(path, folder, f"coco_{split}", smallest)


class MaskCutouts:
    """Cut-outs from the masks of a COCO-format file, for composited video.

    Objects that are small or touch the border of their image, where they may be cut off, are left out.

    Args:
        objects: as `read_objects` gives them.
        smallest: shortest side of an object's box, in pixels.

    Raises:
        AnnotationError: a mask is compressed and pycocotools is not installed.
    """

    def __init__(self, objects: Sequence[CocoObject], folder: Path, smallest: float = _SMALLEST) -> None:
        self.folder = folder
        self.objects = [item for item in objects if item.segmentation and _whole(item, smallest)]
        # Here, rather than in a worker in the middle of a run.
        compressed = next((item.segmentation for item in self.objects if is_compressed(item.segmentation)), None)
        if compressed is not None:
            decode_mask(compressed, (0, 0))

    def __len__(self) -> int:
        return len(self.objects)

    def alike(self, index: int, rng: np.random.Generator) -> int:
        """Any object: what looks like what would take reading all of them."""
        return int(rng.integers(len(self)))

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """The only look of an object: uint8 RGBA [h, w, 4], cut to its mask; the colours are multiplied by alpha.

        Raises:
            ImageError: the image cannot be read.
            AnnotationError: the mask cannot be read, or is of another size than the image.
        """
        item = self.objects[index]
        path = self.folder / item.image
        header = read_header(path)
        mask = decode_mask(item.segmentation, header.size if item.size == (0, 0) else item.size)
        if not header.has(mask.shape[1::-1]):
            raise AnnotationError(
                f"{path} has {header.size[0]} x {header.size[1]} pixels, the mask of annotation {item.identity} has "
                f"{mask.shape[1]} x {mask.shape[0]}"
            )
        return (cut_out(np.dstack((read_annotated(path, mask.shape[1::-1]), mask))),)


def _size(image: dict[str, Any]) -> tuple[int, int]:
    width, height = number_array([image.get("width", 0), image.get("height", 0)]).tolist()
    return int(width), int(height)


def _index(path: Path, smallest: float) -> Index:
    objects = [item for item in read_objects(path) if min(item.box[2:]) > smallest and np.isfinite(item.box).all()]
    seen = np.ones(1, dtype=bool)
    names = [f"{item.image}#{item.identity}{_SIZE.format(*item.size)}" for item in objects]
    return make_index(names, [(np.array([item.box]), seen) for item in objects])


def _whole(item: CocoObject, smallest: float) -> bool:
    x, y, w, h = item.box
    inside = x >= 2 and y >= 2 and (not item.size[0] or (x + w <= item.size[0] - 2 and y + h <= item.size[1] - 2))
    return inside and min(w, h) >= smallest


def decode_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask, uint8 [H, W], 255 on the object.

    Args:
        segmentation: polygons `[[x, y, x, y, ...], ...]`, or run lengths `{"size": [H, W], "counts": ...}`.
        size: (width, height) of the image, for polygons.

    Raises:
        AnnotationError: it is neither, run lengths do not fill their mask, or they are compressed and pycocotools is
            not installed.
    """
    if isinstance(segmentation, dict):
        return _from_run_lengths(segmentation)
    mask = np.zeros((size[1], size[0]), np.uint8)
    # Corners are continuous, with pixel centres at halves; OpenCV's are at integers.
    corners = [np.round((polygon - 0.5) * (1 << _SHIFT)).astype(np.int32) for polygon in _polygons(segmentation)]
    return cv2.fillPoly(mask, corners, 255, shift=_SHIFT)


def mask_box(segmentation: Any) -> tuple[float, float, float, float]:
    """The tight box (x, y, w, h) of a mask, in pixels; of no size where the mask is empty. Errors as `decode_mask`."""
    if isinstance(segmentation, dict):
        x, y, w, h = cv2.boundingRect(_from_run_lengths(segmentation))
        return float(x), float(y), float(w), float(h)
    corners = np.concatenate(_polygons(segmentation))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _polygons(segmentation: Any) -> list[np.ndarray]:
    try:
        polygons = [number_array(polygon).reshape(-1, 2) for polygon in segmentation]
    except (OverflowError, TypeError, ValueError) as error:
        raise AnnotationError(f"not a polygon: {str(segmentation)[:60]}") from error
    if not polygons or any(len(polygon) < 3 for polygon in polygons):
        raise AnnotationError(f"a polygon needs three corners: {str(segmentation)[:60]}")
    if not all((np.abs(polygon) < _FARTHEST).all() for polygon in polygons):
        raise AnnotationError(f"a corner of a polygon is no point of an image: {str(segmentation)[:60]}")
    return polygons


def _from_run_lengths(segmentation: dict[str, Any]) -> np.ndarray:
    try:
        height, width = (int(value) for value in segmentation["size"])
        compressed = is_compressed(segmentation)
        runs = np.zeros(0, np.int64) if compressed else number_array(segmentation["counts"]).astype(np.int64)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise AnnotationError(f"run lengths need 'size' and 'counts': {error!r}") from error
    if min(height, width) < 0 or height * width > MAX_PIXELS:
        raise AnnotationError(f"a mask of {width} x {height} pixels is larger than an image may be")
    if compressed:
        try:
            from pycocotools import mask
        except ImportError as error:
            raise AnnotationError("compressed masks need pycocotools: pip install 'ebm-tracking[coco]'") from error
        return np.ascontiguousarray(mask.decode({**segmentation, "counts": segmentation["counts"].encode()}) * 255)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise AnnotationError(f"run lengths of {int(runs.sum())} pixels do not fill a mask of {width} x {height}")
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 255
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def is_compressed(segmentation: Any) -> bool:
    """Whether run lengths are compressed, which pycocotools decodes."""
    return isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str)
