"""One self-contained HTML file of scores, with interactive curves, a sortable table and playback."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import platform
from collections.abc import Sequence as Listing
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any

from ltr.admin.files import whole_file
from ltr.errors import UserError, list_some, printable
from pytracking.analysis.report.data import report_data
from pytracking.analysis.report.frames import choose_clips, clip_frames, clip_tracks, embed_clips
from pytracking.analysis.scores import Scores
from pytracking.analysis.tables import results_table
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.tracker import TrackerRun

FRAME_HEIGHT = 360
MAX_MEGABYTES = 25.0
_FOLDER = Path(__file__).with_name("page")
_SCRIPTS = ("base.js", "curves.js", "tables.js", "player.js", "page.js")


def write_report(
    path: Path,
    scores: Scores,
    runs: Listing[TrackerRun],
    sequences: Listing[Sequence],
    results: Path,
    *,
    against: str | None = None,
    play: Listing[str] = (),
    frame_height: int = FRAME_HEIGHT,
    max_megabytes: float = MAX_MEGABYTES,
    command: str = "",
    unreadable: dict[str, str] | None = None,
) -> Path:
    """Write the report: one file that loads nothing, to be opened from disk, mailed, or put on a server.

    Args:
        path: path of the file, such as report.html; written whole.
        scores: what `extract_scores` made of `runs`, `sequences` and `results`.
        runs: the trackers' runs; of a tracker whose runs are merged, the first is played.
        sequences: with their frames, where something is to be played.
        results: folder of raw results.
        against: label of the tracker that differences are taken to; the first when left out.
        play: sequences to play, as for `report.frames.choose_clips`.
        frame_height: height of the played frames, in pixels.
        max_megabytes: size of the file, in 10^6 bytes; frames are left out evenly where it would be exceeded.
        command: the command line, to be shown in the page.
        unreadable: dictionary to which sequences with a frame that cannot be read are added, with what is wrong;
            they are not played. Such a frame is an error where it is left out.

    Returns:
        `path`.

    Raises:
        UserError: an unknown name, frames that cannot be read, or a size that does not hold the numbers.
        OSError: the file cannot be written; an earlier one is then left as it was.
    """
    data = report_data(scores, against)
    chosen, missing = choose_clips(scores, sequences, play)
    played_runs = first_runs(runs, scores)
    tracks = {sequence.name: clip_tracks(sequence, played_runs, results) for sequence in chosen}
    data["page"] = {
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": _versions(),
        "command": command,
        "playback": missing,
    }
    parts = [_block(f"tracks-{number}", tracks[sequence.name]) for number, sequence in enumerate(chosen)]
    # What a clip adds besides its frames: its entry in the data and the ends of its block.
    numbers = len(render_page(scores, data, parts)) + 300 * (1 + len(chosen))
    budget = int(max_megabytes * 1e6) - numbers
    if budget < 0:
        raise UserError(
            f"the numbers and boxes alone take {numbers / 1e6:.1f} MB; raise --max-megabytes above that"
            + (" or name fewer sequences after --play" if chosen else "")
        )
    clips = embed_clips(chosen, frame_height, budget, unreadable) if chosen else []
    if len(clips) < len(chosen):
        broken = [sequence.name for sequence in chosen if sequence.name in (unreadable or ())]
        data["page"]["playback"] = "; ".join(filter(None, [missing, f"frames cannot be read: {list_some(broken)}"]))
        parts = [_block(f"tracks-{number}", tracks[clip.sequence]) for number, clip in enumerate(clips)]
    data["clips"] = [
        {"sequence": clip.sequence, "size": clip.size, "stride": clip.stride, "shown": len(clip.jpegs)}
        for clip in clips
    ]
    parts += [_block(f"frames-{number}", clip_frames(clip)) for number, clip in enumerate(clips)]
    with whole_file(path) as temporary:
        temporary.write_text(render_page(scores, data, parts), encoding="utf-8")
    return path


def first_runs(runs: Listing[TrackerRun], scores: Scores) -> list[TrackerRun]:
    """The first run of each of the K trackers of `scores`, in their order.

    Raises:
        ValueError: the scores are not of these runs.
    """
    if len(runs) == len(scores.trackers):
        return list(runs)
    firsts: dict[tuple[str, str, str | None], TrackerRun] = {}
    for run in runs:
        firsts.setdefault((run.name, run.parameter_name, run.display_name), run)
    if len(firsts) != len(scores.trackers):
        raise ValueError(f"{len(firsts)} trackers for scores of {len(scores.trackers)}")
    return list(firsts.values())


def render_page(scores: Scores, data: dict[str, Any], parts: Listing[str] = ()) -> str:
    """The page as text.

    Nothing in it may be loaded from elsewhere: the policy allows the one script and style sheet by their checksums, and
    images that are in the page. Names from outside are in JSON blocks, where '<' is escaped, or escaped as HTML.

    Args:
        scores: for the table that readers without JavaScript see.
        data: from `report_data`, with 'page'.
        parts: further JSON blocks.
    """
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_checksum(style)}'; script-src '{_checksum(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Template((_FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        policy=policy,
        title=html.escape(printable(f"Trackers on {scores.dataset}")),
        style=style,
        table=html.escape(results_table(scores)),
        data="\n".join([_block("data", data), *parts]),
        script=script,
    )


def _block(name: str, content: Any) -> str:
    """JSON in an element that no browser runs; without '<' nothing in it can end the element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return f'<script type="application/json" id="{name}">{text.replace("<", chr(92) + "u003c")}</script>'


def _checksum(text: str) -> str:
    """A source expression of the content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _versions() -> str:
    known = [f"{name} {metadata.version(name)}" for name in ("ebm-tracking", "numpy")]
    return ", ".join([*known, f"Python {platform.python_version()}"])
