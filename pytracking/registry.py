"""Trackers by name: finds a parameter file, applies overrides and creates the tracker.

A tracker's parameters are a frozen dataclass. They come from a function `<parameter>()` in the package
`pytracking/parameter/<tracker>`, from a file `<parameter>.py` in it with a function `parameters()`, or from a module
`pytracking/parameter/<tracker>.py` with `descriptions()` (name -> its first line) and `parameters(name)`;
`pytracking.tracker.<tracker>` has a function `create(params)`. Nothing is registered by hand, and nothing is imported
before it is asked for.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ltr.admin.inputs import parse_assignment, replace_fields
from ltr.errors import UserError, check_names, unknown_name
from pytracking.networks import find_network
from pytracking.tracker.inputs import COLOURS, as_image

if TYPE_CHECKING:
    from pytracking.tracker.base import Tracker, TrackResult


def list_trackers() -> dict[str, list[str]]:
    """All tracker names, each with its parameter names, both in alphabetical order.

    >>> list_trackers()["opencv"]
    ['csrt', 'dasiamrpn', 'goturn', 'kcf', 'medianflow', 'mil', 'mosse', 'nano', 'vit']
    """
    package = importlib.import_module("pytracking.parameter")
    trackers = {}
    for module in pkgutil.iter_modules(package.__path__):
        name = module.name
        names = [*_files(name), *_functions(name)] if module.ispkg else _table(name).descriptions()
        if names:
            trackers[name] = sorted(names)
    return dict(sorted(trackers.items()))


def find_tracker(parameter: str, tracker: str | None = None) -> tuple[str, str]:
    """The (tracker, parameter) pair that a name stands for.

    Args:
        parameter: a parameter name, such as 'dimp_nceplus_lite', or both names, such as 'dimp/dimp_nceplus_lite'.
        tracker: the tracker's name; found by searching the parameter folders when left out.

    Raises:
        UserError: no such tracker or parameter (the nearest is named), or several trackers have this parameter.
    """
    trackers = list_trackers()
    if not isinstance(parameter, str):
        raise unknown_name("parameter", parameter, ())
    if tracker is None and "/" in parameter:
        tracker, _, parameter = parameter.rpartition("/")
    if tracker is not None:
        if "/" in str(tracker):
            raise UserError(f"'{tracker}' is a tracker and its parameters: write {tracker.replace('/', ' ')}")
        check_names("tracker", [tracker], trackers)
        check_names(f"parameter of tracker '{tracker}'", [parameter], trackers[tracker])
        return tracker, parameter
    owners = [name for name, parameters in trackers.items() if parameter in parameters]
    if not owners and parameter in trackers:
        raise UserError(f"'{parameter}' is a tracker: name parameters of it, {', '.join(trackers[parameter])}")
    if not owners:
        raise unknown_name("parameter", parameter, [name for names in trackers.values() for name in names])
    if len(owners) > 1:
        raise UserError(f"parameter '{parameter}' exists for the trackers {', '.join(owners)}; name one of them")
    return owners[0], parameter


def describe_parameters(tracker: str, parameter: str) -> str:
    """The first line of the docstring of parameters, read without running them. Errors as for `find_tracker`."""
    tracker, parameter = find_tracker(parameter, tracker)
    if not _folders(tracker):
        description: str = _table(tracker).descriptions()[parameter]
        return description
    file = _files(tracker).get(parameter)
    node = _functions(tracker)[parameter] if file is None else ast.parse(file.read_text(encoding="utf-8"))
    return (ast.get_docstring(node) or "").partition("\n")[0]


def file_parameters(parameter: str, tracker: str | None = None) -> Any:
    """A tracker's parameters as its file gives them, whatever its network states. Errors as for `find_tracker`."""
    tracker, parameter = find_tracker(parameter, tracker)
    if not _folders(tracker):
        return _table(tracker).parameters(parameter)
    if parameter in _files(tracker):
        return importlib.import_module(f"pytracking.parameter.{tracker}.{parameter}").parameters()
    return getattr(_table(tracker), parameter)()


def load_parameters(parameter: str, tracker: str | None = None, **overrides: Any) -> Any:
    """The parameters of a tracker, a frozen dataclass, with some fields replaced.

    What the network's header or card states (`tracking_settings`) stands where the parameter file has its class's
    default. A network given by the override `net_path` is another than the parameter file was written for, so what it
    states goes before the file too; one that states nothing is taken for the file's own. Overrides go before all.

    Raises:
        UserError: unknown tracker or parameter, an override that is not a field (the nearest is named), or a network
            that states something that is none of the tracker's parameters.
    """
    tracker, parameter = find_tracker(parameter, tracker)
    params = file_parameters(parameter, tracker)
    try:
        given = replace_fields(params, overrides)
    except (ValueError, TypeError) as error:
        raise UserError(f"{tracker}/{parameter}: {error}") from None
    named = set(overrides)
    path = _network(given)
    learned = _learned(path)
    if not learned or overrides.get("net_path") is None:
        path = _network(params)
        learned = _learned(path)
        if learned:
            named |= {name for name, default in vars(type(params)()).items() if getattr(params, name) != default}
    try:
        return replace_fields(given, {name: value for name, value in learned.items() if name not in named})
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}, for {tracker}/{parameter}: {error}") from None


def parse_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """Overrides of `load_parameters` from a command line's `--set FIELD=VALUE` (see `parse_assignment`).

    Raises:
        UserError: a text without '='.

    >>> parse_overrides(["iounet_k=5", "net_path=~/nano", "box_refinement_step_length=(5e-4, 2e-3)"])
    {'iounet_k': 5, 'net_path': '~/nano', 'box_refinement_step_length': (0.0005, 0.002)}
    """
    return dict(map(parse_assignment, assignments))


def _learned(path: Path | None) -> dict[str, Any]:
    """What a network states of how it was trained."""
    if path is None:
        return {}
    # It brings torch, which a worker whose trackers have no network can do without.
    from ltr.admin.checkpoint import tracking_settings

    return tracking_settings(path)


def _network(params: Any) -> Path | None:
    """The network that parameters name, None where they name none or it is not there."""
    if getattr(params, "net_path", None) is not None:
        return Path(params.net_path).expanduser()
    return find_network(params.net_name) if hasattr(params, "net_name") else None


def _table(tracker: str) -> ModuleType:
    """The module that holds parameters of a tracker."""
    return importlib.import_module(f"pytracking.parameter.{tracker}")


def _folders(tracker: str) -> list[Path]:
    """The folders of a tracker's parameter files; none where all its parameters are one module."""
    found = importlib.util.find_spec(f"pytracking.parameter.{tracker}")
    return [Path(path) for path in (found and found.submodule_search_locations) or ()]


def _files(tracker: str) -> dict[str, Path]:
    """Parameter name -> its file."""
    files = (file for folder in _folders(tracker) for file in folder.glob("*.py"))
    return {file.stem: file for file in files if not file.name.startswith("_")}


def _functions(tracker: str) -> dict[str, ast.FunctionDef]:
    """Parameter name -> its function, of those that have no file."""
    sources = [folder / "__init__.py" for folder in _folders(tracker)]
    tree = [node for file in sources if file.is_file() for node in ast.parse(file.read_text(encoding="utf-8")).body]
    taken = _files(tracker)
    functions = (node for node in tree if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"))
    return {node.name: node for node in functions if node.name not in taken}


def create_tracker(tracker: str, params: Any) -> Tracker:
    """Create a tracker from its parameters (see `load_parameters`)."""
    created: Tracker = importlib.import_module(f"pytracking.tracker.{tracker}").create(params)
    return created


class _TrackerOfBGR:
    """A tracker whose arrays and tensors are BGR; everything else is the tracker's own."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def initialize(self, image: Any, box: Any) -> TrackResult:
        return self._tracker.initialize(as_image(image, "bgr"), box)

    def track(self, image: Any) -> TrackResult:
        return self._tracker.track(as_image(image, "bgr"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


def load_tracker(parameter: str, tracker: str | None = None, *, color: str = "rgb", **overrides: Any) -> Tracker:
    """Create a tracker by name.

    Args:
        parameter: a parameter name, such as 'dimp_nceplus_lite' or 'kcf'.
        tracker: the tracker's name, needed only where two trackers have a parameter of that name.
        color: order of the channels of the arrays that it will be given, 'rgb', or 'bgr' as OpenCV reads them.
        overrides: fields of the parameters to replace.

    Raises:
        UserError: unknown tracker, parameter or override (the nearest is named), or an ambiguous parameter.

    >>> import numpy as np
    >>> kcf = load_tracker("kcf")
    >>> kcf.initialize(np.zeros((120, 160, 3), np.uint8), (40, 30, 50, 40)).box
    (40.0, 30.0, 50.0, 40.0)
    """
    tracker, parameter = find_tracker(parameter, tracker)
    check_names("color", [str(color)], COLOURS)
    created = create_tracker(tracker, load_parameters(parameter, tracker, **overrides))
    return _TrackerOfBGR(created) if color == "bgr" else created
