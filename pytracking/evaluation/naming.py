"""Renaming files of a data set that are there under another name, without overwriting any."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ltr.dataset.filenames import Rename
from ltr.errors import UserError


def apply_renames(renames: Iterable[Rename]) -> None:
    """Rename files in the order given, all or none: where one fails, or on Ctrl-C, the earlier ones are undone.

    Raises:
        UserError: a target exists, or a source has gone.
        OSError: the system refuses, such as for want of permission.
    """
    undo: list[Rename] = []
    try:
        for source, target in renames:
            if os.path.lexists(target) and not (source.exists() and source.samefile(target)):
                raise UserError(f"{target}: exists, so that {source.name} is not renamed to it")
            if not os.path.lexists(source):
                raise UserError(f"{source}: has gone; is another program at work in this folder?")
            source.rename(target)
            undo.append((target, source))
        undo.clear()
    finally:
        # Frames of which half are renumbered would look like a copy with a frame missing.
        for target, source in reversed(undo):
            target.rename(source)
