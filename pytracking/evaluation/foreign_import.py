"""Import raw results of another program, so that its tracker stands in the same tables and plots as ours.

python -m pytracking import-results ~/raw_results/MDNet mdnet/published --dataset_name otb
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

from ltr.admin.files import write_json, write_text
from ltr.admin.inputs import check_name
from ltr.dataset.boxfile import format_boxes, format_times
from ltr.errors import UserError, exit_status, list_some, printable
from pytracking.evaluation.foreign import LAYOUTS, ForeignResult, is_foreign, match_name, official_names, read_foreign
from pytracking.evaluation.run_options import report_unreadable
from pytracking.evaluation.tracker import TrackerRun, results_root


class Imported(NamedTuple):
    """What became of a folder of results.

    Attributes:
        written: the files of boxes.
        unknown: names in the source that the data set does not have; they are not imported.
        damaged: file -> what is wrong with one that cannot be read.
    """

    written: list[Path]
    unknown: list[str]
    damaged: dict[Path, str]


def import_results(
    source: Path,
    tracker: str,
    parameter: str,
    results: Path,
    *,
    layout: str = "auto",
    dataset: str | None = None,
    run_id: int | None = None,
) -> Imported:
    """Copy foreign results into our layout, each with a manifest that marks it as foreign.

    Such a manifest says where the boxes came from and has their checksum, but no parameters or weights: the runner
    never takes the result for one of its own. Repetitions become runs: `<parameter>_000`, `_001`, ...

    Args:
        source: folder of one tracker's results.
        tracker, parameter: names that it has from now on.
        results: folder of raw results.
        layout: a key of `LAYOUTS`, or 'auto'.
        dataset: name of the data set, to match the names of sequences; they stay as they are when left out.
        run_id: number of the run, where the source has a single one.

    Raises:
        UserError: as `read_foreign`; no sequence of the data set among the results, two files for one sequence, or a
            result of our own in the place of one.
    """
    found, damaged = read_foreign(source, layout)
    names, unknown = _official(found, dataset)
    if not names:
        raise UserError(
            f"{source}: none of its {len(found)} results is on a sequence of '{dataset}': {list_some(unknown)}"
        )
    repeated = any(result.repetition for result in found)
    if repeated and run_id is not None:
        raise UserError(f"{source}: it has several repetitions, which number the runs; leave --run out")
    targets: dict[Path, ForeignResult] = {}
    for result, name in names:
        run = TrackerRun(tracker, parameter, result.repetition if repeated else run_id)
        check_name("sequence", name)
        target = run.result_folder(results) / f"{name}.txt"
        if target in targets:
            raise UserError(f"{targets[target].source} and {result.source} are both results on '{name}'")
        if target.exists() and not is_foreign(target.parent, name):
            raise UserError(f"{target}: a result that was not imported; choose other names for the tracker's results")
        targets[target] = result
    shared = {time_file for time_file in map(_time_file, targets) if time_file in targets}
    if shared:
        name = min(shared).stem
        raise UserError(f"{source}: the times of '{name.removesuffix('_time')}' and the boxes of '{name}' share a file")
    for target, result in targets.items():
        _write(target, result, layout, dataset)
    return Imported(list(targets), unknown, damaged)


def _official(found: list[ForeignResult], dataset: str | None) -> tuple[list[tuple[ForeignResult, str]], list[str]]:
    """Results with their official names, and the names that have none."""
    official = None if dataset is None else official_names(dataset)
    names, unknown = [], []
    for result in found:
        name = result.sequence if official is None else match_name(result.sequence, official)
        if name is None:
            unknown.append(result.sequence)
        else:
            names.append((result, name))
    return names, unknown


def _write(target: Path, result: ForeignResult, layout: str, dataset: str | None) -> None:
    boxes = format_boxes(result.boxes)
    write_text(target, boxes)
    time_file = _time_file(target)
    if result.times is not None:
        write_text(time_file, format_times(result.times))
    else:
        time_file.unlink(missing_ok=True)
    manifest = {
        "format": "foreign",
        "layout": layout,
        "source": str(Path(result.source.parent.name) / result.source.name),
        "source_sha256": result.sha256,
        "dataset": dataset,
        "sequence": target.stem,
        "num_frames": len(result.boxes),
        "boxes_sha256": hashlib.sha256(boxes.encode()).hexdigest(),
    }
    write_json(target.with_suffix(".json"), manifest)


def _time_file(target: Path) -> Path:
    return target.with_name(f"{target.stem}_time.txt")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    layouts = "; ".join(f"{name}: {files}" for name, files in LAYOUTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m pytracking import-results",
        description="Import raw results of another program into our layout, marked as foreign.",
        epilog=f"Layouts: {layouts}",
    )
    parser.add_argument("source", type=Path, help="folder of one tracker's results on one data set")
    parser.add_argument("name", metavar="TRACKER/PARAMETERS", help="what to call them, such as mdnet/published")
    parser.add_argument("--dataset_name", help="data set, to match the names of its sequences")
    parser.add_argument("--layout", default="auto", help=f"auto, {', '.join(LAYOUTS)} (default: auto)")
    parser.add_argument("--run", type=int, help="number of the run, where there are several")
    parser.add_argument("--results", type=Path, help="folder of raw results (default: results/tracking_results)")
    parser.add_argument("--list_all", action="store_true", help="name every sequence that is missing or left out")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 where a file cannot be read; the others are imported."""
    args = build_parser().parse_args(argv)
    tracker, _, parameter = args.name.partition("/")
    if not tracker or not parameter or "/" in parameter:
        raise UserError(f"'{args.name}' is not TRACKER/PARAMETERS, such as mdnet/published")
    written, unknown, damaged = import_results(
        args.source,
        tracker,
        parameter,
        results_root(args.results),
        layout=args.layout,
        dataset=args.dataset_name,
        run_id=args.run,
    )
    folders = ", ".join(str(folder) for folder in dict.fromkeys(path.parent for path in written))
    print(f"{len(written)} results imported to {folders}")
    official = official_names(args.dataset_name) if args.dataset_name else None
    if official is not None and (missing := sorted(set(official) - {path.stem for path in written})):
        shown = ", ".join(missing) if args.list_all else list_some(missing, "--list_all names them")
        print(printable(f"no result on {len(missing)} of {len(official)} sequences: {shown}"))
    if unknown:
        shown = ", ".join(unknown) if args.list_all else list_some(unknown, "--list_all names them")
        print(printable(f"{len(unknown)} not of {args.dataset_name}, left out: {shown}"))
    return report_unreadable({file.name: message for file, message in damaged.items()}, "imported", "file(s)")


if __name__ == "__main__":
    sys.exit(exit_status(main))
