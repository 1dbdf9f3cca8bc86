"""GOT-10k in its official layout: the training sequences, the validation set and the test set.

`<root>/train/GOT-10k_Train_000001/00000001.jpg`, with `groundtruth.txt`, `absence.label` and `cover.label` beside the
frames; `val` and `test` likewise, where `test` has the first box only. `root` may also be the folder `train` itself.
"""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.index import IndexedVideos, read_split, split_label
from ltr.dataset.layout import FlagFile, SequenceFiles, require_folder
from ltr.errors import MissingFileError

# PyTracking's lists of sequences, counted from 0. 'vot...' were meant to leave out the 1000 sequences that VOT forbids,
# but leave out their successors: the forbidden names count from 1 (docs/data.md).
SPLITS = {
    "train": "got10k_train_split.txt",
    "val": "got10k_val_split.txt",
    "vottrain": "got10k_vot_train_split.txt",
    "votval": "got10k_vot_val_split.txt",
}
# The official validation set, as a split.
VALIDATION = "official_val"
# Its sequences, and as many of the test set.
OFFICIAL = 180


def split_indices(split: str) -> list[int]:
    """The sequences of a split: 0 is `GOT-10k_Train_000001`. Raises UserError for an unknown one."""
    return [int(line) for line in read_split("GOT-10k", split, SPLITS)]


def sequence_names(split: str) -> list[str]:
    """The training sequences of a split, such as 'GOT-10k_Train_000001'.

    Raises:
        UserError: an unknown split; the nearest is named.
        AnnotationError: a list of your own that cannot be read.
    """
    if split.endswith(".txt"):
        return read_split("GOT-10k", split, SPLITS)
    return [f"GOT-10k_Train_{index + 1:06d}" for index in split_indices(split)]


def sequence_files(root: Path, name: str, dataset: str = "got10k") -> SequenceFiles:
    """The files of the sequence `name`; `root` is the folder of sequences."""
    folder = root / name
    flags = (FlagFile(folder / "absence.label"), FlagFile(folder / "cover.label", hidden_if_zero=True, highest=8))
    test = dataset == "got10k_test"
    return SequenceFiles(
        name=name,
        dataset=dataset,
        root=root,
        folders=(folder,),
        annotation=folder / "groundtruth.txt",
        first_only=test,
        marks_absence=True,
        flags=() if test else flags,
    )


def train_folder(root: Path) -> Path:
    """`root/train`, or `root` where it is that folder. Raises MissingFileError where there is neither."""
    folder = root / "train" if (root / "train").is_dir() else root
    require_folder(folder, "GOT-10k's train/")
    return folder


def list_sequences(root: Path, split: str = "vottrain") -> list[SequenceFiles]:
    """The files of a split's sequences, there or not; of 'all', those of the training set that are there.

    Raises:
        UserError: an unknown split; the nearest is named.
        MissingFileError: no such folder.
        AnnotationError: a list of your own that cannot be read.
    """
    if split == VALIDATION:
        return list_official(root, "val")
    folder = train_folder(root)
    return [sequence_files(folder, name) for name in (_found(folder) if split == "all" else sequence_names(split))]


def list_official(root: Path, part: str) -> list[SequenceFiles]:
    """The files of the 180 sequences of the official validation or test set, there or not.

    Args:
        root: the folder with `val/` and `test/`, or one of them, as PyTracking's users often have it.
        part: 'val' or 'test'.

    Raises:
        MissingFileError: no such folder.
    """
    for folder in (root / part, root.parent / part, root):
        if folder.is_dir() and (folder.name == part or any(folder.glob(f"GOT-10k_{part.title()}_*"))):
            names = [f"GOT-10k_{part.title()}_{number:06d}" for number in range(1, OFFICIAL + 1)]
            return [sequence_files(folder, name, f"got10k_{part}") for name in names]
    raise MissingFileError(f"{root}: no folder '{part}' of GOT-10k in it")


def _found(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("GOT-10k_"))


class Got10k(IndexedVideos):
    """GOT-10k's sequences; visible: positive box, not absent, and a cover above zero.

    Args:
        root: the folder with `train/`, and with `val/` for its split.
        split: of the training set 'vottrain', 'votval', 'train', 'val' (index lists of the field's common splits),
            'all' that are there, or the path of a text file of names; 'official_val', the validation set.

    Raises as `list_sequences`, and AnnotationError for a sequence that is not on disk or that cannot be read.
    """

    def __init__(self, root: Path, split: str = "vottrain") -> None:
        videos = list_sequences(root, split)
        folder = videos[0].root if videos else train_folder(root)
        super().__init__(f"got10k_{split_label(split)}", folder, videos, split, set(_found(folder)))
