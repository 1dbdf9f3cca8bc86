"""What a training data set offers: sequences with boxes, and their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class SequenceInfo:
    """Annotation of a sequence of T frames.

    Attributes:
        boxes: [T, 4] float32 (x, y, w, h) in pixels of the frame, 0-based continuous edges.
        valid: [T] bool, a finite box of positive size.
        visible: [T] bool, valid and enough of the target seen to learn from.
    """

    boxes: np.ndarray
    valid: np.ndarray
    visible: np.ndarray


class TrainingDataset(Protocol):
    """Sequences to sample training frames from."""

    name: str
    is_video: bool

    def __len__(self) -> int:
        """Number of sequences."""

    def sequence_name(self, index: int) -> str:
        """Name of a sequence, for messages."""

    def sequence_info(self, index: int) -> SequenceInfo:
        """Annotation of a sequence."""

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames of a sequence, uint8 RGB [H, W, 3]."""
