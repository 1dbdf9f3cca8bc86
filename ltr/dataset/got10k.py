"""GOT-10k as a training data set, in its official layout.

`<root>/train/GOT-10k_Train_000001/00000001.jpg`, with `groundtruth.txt`, `absence.label` and `cover.label` beside the
frames. `root` may also be the folder `train` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.folders import AnnotationError, positive, read_boxes
from ltr.names import unknown_name

# PyTracking's lists of sequences, counted from 0. 'vot...' were meant to leave out the 1000 sequences that VOT forbids,
# but leave out their successors: the forbidden names count from 1 (docs/data.md).
SPLITS = {
    "train": "got10k_train_split.txt",
    "val": "got10k_val_split.txt",
    "vottrain": "got10k_vot_train_split.txt",
    "votval": "got10k_vot_val_split.txt",
}


def split_indices(split: str) -> list[int]:
    """The sequences of a split: 0 is `GOT-10k_Train_000001`. Raises ValueError for an unknown one."""
    if split not in SPLITS:
        raise ValueError(unknown_name("split of GOT-10k", split, SPLITS))
    text = (resources.files("ltr.dataset") / "splits" / SPLITS[split]).read_text(encoding="utf-8")
    return [int(line) for line in text.split()]


class Got10k:
    """GOT-10k's training sequences.

    Args:
        root: the folder with `train/`.
        split: 'vottrain', 'votval', 'train', 'val' (index lists of the field's common splits), or 'all'.

    Raises:
        ValueError: an unknown split; the nearest is named.
        FileNotFoundError: no such folder.
        AnnotationError: a sequence of the split is not on disk.
    """

    is_video = True

    def __init__(self, root: Path, split: str = "vottrain") -> None:
        self.name = f"got10k_{split}"
        self.root = root / "train" if (root / "train").is_dir() else root
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root} is not a folder: wanted GOT-10k's train/")
        found = sorted(path.name for path in self.root.iterdir() if (path / "groundtruth.txt").is_file())
        self.names = found if split == "all" else [f"GOT-10k_Train_{index + 1:06d}" for index in split_indices(split)]
        missing = sorted(set(self.names) - set(found))
        if missing or not found:
            raise AnnotationError(
                f"{self.root} has {len(found)} sequences with a groundtruth.txt; split '{split}' of GOT-10k lacks "
                f"{len(missing)}{f', first {missing[0]}' if missing else ''}: is the copy whole?"
            )

    def __len__(self) -> int:
        return len(self.names)

    def sequence_name(self, index: int) -> str:
        """The official name."""
        return self.names[index]

    def sequence_info(self, index: int) -> SequenceInfo:
        """Boxes; visible where the box is valid, the target is not absent and its cover is not zero."""
        folder = self.root / self.names[index]
        boxes = read_boxes(folder / "groundtruth.txt")
        valid = positive(boxes)
        absent = _labels(folder / "absence.label", len(boxes)) > 0
        cover = _labels(folder / "cover.label", len(boxes))
        return SequenceInfo(boxes, valid, valid & ~absent & (cover > 0))

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 RGB [H, W, 3]."""
        folder = self.root / self.names[index]
        return [read_image(folder / f"{frame + 1:08d}.jpg") for frame in frame_ids]


def _labels(path: Path, count: int) -> np.ndarray:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.isdecimal():
            raise AnnotationError(f"{path}, line {number}: wanted one whole number, found {line!r}")
    if len(lines) != count:
        raise AnnotationError(f"{path} has {len(lines)} labels for {count} frames")
    return np.array(lines, dtype=int)
