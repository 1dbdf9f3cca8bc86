"""Errors that a user can mend, one class tree for both packages, and the exit status that each ends a command with."""

from __future__ import annotations

import difflib
import errno
import io
import os
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

EXIT_FAILED_SEQUENCES = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

# More names than these are cut in a message.
_LONGEST_LIST = 40
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """Bad input from outside. Its message is one line: what was wrong, in which file or field, and what to do."""

    status = EXIT_USER_ERROR
    prefix = "error: "


class CheckpointError(UserError):
    """A file that is not a checkpoint, or does not fit its network."""


class PretrainedWeightsError(UserError, RuntimeError):
    """ImageNet weights that are missing or do not fit. The message says where to get them and where to put them."""


class MissingPackageError(UserError, RuntimeError):
    """An optional package that is not installed. The message gives the command that installs it."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not where it should be. The message says where to put it or how to name its place."""


class AnnotationError(UserError):
    """An annotation that cannot be read. The message names file and line."""


class ImageError(UserError, OSError):
    """An image that is missing, cut short or cannot be decoded."""


class SampleError(UserError):
    """A sequence that cannot be read for training. The message names data set, sequence and file."""


def unknown_name(kind: str, name: Any, known: Iterable[str]) -> UserError:
    """The error for a name that is not registered: it gives the nearest known one, else lists what there is.

    Args:
        kind: kind of thing that the name stands for, such as 'data set'.
        known: the names there are, compared without regard to case.
    """
    if not isinstance(name, str):
        return UserError(f"a {kind} is named by text, not by the {type(name).__name__} {repr(name)[:60]}")
    choices = sorted(set(known))
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if near:
        return UserError(f"unknown {kind} '{name}'; did you mean '{folded[near[0]]}'?")
    if not choices:
        return UserError(f"unknown {kind} '{name}'; there is none")
    several = ", ".join(choices) if len(choices) <= _LONGEST_LIST else f"{len(choices)}, such as {list_some(choices)}"
    return UserError(f"unknown {kind} '{name}'; choose from {several}")


def check_names(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise `unknown_name` for the first name that is no text or not among those that are known."""
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise unknown_name(kind, name, known)


def list_some(names: Iterable[object], see_all: str = "", first: int = 3) -> str:
    """Names for a message, 'a, b, c and 117 more', so that a long list does not bury what it is about.

    Args:
        names: names to list, in order.
        see_all: how to see the rest, put in brackets where there is one.
        first: the number of names that are written.
    """
    texts = [str(name) for name in names]
    # A single name more is as long as saying so.
    if len(texts) <= first + 1:
        return ", ".join(texts)
    rest = f" ({see_all})" if see_all else ""
    return f"{', '.join(texts[:first])} and {len(texts) - first} more{rest}"


def printable(text: str) -> str:
    """`text` in one line that a terminal shows as it is: control characters and invalid UTF-8 as escapes."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", errors="surrogatepass").decode("ascii", errors="backslashreplace")
        for character in text
    )


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed because the disk is full or a quota or file size limit is reached."""
    return error.errno in _DISK_FULL


def disk_full(path: os.PathLike[str] | str, kept: str) -> UserError:
    """The error for a full disk, with what was kept and what to do."""
    return UserError(f"no space left to write {os.fspath(path)}; {kept}")


def exit_status(main: Callable[[], object], resumes: bool = False) -> int:
    """Run a command line's `main` and return its exit status, printing a `UserError` as one line.

    Args:
        resumes: the command can be run again to continue, which the messages then say.

    Returns:
        What `main` returns, 0 where that is no number; the status of a `UserError` (2 for most); 2 for a full disk or
        an unreadable file; 130 for Ctrl-C.
    """
    # A terminal or file whose encoding lacks a character (± in a table, a sequence's name) shows its code instead.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = main()
        return status if isinstance(status, int) else 0
    except UserError as error:
        print(printable(f"{error.prefix}{error}"), file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        hint = "; the same command resumes from the last checkpoint" if resumes else ""
        print(f"interrupted{hint}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (such as `head`) is gone; without this Python complains again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USER_ERROR
    except OSError as error:
        if error.filename is None and not is_disk_full(error):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        hint = ". What was saved before is whole; the same command resumes" if resumes else ""
        print(printable(f"error: {where}{error.strerror}{hint}"), file=sys.stderr)
        return EXIT_USER_ERROR
