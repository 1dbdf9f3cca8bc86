"""Reading images, with an error that names the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


class ImageError(OSError):
    """An image that is missing, cut short or cannot be decoded."""


def _decode(path: Path, flag: int) -> np.ndarray:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
    if _is_cut_short(content):
        raise ImageError(f"{path} is cut short: the end of the image is missing after {len(content)} bytes")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    if image is None:
        raise ImageError(f"{path}: cannot be decoded as an image ({len(content)} bytes)")
    return image


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end. OpenCV fills the missing part with grey and only warns."""
    if content.startswith(b"\xff\xd8"):
        # A thumbnail has an end marker of its own, but it lies before the scan of the image itself.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content


def read_image(path: str | Path) -> np.ndarray:
    """An image as uint8 RGB [H, W, 3]. Raises `ImageError`."""
    return cv2.cvtColor(_decode(Path(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_rgba(path: str | Path) -> np.ndarray:
    """An image with its alpha channel (255 where it has none) as uint8 [H, W, 4]. Raises `ImageError`."""
    image = _decode(Path(path), cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint8:
        raise ImageError(f"{path} has {image.dtype} pixels; wanted 8 bits a channel")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGBA)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


def read_mask(path: str | Path) -> np.ndarray:
    """A mask as uint8 [H, W], 0..255. Raises `ImageError`."""
    return _decode(Path(path), cv2.IMREAD_GRAYSCALE)
