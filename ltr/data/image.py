"""Reading images, with an error that names the file.

JPEGs are decoded by OpenCV, or by simplejpeg where EBM_TRACKING_DECODER=simplejpeg says so.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from ltr.errors import ImageError, unknown_name

DECODERS = ("opencv", "simplejpeg")
_JPEG = b"\xff\xd8"
# Where a JPEG's orientation would be written; simplejpeg does not heed it.
_HEADER = 1 << 16


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
    if _is_cut_short(content):
        raise ImageError(f"{path} is cut short: the end of the image is missing after {len(content)} bytes")
    return content


def _decode(path: Path, content: bytes, flag: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    if image is None:
        raise ImageError(f"{path}: cannot be decoded as an image ({len(content)} bytes)")
    return image


def decoder() -> str:
    """Which of `DECODERS` decodes JPEGs. Raises ValueError where EBM_TRACKING_DECODER names another."""
    name = os.environ.get("EBM_TRACKING_DECODER") or DECODERS[0]
    if name not in DECODERS:
        raise unknown_name("decoder in EBM_TRACKING_DECODER", name, DECODERS)
    return name


def _decode_quickly(path: Path, content: bytes) -> np.ndarray | None:
    """A JPEG by simplejpeg; None where it has an orientation or colours that are left to OpenCV."""
    try:
        import simplejpeg
    except ImportError as error:
        raise ImageError(
            "EBM_TRACKING_DECODER=simplejpeg needs simplejpeg: pip install 'ebm-tracking[jpeg]'"
        ) from error
    if b"Exif\0" in content[:_HEADER]:
        return None
    try:
        if simplejpeg.decode_jpeg_header(content)[2] not in ("YCbCr", "Gray"):
            return None
        return np.asarray(simplejpeg.decode_jpeg(content, colorspace="RGB"))
    except ValueError as error:
        raise ImageError(f"{path}: cannot be decoded as an image ({len(content)} bytes): {error}") from error


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end. OpenCV fills the missing part with grey and only warns."""
    if content.startswith(_JPEG):
        # A thumbnail has an end marker of its own, but it lies before the scan of the image itself.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content


def read_image(path: str | Path) -> np.ndarray:
    """An image as uint8 RGB [H, W, 3]. Raises `ImageError`."""
    path = Path(path)
    content = _read(path)
    if decoder() == "simplejpeg" and content.startswith(_JPEG):
        image = _decode_quickly(path, content)
        if image is not None:
            return image
    return cv2.cvtColor(_decode(path, content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_rgba(path: str | Path) -> np.ndarray:
    """An image with its alpha channel (255 where it has none) as uint8 [H, W, 4]. Raises `ImageError`."""
    path = Path(path)
    image = _decode(path, _read(path), cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint8:
        raise ImageError(f"{path} has {image.dtype} pixels; wanted 8 bits a channel")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGBA)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


def read_mask(path: str | Path) -> np.ndarray:
    """A mask as uint8 [H, W], 0..255. Raises `ImageError`."""
    path = Path(path)
    return _decode(path, _read(path), cv2.IMREAD_GRAYSCALE)
