"""Getting the first box from the user: as text, or drawn with the mouse where there is a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import cv2
import numpy as np

from ltr.dataset.boxfile import parse_numbers
from ltr.errors import AnnotationError, UserError
from pytracking.tracker.base import Box
from pytracking.tracker.inputs import check_first_box
from pytracking.visualise import COLOURS, draw_box

_PASS_A_BOX = "pass the first box with --box x,y,w,h (pixels; left, top, width, height)"


def parse_box(text: str) -> Box:
    """'x,y,w,h' as four numbers; also separated by spaces. Raises `UserError` for anything else."""
    try:
        x, y, w, h = parse_numbers("--box", 1, text, (4,))
    except AnnotationError:
        raise UserError(f"--box must be four numbers x,y,w,h, got '{text}'") from None
    return x, y, w, h


def choose_boxes(image: np.ndarray, given: Sequence[Box], count: int = 1) -> list[Box]:
    """The boxes to start on: those that are given, else as many as are wanted, drawn one after another.

    Args:
        image: the first frame, [H, W, 3] uint8 RGB.
        given: boxes (x, y, w, h) in pixels.
        count: number of boxes to draw where none is given.

    Raises:
        UserError: a box is no box in this image, or cannot be drawn, as `select_box` says.
    """
    if count < 1:
        raise UserError(f"--targets must be at least 1, not {count}")
    boxes: list[Box] = []
    shown = image.copy()
    for number in range(len(given) or count):
        box = check_first_box(given[number] if given else select_box(shown), image)
        draw_box(shown, box, COLOURS[number % len(COLOURS)], 2, f"{number + 1}")
        boxes.append(box)
    return boxes


def has_screen() -> bool:
    """Whether a window can be expected to open."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def opencv_has_windows() -> bool:
    """Whether this OpenCV build can open windows (the headless build cannot)."""
    for line in cv2.getBuildInformation().splitlines():
        if line.strip().startswith("GUI:"):
            return "NONE" not in line
    return True


def select_box(image: np.ndarray) -> Box:
    """Let the user draw the target's box on the first frame.

    Args:
        image: [H, W, 3] uint8 RGB.

    Returns:
        (x, y, w, h) in pixels.

    Raises:
        UserError: there is no screen, no way to open a window, or no box was drawn.
    """
    if not has_screen():
        raise UserError(f"there is no screen to draw the target's box on; {_PASS_A_BOX}")
    x, y, w, h = _select_with_opencv(image) if opencv_has_windows() else _select_with_matplotlib(image)
    if w <= 0 or h <= 0:
        raise UserError(f"no box was drawn; {_PASS_A_BOX}")
    return x, y, w, h


def _select_with_opencv(image: np.ndarray) -> Box:
    title = "Draw the target's box, then press Enter"
    x, y, w, h = cv2.selectROI(title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), showCrosshair=False)
    cv2.destroyWindow(title)
    return float(x), float(y), float(w), float(h)


def _select_with_matplotlib(image: np.ndarray) -> Box:
    from matplotlib import pyplot
    from matplotlib.widgets import RectangleSelector

    figure, axes = pyplot.subplots(layout="constrained")
    if not hasattr(figure.canvas.manager, "window"):
        pyplot.close(figure)
        raise UserError(f"neither OpenCV nor matplotlib can open a window here; {_PASS_A_BOX}")
    height, width = image.shape[:2]
    # With this extent a position is a distance from the image's corner in pixels, as in a box.
    axes.imshow(image, extent=(0, width, height, 0))
    axes.set_title("Draw the target's box, then close the window")
    selector = RectangleSelector(axes, lambda press, release: None, interactive=True)
    pyplot.show(block=True)
    left, right, top, bottom = selector.extents
    return float(left), float(top), float(right - left), float(bottom - top)
