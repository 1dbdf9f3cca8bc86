"""TrackingNet as a training data set, in its official layout.

`<root>/TRAIN_<k>/frames/<sequence>/0.jpg` and `<root>/TRAIN_<k>/anno/<sequence>.txt`, k from 0 to 11.
"""

from __future__ import annotations

from pathlib import Path

from ltr.dataset.split_lists import require
from ltr.dataset.videos import IndexedVideos, VideoFiles
from ltr.errors import AnnotationError, MissingFileError, UserError

_SETS = 12


def set_numbers(split: str) -> list[int]:
    """The sets that a split names: '0-3' is 0, 1, 2, 3; '0,4,11' those; 'all' every one; 'train' is 0-3.

    Raises:
        ValueError: something else, or a number that is not between 0 and 11.
    """
    text = {"all": f"0-{_SETS - 1}", "train": "0-3"}.get(split, split)
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"a split of TrackingNet is 'all', 'train' or sets such as '0-3' or '0,4', not '{split}'")
        numbers += range(int(first), int(last if dash else first) + 1)
    wrong = [number for number in numbers if number >= _SETS]
    if wrong or not numbers:
        raise UserError(f"TrackingNet has training sets 0 to {_SETS - 1}, not those of '{split}'")
    return list(dict.fromkeys(numbers))


def sequence_files(folder: Path, name: str) -> VideoFiles:
    """The files of the sequence `name` of a set; `folder` is `<root>/TRAIN_<k>`."""
    return VideoFiles(name, folder / "frames" / name, folder / "anno" / f"{name}.txt", first=0, digits=1)


def list_videos(root: Path, split: str = "0-3") -> list[VideoFiles]:
    """The files of the annotated sequences of some sets, set after set, by name.

    Raises:
        ValueError: an unknown split.
        FileNotFoundError: no such folder.
        AnnotationError: a set is not there.
    """
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder: wanted TrackingNet's TRAIN_0/ ... TRAIN_{_SETS - 1}/")
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


class TrackingNet(IndexedVideos):
    """TrackingNet's training sequences; visible: positive box.

    Args:
        root: the folder with `TRAIN_0/` and so on.
        split: sets such as '0-3' (which the field trains on), '0,4' or 'all'.

    Raises:
        ValueError: an unknown split.
        FileNotFoundError: no such folder.
        AnnotationError: a set is not there or empty, or an annotation cannot be read.
    """

    def __init__(self, root: Path, split: str = "0-3") -> None:
        videos = list_videos(root, split)
        require("TrackingNet", split, root, [video.name for video in videos], {video.name for video in videos})
        super().__init__(f"trackingnet_{split.replace(',', '+')}", root, videos)
