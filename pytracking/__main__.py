"""`python -m pytracking <command>`: lists what there is by name, and runs the scripts."""

from __future__ import annotations

import importlib
import sys

from ltr.errors import EXIT_USER_ERROR, UserError, exit_status, unknown_name

_SCRIPTS = {
    "run": ("pytracking.run_tracker", "run a tracker on a data set and keep its raw results"),
    "experiment": ("pytracking.run_experiment", "run several trackers on several data sets, on many workers"),
    "report": ("pytracking.run_report", "tables and plots of raw results"),
    "pack": ("pytracking.run_pack", "pack raw results for the servers of TrackingNet and GOT-10k"),
    "video": ("pytracking.run_video", "track a target through a video file"),
    "vot": ("pytracking.run_vot", "run a tracker under the VOT toolkit, through TraX"),
    "webcam": ("pytracking.run_webcam", "track a target in a camera's picture"),
    "check": ("pytracking.run_check", "check a local copy of a data set, and repair its names"),
    "setup": ("pytracking.run_setup", "say where the data sets lie"),
    "import-results": ("pytracking.evaluation.foreign_import", "import raw results of another program"),
    "demo": ("pytracking.run_demo", "track the demo clips with several trackers and compare them"),
}
_LISTS = {
    "trackers": "trackers and their parameters, with what each is",
    "models": "trained networks at hand",
    "datasets": "evaluation data sets and whether they are found",
}
_USAGE = """usage: python -m pytracking <command> [option ...]

Lists
{lists}

Scripts (each also as python pytracking/run_<...>.py; --help tells its options)
{scripts}

Examples
  python -m pytracking demo
  python -m pytracking run dimp dimp_nceplus_lite --dataset_name demo
  python -m pytracking report dimp/dimp_nceplus_lite opencv/kcf --dataset_name demo
  python -m pytracking video dimp dimp_nceplus_lite clip.mp4 --box 120,80,60,90"""


def usage() -> str:
    """What the commands are, each in one line."""
    lists = "\n".join(f"  {name:14s} {text}" for name, text in _LISTS.items())
    scripts = "\n".join(f"  {name:14s} {text}" for name, (_, text) in _SCRIPTS.items())
    return _USAGE.format(lists=lists, scripts=scripts)


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns its exit status; 2 without a command."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments:
        print(usage(), file=sys.stderr)
        return EXIT_USER_ERROR
    command, *rest = arguments
    if command in ("-h", "--help"):
        print(usage())
        return 0
    if command in _SCRIPTS:
        status: int = importlib.import_module(_SCRIPTS[command][0]).main(rest)
        return status
    if command not in _LISTS:
        raise unknown_name("command", command, [*_LISTS, *_SCRIPTS])
    if rest in (["-h"], ["--help"]):
        print(f"usage: python -m pytracking {command}\n\nLists {_LISTS[command]}.")
        return 0
    if rest:
        raise UserError(f"'{command}' takes no arguments, got {' '.join(rest)}")
    print({"trackers": trackers_text, "models": models_text, "datasets": datasets_text}[command]())
    return 0


def trackers_text() -> str:
    """One line a parameter file: tracker, parameters and the file's first line."""
    from pytracking.registry import describe_parameters, list_trackers

    pairs = [(tracker, parameter) for tracker, names in list_trackers().items() for parameter in names]
    names = [f"{tracker} {parameter}" for tracker, parameter in pairs]
    width = max(len(name) for name in names)
    return "\n".join(f"{name:{width}s}  {describe_parameters(*pair)}" for name, pair in zip(names, pairs))


def models_text() -> str:
    """One line a network, and which are asked for but not there."""
    from pytracking.networks import listing

    return listing.models_text()


def datasets_text() -> str:
    """One line a data set: its name and where it is, or how to say where."""
    from pytracking.evaluation.datasets import READERS

    lines = []
    for name, list_sequences in sorted(READERS.items()):
        try:
            text = f"{len(list_sequences(None))} sequences"
        except UserError as error:
            text = str(error)
        lines.append(f"{name:22s} {text}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(exit_status(main))
