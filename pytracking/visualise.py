"""Drawing boxes with labels on frames, a legend beneath them, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL.ImageColor import getrgb as rgb

# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow, too pale for a line.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
ANNOTATION_COLOUR = "#FFFFFF"
_PLATE_COLOUR = "#303030"

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SUBPIXEL = 4
_STRIP_HEIGHT = 24


def draw_box(
    image: np.ndarray, box: Sequence[float], colour: str, thickness: int = 2, label: str | None = None
) -> None:
    """Draw a box on an image, in place; one that is not finite or is empty is left out.

    Args:
        image: [H, W, 3] uint8 RGB.
        box: (x, y, w, h) in pixels, with fractions of a pixel.
        colour: '#RRGGBB'.
        thickness: thickness of the line, in pixels.
        label: text on a plate above the box, or inside it where there is no room.
    """
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        return
    x, y, w, h = box
    scale = 1 << _SUBPIXEL
    # Pixel centres are whole numbers for OpenCV, pixel edges for a box: hence the half pixel.
    corners = [(round((a - 0.5) * scale), round((b - 0.5) * scale)) for a, b in ((x, y), (x + w, y + h))]
    cv2.rectangle(image, corners[0], corners[1], rgb(colour), thickness, cv2.LINE_AA, _SUBPIXEL)
    if label:
        _draw_plate(image, label, round(x), round(y), colour)


def draw_annotation(image: np.ndarray, box: Sequence[float]) -> None:
    """Draw an annotated box [x, y, w, h] thin, in place: white between dark lines, to be seen on any ground."""
    draw_box(image, box, "#000000", 2)
    draw_box(image, box, ANNOTATION_COLOUR, 1)


def add_title(image: np.ndarray, text: str) -> None:
    """Write a text on a dark plate in the upper left corner, in place."""
    _draw_plate(image, text, 0, image.shape[0], _PLATE_COLOUR, top=0)


def heat_map(values: np.ndarray, side: int) -> np.ndarray:
    """A map [H, W] as a square picture [side, side, 3], uint8 RGB, blue the lowest and yellow the highest value."""
    shown = values - values.min()
    levels = (255 * shown / max(float(shown.max()), 1e-12)).astype(np.uint8)
    levels = cv2.resize(levels, (side, side), interpolation=cv2.INTER_NEAREST)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def draw_spread(image: np.ndarray, box: Sequence[float], deviations: tuple[float, float], colour: str) -> None:
    """Draw the ellipse of two standard deviations (x, y), in pixels, around the centre of a box, in place."""
    x, y, w, h = box
    scale = 1 << _SUBPIXEL
    centre = round((x + w / 2 - 0.5) * scale), round((y + h / 2 - 0.5) * scale)
    axes = round(2 * deviations[0] * scale), round(2 * deviations[1] * scale)
    cv2.ellipse(image, centre, axes, 0, 0, 360, rgb(colour), 1, cv2.LINE_AA, _SUBPIXEL)


def with_legend(image: np.ndarray, entries: Sequence[tuple[str, str]]) -> np.ndarray:
    """The image with a strip beneath it that names the colours.

    Args:
        image: [H, W, 3] uint8 RGB.
        entries: (text, colour as '#RRGGBB').

    Returns:
        image: [H + strips, W, 3]; a new strip begins where the width is used up.
    """
    width = image.shape[1]
    rows: list[list[tuple[str, str, int]]] = [[]]
    left = 8
    for text, colour in entries:
        needed = 24 + cv2.getTextSize(text, _FONT, 0.45, 1)[0][0] + 18
        if rows[-1] and left + needed > width:
            rows.append([])
            left = 8
        rows[-1].append((text, colour, left))
        left += needed
    strip = np.full((_STRIP_HEIGHT * len(rows), width, 3), 48, np.uint8)
    for number, row in enumerate(rows):
        middle = _STRIP_HEIGHT * number + _STRIP_HEIGHT // 2
        for text, colour, start in row:
            cv2.rectangle(strip, (start, middle - 5), (start + 16, middle + 5), rgb(colour), cv2.FILLED)
            cv2.putText(strip, text, (start + 22, middle + 5), _FONT, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate([image, strip])


def resize_to_width(image: np.ndarray, width: int) -> np.ndarray:
    """The image [H, W, 3] scaled to a width in pixels."""
    height = round(image.shape[0] * width / image.shape[1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def contact_sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Images of equal shape [H, W, 3] in rows of equal length, with a thin gap."""
    white = (255, 255, 255)
    cells = [[cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=white) for image in row] for row in rows]
    return cv2.vconcat([cv2.hconcat(row) for row in cells])


def _draw_plate(image: np.ndarray, text: str, x: int, y: int, colour: str, top: int | None = None) -> None:
    """A text on a plate whose lower left corner is (x, y), moved into the image; `top` sets its upper edge instead."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, 0.5, 1)
    plate_height = height + baseline + 4
    x = min(max(x, 0), max(image.shape[1] - width - 8, 0))
    if top is None:
        top = y - plate_height if y >= plate_height else max(y, 0) + 2
    top = min(top, image.shape[0] - plate_height)
    cv2.rectangle(image, (x, top), (x + width + 8, top + plate_height), rgb(colour), cv2.FILLED)
    luminance = np.dot(rgb(colour), (0.299, 0.587, 0.114))
    ink = (0, 0, 0) if luminance > 140 else (255, 255, 255)
    cv2.putText(image, text, (x + 4, top + height + 3), _FONT, 0.5, ink, 1, cv2.LINE_AA)
