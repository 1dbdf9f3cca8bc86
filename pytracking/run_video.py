"""Track a target through any video file; writes the annotated video and the boxes.

python pytracking/run_video.py dimp dimp_nceplus_lite clip.mp4 --box 120,80,60,90
python pytracking/run_video.py opencv csrt clip.mp4
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

from ltr.errors import UserError, exit_status


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_video.py",
        description="Track a target through a video file. Writes <output>/<video>_<parameters>.mp4 with the box drawn, "
        ".txt with a box a line (x, y, w, h, tab separated), .csv with frame, second, box, score, flag and the "
        "tracker's time, and .json with what was run; what was tracked before an error or Ctrl-C is kept.",
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or csrt")
    parser.add_argument("videofile", type=Path, help="any video that FFmpeg reads")
    box = parser.add_mutually_exclusive_group()
    box.add_argument(
        "--box", metavar="X,Y,W,H", help="the target in the first frame, in pixels (default: drawn with the mouse)"
    )
    box.add_argument(
        "--optional_box", nargs=4, metavar=("X", "Y", "W", "H"), help="the same, as PyTracking's run_video spells it"
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="track as if the video came from a camera: frames that come while the tracker is busy are skipped",
    )
    parser.add_argument("--output", type=Path, default=Path("results/video"), help="folder (default: results/video)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0; raises `UserError` where the input ended it."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from ltr.data.video import probe_video, read_timed, video_levels
    from pytracking.frames import read_ahead
    from pytracking.registry import find_tracker, load_tracker
    from pytracking.select_box import parse_box, select_box
    from pytracking.stream import choose_stem, finish, track_stream
    from pytracking.tracker.base import check_first_box

    tracker_name, parameter = find_tracker(args.tracker_param, args.tracker_name)
    given = " ".join(args.optional_box) if args.optional_box else args.box
    box = None if given is None else parse_box(given)
    info = probe_video(args.videofile)
    frames = read_timed(args.videofile)
    first = next(frames)
    try:
        box = check_first_box(select_box(first.image) if box is None else box, first.image)
    except ValueError as error:
        raise UserError(str(error)) from None
    tracker = load_tracker(parameter, tracker_name)
    source = os.fspath(args.videofile.resolve())
    described = {
        "source": source,
        "tracker": tracker_name,
        "parameter": parameter,
        "first_boxes": {1: box},
        "size": first.image.shape[1::-1],
        "levels": video_levels(args.videofile),
        "realtime": args.realtime,
    }
    stem = choose_stem(args.output, f"{args.videofile.stem}_{parameter}", source)
    started = time.perf_counter()
    with read_ahead(frames, args.realtime, first.time if args.realtime else None) as rest:
        tracked = track_stream(
            itertools.chain([first], rest),
            tracker,
            box,
            stem,
            label=parameter,
            rate=info.rate,
            total=info.frames,
            described=described,
            announce=args.realtime,
        )
    finish(tracked, started)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
