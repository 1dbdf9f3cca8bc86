"""Reading images: their size before their pixels, upright, with 8 bits a channel, and errors that name the file.

JPEGs are decoded by simplejpeg, which reports damage, everything else by OpenCV; both give the same pixels. Pillow
reads the header first, so that a file that claims to be huge costs nothing. A frame of a video file is an image too,
as `ltr.data.video.video_frames` names it.
"""

from __future__ import annotations

import os
import struct
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ltr.data.media import MAX_PIXELS, find_levels, media_status, to_8_bits, too_large, turned
from ltr.errors import ImageError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_ORIENTATION = 0x0112
_BROKEN_HEADER = (OSError, ValueError, TypeError, ArithmeticError, LookupError, SyntaxError, EOFError, struct.error)
# simplejpeg looks up a colour subsampling that a damaged header made up.
_BROKEN_JPEG = (ValueError, LookupError)
# Pillow reads sizes only here: what it warns of is an error, or no matter.
warnings.filterwarnings("ignore", module=r"PIL\.")
# What OpenCV writes about a file that it cannot decode is an error of ours.
if "OPENCV_LOG_LEVEL" not in os.environ:
    (cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(0)
_EXIF_WITHIN = 1 << 16
_TIFF_BITS, _TIFF_CHANNELS, _TIFF_KIND = 258, 277, 339
_TIFF_KINDS = {2: "signed", 3: "floating", 6: "complex"}
# EXIF's orientations that transpose, those that then mirror top to bottom, and those that then mirror left to right.
_TURNS = ((5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7))
_damaged: set[Path] = set()


class Frame(NamedTuple):
    """An image, perhaps decoded at a part of its size.

    Attributes:
        image: [ceil(H / shrink), ceil(W / shrink), 3] uint8 RGB; a pixel stands for shrink x shrink pixels of the file.
        size: (H, W) of the whole image.
        shrink: 1, 2, 4 or 8.
    """

    image: np.ndarray
    size: tuple[int, int]
    shrink: int = 1


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of its pixels.

    Attributes:
        stored: (width, height) of the pixels as they lie in the file.
        orientation: EXIF's number from 1 (as stored) to 8, how the stored pixels are to be turned.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright image, as `read_image` gives it."""
        return self.stored if self.orientation < 5 else (self.stored[1], self.stored[0])

    def has(self, size: tuple[int, int]) -> bool:
        """Whether the image has this (width, height), upright or as stored; zeros fit any image."""
        return size in ((0, 0), self.size, self.stored)


def read_image(path: str | os.PathLike[str], first: str | os.PathLike[str] | None = None) -> np.ndarray:
    """An image file, or a frame of a video file, as uint8 RGB, turned upright as EXIF says.

    Pixels of more than 8 bits are brought to 8 by `levels_of` the first frame of the sequence, so that a sequence keeps
    one scale. A JPEG with damage inside is decoded as far as it goes, and a line on stderr names it, once a file.

    Args:
        first: the first frame of the sequence that the image belongs to; the image itself where it is left out.

    Returns:
        image: [H, W, 3] uint8 RGB.

    Raises:
        ImageError: the file is missing, is no regular file, no image, cut short, or larger than `MAX_PIXELS`.
        UserError: a video without this frame, or damaged before it.
    """
    path = Path(path)
    if _is_video_frame(path):
        # PyAV is loaded for videos only.
        from ltr.data.video import read_frame

        return read_frame(path)
    image = _read_any_depth(path)
    if image.dtype == np.uint8:
        return image
    return to_8_bits(image, levels_of(path if first is None else first) or find_levels(image))


def read_shrunk(
    path: str | os.PathLike[str], first: str | os.PathLike[str] | None, choose: Callable[[tuple[int, int]], int]
) -> Frame:
    """`read_image`, with a JPEG decoded at a half, a quarter or an eighth of its size, which takes less time.

    Args:
        path, first: as for `read_image`, with the same errors.
        choose: the size (H, W) of the image -> 1, 2, 4 or 8, what to divide it by. Images in other formats, and JPEGs
            that are to be turned, are read whole.
    """
    path = Path(path)
    content = b"" if _is_video_frame(path) else _read(path)
    if content.startswith(_JPEG):
        header = _header(path, content)
        size = (header.stored[1], header.stored[0])
        shrink = choose(size) if header.orientation == 1 else 1
        image = _decode_jpeg(path, content, strict=False, shrink=shrink) if shrink > 1 else None
        if image is not None:
            return Frame(image, size, shrink)
    image = read_image(path, first)
    return Frame(image, (image.shape[0], image.shape[1]))


def verify_image(path: str | os.PathLike[str]) -> ImageHeader:
    """The header of an image that decodes whole. Raises as `read_image`, and where the image is damaged."""
    path = Path(path)
    if _is_video_frame(path):
        height, width = read_image(path).shape[:2]
        return ImageHeader((width, height))
    _read_any_depth(path, strict=True)
    return read_header(path)


def read_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Size and orientation of an image file, without its pixels. Raises `ImageError` as `read_image` does."""
    return _open(Path(path))[1]


def read_annotated(path: str | os.PathLike[str], size: tuple[int, int]) -> np.ndarray:
    """An image as uint8 RGB [H, W, 3] as those who annotated it saw it: upright, or as stored where its size says so.

    Args:
        size: (width, height) that the annotation gives; zeros where it gives none, for upright.

    Raises:
        ImageError: as `read_image`, and where the image has neither turned nor as stored the annotated size.
    """
    image, header = read_image(path), read_header(path)
    if not header.has(size):
        raise ImageError(
            f"{path} has {header.size[0]} x {header.size[1]} pixels, but its annotation says {size[0]} x {size[1]}: "
            "was it scaled or replaced?"
        )
    if size in ((0, 0), header.size):
        return image
    # A quarter turn is undone by the other one; all else undoes itself.
    back = {6: 8, 8: 6}.get(header.orientation, header.orientation)
    return _turn(image, back)


def read_rgba(path: str | os.PathLike[str]) -> np.ndarray:
    """An image with its alpha channel (255 where it has none) as uint8 [H, W, 4], upright. Raises `ImageError`."""
    path = Path(path)
    content, header = _open(path)
    image = _decode(path, content, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if image.dtype != np.uint8:
        raise ImageError(f"{path} has {image.dtype} pixels; wanted 8 bits a channel")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    rgba = cv2.cvtColor(image, cv2.COLOR_BGR2RGBA if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return _upright(rgba, content, header)


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """A mask as uint8 [H, W], 0..255, upright. Raises `ImageError`."""
    path = Path(path)
    return _decode(path, _open(path)[0], cv2.IMREAD_GRAYSCALE)


def levels_of(first: str | os.PathLike[str]) -> tuple[float, float] | None:
    """What become black and white in a sequence with this first frame; None for 8 bits. Errors as for `read_image`."""
    path = Path(first)
    if _is_video_frame(path):
        # PyAV is loaded for videos only.
        from ltr.data.video import video_levels

        return video_levels(path.parent)
    return _levels_of(path, media_status(path, "image", ImageError).st_mtime_ns)


@lru_cache(maxsize=256)
def _levels_of(path: Path, modified: int) -> tuple[float, float] | None:
    """`levels_of` an image file; `modified` tells a changed file."""
    image = _read_any_depth(path)
    return None if image.dtype == np.uint8 else find_levels(image)


def _is_video_frame(path: Path) -> bool:
    # Without a suffix of its own: this spares every image file a look at its folder.
    return not path.suffix and path.parent.suffix.lower() in VIDEO_SUFFIXES and path.parent.is_file()


def _read(path: Path) -> bytes:
    media_status(path, "image", ImageError)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
    # A JPEG's thumbnail has an end marker of its own, but it lies before the scan of the image itself.
    jpeg_cut = content.startswith(_JPEG) and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    # OpenCV fills the missing part with grey and only warns.
    if jpeg_cut or (content.startswith(_PNG) and not _png_ends(content)):
        raise ImageError(f"{path} is cut short: the end of the image is missing after {len(content)} bytes")
    return content


def _open(path: Path) -> tuple[bytes, ImageHeader]:
    """An image file's content and header."""
    content = _read(path)
    return content, _header(path, content)


def _png_ends(content: bytes) -> bool:
    """Whether the chunks of a PNG lead to its end; OpenCV takes memory for one of 2 GB that has no such bytes."""
    place = len(_PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        if content[place + 4 : place + 8] == b"IEND":
            return True
        place += 12 + length
    return False


def _header(path: Path, content: bytes) -> ImageHeader:
    """Size and orientation of the image in `content`, refused above `MAX_PIXELS`."""
    # A tenth of Pillow's time for a JPEG without EXIF.
    plain = content.startswith(_JPEG) and b"Exif\0" not in content[:_EXIF_WITHIN]
    height, width, _ = (_jpeg_header(content) if plain else None) or (0, 0, "")
    return ImageHeader(_limited(path, (width, height))) if height else _any_header(path, content)


def _jpeg_header(content: bytes) -> tuple[int, int, str] | None:
    """Height, width and colours of a JPEG; None where its header is damaged."""
    try:
        height, width, colours, *_ = simplejpeg.decode_jpeg_header(content, strict=False)
    except _BROKEN_JPEG:
        return None
    return height, width, colours


def _any_header(path: Path, content: bytes) -> ImageHeader:
    orientation = 1
    try:
        if content.startswith(_TIFF):
            _check_tiff(path, content)
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            # Some releases of Pillow give the upright size of a TIFF, others the stored one.
            size = (image.tag_v2[256], image.tag_v2[257]) if isinstance(image, TiffImageFile) else image.size
            stored = _limited(path, size)
            if getattr(image, "is_animated", False):
                raise ImageError(f"{path} has several pictures; write each to a file of its own, or all to a video")
            # Pillow decodes a whole PNG in search of EXIF that is not there.
            if image.format != "PNG" or b"eXIf" in content:
                orientation = image.getexif().get(_ORIENTATION, 1)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{path} claims far more than the {MAX_PIXELS:,} pixels that are read") from None
    except _BROKEN_HEADER as error:
        raise _undecodable(path, content) from error
    return ImageHeader(stored, orientation if orientation in range(1, 9) else 1)


def _check_tiff(path: Path, content: bytes) -> None:
    """Refuse a TIFF of numbers that are no pixels, by its tags: some of these Pillow does not open at all."""
    tags = ImageFileDirectory_v2(content[:8])
    file = BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    bits, channels = max(tags.get(_TIFF_BITS, (1,))), tags.get(_TIFF_CHANNELS, 1)
    kind = _TIFF_KINDS.get(max(tags.get(_TIFF_KIND, (1,))), "")
    if kind or bits > 16 or channels not in (1, 3, 4):
        raise ImageError(
            f"{path} has {kind or 'whole'} numbers of {bits} bits in {channels} channel{'s' if channels > 1 else ''}, "
            "as a TIFF of measurements; convert it to a picture with 8 or 16 bits a channel, unsigned, grey or RGB"
        )


def _limited(path: Path, size: tuple[int, int]) -> tuple[int, int]:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(too_large(path, *size))
    return size


def _read_any_depth(path: Path, strict: bool = False) -> np.ndarray:
    """An image file, upright, as uint8 or uint16 RGB [H, W, 3]; a damaged JPEG is an error if `strict`, else named."""
    content, header = _open(path)
    image = _decode_jpeg(path, content, strict) if content.startswith(_JPEG) else None
    if image is None:
        image = _decode(path, content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
        if image.dtype not in (np.uint8, np.uint16):
            raise ImageError(f"{path} has {image.dtype} pixels; wanted 8 or 16 bits a channel")
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return _upright(image, content, header)


def _upright(image: np.ndarray, content: bytes, header: ImageHeader) -> np.ndarray:
    # OpenCV turns TIFFs whether asked or not.
    return image if content.startswith(_TIFF) else _turn(image, header.orientation)


def _decode_jpeg(path: Path, content: bytes, strict: bool, shrink: int = 1) -> np.ndarray | None:
    """A JPEG as RGB, not turned; None where its colours are left to OpenCV."""
    if (found := _jpeg_header(content)) is None:
        return None
    height, width, colours = found
    plain = colours in ("YCbCr", "Gray", "RGB")
    wanted: dict[str, Any] = {"colorspace": "RGB" if plain else "CMYK"}
    if shrink > 1:
        # The smallest scale that gives at least these sides is 1 / shrink.
        wanted |= {"min_height": -(-height // shrink), "min_width": -(-width // shrink)}
    try:
        image = simplejpeg.decode_jpeg(content, **wanted)
    except _BROKEN_JPEG as error:
        text = f"{path} is damaged, part of its pixels are made up: {error}"
        if strict:
            raise ImageError(text) from error
        if path not in _damaged:
            _damaged.add(path)
            print(f"warning: {text}", file=sys.stderr)
        if not plain:
            return None
        try:
            image = simplejpeg.decode_jpeg(content, **wanted, strict=False)
        except _BROKEN_JPEG:
            raise ImageError(f"{_undecodable(path, content)}: {error}") from error
    return np.asarray(image) if plain else None


def _decode(path: Path, content: bytes, flag: int) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    except cv2.error as error:
        raise _undecodable(path, content) from error
    if image is None:
        raise _undecodable(path, content)
    return image


def _undecodable(path: Path, content: bytes) -> ImageError:
    return ImageError(f"{path}: cannot be decoded as an image ({len(content)} bytes)")


def _turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels [H, W, ...] as EXIF says they are to be seen."""
    return turned(image, *(orientation in turn for turn in _TURNS))
