"""Track a target through any video file; writes the annotated video and the boxes.

python pytracking/run_video.py dimp dimp_nceplus_lite clip.mp4 --box 120,80,60,90
python pytracking/run_video.py opencv csrt clip.mp4
python pytracking/run_video.py dimp dimp_nceplus_lite clip.mp4 --box 120,80,60,90 --box 300,85,40,70
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

from ltr.errors import UserError, exit_status
from pytracking.evaluation.run_options import add_video_options, overrides_of


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_video.py",
        description="Track targets through a video file. Writes <output>/<video>_<parameters>.mp4 with boxes drawn, "
        ".txt with a box a line (x, y, w, h, tab separated; _target1.txt and on for several), .csv with frame, second, "
        "target, box, score, flag and the tracker's time, and .json with what was run; what was tracked before an "
        "error or Ctrl-C is kept.",
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or csrt")
    parser.add_argument("videofile", type=Path, help="any video that FFmpeg reads")
    box = parser.add_mutually_exclusive_group()
    box.add_argument(
        "--box",
        metavar="X,Y,W,H",
        action="append",
        help="the target in the first frame, in pixels; once for each target (default: drawn with the mouse)",
    )
    box.add_argument(
        "--optional_box", nargs=4, metavar=("X", "Y", "W", "H"), help="the same, as PyTracking's run_video spells it"
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="track as if the video came from a camera: frames that come while the tracker is busy are skipped",
    )
    parser.add_argument(
        "--debug",
        type=int,
        default=0,
        metavar="LEVEL",
        help="2: pictures of what happens inside each frame, in <output>/<video>_<parameters>_inside (one target, "
        "dimp or atom)",
    )
    add_video_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0; raises `UserError` where the input ended it."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from ltr.data.video import probe_video, read_timed, video_levels
    from pytracking.many import MultiTracker
    from pytracking.registry import find_tracker, load_tracker
    from pytracking.select_box import choose_boxes, parse_box
    from pytracking.stream import choose_stem, finish, read_ahead, track_stream
    from pytracking.tracker.shared.online_tracker import OnlineTracker

    tracker_name, parameter = find_tracker(args.tracker_param, args.tracker_name)
    overrides = overrides_of(args, tracker_name, parameter)
    given = [parse_box(text) for text in args.box or ([" ".join(args.optional_box)] if args.optional_box else [])]
    info = probe_video(args.videofile)
    frames = read_timed(args.videofile)
    first = next(frames)
    boxes = choose_boxes(first.image, given, args.targets)
    several = len(boxes) > 1
    load = MultiTracker if several else load_tracker
    tracker = load(parameter, tracker_name, **overrides)
    inner = tracker if isinstance(tracker, OnlineTracker) else None
    if inner is None and (args.score_map or args.debug >= 2):
        wanted = "--score_map" if args.score_map else "--debug 2"
        raise UserError(f"{wanted} draws one target of the trackers dimp and atom: leave it out")
    source = os.fspath(args.videofile.resolve())
    described = {
        "source": source,
        "tracker": tracker_name,
        "parameter": parameter,
        "first_boxes": dict(enumerate(boxes, 1)),
        "size": first.image.shape[1::-1],
        "levels": video_levels(args.videofile),
        "realtime": args.realtime,
    }
    stem = choose_stem(args.output, f"{args.videofile.stem}_{parameter}", source)
    inside = stem.with_name(f"{stem.name}_inside")
    if inner is not None and args.debug >= 2:
        inner.debug_to(inside)
    started = time.perf_counter()
    with read_ahead(frames, args.realtime, first.time if args.realtime else None) as rest:
        tracked = track_stream(
            itertools.chain([first], rest),
            tracker,
            boxes if several else boxes[0],
            stem,
            label=parameter,
            rate=info.rate,
            total=info.frames,
            described=described,
            announce=args.realtime,
            uncertainty=args.uncertainty,
            score_map=inner.score_map if inner is not None and args.score_map else None,
        )
    finish(tracked, started)
    if args.debug >= 2:
        print(f"pictures of each frame: {inside}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
