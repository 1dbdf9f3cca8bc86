"""Track a target through any video file; writes the annotated video and the boxes.

python pytracking/run_video.py dimp dimp_nceplus_lite clip.mp4 --box 120,80,60,90
python pytracking/run_video.py opencv csrt clip.mp4
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

from ltr.errors import UserError, exit_status


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_video.py",
        description="Track a target through a video file. Writes <output>/<video>_<parameters>.mp4 with the box drawn "
        "and .txt with a box a line (x, y, w, h, tab separated); what was tracked before an error or Ctrl-C is kept.",
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or csrt")
    parser.add_argument("videofile", type=Path, help="any video that FFmpeg reads")
    parser.add_argument(
        "--box", metavar="X,Y,W,H", help="the target in the first frame, in pixels (default: drawn with the mouse)"
    )
    parser.add_argument("--output", type=Path, default=Path("results/video"), help="folder (default: results/video)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0; raises `UserError` where the input ended it."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from ltr.data.video import probe_video, read_video
    from pytracking.registry import find_tracker, load_tracker
    from pytracking.select_box import parse_box, select_box
    from pytracking.stream import finish, track_stream
    from pytracking.tracker.base import check_first_box

    tracker_name, parameter = find_tracker(args.tracker_param, args.tracker_name)
    box = None if args.box is None else parse_box(args.box)
    info = probe_video(args.videofile)
    frames = read_video(args.videofile)
    first = next(frames)
    try:
        box = check_first_box(select_box(first) if box is None else box, first)
    except ValueError as error:
        raise UserError(str(error)) from None
    tracker = load_tracker(parameter, tracker_name)
    started = time.perf_counter()
    tracked = track_stream(
        itertools.chain([first], frames),
        tracker,
        box,
        args.output / f"{args.videofile.stem}_{parameter}",
        label=parameter,
        rate=info.rate,
        total=info.frames,
    )
    finish(tracked, started)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
