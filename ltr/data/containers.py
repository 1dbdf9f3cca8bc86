"""What the structure of a video file tells: whether the file is cut short, or would fill the memory of FFmpeg."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from ltr.errors import UserError

_MP4_TYPES = b"ftyp moov mdat free skip wide styp moof sidx uuid pnot meta".split()
_MP4_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf")
# Where in a box the number of samples or edits stands.
_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4, b"elst": 4}
_SEGMENT = b"\x18\x53\x80\x67"
_EBML = b"\x1a\x45\xdf\xa3"
_MOST_BOXES = 100_000
# Compressed sound of QuickTime has up to two samples a byte.
_SAMPLES_PER_BYTE = 4
# FFmpeg repeats its index of the samples for every entry of an edit list, at some 24 bytes each.
_MOST_EDITED_SAMPLES = 20_000_000


def cut_short(path: str | os.PathLike[str]) -> bool:
    """Whether an MP4, MOV, AVI, Matroska or WebM file ends before the last part that it has begun."""
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return _riff_end(file, length) > length
        if start[:4] == _EBML:
            return _ebml_end(file, length) > length
        if start[4:8] in _MP4_TYPES:
            return any(end > length for _, _, end in islice(_boxes(file, 0, length), _MOST_BOXES))
    return False


def refuse_bombs(path: str | os.PathLike[str]) -> None:
    """Refuse an MP4 or MOV file that declares more samples than its bytes can hold, for which FFmpeg takes memory.

    Raises:
        UserError: it does.
    """
    length = os.path.getsize(path)
    declared = of_track = edits = 0
    with open(path, "rb") as file:
        if file.read(8)[4:8] not in _MP4_TYPES:
            return
        for kind, start, _ in islice(_nested_boxes(file, 0, length), _MOST_BOXES):
            if kind == b"trak":
                of_track = edits = 0
            elif kind in _COUNTS:
                file.seek(start + _COUNTS[kind])
                count = int.from_bytes(file.read(4), "big")
                if kind == b"elst":
                    edits = count
                else:
                    declared, of_track = declared + count, count
            if declared > _SAMPLES_PER_BYTE * length or of_track * edits > _MOST_EDITED_SAMPLES:
                text = f"{declared} samples and {edits} edits in {length} bytes"
                raise UserError(f"{path}: announces {text}: the file is damaged")


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of the content, announced end) of the boxes of an MP4 file between two places."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if size == 1:
            size, content = int.from_bytes(file.read(8), "big"), start + 16
        elif size == 0:
            size = end - start
        if size < content - start:
            return
        yield kind, content, start + size
        start += size


def _nested_boxes(file: BinaryIO, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    for kind, content, last in _boxes(file, start, end):
        yield kind, content, last
        if kind in _MP4_PARENTS and depth < len(_MP4_PARENTS):
            yield from _nested_boxes(file, content, min(last, end), depth + 1)


def _riff_end(file: BinaryIO, length: int) -> int:
    """Where the last RIFF of an AVI file should end; 0 where a recorder that crashed never wrote it down."""
    end = 0
    while end + 12 <= length:
        file.seek(end)
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or size in (0, 0xFFFFFFFF):
            break
        end += 8 + size + size % 2
    # A last byte of padding may be missing.
    return end - 1


def _ebml_end(file: BinaryIO, length: int) -> int:
    """Where the segment of a Matroska file should end; 0 where its size is left open, as in a live recording."""
    end = 0
    while end < length:
        file.seek(end)
        identity, size, content = file.read(4), *_ebml_size(file)
        if identity not in (_EBML, _SEGMENT) or size is None:
            break
        end = content + size
    return end


def _ebml_size(file: BinaryIO) -> tuple[int | None, int]:
    """A size of variable length, None where it is left open, and the place after it."""
    first = file.read(1)
    width = 9 - first[0].bit_length() if first and first[0] else 0
    rest = file.read(max(width - 1, 0))
    if not width or len(rest) < width - 1:
        return None, file.tell()
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return (None if value == (1 << 7 * width) - 1 else value), file.tell()
