"""GOT-10k as a training data set, in its official layout.

`<root>/train/GOT-10k_Train_000001/00000001.jpg`, with `groundtruth.txt`, `absence.label` and `cover.label` beside the
frames. `root` may also be the folder `train` itself.
"""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.split_lists import read_split, require, split_label
from ltr.dataset.videos import FlagFile, IndexedVideos, VideoFiles
from ltr.errors import MissingFileError

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
    return [int(line) for line in read_split("GOT-10k", split, SPLITS)]


def sequence_names(split: str) -> list[str]:
    """The sequences of a split, such as 'GOT-10k_Train_000001'.

    Raises:
        ValueError: an unknown split; the nearest is named.
        AnnotationError: a list of one's own that cannot be read.
    """
    if split.endswith(".txt"):
        return read_split("GOT-10k", split, SPLITS)
    return [f"GOT-10k_Train_{index + 1:06d}" for index in split_indices(split)]


def sequence_files(root: Path, name: str) -> VideoFiles:
    """The files of the sequence `name`; `root` is the folder of sequences."""
    folder = root / name
    flags = (FlagFile(folder / "absence.label"), FlagFile(folder / "cover.label", hidden_if_zero=True, highest=8))
    return VideoFiles(name, folder, folder / "groundtruth.txt", flags)


def train_folder(root: Path) -> Path:
    """`root/train`, or `root` where it is that folder. Raises FileNotFoundError where there is neither."""
    folder = root / "train" if (root / "train").is_dir() else root
    if not folder.is_dir():
        raise MissingFileError(f"{folder} is not a folder: wanted GOT-10k's train/")
    return folder


def list_videos(root: Path, split: str = "vottrain") -> list[VideoFiles]:
    """The files of a split's sequences, there or not; of 'all', those that are there.

    Raises:
        ValueError: an unknown split; the nearest is named.
        FileNotFoundError: no such folder.
        AnnotationError: a list of one's own that cannot be read.
    """
    folder = train_folder(root)
    return [sequence_files(folder, name) for name in (_found(folder) if split == "all" else sequence_names(split))]


def _found(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("GOT-10k_"))


class Got10k(IndexedVideos):
    """GOT-10k's training sequences; visible: positive box, not absent, and a cover above zero.

    Args:
        root: the folder with `train/`.
        split: 'vottrain', 'votval', 'train', 'val' (index lists of the field's common splits), 'all' that are there, or
            the path of a text file of names.

    Raises:
        ValueError: an unknown split; the nearest is named.
        FileNotFoundError: no such folder.
        AnnotationError: a sequence of the split is not on disk, or an annotation cannot be read.
    """

    def __init__(self, root: Path, split: str = "vottrain") -> None:
        folder = train_folder(root)
        videos = list_videos(root, split)
        require("GOT-10k", split, folder, [video.name for video in videos], set(_found(folder)))
        super().__init__(f"got10k_{split_label(split)}", folder, videos)
