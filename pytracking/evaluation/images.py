"""Reading one frame from disk, noticing a damaged one."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from pytracking.errors import UserError

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode an image file.

    Returns:
        image: [H, W, 3] uint8 RGB.

    Raises:
        UserError: the file is missing, is not an image, or is a JPEG that was cut off (OpenCV alone would fill the
            rest with grey).
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such image") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not an image") from None
    if data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise UserError(f"{path}: the JPEG file is truncated")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise UserError(f"{path}: cannot be decoded as an image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
