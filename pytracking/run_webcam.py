"""Track a target live in the picture of a camera.

python pytracking/run_webcam.py dimp dimp_nceplus_lite
python pytracking/run_webcam.py opencv kcf --camera 1 --box 280,200,80,80 --seconds 20
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ltr.data.video import VideoFrame
from ltr.errors import UserError, exit_status
from pytracking.evaluation.run_options import add_video_options, overrides_of

_WINDOW = "Tracking: q ends"
_DEFAULT_RATE = Fraction(30)
_MOST_DIGITS = 4
_ERRORS_ONLY = 2


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_webcam.py",
        description="Track targets in a camera's picture, in a window where OpenCV can open one (q ends), and keep "
        "<output>/webcam_<parameters>.mp4, .txt, .csv and .json. Frames that come while the tracker is busy are "
        "skipped. Ctrl-C ends and keeps what was tracked.",
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or kcf")
    parser.add_argument("--camera", default="0", help="number of the camera, or the address of a stream (default: 0)")
    parser.add_argument(
        "--box",
        metavar="X,Y,W,H",
        action="append",
        help="the target in the first frame, in pixels; once for each target (default: drawn with the mouse)",
    )
    parser.add_argument("--seconds", type=float, help="end after so many seconds (default: at q or Ctrl-C)")
    add_video_options(parser)
    return parser


def open_camera(source: str) -> cv2.VideoCapture:
    """A camera by number, or a stream by address. Raises `UserError` where none opens."""
    numbered = source.isascii() and source.isdigit() and len(source) <= _MOST_DIGITS
    # OpenCV's own warnings would bury the one line that helps. 5.x moved its log level into a module.
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    level = set_log_level(_ERRORS_ONLY)
    try:
        capture = cv2.VideoCapture(int(source) if numbered else source)
    finally:
        set_log_level(level)
    if not capture.isOpened():
        raise UserError(f"camera '{source}' cannot be opened; pass another one with --camera")
    return capture


def camera_frames(
    capture: cv2.VideoCapture, seconds: float | None, rate: Fraction | None = None, first: int = 1
) -> Iterator[VideoFrame]:
    """Frames until `seconds` have passed or the camera stops delivering.

    Args:
        capture: from `open_camera`.
        seconds: time limit, None for none.
        rate: frames a second of a recording; None for a camera, whose frames have the time when they were read.
        first: number of the first frame.
    """
    start = time.perf_counter()
    for number in itertools.count(first):
        if seconds is not None and time.perf_counter() - start >= seconds:
            return
        delivered, image = capture.read()
        if not delivered:
            return
        seen = time.perf_counter() - start if rate is None else float((number - 1) / rate)
        duration = 1 / (rate or _DEFAULT_RATE)
        yield VideoFrame(number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), seen, float(duration))


def camera_rate(capture: cv2.VideoCapture) -> Fraction:
    """Frames a second that a camera says it delivers, 30 where it says nothing credible."""
    said = capture.get(cv2.CAP_PROP_FPS)
    return Fraction(said).limit_denominator(1001) if 1 <= said <= 240 else _DEFAULT_RATE


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0; raises `UserError` where the input ended it."""
    args = build_parser().parse_args(argv)
    from pytracking.many import MultiTracker
    from pytracking.registry import find_tracker, load_tracker
    from pytracking.select_box import choose_boxes, opencv_has_windows, parse_box
    from pytracking.stream import choose_stem, finish, read_ahead, track_stream
    from pytracking.tracker.shared.online_tracker import OnlineTracker

    tracker_name, parameter = find_tracker(args.tracker_param, args.tracker_name)
    if args.seconds is not None and not args.seconds > 0:
        raise UserError(f"--seconds must be above 0, not {args.seconds:g}")
    overrides = overrides_of(args, tracker_name, parameter)
    given = [parse_box(text) for text in args.box or []]
    several = (len(given) or args.targets) > 1
    load = MultiTracker if several else load_tracker
    tracker = load(parameter, tracker_name, **overrides)
    inner = tracker if isinstance(tracker, OnlineTracker) else None
    if inner is None and args.score_map:
        raise UserError("--score_map draws one target of the trackers dimp and atom: leave it out")
    recorded = Path(args.camera).is_file()
    capture = open_camera(args.camera)
    rate = camera_rate(capture)
    described = {"source": args.camera, "tracker": tracker_name, "parameter": parameter}
    try:
        first = next(camera_frames(capture, None), None)
        if first is None:
            raise UserError(f"camera '{args.camera}' delivers no picture")
        boxes = choose_boxes(first.image, given, args.targets)
        first = replace(first, time=0.0)
        started = time.perf_counter()
        stem = choose_stem(args.output, f"webcam_{parameter}", None)
        frames = camera_frames(capture, args.seconds, rate if recorded else None, first=2)
        with read_ahead(frames, live=not recorded) as rest:
            tracked = track_stream(
                itertools.chain([first], rest),
                tracker,
                boxes if several else boxes[0],
                stem,
                label=parameter,
                rate=rate,
                show=_show if opencv_has_windows() else None,
                described={**described, "first_boxes": dict(enumerate(boxes, 1)), "size": first.image.shape[1::-1]},
                announce=True,
                uncertainty=args.uncertainty,
                score_map=inner.score_map if inner is not None and args.score_map else None,
            )
    finally:
        capture.release()
    finish(tracked, started)
    return 0


def _show(image: np.ndarray) -> bool:
    """Show a frame; whether to go on."""
    cv2.imshow(_WINDOW, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) != ord("q")


if __name__ == "__main__":
    sys.exit(exit_status(main))
