"""One training at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltr.errors import UserError


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """For the length of a block, no other program trains in `folder`: a second would mix its checkpoints with these.

    The lock is the operating system's, on `<folder>.lock`. It ends with the process, however that ends, and is not its
    loading workers'. Of the processes of one run the first holds it. Where the system has no such locks, none is held.

    Raises:
        ValueError: another program trains there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "a", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UserError(
                f"another program is training in {folder}: wait for it, or give this run another name "
                "(--set name=...) or another --workspace"
            ) from None
        yield
