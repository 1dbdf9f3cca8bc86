"""Evaluation data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ltr.errors import UserError, unknown_name
from pytracking.evaluation import (
    davisdataset,
    demodataset,
    folderdataset,
    got10kdataset,
    lasotdataset,
    nfsdataset,
    otbdataset,
    trackingnetdataset,
    uavdataset,
    votdataset,
)
from pytracking.evaluation.data import Sequence

# A reader maps the names of a data set's sequences, in order, to functions that read one annotation file each, so that
# one sequence can be run without the others being on disk. Its argument is a folder given on the command line.
Reader = Callable[[Path | None], dict[str, Callable[[], Sequence]]]

READERS: dict[str, Reader] = {
    "davis": davisdataset.list_sequences,
    "demo": demodataset.list_sequences,
    "folder": folderdataset.list_sequences,
    "got10k_test": got10kdataset.list_test_sequences,
    "got10k_val": got10kdataset.list_val_sequences,
    "lasot": lasotdataset.list_sequences,
    "lasot_extension_subset": lasotdataset.list_extension_sequences,
    "nfs": nfsdataset.list_sequences,
    "otb": otbdataset.list_sequences,
    "trackingnet": trackingnetdataset.list_sequences,
    "uav": uavdataset.list_sequences,
    "vot": votdataset.list_sequences,
}


def get_dataset(
    *names: str, path: str | os.PathLike[str] | None = None, sequences: Iterable[str] | None = None
) -> list[Sequence]:
    """The sequences of one data set or of several, one after the other.

    Args:
        names: data sets, keys of `READERS`: 'demo' comes with the package, 'folder' is any folder of sequences.
        path: the data set's folder, where environment and configuration are not to be asked.
        sequences: names of the sequences to read, or their numbers in the data set (from 0); all when left out.

    Raises:
        UserError: unknown data set or sequence (the nearest is named), a folder that is missing or unknown, an
            annotation file that cannot be read, or one whose length is not the number of frames.

    >>> [sequence.name for sequence in get_dataset("demo")]
    ['ball', 'dog', 'girl', 'juggler', 'mug']
    """
    if not names:
        raise UserError(f"name a data set: {', '.join(sorted(READERS))}")
    by_name: dict[str, Callable[[], Sequence]] = {}
    for name in names:
        if name not in READERS:
            raise unknown_name("data set", name, READERS)
        readers = READERS[name](None if path is None else Path(path))
        if shared := by_name.keys() & readers.keys():
            raise UserError(f"{', '.join(names)} share a sequence name, '{min(shared)}': evaluate them one by one")
        by_name |= readers
    if sequences is None:
        return [read() for read in by_name.values()]
    by_number = {str(number): read for number, read in enumerate(by_name.values())}
    chosen = []
    for wanted in sequences:
        if wanted not in by_name and wanted not in by_number:
            raise unknown_name(f"sequence of {', '.join(names)}", wanted, by_name)
        chosen.append(by_name[wanted] if wanted in by_name else by_number[wanted])
    return [read() for read in chosen]
