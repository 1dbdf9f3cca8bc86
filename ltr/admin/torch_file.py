"""Files of `torch.save`: looked through first, then read by `torch.load(weights_only=True)`; nothing in them runs.

`weights_only` keeps a file from running code, but not from exhausting the machine, so the archive's directory and the
pickle (`ltr.admin.pickle_walk`) must first fit the file.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ltr.admin.pickle_walk import MAX_PICKLE_BYTES, NUMPY_FUNCTIONS, RECORD_NAME, PickleWalk, refuse
from ltr.errors import CheckpointError

MAX_FILE_BYTES = 4 * 2**30
# The last release with a known hole in `weights_only` is 2.9 (CVE-2026-24747).
_FIRST_SAFE_TORCH = "2.10"
_ZIP_START = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_NUMBER_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class Record(dict[str, Any]):
    """Stands in for an object of any class: its attributes, as a dict. Arguments and other states are left out."""

    class_name = ""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if type(state) is dict:
            self.update(state)


class _NumberType(Record):
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        super().__init__()
        self.code = code if type(code) is str and code in _NUMBER_CODES else None


def _number(kind: Any = None, data: Any = None) -> Any:
    """Stands in for the function that makes a numpy number; gives Python's, or None for what is no plain number."""
    if type(kind) is not _NumberType or kind.code is None or type(data) is not bytes:
        return None
    dtype = np.dtype(f"<{kind.code}")
    return np.frombuffer(data, dtype)[0].item() if len(data) == dtype.itemsize else None


def is_torch_zip(path: str | Path) -> bool:
    """Whether a file begins as torch.save's zip format does, which is all that torch.load looks at."""
    with open(path, "rb") as stream:
        return stream.read(len(_ZIP_START)) == _ZIP_START


def is_torch_file(path: str | Path) -> bool:
    """Whether a file begins as either format of torch.save does (as any zip archive or pickle may).

    Raises:
        CheckpointError: there is no such file, or none that can be read.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        with open(path, "rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    # A safetensors header of a fitting length begins with the same byte as a pickle; it is JSON from byte 8 on.
    return start[:4] == _ZIP_START or (start[:1] == b"\x80" and start[8:] != b"{")


def load_torch_file(path: str | Path) -> Any:
    """What a file of torch.save holds, on the CPU: containers, numbers, strings, tensors, and `Record`s for objects.

    Tensors of the zip format stay in the file until they are used (`tensors_of` copies them).

    Raises:
        CheckpointError: as `check_torch_file`, or torch is too old to read such a file safely.
        OSError: the file cannot be opened.
    """
    # A `TorchVersion` compares numbers, not letters.
    if torch.__version__ < _FIRST_SAFE_TORCH:
        raise CheckpointError(
            f"{path} is a file of torch.save, which torch {torch.__version__} cannot read safely: it takes torch "
            f"{_FIRST_SAFE_TORCH} or newer; a .safetensors file needs no newer one"
        )
    names = check_torch_file(path)
    with torch.serialization.safe_globals(_stand_ins(names)):
        return load_checked(path, mmap=is_torch_zip(path))


def load_checked(path: str | Path, mmap: bool = False) -> Any:
    """`torch.load(weights_only=True)` of a file that `check_torch_file` has passed, and only `CheckpointError`s."""
    try:
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:  # torch.load lets through whatever a malformed file makes its parts raise
        raise CheckpointError(f"{path} cannot be read: it is cut off or damaged ({_line(error)})") from error


def check_torch_file(path: str | Path) -> set[str]:
    """Look through a file of torch.save, of the zip format or the one before it (torch 1.5), without reading tensors.

    Returns:
        The names that its pickle refers to, as 'module attribute'.

    Raises:
        CheckpointError: neither format, cut off, damaged, too large, or holding something that a checkpoint does not.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.peek(len(_ZIP_START))
        try:
            if size > MAX_FILE_BYTES:
                refuse(f"it has {size} bytes, more than the limit of {MAX_FILE_BYTES}")
            if start.startswith(_ZIP_START):
                return _check_zip(stream, size)
            if start[:1] == b"\x80":
                return _check_legacy(stream, size)
            refuse("it is not a file that torch.save wrote")
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from None
        except (ValueError, LookupError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise CheckpointError(f"{path} cannot be read: it is cut off or damaged ({_line(error)})") from error


def _line(error: Exception) -> str:
    """The first words of a message of others, on one line and without control characters."""
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {ascii(text)[1:-1][:160]}"


def _stand_ins(names: set[str]) -> list[Any]:
    """What torch.load is to use for the names in a file that are not its own."""
    known: list[Any] = [(_NumberType, "numpy.dtype"), (Record, "numpy.ndarray")]
    known += [(_number if name.endswith("scalar") else Record, name.replace(" ", ".")) for name in NUMPY_FUNCTIONS]
    records = [name.replace(" ", ".") for name in names if RECORD_NAME.fullmatch(name)]
    return known + [(type("Record", (Record,), {"class_name": name}), name) for name in records]


def _check_zip(stream: BinaryIO, size: int) -> set[str]:
    """Check an archive's directory and pickle against the file; returns the names that the pickle refers to."""
    with zipfile.ZipFile(stream) as archive:
        entries = {entry.filename.casefold(): entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()) or archive.comment:
            refuse("its archive has two entries of one name, or a comment, which torch.save never writes")
        for entry in entries.values():
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                refuse(
                    f"its entry {entry.filename[:100]!a} is compressed or encrypted, which torch.save never does; "
                    f"{entry.compress_size} bytes declare to hold {entry.file_size}"
                )
        declared = sum(max(entry.file_size, entry.compress_size) for entry in entries.values())
        if declared > size:
            refuse(f"its entries declare {declared} bytes, and the file has {size}")
        found = [entry for entry in entries.values() if re.fullmatch(r"([^/]+/)?data\.pkl", entry.filename)]
        if len(found) != 1:
            refuse("it is a zip archive, but not one that torch.save wrote")
        if found[0].file_size > MAX_PICKLE_BYTES:
            refuse(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes, or declares to be")
        walk = PickleWalk()
        walk.through(io.BytesIO(archive.read(found[0])))
        for key, bytes_needed in walk.storages.items():
            place = entries.get(f"{found[0].filename.removesuffix('data.pkl')}data/{key}".casefold())
            if place is None or place.file_size != bytes_needed:
                there = "nothing" if place is None else f"{place.file_size}"
                refuse(f"storage {key[:100]!a} should have {bytes_needed} bytes, and there is {there}")
        damaged = archive.testzip()
        if damaged is not None:
            refuse(f"its entry {damaged[:100]!a} is damaged: the checksum does not match")
    return walk.names


def _check_legacy(stream: BinaryIO, size: int) -> set[str]:
    """The same for the format before the zip archive: five pickles, then each storage behind its length."""
    head = io.BytesIO(stream.read(MAX_PICKLE_BYTES))
    magic, protocol, system, walk, keys = (PickleWalk() for _ in range(5))
    magic.through(head)
    if magic.result != _LEGACY_MAGIC:
        refuse("it is a pickle, but not one that torch.save wrote")
    for part in (protocol, system, walk, keys):
        part.through(head)
    if sorted(keys.texts) != sorted(walk.storages):
        refuse("its list of storages is not that of its tensors")
    needed = head.tell() + sum(8 + bytes_needed for bytes_needed in walk.storages.values())
    if needed > size:
        refuse(f"it is cut off: its tensors need {needed} bytes, and the file has {size}")
    return walk.names


def tensors_of(value: Any, name: str = "it") -> dict[str, Tensor]:
    """A copy in memory of a state dict's tensors as a plain dict. Raises CheckpointError, with `name`, for all else."""
    plain = isinstance(value, dict) and not isinstance(value, Record)
    if not plain or not all(type(key) is str and isinstance(item, Tensor) for key, item in value.items()):
        raise CheckpointError(f"{name} is not a state dict of tensors")
    return {key: item.detach().clone() for key, item in value.items()}
