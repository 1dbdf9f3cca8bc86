"""Programs of others as trackers, by the `[external]` table of paths.toml: name = "command that speaks TraX"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.admin.paths import paths_table

if TYPE_CHECKING:
    from pytracking.tracker.external import ExternalParameters

ANY = "trax"


def descriptions() -> dict[str, str]:
    """Name -> what it is in one line: `trax`, whose command is given as an override, and the user's programs."""
    return {ANY: "any program that speaks TraX; give its `command`"} | {
        name: f"external program: {command}"
        for name, command in paths_table("external").items()
        if isinstance(command, str)
    }


def parameters(name: str) -> ExternalParameters:
    """The parameters of one of `descriptions`."""
    from pytracking.tracker.external import ExternalParameters

    return ExternalParameters(command=str(paths_table("external").get(name, "")))
