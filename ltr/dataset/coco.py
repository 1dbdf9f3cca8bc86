"""COCO and COCO-format annotations of any source as training data: every annotated object is a sequence of one frame.

COCO's official layout is `<root>/images/<split>/*.jpg`, `<root>/annotations/instances_<split>.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.inputs import number_array, read_json
from ltr.data.image import read_annotated, read_header
from ltr.dataset.coco_masks import decode_mask, is_compressed, mask_box
from ltr.dataset.cutouts import cut_out
from ltr.dataset.index import Index, IndexedSequences, make_index, open_index
from ltr.errors import AnnotationError

# Behind the names in the index; the size that the annotation gives decides whether an image is turned upright.
_SIZE = " ({}x{})"
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
        path: the annotation file.
        folder: the images.
        name: name of the data set.
        smallest: boxes whose shorter side is not above this, in pixels, are left out; so are boxes that are no numbers.

    Raises:
        AnnotationError: the annotation file is missing or not COCO's, or the folder of images is missing.
    """

    is_video = False

    def __init__(self, path: Path, folder: Path, name: str, smallest: float = 4.0) -> None:
        self.name = name
        self.folder = folder
        if not path.is_file():
            raise AnnotationError(f"cannot read {path}: no such file")
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
    """COCO's instances, crowds left out; every object is a sequence of one frame.

    Args:
        root: the folder with `images/` and `annotations/`.
        split: 'train2017', 'val2017', ...
        smallest: boxes whose shorter side is not above this, in pixels, are left out.

    Raises:
        AnnotationError: the annotation file is missing or not COCO's, or the folder of images is missing.
    """

    def __init__(self, root: Path, split: str = "train2017", smallest: float = 4.0) -> None:
        path, folder = coco_files(root, split)
        super().__init__(path, folder, f"coco_{split}", smallest)


class MaskCutouts:
    """Cut-outs from the masks of a COCO-format file, for composited video.

    Objects that are small or touch the border of their image, where they may be cut off, are left out.

    Args:
        objects: as `read_objects` gives them.
        folder: the images.
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
