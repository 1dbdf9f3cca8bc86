"""LaSOT as a training data set, in its official layout.

`<root>/<class>/<class>-<number>/img/00000001.jpg`, with `groundtruth.txt`, `full_occlusion.txt` and `out_of_view.txt`
beside `img/`.
"""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.split_lists import read_split, require, split_label
from ltr.dataset.videos import FlagFile, IndexedVideos, VideoFiles
from ltr.errors import MissingFileError

# PyTracking's lists: the 1120 training sequences, and their parts of 1000 and 120.
SPLITS = {
    "train": "lasot_train_split.txt",
    "train-train": "lasot_train_train_split.txt",
    "train-val": "lasot_train_val_split.txt",
}


def sequence_names(split: str) -> list[str]:
    """The sequences of a split, such as 'airplane-10'. Raises ValueError for an unknown one."""
    return read_split("LaSOT", split, SPLITS)


def sequence_files(root: Path, name: str) -> VideoFiles:
    """The files of the sequence `name`."""
    folder = root / name.rpartition("-")[0] / name
    flags = (FlagFile(folder / "full_occlusion.txt"), FlagFile(folder / "out_of_view.txt"))
    return VideoFiles(name, folder / "img", folder / "groundtruth.txt", flags)


def list_videos(root: Path, split: str = "train") -> list[VideoFiles]:
    """The files of a split's sequences, there or not; of 'all', those that are there.

    Raises:
        ValueError: an unknown split; the nearest is named.
        FileNotFoundError: no such folder.
    """
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder: wanted LaSOT's <class>/<class>-<number>/")
    return [sequence_files(root, name) for name in (_found(root) if split == "all" else sequence_names(split))]


def _found(root: Path) -> list[str]:
    """Names of the sequences on disk, by class and number."""
    names = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        own = [path.name for path in folder.iterdir() if path.name.rpartition("-")[0] == folder.name]
        names += sorted(own, key=lambda name: (len(name), name))
    return names


class Lasot(IndexedVideos):
    """LaSOT's training sequences; visible: positive box, neither fully occluded nor out of view.

    Args:
        root: the folder of classes.
        split: 'train' (1120 sequences), 'train-train' (1000), 'train-val' (120), 'all' that are there, or the path of a
            text file of names.

    Raises:
        ValueError: an unknown split; the nearest is named.
        FileNotFoundError: no such folder.
        AnnotationError: a sequence of the split is not on disk, or an annotation cannot be read.
    """

    def __init__(self, root: Path, split: str = "train") -> None:
        videos = list_videos(root, split)
        require("LaSOT", split, root, [video.name for video in videos], set(_found(root)))
        super().__init__(f"lasot_{split_label(split)}", root, videos)
