"""From raw results to figures: protocols, scores, tables, plots, and the HTML report."""

from __future__ import annotations

import os

from ltr.errors import UserError

# matplotlib reads the variable when it is imported, so that a wrong one is met in whatever module is first.
if "MPLBACKEND" in os.environ:
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:
        raise UserError(f"MPLBACKEND={os.environ['MPLBACKEND']}: {error}; unset it") from None
