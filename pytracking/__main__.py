"""`python -m pytracking <command>`: lists what there is by name, and runs the scripts."""

from __future__ import annotations

import sys

from ltr import console
from ltr.errors import UserError, exit_status

_SCRIPTS = {
    "run": ("pytracking.run_tracker", "run a tracker on a data set and keep its raw results"),
    "experiment": ("pytracking.run_experiment", "run several trackers on several data sets, on many workers"),
    "report": ("pytracking.run_report", "tables, plots and an HTML page of raw results"),
    "pack": ("pytracking.run_pack", "pack raw results for the servers of TrackingNet and GOT-10k"),
    "video": ("pytracking.run_video", "track targets through a video file"),
    "vot": ("pytracking.run_vot", "run a tracker under the VOT toolkit, through TraX"),
    "webcam": ("pytracking.run_webcam", "track targets in a camera's picture"),
    "check": ("pytracking.run_check", "check a local copy of a data set, and repair its names"),
    "models": ("pytracking.run_models", "trained networks on this machine; `models fetch NAME` gets public ones"),
    "setup": ("pytracking.run_setup", "say where the data sets are"),
    "import-results": ("pytracking.evaluation.foreign_import", "import raw results of another program"),
    "export": ("pytracking.run_export", "write networks as ONNX graphs, for ONNX Runtime on a CPU"),
    "demo": ("pytracking.run_demo", "track the demo clips with several trackers and compare them"),
}
_EXAMPLES = """  python -m pytracking demo
  python -m pytracking run dimp dimp_nceplus_lite --dataset_name demo
  python -m pytracking report dimp/dimp_nceplus_lite opencv/kcf --dataset_name demo
  python -m pytracking video dimp dimp_nceplus_lite clip.mp4 --box 120,80,60,90

`ebm-tracking` is the same command where the package is installed. Tab completion in bash and zsh:
  eval "$(register-python-argcomplete ebm-tracking)\""""


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns its exit status; 2 without a command. Raises `UserError` for an unknown one."""
    return console.run("python -m pytracking", _SCRIPTS, _EXAMPLES, _LISTS, argv)


def script() -> int:
    """The console command `ebm-tracking`; returns its exit status."""
    return exit_status(main)


def trackers_text() -> str:
    """One line a parameter file: tracker, parameters and the file's first line."""
    from pytracking.registry import describe_parameters, list_trackers

    pairs = [(tracker, parameter) for tracker, names in list_trackers().items() for parameter in names]
    names = [f"{tracker} {parameter}" for tracker, parameter in pairs]
    width = max(len(name) for name in names)
    return "\n".join(f"{name:{width}s}  {describe_parameters(*pair)}" for name, pair in zip(names, pairs))


def datasets_text() -> str:
    """One line a data set, its name and what is there of it, then how to say where those lie that nothing names.

    Raises:
        UserError: the user's file of paths cannot be read.
    """
    from ltr.admin.paths import UnnamedFolderError, paths_file, paths_table
    from pytracking.evaluation.datasets import LISTERS, describe_dataset

    paths_table("paths")
    lines, unnamed = [], False
    for name in sorted(LISTERS):
        try:
            text = describe_dataset(name)
        except UnnamedFolderError:
            text, unnamed = "not set up", True
        except UserError as error:
            text = str(error)
        lines.append(f"{name:22s} {text}")
    if unnamed:
        lines.append(
            "\nSay where a data set is by `python -m pytracking setup`, by a variable such as EBM_TRACKING_OTB=/folder "
            f'or by `otb = "/folder"` under [paths] in {paths_file()}; --dataset_path names it for one command. '
            "`got10k` stands for both of its parts."
        )
    return "\n".join(lines)


_LISTS = {
    "trackers": (trackers_text, "trackers and their parameters, with what each is"),
    "datasets": (datasets_text, "evaluation data sets and whether they are found"),
}


if __name__ == "__main__":
    sys.exit(script())
