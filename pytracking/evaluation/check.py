"""Walk a local copy of a data set, tell sequence by sequence what is wrong, and repair names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ltr.dataset.filenames import Rename
from ltr.errors import UserError, unknown_name
from pytracking.evaluation import (
    got10kdataset,
    lasotdataset,
    nfsdataset,
    otbdataset,
    trackingnetdataset,
    uavdataset,
    votdataset,
)
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import READERS
from pytracking.evaluation.inspection import Finding, Surroundings, inspect_frames, inspect_names, inspect_text
from pytracking.evaluation.layout import SequenceFiles, load_list
from pytracking.evaluation.naming import apply_renames

# The data sets whose files have official names; of the others only what is there can be read.
FILES: dict[str, Callable[[Path | None], dict[str, SequenceFiles]]] = {
    "got10k_test": got10kdataset.list_test_files,
    "got10k_val": got10kdataset.list_val_files,
    "lasot": lasotdataset.list_files,
    "lasot_extension_subset": lasotdataset.list_extension_files,
    "nfs": nfsdataset.list_files,
    "otb": otbdataset.list_files,
    "trackingnet": trackingnetdataset.list_files,
    "uav": uavdataset.list_files,
    "vot": votdataset.list_files,
}

# Where the sequences are those on disk, how many there should be.
COUNTS = {"trackingnet": 511, "lasot_extension_subset": 150}


@dataclass(frozen=True)
class SequenceReport:
    """What was found about a sequence, after any repair.

    Attributes:
        name: of the sequence; empty for what concerns the data set as a whole.
        findings: nothing for a sequence that is as it should be.
        renamed: what was renamed to repair it.
    """

    name: str
    findings: list[Finding]
    renamed: list[Rename]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.harmless for finding in self.findings)


def check_dataset(
    name: str,
    path: Path | None = None,
    sequences: Iterable[str] | None = None,
    repair: bool = False,
    decode: bool = True,
) -> Iterator[SequenceReport]:
    """Check a local copy of a data set.

    Args:
        name: of the data set, as for `get_dataset`.
        path: its folder, where environment and configuration are not to be asked.
        sequences: only these.
        repair: rename what is only written differently; nothing is overwritten or removed.
        decode: open every frame.

    Yields:
        report: one a sequence, in the data set's order, as soon as it is known.

    Raises:
        UserError: unknown data set or sequence, or a folder that is not this data set's.
    """
    if name not in READERS:
        raise unknown_name("data set", name, READERS)
    known: dict[Path, str | None] = {}
    if name not in FILES:
        readers = READERS[name](path)
        for key in _chosen(name, readers, sequences):
            yield SequenceReport(key, _inspect_by_reading(readers[key], known if decode else None), [])
        return
    listed = FILES[name](path)
    hints = load_list("otb_oddities.json") if name == "otb" else {}
    surroundings = _surroundings(listed.values())
    for key in _chosen(name, listed, sequences):
        renamed = _repair(listed[key], surroundings) if repair else []
        # A repaired folder may make another of the known places right, so the list is made anew.
        files = FILES[name](path).get(key, listed[key]) if renamed else listed[key]
        findings, frames = inspect_names(files, surroundings)
        if decode:
            findings += inspect_frames(frames, known)
        yield SequenceReport(key, [_with_hint(finding, hints.get(key)) for finding in findings], renamed)
    if sequences is None and name in COUNTS and len(listed) != COUNTS[name]:
        text = f"{len(listed)} sequences are there, of {COUNTS[name]}"
        yield SequenceReport("", [Finding("missing" if len(listed) < COUNTS[name] else "long", text)], [])


def _repair(files: SequenceFiles, surroundings: Surroundings) -> list[Rename]:
    """Rename until nothing more can be repaired so; a renamed folder brings what is in it to light."""
    done: list[Rename] = []
    while True:
        findings, _ = inspect_names(files, surroundings)
        renames = next((finding.renames for finding in findings if finding.renames), ())
        if not renames:
            return done
        apply_renames(renames)
        done += renames


def _inspect_by_reading(read: Callable[[], Sequence], known: dict[Path, str | None] | None) -> list[Finding]:
    try:
        sequence = read()
    except UserError as error:
        return [Finding("unreadable", str(error))]
    first = sequence.ground_truth_rect[0]
    findings = []
    if not (first[2:] > 0).all():
        findings.append(Finding("wrong box", f"{sequence.annotation_path}: the first box is {first.tolist()}"))
    if sequence.annotation_path.is_file():
        findings += inspect_text(sequence.annotation_path)
    return findings + (inspect_frames(sequence.frames, known) if known is not None else [])


def _surroundings(listed: Iterable[SequenceFiles]) -> Surroundings:
    official: set[Path] = set()
    spans: dict[Path, tuple[int, int]] = {}
    for files in listed:
        for path in (files.annotation, *files.folders, *files.absence, *([files.cover] if files.cover else [])):
            official |= {path, *path.parents}
        if files.last is not None:
            for folder in files.folders:
                first, last = spans.get(folder, (files.first, files.last))
                spans[folder] = (min(first, files.first), max(last, files.last))
    return Surroundings(official, spans)


def _chosen(dataset: str, names: Iterable[str], wanted: Iterable[str] | None) -> list[str]:
    everything = list(names)
    if wanted is None:
        return everything
    chosen = list(wanted)
    for name in chosen:
        if name not in everything:
            raise unknown_name(f"sequence of {dataset}", name, everything)
    return chosen


def _with_hint(finding: Finding, hint: str | None) -> Finding:
    if hint is None or finding.harmless:
        return finding
    return Finding(finding.kind, f"{finding.text} [{hint}]", finding.renames)


def summary_text(dataset: str, reports: list[SequenceReport]) -> str:
    """'otb: 97 of 100 sequences are whole; 3 missing, 1 short', and whether renaming would repair some."""
    sequences = [report for report in reports if report.name]
    kinds = Counter(finding.kind for report in reports for finding in report.findings if not finding.harmless)
    text = f"{dataset}: {sum(report.whole for report in sequences)} of {len(sequences)} sequences are whole"
    if kinds:
        text += "; " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    if any(finding.renames for report in reports for finding in report.findings):
        text += "; --repair renames what is misnamed"
    return text
