"""COCO as a training data set: every annotated object is a sequence of one frame.

Layout: `images/<split>/*.jpg`, `annotations/instances_<split>.json` (the official one).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.boxfile import AnnotationError


class Coco:
    """COCO's instances, crowds left out.

    Args:
        root: the folder with `images/` and `annotations/`.
        split: 'train2017', 'val2017', ...
        smallest: boxes whose shorter side is not above this, in pixels, are left out.

    Raises:
        AnnotationError: the annotation file is missing or not COCO's, or the folder of images is missing.
    """

    is_video = False

    def __init__(self, root: Path, split: str = "train2017", smallest: float = 4.0) -> None:
        self.name = f"coco_{split}"
        self.folder = root / "images" / split
        path = root / "annotations" / f"instances_{split}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            files = {image["id"]: str(image["file_name"]) for image in content["images"]}
            objects = [item for item in content["annotations"] if not item.get("iscrowd", 0)]
        except OSError as error:
            raise AnnotationError(
                f"cannot read {path}: {error.strerror}; wanted images/{split}/ and annotations/instances_{split}.json "
                f"below {root}"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AnnotationError(f"{path} is not a COCO instances file: {error!r}") from error
        if not self.folder.is_dir():
            raise AnnotationError(f"{self.folder} is not a folder: the images of {path} should lie there")
        self._images: list[str] = []
        self._identities: list[int] = []
        boxes: list[list[float]] = []
        for item in objects:
            try:
                x, y, w, h = (float(value) for value in item["bbox"])
                image, identity = files[item["image_id"]], int(item["id"])
            except (KeyError, TypeError, ValueError) as error:
                raise AnnotationError(
                    f"{path} is not a COCO instances file: annotation {item.get('id')}: {error!r}"
                ) from error
            if min(w, h) > smallest:
                self._images.append(image)
                self._identities.append(identity)
                boxes.append([x, y, w, h])
        self._boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)

    def __len__(self) -> int:
        return len(self._images)

    def sequence_name(self, index: int) -> str:
        """Image file and annotation id."""
        return f"{self._images[index]}#{self._identities[index]}"

    def sequence_info(self, index: int) -> SequenceInfo:
        """The box, as a sequence of one frame."""
        once = np.ones(1, dtype=bool)
        return SequenceInfo(self._boxes[index : index + 1], once, once)

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """The image, once a frame asked for."""
        return [read_image(self.folder / self._images[index])] * len(frame_ids)
