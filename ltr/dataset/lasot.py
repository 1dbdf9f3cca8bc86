"""LaSOT in its official layout, its training and test sequences and its extension subset.

`<root>/<class>/<class>-<number>/img/00000001.jpg`, with `groundtruth.txt`, `full_occlusion.txt` and `out_of_view.txt`
beside `img/`.
"""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.index import IndexedVideos, read_split, split_label
from ltr.dataset.layout import FlagFile, SequenceFiles, is_number, load_attributes, load_list, require_folder
from ltr.errors import MissingFileError

# PyTracking's lists: the 1120 training sequences, and their parts of 1000 and 120.
SPLITS = {
    "train": "lasot_train_split.txt",
    "train-train": "lasot_train_train_split.txt",
    "train-val": "lasot_train_val_split.txt",
}
_LAYOUT = "LaSOT's <class>/<class>-<number>/"


def sequence_names(split: str) -> list[str]:
    """The sequences of a split, such as 'airplane-10'; of 'test' the 280. Raises UserError for an unknown one."""
    return list(load_list("lasot_test.json")) if split == "test" else read_split("LaSOT", split, SPLITS)


def sequence_files(root: Path, name: str, dataset: str = "lasot") -> SequenceFiles:
    """The files of the sequence `name`: under its class's folder, or straight under the root."""
    kind = name.rpartition("-")[0]
    folder = root / kind / name
    if not folder.is_dir() and (root / name).is_dir():
        folder = root / name
    return SequenceFiles(
        name=name,
        dataset=dataset,
        root=root,
        folders=(folder / "img",),
        annotation=folder / "groundtruth.txt",
        flags=(FlagFile(folder / "full_occlusion.txt"), FlagFile(folder / "out_of_view.txt")),
        object_class=kind,
        attributes=load_attributes("lasot_attributes.json").get(name),
    )


def list_sequences(root: Path, split: str = "train") -> list[SequenceFiles]:
    """The files of a split's sequences, there or not; of 'all', those that are there.

    Raises:
        UserError: an unknown split; the nearest is named.
        MissingFileError: no such folder.
    """
    require_folder(root, _LAYOUT)
    return [sequence_files(root, name) for name in (_found(root) if split == "all" else sequence_names(split))]


def list_extension(root: Path) -> list[SequenceFiles]:
    """The files of the extension subset (150 sequences in 15 classes): those that have a folder, by class and number.

    Raises:
        MissingFileError: no such folder, or no sequence in it.
    """
    require_folder(root, _LAYOUT)
    if not (names := _found(root)):
        raise MissingFileError(f"{root}: no sequences; expected {_LAYOUT}img/00000001.jpg and groundtruth.txt")
    return [sequence_files(root, name, "lasot_extension_subset") for name in names]


def _found(root: Path) -> list[str]:
    """Names of the sequences on disk, by class and number."""
    folders = [folder for folder in (*root.glob("*-*"), *root.glob("*/*-*")) if folder.is_dir()]
    parts = {folder.name: folder.name.rpartition("-") for folder in folders}
    numbered = {name for name, (kind, _, number) in parts.items() if kind and is_number(number)}
    return sorted(numbered, key=lambda name: (parts[name][0], len(parts[name][2]), parts[name][2]))


class Lasot(IndexedVideos):
    """LaSOT's training sequences; visible: positive box, neither fully occluded nor out of view.

    Args:
        root: the folder of classes.
        split: 'train' (1120 sequences), 'train-train' (1000), 'train-val' (120), 'all' that are there, or the path of a
            text file of names.

    Raises as `list_sequences`, and AnnotationError for a sequence that is not on disk or that cannot be read.
    """

    def __init__(self, root: Path, split: str = "train") -> None:
        super().__init__(f"lasot_{split_label(split)}", root, list_sequences(root, split), split, set(_found(root)))
