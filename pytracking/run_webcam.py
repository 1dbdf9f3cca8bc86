"""Track a target live in the picture of a camera.

python pytracking/run_webcam.py dimp dimp_nceplus_lite
python pytracking/run_webcam.py opencv kcf --camera 1 --box 280,200,80,80 --seconds 20
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ltr.errors import UserError, exit_status

_WINDOW = "Tracking: q ends"
_DEFAULT_RATE = 30.0
_ERRORS_ONLY = 2


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_webcam.py",
        description="Track a target in a camera's picture, in a window where OpenCV can open one (q ends), and keep "
        "<output>/webcam_<parameters>.mp4 and .txt. Ctrl-C ends and keeps what was tracked.",
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or kcf")
    parser.add_argument("--camera", default="0", help="number of the camera, or the address of a stream (default: 0)")
    parser.add_argument(
        "--box", metavar="X,Y,W,H", help="the target in the first frame, in pixels (default: drawn with the mouse)"
    )
    parser.add_argument("--seconds", type=float, help="end after so many seconds (default: at q or Ctrl-C)")
    parser.add_argument("--output", type=Path, default=Path("results/video"), help="folder (default: results/video)")
    return parser


def open_camera(source: str) -> cv2.VideoCapture:
    """A camera by number, or a stream by address. Raises `UserError` where none opens."""
    # OpenCV's own warnings would bury the one line that helps. 5.x moved its log level into a module.
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    level = set_log_level(_ERRORS_ONLY)
    try:
        capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    finally:
        set_log_level(level)
    if not capture.isOpened():
        raise UserError(f"camera '{source}' cannot be opened; pass another one with --camera")
    return capture


def camera_frames(capture: cv2.VideoCapture, seconds: float | None) -> Iterator[np.ndarray]:
    """RGB frames [H, W, 3] until `seconds` have passed or the camera stops delivering."""
    end = None if seconds is None else time.perf_counter() + seconds
    while end is None or time.perf_counter() < end:
        delivered, image = capture.read()
        if not delivered:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0; raises `UserError` where the input ended it."""
    args = build_parser().parse_args(argv)
    from pytracking.registry import find_tracker, load_tracker
    from pytracking.select_box import opencv_has_windows, parse_box, select_box
    from pytracking.stream import finish, track_stream
    from pytracking.tracker.base import check_first_box

    tracker_name, parameter = find_tracker(args.tracker_param, args.tracker_name)
    box = None if args.box is None else parse_box(args.box)
    tracker = load_tracker(parameter, tracker_name)
    capture = open_camera(args.camera)
    try:
        first = next(camera_frames(capture, None), None)
        if first is None:
            raise UserError(f"camera '{args.camera}' delivers no picture")
        try:
            box = check_first_box(select_box(first) if box is None else box, first)
        except ValueError as error:
            raise UserError(str(error)) from None
        started = time.perf_counter()
        tracked = track_stream(
            itertools.chain([first], camera_frames(capture, args.seconds)),
            tracker,
            box,
            args.output / f"webcam_{parameter}",
            label=parameter,
            rate=Fraction(capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_RATE).limit_denominator(1000),
            show=_window() if opencv_has_windows() else None,
        )
    finally:
        capture.release()
    finish(tracked, started)
    return 0


def _window() -> Callable[[np.ndarray], bool]:
    def show(image: np.ndarray) -> bool:
        cv2.imshow(_WINDOW, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) != ord("q")

    return show


if __name__ == "__main__":
    sys.exit(exit_status(main))
