"""Walk a local copy of a training data set and tell, sequence by sequence, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ltr.dataset import got10k, lasot, tracking_net
from ltr.dataset.coco import coco_files
from ltr.dataset.coco_format import coco_format_files
from ltr.dataset.folders import IMAGE_SUFFIXES, sequence_names
from ltr.dataset.inspect_images import inspect_coco, inspect_cutouts, inspect_table
from ltr.dataset.inspection import Finding, Mapper, absent, inspect_video, open_frame
from ltr.dataset.lite import lite_folders
from ltr.dataset.videos import VideoFiles
from ltr.errors import AnnotationError, MissingFileError, UserError, unknown_name

# What is checked where no split is named: everything that the recipes train and validate on.
SPLITS = {
    "lasot": ("train",),
    "trackingnet": ("0-3",),
    "got10k": ("train", "val"),
    "coco": ("train2017",),
    "coco_format": (),
    "folder": ("all",),
    "lite": ("all",),
}
_THREADS = 8


@dataclass(frozen=True)
class SequenceReport:
    """What was found about a sequence, an image or a folder.

    Attributes:
        name: of it; empty for what concerns the data set as a whole.
        findings: nothing for one that is as it should be.
    """

    name: str
    findings: list[Finding]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.harmless for finding in self.findings)


@dataclass(frozen=True)
class Walk:
    """A data set to be checked.

    Attributes:
        count: of its sequences; 0 where it is not known beforehand.
        reports: one a sequence, as soon as it is known.
    """

    count: int
    reports: Iterator[SequenceReport]


def check_dataset(name: str, root: Path, splits: Sequence[str] = (), decode: bool = True) -> Walk:
    """Check a local copy of a data set.

    Args:
        name: of the data set, a key of `SPLITS`.
        root: its folder.
        splits: as the data set's reader takes them; those of `SPLITS` by default.
        decode: open every frame.

    Raises:
        ValueError: an unknown data set or split.
        FileNotFoundError: `root` is not such a data set's folder.
        AnnotationError: a list of sequences that cannot be read.
    """
    if name not in SPLITS:
        raise unknown_name("training data set", name, SPLITS)
    chosen = list(splits) or list(SPLITS[name])
    if name == "coco_format" and not chosen:
        raise UserError("name the file and the images: --split annotations/train.json:images/train")
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder")
    if name in _VIDEOS:
        return _walk_videos(_VIDEOS[name](root, chosen), decode)
    if name == "folder":
        return _walk_folder(root, decode)
    if name == "lite":
        return _walk_lite(root, decode)
    return Walk(0, _coco_reports(name, root, chosen, decode))


def _lasot(root: Path, splits: list[str]) -> list[VideoFiles]:
    return [video for split in splits for video in lasot.list_videos(root, split)]


def _got10k(root: Path, splits: list[str]) -> list[VideoFiles]:
    return [video for split in splits for video in got10k.list_videos(root, split)]


def _trackingnet(root: Path, splits: list[str]) -> list[VideoFiles]:
    """Sequences with an annotation, or with frames; a set that is not there counts as a sequence."""
    videos = []
    for number in dict.fromkeys(number for split in splits for number in tracking_net.set_numbers(split)):
        folder = root / f"TRAIN_{number}"
        names: set[str] = set()
        if (folder / "anno").is_dir():
            names |= {path.stem for path in (folder / "anno").iterdir() if path.suffix == ".txt"}
        if (folder / "frames").is_dir():
            names |= {path.name for path in (folder / "frames").iterdir() if path.is_dir()}
        videos += [tracking_net.sequence_files(folder, name) for name in sorted(names) or [f"TRAIN_{number}"]]
    return videos


_VIDEOS: dict[str, Callable[[Path, list[str]], list[VideoFiles]]] = {
    "lasot": _lasot,
    "got10k": _got10k,
    "trackingnet": _trackingnet,
}


def _walk_videos(videos: list[VideoFiles], decode: bool, numbered: bool = True) -> Walk:
    def reports() -> Iterator[SequenceReport]:
        with ThreadPoolExecutor(_THREADS) as pool:
            for video in videos:
                yield SequenceReport(video.name, inspect_video(video, pool.map if decode else None, numbered))

    return Walk(len(videos), reports())


def _walk_folder(root: Path, decode: bool) -> Walk:
    """Folders with a box file or with `img/`."""
    names = sorted(path.name for path in root.iterdir() if (path / "img").is_dir()) or sequence_names(root)
    boxed = {path.parent.name for path in root.glob("*/groundtruth_rect.txt")}
    videos = [
        VideoFiles(name, root / name / "img", root / name / "groundtruth_rect.txt") for name in sorted({*names, *boxed})
    ]
    return _walk_videos(videos, decode, numbered=False)


def _walk_lite(root: Path, decode: bool) -> Walk:
    folders = lite_folders(root)

    def reports() -> Iterator[SequenceReport]:
        with ThreadPoolExecutor(_THREADS) as pool:
            for folder in folders:
                yield SequenceReport(folder.name, _inspect_lite_folder(folder, pool.map if decode else None))
        if (root / "videos").is_dir():
            for report in _walk_folder(root / "videos", decode).reports:
                yield SequenceReport(f"videos/{report.name}", report.findings)

    return Walk(0, reports())


def _inspect_lite_folder(folder: Path, mapper: Mapper | None) -> list[Finding]:
    findings = inspect_cutouts(folder, mapper)
    if folder.name == "backgrounds" and mapper is not None:
        opened = mapper(open_frame, [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES])
        findings += [Finding("unreadable", one.error) for one in opened if one.error]
    if (folder / "boxes.csv").is_file():
        findings += inspect_table(folder, mapper)
    return list(dict.fromkeys(findings))


def _coco_reports(name: str, root: Path, splits: list[str], decode: bool) -> Iterator[SequenceReport]:
    for split in splits:
        try:
            path, folder = coco_files(root, split) if name == "coco" else coco_format_files(root, split)
        except AnnotationError:
            yield SequenceReport("", [absent(root / "annotations" / f"instances_{split}.json", "annotation")])
            continue
        with ThreadPoolExecutor(_THREADS) as pool:
            for image, findings in inspect_coco(path, folder, pool.map if decode else None):
                yield SequenceReport(image, findings)


def summary_text(dataset: str, reports: Sequence[SequenceReport]) -> str:
    """'lasot: 1118 of 1120 sequences are whole; 1 missing, 1 short'."""
    named = [report for report in reports if report.name]
    kinds = Counter(finding.kind for report in reports for finding in report.findings if not finding.harmless)
    text = f"{dataset}: {sum(report.whole for report in named)} of {len(named)} sequences are whole"
    return text + ("; " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) if kinds else "")
