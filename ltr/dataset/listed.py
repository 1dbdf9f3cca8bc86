"""Data sets for evaluation whose sequences a list names: OTB-100, NFS, UAV123 (lists of the package), and VOT's."""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.boxfile import read_names
from ltr.dataset.layout import SequenceFiles, load_attributes, load_list
from ltr.errors import AnnotationError, MissingFileError

# Data set -> files of its list and of its attributes in `ltr/dataset/sequence_lists`; NFS has its own in the list.
LISTED = {
    # 1-based boxes, 98 folders: Jogging and Skating2 have two targets.
    "otb": ("otb100.json", "otb_attributes.json"),
    "nfs": ("nfs30.json", ""),
    "uav": ("uav123.json", "uav123_attributes.json"),
}


def list_sequences(dataset: str, root: Path) -> list[SequenceFiles]:
    """The files of the sequences of a data set of `LISTED`, there or not.

    Args:
        dataset: 'otb' (`<Sequence>/img/0001.jpg`, `groundtruth_rect.txt`), 'nfs' (`sequences/<Sequence>/00001.jpg`,
            `anno/nfs_<Sequence>.txt`) or 'uav' (`data_seq/UAV123/<video>/000001.jpg`, `anno/UAV123/<sequence>.txt`).
        root: its folder.
    """
    names, file = LISTED[dataset]
    attributes = load_attributes(file) if file else {}
    hints = load_list("otb_oddities.json") if dataset == "otb" else {}
    found = []
    for entry in load_list(names):
        folder, name = root / entry["path"], entry["name"]
        # Of NFS only occlusion is known.
        known = attributes.get(name.removeprefix("uav_")) if attributes else (("OCC",) * entry["occlusion"])
        found.append(
            SequenceFiles(
                name=name,
                dataset=dataset,
                root=root,
                # Copies of OTB differ for KiteSurf.
                folders=(folder, folder.parent / "img") if dataset == "otb" else (folder,),
                annotation=root / entry["anno_path"],
                first=entry["startFrame"],
                last=entry["endFrame"],
                digits=entry["nz"],
                suffixes=tuple(dict.fromkeys((entry["ext"], "jpg", "png"))),
                omitted=entry.get("initOmit", 0),
                marks_absence=dataset == "uav",
                object_class=entry["object_class"],
                attributes=known,
                hint=hints.get(name, ""),
            )
        )
    return found


def list_vot(root: Path) -> list[SequenceFiles]:
    """The files of the sequences that `list.txt` names: `<sequence>/[color/]00000001.jpg`, `groundtruth.txt`.

    Raises:
        MissingFileError: no list.
        AnnotationError: it is empty, or has a name twice or one that leads to another folder.
    """
    # The toolkit of VOT2020 and later keeps the sequences one folder deeper.
    base = root if (root / "list.txt").exists() else root / "sequences"
    if not (base / "list.txt").exists():
        raise MissingFileError(f"{root / 'list.txt'}: no such file; it names the sequences of a VOT-style folder")
    names = read_names(base / "list.txt")
    if len(set(names)) != len(names):
        raise AnnotationError(f"{base / 'list.txt'}: a sequence is named twice")
    return [
        SequenceFiles(
            name=name,
            dataset="vot",
            root=root,
            folders=(base / name / "color", base / name),
            annotation=base / name / "groundtruth.txt",
            suffixes=("jpg", "png"),
            marks_absence=True,
            polygons=True,
        )
        for name in names
    ]
