"""LaSOT: `<class>/<class>-<n>/img/00000001.jpg`, `groundtruth.txt`, `full_occlusion.txt`, `out_of_view.txt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, load_attributes, load_list, readers


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 280 test sequences; the target is visible where it is neither fully occluded nor out of view."""
    return readers(list_files(path))


def list_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the 280 test sequences are: under their class's folder, or straight under the root."""
    root = dataset_root("lasot", path)
    attributes = load_attributes("lasot_attributes.json")
    return {name: _files("lasot", root, name, attributes.get(name)) for name in load_list("lasot_test.json")}


def list_extension_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The sequences of LaSOT's extension subset (150 in 15 classes), in alphabetical order."""
    return readers(list_extension_files(path))


def list_extension_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the extension subset are: the sequences that have a folder, under their class's or not."""
    dataset = "lasot_extension_subset"
    root = dataset_root(dataset, path)
    folders = [*root.glob("*-*/"), *root.glob("*/*-*/")]
    names = {folder.name for folder in folders if folder.is_dir() and folder.name.rpartition("-")[2].isdigit()}
    if not names:
        raise UserError(f"{root}: no sequences; expected <class>/<class>-<n>/img/00000001.jpg and groundtruth.txt")
    ordered = sorted(names, key=lambda name: (name.rpartition("-")[0], int(name.rpartition("-")[2])))
    return {name: _files(dataset, root, name, None) for name in ordered}


def _files(dataset: str, root: Path, name: str, attributes: tuple[str, ...] | None) -> SequenceFiles:
    kind = name.rpartition("-")[0]
    flat = root / name
    folder = flat if flat.is_dir() else root / kind / name
    return SequenceFiles(
        name=name,
        dataset=dataset,
        root=root,
        folders=(folder / "img",),
        annotation=folder / "groundtruth.txt",
        marks_absence=True,
        absence=(folder / "full_occlusion.txt", folder / "out_of_view.txt"),
        object_class=kind,
        attributes=attributes,
    )
