"""Walk a local copy of a data set, tell sequence by sequence what is wrong, and repair names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from ltr.data.image import IMAGE_SUFFIXES
from ltr.dataset import got10k, lasot, tracking_net
from ltr.dataset.coco import coco_files, coco_format_files
from ltr.dataset.davis import list_davis
from ltr.dataset.filenames import Finding, Rename, Surroundings, absent, apply_renames, surroundings_of
from ltr.dataset.folders import folder_split, list_folder
from ltr.dataset.inspect_images import inspect_coco, inspect_cutouts, inspect_table
from ltr.dataset.inspection import inspect_sequence, open_frame
from ltr.dataset.layout import SequenceFiles
from ltr.dataset.listed import list_sequences, list_vot
from ltr.dataset.lite import lite_folders
from ltr.errors import AnnotationError, MissingFileError, UserError, check_names, list_some, unknown_name

Lister = Callable[[Path], list[SequenceFiles]]

# The data sets that are evaluated on: where the files of their sequences are, there or not.
EVALUATION: dict[str, Lister] = {
    "davis": list_davis,
    "folder": list_folder,
    "got10k_test": partial(got10k.list_official, part="test"),
    "got10k_val": partial(got10k.list_official, part="val"),
    "lasot": partial(lasot.list_sequences, split="test"),
    "lasot_extension_subset": lasot.list_extension,
    "nfs": partial(list_sequences, "nfs"),
    "otb": partial(list_sequences, "otb"),
    "trackingnet": tracking_net.list_test,
    "uav": partial(list_sequences, "uav"),
    "vot": list_vot,
}
# How many sequences there should be where the list has only those on disk.
COUNTS = {"trackingnet": 511, "lasot_extension_subset": 150}
# What is checked of a data set for training where no split is named: everything that the recipes train and validate on.
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
    """What was found about a sequence, an image or a folder ('' for the data set as a whole), and what was renamed."""

    name: str
    findings: list[Finding]
    renamed: tuple[Rename, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.harmless for finding in self.findings)


@dataclass(frozen=True)
class Walk:
    """A data set to be checked: the number of its sequences, 0 if not known, and a report of each as soon as it is."""

    count: int
    reports: Iterator[SequenceReport]


@dataclass(frozen=True)
class CheckOptions:
    """How a copy is checked.

    Attributes:
        sequences: only these; all where it is empty.
        repair: rename what is only written differently; nothing is overwritten or removed.
        decode: open every frame.
    """

    sequences: tuple[str, ...] = ()
    repair: bool = False
    decode: bool = True


_ALL = CheckOptions()


def check_evaluation(name: str, root: Path, lister: Lister, options: CheckOptions = _ALL) -> Walk:
    """Check a local copy of a data set that is evaluated on.

    Args:
        lister: function that says where its files are, such as one of `EVALUATION`.

    Raises:
        UserError: an unknown sequence, or a folder that is not this data set's.
    """
    if name == "folder":
        lister = partial(list_folder, strays=True)
    walk = _walk(partial(lister, root), options, f"sequence of {name}", _as_evaluated)
    if options.sequences or name not in COUNTS or walk.count == COUNTS[name]:
        return walk
    kind = "missing" if walk.count < COUNTS[name] else "long"
    text = f"{walk.count} sequences are there, of {COUNTS[name]}"
    return Walk(walk.count, chain(walk.reports, [SequenceReport("", [Finding(kind, text)])]))


def check_training(name: str, root: Path, splits: Sequence[str] = (), options: CheckOptions = _ALL) -> Walk:
    """Check a local copy of a data set that is trained on.

    Args:
        name: name of the data set, a key of `SPLITS`.
        splits: as the data set's reader takes them; those of `SPLITS` by default.

    Raises:
        UserError: an unknown data set, split or sequence, or a data set whose names cannot be repaired.
        MissingFileError: `root` is not such a data set's folder.
        AnnotationError: a list of sequences that cannot be read.
    """
    check_names("training data set", [name], SPLITS)
    chosen = list(splits) or list(SPLITS[name])
    if name == "coco_format" and not chosen:
        raise UserError("name the file and the images: --split annotations/train.json:images/train")
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder")
    if name in _VIDEOS:
        return _walk(
            lambda: [f for split in chosen for f in _VIDEOS[name](root, split)], options, f"sequence of {name}"
        )
    if options.repair or options.sequences:
        raise UserError(f"--repair and --sequence are for data sets of video sequences, which '{name}' is not")
    lite = name == "lite"
    return Walk(0, _lite_reports(root, options) if lite else _coco_reports(name, root, chosen, options.decode))


def _folder(root: Path, split: str) -> list[SequenceFiles]:
    """The sequences of a split; of 'all' also those that lack their annotation."""
    listed = list_folder(root, strays=split == "all")
    if split == "all":
        return listed
    chosen = folder_split(root, split)
    if lacking := sorted(set(chosen) - {files.name for files in listed}):
        raise AnnotationError(f"{root}: split '{split}' names {len(lacking)} sequences not there: {list_some(lacking)}")
    return [files for files in listed if files.name in chosen]


_VIDEOS: dict[str, Callable[[Path, str], list[SequenceFiles]]] = {
    "lasot": lasot.list_sequences,
    "got10k": got10k.list_sequences,
    "trackingnet": tracking_net.list_found,
    "folder": _folder,
}


def _walk(
    list_files: Callable[[], list[SequenceFiles]],
    options: CheckOptions,
    kind: str,
    judge: Callable[[Finding], Finding] = lambda finding: finding,
) -> Walk:
    listed = {files.name: files for files in list_files()}
    for name in options.sequences:
        if name not in listed:
            raise unknown_name(kind, name, listed)
    chosen = options.sequences or tuple(listed)
    surroundings = surroundings_of(listed.values())

    def reports() -> Iterator[SequenceReport]:
        with ThreadPoolExecutor(_THREADS) as pool:
            for name in chosen:
                files, renamed = listed[name], []
                if options.repair and (renamed := _repair(files, surroundings)):
                    # A repaired folder may make another of the known places right, so the list is made again.
                    files = {files.name: files for files in list_files()}.get(name, files)
                findings = inspect_sequence(files, surroundings, pool.map if options.decode else None)
                yield SequenceReport(name, [judge(finding) for finding in findings], tuple(renamed))

    return Walk(len(chosen), reports())


def _repair(files: SequenceFiles, surroundings: Surroundings) -> list[Rename]:
    """Rename until nothing more can be repaired so; a renamed folder brings what is in it to light."""
    done: list[Rename] = []
    while renames := next((one.renames for one in inspect_sequence(files, surroundings, None) if one.renames), ()):
        apply_renames(renames)
        done += renames
    return done


def _as_evaluated(finding: Finding) -> Finding:
    """A box outside its image is scored as it stands."""
    return Finding("note", finding.text) if finding.kind == "out of image" else finding


def _lite_reports(root: Path, options: CheckOptions) -> Iterator[SequenceReport]:
    with ThreadPoolExecutor(_THREADS) as pool:
        mapper = pool.map if options.decode else None
        for folder in lite_folders(root):
            findings = inspect_cutouts(folder, mapper)
            if folder.name == "backgrounds" and mapper is not None:
                images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
                findings += [Finding("unreadable", one.error) for one in mapper(open_frame, images) if one.error]
            if (folder / "boxes.csv").is_file():
                findings += inspect_table(folder, mapper)
            yield SequenceReport(folder.name, list(dict.fromkeys(findings)))
    if (root / "videos").is_dir():
        for report in _walk(partial(list_folder, root / "videos", strays=True), options, "sequence").reports:
            yield SequenceReport(f"videos/{report.name}", report.findings)


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
    """'otb: 97 of 100 sequences are whole; 3 missing, 1 short', and whether renaming would repair some."""
    named = [report for report in reports if report.name]
    kinds = Counter(finding.kind for report in reports for finding in report.findings if not finding.harmless)
    text = f"{dataset}: {sum(report.whole for report in named)} of {len(named)} sequences are whole"
    if kinds:
        text += "; " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    if any(finding.renames for report in reports for finding in report.findings):
        text += "; --repair renames what is misnamed"
    return text
