"""Files of torch.save, of the zip format and the one before it (torch 1.5), read without executing anything in them.

`torch.load(weights_only=True)` is no substitute: releases that this project supports could be made to run code by it
(CVE-2025-32434, up to torch 2.5) or to corrupt memory (CVE-2026-24747, up to 2.9).
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ltr.torchfile.pickle_data import MAX_PICKLE_BYTES, read_pickle
from ltr.torchfile.records import STORAGE_TYPES, Global, Storage, StoredTensor, TorchFileError

MAX_TENSOR_BYTES = 4 * 2**30
_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class _Place:
    """Where a storage's bytes lie in the file; `crc` where the format has one."""

    start: int
    length: int
    crc: int | None = None


def is_torch_zip(path: str | Path) -> bool:
    """Whether a file begins as torch.save's zip format does, which is all that torch.load looks at."""
    with open(path, "rb") as stream:
        return stream.read(len(_ZIP_START)) == _ZIP_START


def is_torch_file(path: str | Path) -> bool:
    """Whether a file begins as either format of torch.save does (as any zip archive or pickle may)."""
    with open(path, "rb") as stream:
        start = stream.read(9)
    # A safetensors header of a fitting length begins with the same byte as a pickle; it is JSON from byte 8 on.
    return start[:4] == _ZIP_START or (start[:1] == _PICKLE_START and start[8:] != b"{")


@dataclass(frozen=True)
class TorchFile:
    """The content of a file of torch.save.

    Attributes:
        root: what was saved: plain containers, numbers and strings, `Record`s for objects, `StoredTensor`s.
    """

    path: Path
    root: Any
    _places: dict[str, _Place]

    def tensors(self, stored: Mapping[str, StoredTensor], limit: int = MAX_TENSOR_BYTES) -> dict[str, Tensor]:
        """Read tensors, on the CPU, as they were saved; those of one storage share memory.

        Args:
            stored: name -> tensor of `root`; only their storages are read.
            limit: bytes to take at most.

        Raises:
            TorchFileError: they take more than `limit` bytes, are damaged, or the file lacks them.
        """
        storages = {tensor.storage.key: tensor.storage for tensor in stored.values()}
        total = sum(storage.count * storage.dtype.itemsize for storage in storages.values())
        if total > limit:
            raise TorchFileError(f"its tensors take {total} bytes, more than the limit of {limit}")
        with open(self.path, "rb") as stream:
            flat = {key: self._read(stream, storage) for key, storage in storages.items()}
        return {
            name: flat[tensor.storage.key].as_strided(tensor.size, tensor.stride, tensor.offset)
            for name, tensor in stored.items()
        }

    def _read(self, stream: BinaryIO, storage: Storage) -> Tensor:
        place = self._places.get(storage.key)
        size = storage.count * storage.dtype.itemsize
        if place is None or place.length != size:
            found = "nothing" if place is None else f"{place.length} bytes"
            raise TorchFileError(f"storage {storage.key[:100]!a} should have {size} bytes, and there is {found}")
        if size == 0:
            return torch.empty(0, dtype=storage.dtype)
        data = bytearray(size)
        stream.seek(place.start)
        if stream.readinto(data) != size:  # type: ignore[attr-defined]
            raise TorchFileError(f"it is cut off in storage {storage.key[:100]!a}")
        if place.crc is not None and zlib.crc32(data) != place.crc:
            raise TorchFileError(f"storage {storage.key[:100]!a} is damaged: its checksum does not match")
        return torch.frombuffer(data, dtype=storage.dtype)


class _Storages:
    """The storages that a pickle refers to, by key."""

    def __init__(self) -> None:
        self.seen: dict[str, Storage] = {}

    def __call__(self, reference: Any) -> Storage:
        if type(reference) is not tuple or not 5 <= len(reference) <= 6 or reference[0] != "storage":
            raise TorchFileError("its pickle refers to something outside it that is not a storage")
        _, kind, key, _, count = reference[:5]
        if not isinstance(kind, Global) or kind.name not in STORAGE_TYPES:
            raise TorchFileError("it holds a storage of an unknown type")
        if len(reference) == 6 and reference[5] is not None:
            raise TorchFileError("it holds a view of a storage as torch before 0.4 wrote it; save it again")
        if type(key) is not str or type(count) is not int or not 0 <= count < 2**48:
            raise TorchFileError("it holds a storage whose key or size is malformed")
        storage = Storage(STORAGE_TYPES[kind.name], key, count)
        if self.seen.setdefault(key, storage) != storage:
            raise TorchFileError(f"it describes storage {key[:100]!a} in two ways")
        return storage


def read_torch_file(path: str | Path) -> TorchFile:
    """Read the structure of a file of torch.save; its tensors are read when they are asked for.

    Raises:
        TorchFileError: neither format, cut off, or something in it is not plain data. Nothing in it was executed.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as stream:
        start = stream.read(len(_ZIP_START))
        stream.seek(0)
        if start == _ZIP_START:
            return TorchFile(Path(path), *_read_zip(stream))
        if start[:1] == _PICKLE_START:
            return TorchFile(Path(path), *_read_legacy(stream))
    raise TorchFileError("it is not a file that torch.save wrote")


def _file_size(stream: BinaryIO) -> int:
    here = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(here)
    return size


def _read_zip(stream: BinaryIO) -> tuple[Any, dict[str, _Place]]:
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            _check_entries(archive.infolist(), len(entries), _file_size(stream))
            folder = _folder(list(entries))
            order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in entries else b"little"
            if order != b"little":
                raise TorchFileError("it was written on a big-endian machine")
            pickled = entries[f"{folder}data.pkl"]
            if pickled.file_size > MAX_PICKLE_BYTES:
                raise TorchFileError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes, or declares to be")
            storages = _Storages()
            root = read_pickle(io.BytesIO(archive.read(pickled)), storages)
            places = {
                key: _zip_place(stream, entries[f"{folder}data/{key}"])
                for key in storages.seen
                if f"{folder}data/{key}" in entries
            }
    except TorchFileError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, struct.error, ValueError) as error:
        raise TorchFileError(f"it is cut off or damaged ({error})") from error
    return root, places


def _check_entries(entries: list[zipfile.ZipInfo], names: int, file_size: int) -> None:
    """torch.save compresses nothing, so nothing may take more room than the file itself."""
    if names != len(entries):
        raise TorchFileError("its archive has two entries of one name")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise TorchFileError(
                f"its entry {entry.filename[:100]!a} is compressed or encrypted, which torch.save never does; "
                f"{entry.compress_size} bytes declare to hold {entry.file_size}"
            )
    declared = sum(max(entry.file_size, entry.compress_size) for entry in entries)
    if declared > file_size:
        raise TorchFileError(f"its entries declare {declared} bytes, and the file has {file_size}")


def _folder(names: list[str]) -> str:
    found = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(found) != 1:
        raise TorchFileError("it is a zip archive, but not one that torch.save wrote")
    return found[0].removesuffix("data.pkl")


def _zip_place(stream: BinaryIO, entry: zipfile.ZipInfo) -> _Place:
    """Behind an entry's local header, whose name and padding may differ in length from the directory's."""
    stream.seek(entry.header_offset)
    header = stream.read(30)
    if header[:4] != _ZIP_START or len(header) != 30:
        raise TorchFileError(f"it is cut off or damaged at its entry {entry.filename[:100]!a}")
    name, extra = struct.unpack("<HH", header[26:30])
    return _Place(entry.header_offset + 30 + name + extra, entry.file_size, entry.CRC)


def _read_legacy(stream: BinaryIO) -> tuple[Any, dict[str, _Place]]:
    magic, protocol, system = (read_pickle(stream) for _ in range(3))
    if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
        raise TorchFileError("it is a pickle, but not one that torch.save wrote")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise TorchFileError("it was written on a big-endian machine")
    storages = _Storages()
    root = read_pickle(stream, storages)
    keys = read_pickle(stream)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise TorchFileError("its list of storages is malformed")
    size = _file_size(stream)
    places = {}
    for key in keys:
        storage = storages.seen.get(key)
        if storage is None:
            raise TorchFileError("it has a storage that no tensor uses")
        head = stream.read(8)
        length = storage.count * storage.dtype.itemsize
        if len(head) != 8 or stream.tell() + length > size:
            raise TorchFileError(f"it is cut off: storage {key[:100]!a} of {length} bytes is not all there")
        if struct.unpack("<q", head)[0] != storage.count:
            raise TorchFileError(f"storage {key[:100]!a} has another length than its tensors say")
        places[key] = _Place(stream.tell(), length)
        stream.seek(length, io.SEEK_CUR)
    return root, places
