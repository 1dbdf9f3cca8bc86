"""What comes from outside: names, text files, JSON and TOML, read with one line that says what is wrong with them."""

from __future__ import annotations

import ast
import dataclasses
import json
import numbers
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ltr.errors import UserError, check_names, printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Field of a dataclass -> (lowest, highest) that it may be.
Ranges = Mapping[str, tuple[float, float]]
T = TypeVar("T")

# COCO's largest file of annotations has half of it.
MAX_BYTES = 1 << 30
_LONGEST_NAME = 200
# The time that TOML's reader takes grows with the square of the parts of a key.
_MOST_DOTS = 500


def check_name(kind: str, name: str) -> str:
    """The name of a sequence, tracker or parameter file, which is safe to be a part of a file's name.

    Args:
        kind: kind of thing that the name stands for, such as 'sequence'.
        name: the name as it came from a file, a folder or the command line.

    Returns:
        name: unchanged.

    Raises:
        UserError: it is no text, is empty, has only dots, has a separator, a control character or something that is
            not valid UTF-8, or has more than 200 bytes.
    """
    if not isinstance(name, str):
        raise UserError(f"the name of a {kind} is a {type(name).__name__}, not text")
    shown = f"the {kind} '{printable(name[:60])}'"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UserError(f"{shown} has a name that is not valid UTF-8; rename it") from None
    if size > _LONGEST_NAME:
        raise UserError(f"{shown} ... has a name of {size} bytes; rename it to at most {_LONGEST_NAME}")
    if not name.strip() or not name.strip("."):
        raise UserError(f"a {kind} is named '{printable(name)}'; a name needs a letter or a digit")
    if "/" in name or "\\" in name:
        raise UserError(f"{shown} has a '/' or '\\' in its name, which would lead to another folder")
    # 127 to 159 are control characters too.
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name):
        raise UserError(f"{shown} has a control character in its name; rename it")
    return name


def as_path(kind: str, path: Any) -> Path:
    """A path that a caller gives, '~' followed. Raises UserError, naming `kind`, where it is no text and no `Path`."""
    given = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(given, str):
        raise UserError(
            f"{kind} is given by text or a pathlib.Path, not by the {type(path).__name__} {repr(path)[:60]}"
        )
    return Path(os.path.expanduser(given))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Key and value of a `--set KEY=VALUE`: a Python literal, true or false, else text.

    Raises:
        UserError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: give KEY=VALUE, such as seed=1")
    try:
        return key.strip(), ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key.strip(), {"true": True, "false": False}.get(value.strip(), value)


def check_numbers(settings: Any) -> None:
    """Refuse numbers of a dataclass, in its tuples, dictionaries and dataclasses too, that no setting can have.

    Args:
        settings: an instance of a dataclass, whose class may have `RANGES`: field -> (lowest, highest), infinite ones
            where that is allowed. A field without a range must be finite; None is a setting that is not set.

    Raises:
        UserError: such a number, or something else than a number where there is a range.
    """
    ranges = getattr(type(settings), "RANGES", {})
    for field in dataclasses.fields(settings):
        low, high = ranges.get(field.name, (-sys.float_info.max, sys.float_info.max))
        for value in _flat(getattr(settings, field.name)):
            if dataclasses.is_dataclass(value):
                check_numbers(value)
            elif isinstance(value, numbers.Real):
                if not low <= value <= high:
                    wanted = f"lie between {low:g} and {high:g}" if field.name in ranges else "be a finite number"
                    raise UserError(f"{field.name} must {wanted}, not {value!r}")
            elif field.name in ranges and value is not None:
                raise UserError(f"{field.name} must be a number, not {value!r}")


def _flat(value: Any) -> Iterator[Any]:
    """The values in tuples, lists and dictionaries, whatever their nesting; else the value itself."""
    if isinstance(value, (tuple, list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _flat(part)
    else:
        yield value


def replace_fields(settings: T, changes: Mapping[str, Any]) -> T:
    """`dataclasses.replace` for values that a user gave; a list becomes the tuple that it stands for.

    Raises:
        UserError: a field that the dataclass does not have (the nearest is named), or a value of another type.
    """
    kind = type(settings)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    check_names(f"setting of {kind.__name__}", changes, fields)
    try:
        hints = get_type_hints(kind)
    except NameError:
        hints = {}  # Annotations of a class of the user's that only its own function knows.
    for name, value in changes.items():
        if not _is_of(value, hints.get(name, Any)):
            raise UserError(f"{name} must be {fields[name].type}, such as {getattr(settings, name)!r}, not {value!r}")
    values = {name: _with_tuples(value, hints.get(name, Any)) for name, value in changes.items()}
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a type as a dataclass states it; a whole number is a float, too, a path is text."""
    kinds: dict[Any, Any] = {int: numbers.Integral, float: numbers.Real, str: (str, os.PathLike)}
    if hint in kinds:
        return isinstance(value, kinds[hint]) and not isinstance(value, bool)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        wanted = _of_parts(value, inner)
        return len(wanted) == len(value) and all(map(_is_of, value, wanted))
    if origin in (Union, UnionType):
        return any(_is_of(value, part) for part in inner)
    return hint is Any or isinstance(value, origin or hint)


def _of_parts(value: Sequence[Any], inner: tuple[Any, ...]) -> tuple[Any, ...]:
    """Types of a tuple's parts, for a hint `tuple[...]` of the arguments."""
    return inner[:1] * len(value) if inner[-1] is ... else inner


def _with_tuples(value: Any, hint: Any) -> Any:
    """A value of a type (`_is_of`) with tuples where the type has them."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        return tuple(map(_with_tuples, value, _of_parts(value, inner)))
    if origin in (Union, UnionType):
        return _with_tuples(value, next(part for part in inner if _is_of(value, part)))
    return value


def check_regular(
    path: str | os.PathLike[str], status: os.stat_result, kind: str, limit: int, error: type[UserError] = UserError
) -> None:
    """Refuse what is no regular file: a pipe would be waited for, and a device never ends.

    Args:
        kind: kind of file that it should be, such as 'image'.
        limit: largest size in bytes.

    Raises:
        UserError: a folder, a pipe, a socket or a device, or a file larger than `limit`.
    """
    if stat.S_ISDIR(status.st_mode):
        raise error(f"{path} is a folder, not {'an' if kind[0] in 'aeiou' else 'a'} {kind}")
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path} is a pipe, a socket or a device; copy the {kind} into a regular file")
    if status.st_size > limit:
        raise error(f"{path} has {status.st_size:,} bytes, more than the {limit:,} that such a file may have")


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_BYTES, error: type[UserError] = UserError) -> bytes:
    """The content of a regular file of at most `limit` bytes; a pipe or a device is refused instead of waited for.

    Raises:
        UserError: no such file, no regular file, one larger than `limit`, or one that the system does not let us read.
    """
    try:
        # Without this flag, opening a pipe would wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError) as reason:
        raise error(f"{path}: cannot be read: {getattr(reason, 'strerror', None) or reason}") from None
    try:
        check_regular(path, os.fstat(handle), "file", limit, error)
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES, error: type[UserError] = UserError) -> str:
    """The text of a UTF-8 file, line ends as '\\n', without a byte order mark. Errors as `read_bytes`; no UTF-8."""
    try:
        text = read_bytes(path, limit, error).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error(f"{path}: not a text file (UTF-8)") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike[str], error: type[UserError] = UserError, limit: int = MAX_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: as `read_bytes`; it is not JSON (the line is named), is nested too deeply or has a number of
            thousands of digits.
    """
    return _parse(path, read_text(path, limit, error), "JSON", json.loads, error)


def read_object(
    path: str | os.PathLike[str], error: type[UserError] = UserError, limit: int = MAX_BYTES
) -> dict[str, Any]:
    """The content of a JSON file that holds one object. Raises UserError as `read_json`, and for anything else."""
    content = read_json(path, error, limit)
    if type(content) is not dict:
        raise error(f"{path}: not a JSON object")
    return content


def number_array(value: Any, finite: bool = True) -> np.ndarray:
    """Numbers that a JSON file has in lists of lists, as float64 of that shape.

    Args:
        value: value in the file.
        finite: whether NaN and infinity are refused as well.

    Raises:
        ValueError: true, false, text or anything else that is no number, or rows of different lengths.
    """
    items = np.asarray(value, dtype=object)
    if not all(type(item) in (int, float) for item in items.flat):
        raise ValueError("not numbers")
    try:
        numbers = items.astype(np.float64)
    except OverflowError:
        raise ValueError("a number is too large") from None
    if finite and not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    return numbers


def parse_toml(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    """The content of a TOML file whose text is known. Raises UserError as `read_json`."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_DOTS:
            raise UserError(f"{path}, line {number}: this TOML file is nested too deeply")
    content: dict[str, Any] = _parse(path, text, "TOML", tomllib.loads, UserError)
    return content


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a TOML file. Raises UserError as `read_json`."""
    return parse_toml(path, read_text(path))


def _parse(
    path: str | os.PathLike[str], text: str, language: str, parse: Callable[[str], Any], error: type[UserError]
) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as reason:
        raise error(f"{path}, line {reason.lineno}: not JSON: {reason.msg}") from None
    except tomllib.TOMLDecodeError as reason:
        raise error(f"{path} is not valid TOML: {reason}") from None
    except ValueError:
        # Python refuses to turn thousands of digits into a number.
        line = next((n for n, line in enumerate(text.split("\n"), 1) if re.search(r"\d{1000}", line)), 1)
        raise error(f"{path}, line {line}: a number in this {language} file has too many digits") from None
    except RecursionError:
        raise error(f"{path}: this {language} file is nested too deeply") from None
