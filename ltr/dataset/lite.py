"""The data of the compact recipes: composited video first, then videos and images with boxes, from one folder.

The folder holds any number of sub-folders, whose content decides what each is for:
cut-outs (`rgba/*.png`, or `images/` with `masks/`), images with boxes (`images/` with `boxes.csv`), `videos/` with
sequences, and `backgrounds/` with photographs. docs/data.md shows an example.
"""

from __future__ import annotations

from pathlib import Path

from ltr.data.image import IMAGE_SUFFIXES
from ltr.dataset.base import TrainingDataset
from ltr.dataset.composited import CompositedVideo
from ltr.dataset.cutouts import CutoutSource, find_cutouts, moving_cutouts, usable_cutouts
from ltr.dataset.folders import FolderSequences, ImageBoxes, in_split, list_frames
from ltr.errors import MissingFileError, UserError

_VIDEOS_A_SPLIT = {"train": 1_000_000, "val": 20_000}
_WEIGHTS = {"composited": 5.0, "videos": 3.0, "short_videos": 1.0, "images": 1.0}
# Recordings with several videos are held out as a whole, by this list; the families in it have no other validation.
_HELD_OUT_SCENES = {
    "davis_drift-turn",
    "davis_mallard-fly",
    "davis_schoolgirls",
    "davis_scooter-gray",
    "davis_soccerball",
    "sbi2015_HighwayI",
    "sbi2015_IBMtest2",
    "scbt_BookStand",
    "scbt_TransparentCup",
}
_LONG = 20
_SMALLEST = 6.0
LISTED_FAMILIES = ("cdnet_", "davis_", "sbi2015_", "scbt_", "tlp_")
# A fixed word, so that the split does not follow the name of the data folder.
_BACKGROUNDS_KEY = "train"


def video_in_split(name: str, split: str) -> bool:
    """Whether a video below `videos/` belongs to a split: whole scenes by a list, other families as `in_split`."""
    if name.startswith(LISTED_FAMILIES):
        held_out = bool(_HELD_OUT_SCENES & {name, name.rpartition("_")[0]})
        return held_out == (split == "val")
    return in_split(name, split)


def _images(folder: Path, key: str, split: str) -> list[Path]:
    """The images in a folder that belong to a split, by the checksum of `key` and their names."""
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return [path for path in found if in_split(f"{key}/{path.stem}", split)]


def lite_folders(root: Path) -> list[Path]:
    """The sub-folders of a data folder, by name."""
    return sorted(path for path in root.iterdir() if path.is_dir())


def build_lite_datasets(root: Path, split: str, seed: int) -> list[tuple[TrainingDataset, float]]:
    """The data sets of a folder and their sampling weights.

    Cut-outs, backgrounds, videos and images are split by their files, so that nothing of validation is trained on.

    Args:
        root: the folder.
        split: 'train' or 'val'.
        seed: seed for the composited videos.

    Raises:
        ValueError: an unknown split.
        FileNotFoundError: no cut-outs below `root`.
        AnnotationError: a box file that cannot be read.
    """
    if split not in _VIDEOS_A_SPLIT:
        raise UserError(f"split must be 'train' or 'val', not '{split}'")
    folders = lite_folders(root)
    entries = [
        (entry,)
        for folder in folders
        for entry in find_cutouts(folder)
        if in_split(f"{folder.name}/{entry[0].stem}", split)
    ]
    names = sorted(path.parent.name for path in (root / "videos").glob("*/groundtruth_rect.txt"))
    names = [name for name in names if video_in_split(name, split)]
    moving = moving_cutouts(root / "videos" / name for name in names)
    cutouts = usable_cutouts(entries)
    if not cutouts:
        raise MissingFileError(
            f"{root} has no usable cut-outs for '{split}': wanted sub-folders with rgba/*.png, or images/ with masks/"
        )
    tables = [folder for folder in folders if (folder / "boxes.csv").is_file() and not _has_single_objects(folder)]
    photographs = _images(root / "backgrounds", _BACKGROUNDS_KEY, split)
    scenes = [image for folder in tables for image in _images(folder / "images", folder.name, split)]
    video = CompositedVideo(
        # A moving cut-out is worth many still ones.
        CutoutSource([*cutouts, *moving * max(len(cutouts) // max(4 * len(moving), 1), 1)]),
        [*photographs * max(1, len(scenes) // max(len(photographs), 1)), *scenes],
        _VIDEOS_A_SPLIT[split],
        seed=seed * 2 + (split == "val"),
    )
    found: list[tuple[TrainingDataset, float]] = [(video, _WEIGHTS["composited"])]
    # Sequences are drawn uniformly, and a long one has more to teach: two sets of them, by length.
    long = {name for name in names if len(list_frames(root / "videos" / name / "img")) >= _LONG}
    for label, chosen in (("videos", sorted(long)), ("short_videos", sorted(set(names) - long))):
        if chosen:
            videos = FolderSequences(root / "videos", chosen, label, smallest=_SMALLEST)
            found.append((videos, _WEIGHTS[label]))
    for folder in tables:
        keep = frozenset(image.name for image in _images(folder / "images", folder.name, split))
        boxes = ImageBoxes(folder, folder.name, keep=keep)
        found.append((boxes, _WEIGHTS["images"] / len(tables)))
    return [(dataset, weight) for dataset, weight in found if len(dataset)]


def _has_single_objects(folder: Path) -> bool:
    """Whether every image has one mask of its own name: a picture of one object, better used as a cut-out."""
    masks = {path.stem for path in (folder / "masks").glob("*.png")}
    return bool(masks) and all("_" not in name for name in masks)
