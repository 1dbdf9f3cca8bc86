"""The noun of evaluation: a sequence of frames with the annotated boxes of one target."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ltr.data.image import levels_of, read_image
from ltr.errors import UserError


@dataclass(frozen=True, eq=False)
class Sequence:
    """Frames and the annotated boxes of one target.

    Attributes:
        name: unique within its data set; names the result file.
        frames: paths of the frames, in order, as `read_image` takes them.
        dataset: name of the data set, which decides how a protocol treats absent frames.
        ground_truth_rect: [T, 4] float64 (x, y, w, h) in pixels, the annotation file's own values (so 1-based for
            OTB); T is the number of frames, or 1 where only the first box is public.
        annotation_path: the file that the boxes came from.
        target_visible: [T] bool, False where the target is absent or fully occluded; None where nothing is known.
        object_class: class of the target, if known.
        attributes: short names of the sequence's challenges ('OCC', 'FM', ...); None where nothing is known.
        polygons: [T, 4, 2] float64 (x, y), the corners where the annotation has rotated boxes; None otherwise.
    """

    name: str
    frames: list[Path]
    dataset: str
    ground_truth_rect: np.ndarray
    annotation_path: Path
    target_visible: np.ndarray | None = None
    object_class: str | None = None
    attributes: tuple[str, ...] | None = None
    polygons: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = len(self.ground_truth_rect)
        if self.ground_truth_rect.shape != (rows, 4) or rows not in (1, len(self.frames)):
            raise ValueError(f"{self.name}: {len(self.frames)} frames, boxes {list(self.ground_truth_rect.shape)}")
        if self.target_visible is not None and self.target_visible.shape != (rows,):
            raise ValueError(f"{self.name}: {rows} boxes, visibility {list(self.target_visible.shape)}")

    def __repr__(self) -> str:
        return f"Sequence({self.dataset}/{self.name}, {len(self.frames)} frames)"

    @property
    def has_ground_truth(self) -> bool:
        """Whether every frame is annotated, not only the first."""
        return len(self.ground_truth_rect) == len(self.frames)

    def image(self, number: int) -> np.ndarray:
        """A frame, counted from 0: [H, W, 3] uint8 RGB, upright; more than 8 bits by the levels of the first frame.

        Raises:
            UserError: it cannot be read, as `ltr.data.image.read_image` says.
        """
        return read_image(self.frames[number], self.frames[0])

    def levels(self) -> dict[str, tuple[float, float]]:
        """{"levels": the values that became black and white}, {} for frames of 8 bits, for the manifest of a result."""
        levels = levels_of(self.frames[0])
        return {} if levels is None else {"levels": levels}

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """(width, height) in pixels of the first frame, to which GOT-10k's protocol clips the boxes of all frames."""
        height, width = self.image(0).shape[:2]
        return width, height

    def beginning(self, count: int) -> Sequence:
        """Its first `count` frames, with boxes alone for annotation."""
        boxes = self.ground_truth_rect[:count]
        return replace(self, frames=self.frames[:count], ground_truth_rect=boxes, target_visible=None, polygons=None)

    def init_info(self) -> dict[str, list[float]]:
        """What a tracker may know: `{"init_bbox": [x, y, w, h]}` of the first frame."""
        return {"init_bbox": self.ground_truth_rect[0].tolist()}


def check_distinct(chosen: Iterable[str], known: Collection[str]) -> None:
    """Refuse sequences that would share a file of results: the times of 'ball' lie in 'ball_time.txt'.

    Args:
        chosen: names of the sequences that are used.
        known: names of all sequences of their data sets, whose results may lie in the same folder.

    Raises:
        UserError: naming both.
    """
    for name in chosen:
        first = name.removesuffix("_time")
        if first in known and f"{first}_time" in known:
            raise UserError(
                f"the sequences '{first}' and '{first}_time' would share the result file {first}_time.txt; rename one"
            )
