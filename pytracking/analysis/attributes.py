"""Figures of the sequences that share an attribute, such as occlusion."""

from __future__ import annotations

import numpy as np

from ltr.errors import UserError
from pytracking.analysis.extract import Scores
from pytracking.analysis.tables import footer, format_table, ranking


def attribute_rows(scores: Scores) -> dict[str, np.ndarray]:
    """Attribute -> [S] bool, the sequences that have it; in alphabetical order.

    Raises:
        UserError: no sequence has attributes.
    """
    known = [attributes or () for attributes in scores.attributes]
    names = sorted({name for attributes in known for name in attributes})
    if not names:
        raise UserError(f"no attributes are known for the sequences of {scores.dataset}")
    return {name: np.array([name in attributes for attributes in known]) for name in names}


def attribute_figures(scores: Scores) -> dict[str, np.ndarray]:
    """Attribute -> [K] headline figure (AUC or AO, in percent) over the sequences that have it; errors as above."""
    return {name: scores.mean(scores.headline, rows) for name, rows in attribute_rows(scores).items()}


def attribute_table(scores: Scores, markdown: bool = False) -> str:
    """One row an attribute with the number of its sequences and every tracker's figure, best tracker first."""
    order = ranking(scores)
    header = [f"{scores.protocol.headline.upper()} on {scores.dataset}", "sequences"]
    rows = [
        [name, str(int(mask.sum())), *(f"{value:.1f}" for value in scores.mean(scores.headline, mask)[order])]
        for name, mask in attribute_rows(scores).items()
    ]
    overall = [f"{value:.1f}" for value in scores.mean(scores.headline)[order]]
    table = format_table(
        [*header, *(scores.trackers[k] for k in order)],
        [*rows, ["all", str(len(scores.sequences)), *overall]],
        markdown,
    )
    return f"{table}\n{chr(10) if markdown else ''}{footer(scores)}"
