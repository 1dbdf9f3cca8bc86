"""Writing files whole: under a temporary name beside the target, renamed when complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the target's place when the block ends without an error.

    The folder is made where it is missing. The temporary name starts with a dot, holds the process id and keeps the
    suffix, and is removed when the block fails, so that the target is either complete or as it was.

    Raises:
        OSError: the folder cannot be made, or the file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole (UTF-8, newlines as they are)."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
