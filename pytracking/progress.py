"""The progress bar of everything that takes a while."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

_LINE = "{desc}: {n_fmt} of {total_fmt} frames, {rate_noinv_fmt}, {elapsed} elapsed, {remaining} left{postfix}"


class _Lines(tqdm):
    """Whole lines without a bar, for a log file."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """What prints a line; an empty one, which would wipe a bar off a terminal, is left out."""

        def print_line(text: str) -> None:
            if text:
                file.write(f"{text}\n")
                file.flush()

        return print_line

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> Any:
        """Print the line; not before its time for `tqdm.write`, which has a bar drawn again after every text."""
        if nolock and time.time() - self.last_print_t < self.mininterval:
            return None
        return super().refresh(nolock, lock_args)

    def close(self) -> None:
        """Print the last line, once."""
        if not self.disable:
            self.refresh()
            # Nothing to wipe off: a bar that is still delayed is closed without a word.
            self.delay = math.inf
        super().close()


def progress_bar(total: int | None, label: str) -> tqdm:
    """A bar on stderr that counts frames, with frames a second and the time left.

    Where stderr is a file or a pipe it prints a line every ten seconds, and one at the end.

    Args:
        total: number of frames, None where it is not known.
        label: text before the bar.
    """
    # Closed by `2>&-`.
    if sys.stderr is None:
        return tqdm(total=total, disable=True)
    if sys.stderr.isatty():
        return tqdm(total=total, desc=label, unit="frame", mininterval=0.1, dynamic_ncols=True)
    # The first line, without a frame tracked, would say nothing.
    return _Lines(total=total, desc=label, unit=" frames", mininterval=10.0, delay=1e-9, bar_format=_LINE)
