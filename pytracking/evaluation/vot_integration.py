"""The VOT toolkit's integration file: a tracker's section of trackers.ini."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import sys

from ltr.errors import UserError
from pytracking.evaluation.trax_server import import_trax

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]+")


def integration_section(tracker: str, parameter: str, identifier: str | None = None, label: str | None = None) -> str:
    """A section of trackers.ini that starts a tracker with this Python.

    Args:
        tracker, parameter: names of a tracker, such as 'dimp' and 'dimp_nceplus_lite'.
        identifier: the section's name; `<tracker>_<parameter>` when left out.
        label: name in the toolkit's tables; `<tracker>/<parameter>` when left out.

    Raises:
        UserError: the identifier has other than letters, digits, '_' and '-', the label has line ends, vot-trax is
            missing, or this package is not installed: the toolkit starts trackers in a folder of its own, where a
            checkout alone is not found.

    >>> print(integration_section("opencv", "kcf").splitlines()[0])
    [opencv_kcf]
    """
    name = f"{tracker}_{parameter}" if identifier is None else identifier
    label = f"{tracker}/{parameter}" if label is None else label
    if not _IDENTIFIER.fullmatch(name):
        raise UserError(f"'{name}' cannot name a tracker in the toolkit: letters, digits, '_' and '-' only")
    if not label.strip() or "\n" in label:
        raise UserError("a tracker's label is one line of text")
    import_trax()
    try:
        importlib.metadata.distribution("ebm-tracking")
    except importlib.metadata.PackageNotFoundError:
        raise UserError("ebm-tracking is not installed in this Python: pip install -e . in its folder first") from None
    command = shlex.join([sys.executable, "-m", "pytracking", "vot", "run", tracker, parameter])
    lines = [f"[{name}]", f"label = {label}", "protocol = trax", f"command = {command}"]
    # The file's reader takes a single % for the start of a reference.
    return "\n".join(line.replace("%", "%%") for line in lines) + "\n\n"
