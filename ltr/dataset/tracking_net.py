"""TrackingNet in its official layout, its training sets and its test set.

`<root>/TRAIN_<k>/frames/<sequence>/0.jpg` and `<root>/TRAIN_<k>/anno/<sequence>.txt`, k from 0 to 11; `TEST` likewise,
with the first box only.
"""

from __future__ import annotations

import re
from pathlib import Path

from ltr.dataset.index import IndexedVideos
from ltr.dataset.layout import SequenceFiles, require_folder
from ltr.errors import AnnotationError, MissingFileError, UserError

_SETS = 12
_PART = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")


def set_numbers(split: str) -> list[int]:
    """The sets that a split names: '0-3' is 0, 1, 2, 3; '0,4,11' those; 'all' every one; 'train' is 0-3.

    Raises:
        UserError: something else, or a number that is not between 0 and 11.
    """
    text = {"all": f"0-{_SETS - 1}", "train": "0-3"}.get(split, split)
    numbers: list[int] = []
    for part in text.split(","):
        if not (found := _PART.fullmatch(part.strip())):
            raise UserError(f"a split of TrackingNet is 'all', 'train' or sets such as '0-3' or '0,4', not '{split}'")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    wrong = [number for number in numbers if number >= _SETS]
    if wrong or not numbers:
        raise UserError(f"TrackingNet has training sets 0 to {_SETS - 1}, not those of '{split}'")
    return list(dict.fromkeys(numbers))


def sequence_files(folder: Path, name: str, first_only: bool = False) -> SequenceFiles:
    """The files of the sequence `name` of a set; `folder` is `<root>/TRAIN_<k>` or `<root>/TEST`."""
    return SequenceFiles(
        name=name,
        dataset="trackingnet",
        root=folder.parent,
        folders=(folder / "frames" / name,),
        annotation=folder / "anno" / f"{name}.txt",
        first=0,
        digits=1,
        first_only=first_only,
    )


def list_sequences(root: Path, split: str = "0-3") -> list[SequenceFiles]:
    """The files of the annotated sequences of some sets, set after set, by name.

    Raises:
        UserError: an unknown split.
        MissingFileError: no such folder.
        AnnotationError: a set is not there.
    """
    require_folder(root, f"TrackingNet's TRAIN_0/ ... TRAIN_{_SETS - 1}/")
    videos = []
    for number in set_numbers(split):
        folder = root / f"TRAIN_{number}"
        if not (folder / "anno").is_dir():
            raise AnnotationError(
                f"{folder / 'anno'} is not a folder: split '{split}' of TrackingNet wants sets "
                f"{', '.join(map(str, set_numbers(split)))}; another split names those that are there"
            )
        stems = sorted(path.stem for path in (folder / "anno").iterdir() if path.suffix == ".txt")
        videos += [sequence_files(folder, stem) for stem in stems]
    return videos


def list_found(root: Path, split: str = "0-3") -> list[SequenceFiles]:
    """As `list_sequences`, for a check: those with an annotation or with frames, and each set that is not there."""
    videos = []
    for folder in (root / f"TRAIN_{number}" for number in set_numbers(split)):
        videos += [sequence_files(folder, name) for name in _names(folder) or [folder.name]]
    return videos


def list_test(root: Path) -> list[SequenceFiles]:
    """The files of the test sequences (511 in all) that have an annotation or a folder of frames, by name.

    Raises:
        MissingFileError: there is none.
    """
    test = root if (root / "anno").is_dir() else root / "TEST"
    if not (names := _names(test)):
        raise MissingFileError(f"{root}: no sequences; expected TEST/frames/<sequence>/0.jpg, TEST/anno/<sequence>.txt")
    return [sequence_files(test, name, first_only=True) for name in names]


def _names(folder: Path) -> list[str]:
    """Names of the sequences of a set that have an annotation or a folder of frames."""
    names = {path.stem for path in folder.glob("anno/*.txt")}
    names |= {path.name for path in folder.glob("frames/*") if path.is_dir()}
    return sorted(name for name in names if not name.startswith("."))


class TrackingNet(IndexedVideos):
    """TrackingNet's training sequences; visible: positive box.

    Args:
        root: the folder with `TRAIN_0/` and so on.
        split: sets such as '0-3' (which the field trains on), '0,4' or 'all'.

    Raises as `list_sequences`, and AnnotationError for a set that is empty or an annotation that cannot be read.
    """

    def __init__(self, root: Path, split: str = "0-3") -> None:
        super().__init__(f"trackingnet_{split.replace(',', '+')}", root, list_sequences(root, split), split)
