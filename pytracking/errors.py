"""Errors that a user can mend: one clear line each, and the wrapper that turns them into an exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable

from ltr import names

EXIT_FAILED_SEQUENCES = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """Bad input from outside. Its message is one line: what was wrong, in which file or field, and what to do."""


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is not registered (see `ltr.names.unknown_name`)."""
    return UserError(names.unknown_name(kind, name, choices))


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed for want of space: disk full, quota or file size limit reached."""
    return error.errno in _DISK_FULL


def disk_full(path: os.PathLike[str] | str, kept: str) -> UserError:
    """The error for a full disk, with what was kept and what to do."""
    return UserError(f"no space left to write {os.fspath(path)}; {kept}")


def run_main(main: Callable[[], int]) -> int:
    """Run a command line's `main` and return its exit status, printing a `UserError` as one line.

    Returns:
        What `main` returns; 2 for a `UserError`, a full disk or an unreadable file; 130 for Ctrl-C.
    """
    try:
        return main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (such as `head`) has gone; without this Python complains again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USER_ERROR
    except OSError as error:
        if error.filename is None and not is_disk_full(error):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        return EXIT_USER_ERROR
