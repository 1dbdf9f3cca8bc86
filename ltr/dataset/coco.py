"""COCO as a training data set, in its official layout.

`<root>/images/<split>/*.jpg`, `<root>/annotations/instances_<split>.json`.
"""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.coco_format import CocoFormat
from ltr.errors import AnnotationError


def coco_files(root: Path, split: str) -> tuple[Path, Path]:
    """Annotation file and folder of images of a split. Raises AnnotationError where the former is missing."""
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise AnnotationError(
            f"cannot read {path}: no such file; wanted images/{split}/ and annotations/instances_{split}.json below "
            f"{root}"
        )
    return path, root / "images" / split


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
