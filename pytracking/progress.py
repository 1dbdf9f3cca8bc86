"""The progress bar of everything that takes a while."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int | None, label: str) -> tqdm:
    """A bar on stderr that counts frames; where stderr is a file it prints a line every ten seconds only.

    Args:
        total: number of frames, None where it is not known.
        label: what stands before the bar.
    """
    return tqdm(total=total, desc=label, unit="frame", mininterval=0.1 if sys.stderr.isatty() else 10.0)
