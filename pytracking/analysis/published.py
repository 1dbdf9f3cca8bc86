"""The paper's table of published figures, beside what was measured here, each marked as what it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.errors import printable
from pytracking.analysis.scores import Scores
from pytracking.analysis.tables import format_table

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Published:
    """The paper's table.

    Attributes:
        source: where it is printed.
        metric: what the numbers are.
        datasets: name of a data set -> its title.
        trackers: tracker -> data set -> metric in percent; a missing one is not in the paper.
        in_parentheses: the same, for the numbers that the paper adds in parentheses.
        aliases: other spelling of a tracker, in small letters -> its name in the table.
    """

    source: str
    metric: str
    datasets: dict[str, str]
    trackers: dict[str, dict[str, float]]
    in_parentheses: dict[str, dict[str, float]]
    aliases: dict[str, str]

    def row(self, label: str) -> str | None:
        """The tracker of the table that a label means; None where there is none.

        A label is a name of the table or an alias, in any case, or one of them with '/published' after it.

        >>> published_table().row("siamrpnpp/published")
        'SiamRPN++'
        """
        known = {**self.aliases, **{name.lower(): name for name in self.trackers}}
        return known.get(label.lower().removesuffix("/published"))


def published_table() -> Published:
    """The paper's table, from the package's data.

    >>> published_table().trackers["DiMP-NCE+"]["otb"]
    70.7
    """
    return Published(**json.loads(_FILE.read_text(encoding="utf-8")))


def paper_table(published: Published, markdown: bool = False) -> str:
    """The table as the paper prints it: one row a tracker, one column a data set."""

    def cell(tracker: str, dataset: str) -> str:
        value, other = published.trackers[tracker].get(dataset), published.in_parentheses.get(tracker, {}).get(dataset)
        return "-" if value is None else f"{value:.1f}" + ("" if other is None else f" ({other:.1f})")

    rows = [[tracker, *(cell(tracker, dataset) for dataset in published.datasets)] for tracker in published.trackers]
    table = format_table(["published", *published.datasets.values()], rows, markdown)
    return f"{table}\n{chr(10) if markdown else ''}published: {published.source}\n{published.metric}"


def measured_table(published: Published, measured: list[Scores], markdown: bool = False) -> str:
    """One row a tracker and data set: what is published, what was measured, and the difference.

    A tracker is found among the published ones by its label (see `Published.row`); one that is not there has '-'.

    Args:
        published: the paper's table.
        measured: scores of each data set.
        markdown: with the bars of Markdown.
    """
    rows, notes = [], []
    unknown: dict[str, None] = {}
    for scores in measured:
        title = published.datasets.get(scores.dataset, scores.dataset)
        spread = scores.spread()
        means = {name: scores.mean(values) for name, values in scores.metrics.items()}
        for k, tracker in enumerate(scores.trackers):
            row = published.row(tracker)
            if row is None:
                unknown[tracker] = None
            value = published.trackers.get(row or "", {}).get(scores.dataset)
            headline = means[scores.headline_name][k]
            other = [f"{means[name][k]:.2f}" if name in means else "-" for name in ("Precision", "Norm. precision")]
            name = tracker if row in (None, tracker) else f"{tracker} = {row}"
            printed, difference = ("-", "-") if value is None else (f"{value:.1f}", f"{headline - value:+.2f}")
            own = f"{headline:.2f}" + ("" if np.isnan(spread[k]) else f" ± {spread[k]:.2f}")
            rows.append([name, title, printed, own, difference, *other, str(len(scores.sequences))])
        notes += [f"note: {title}: {note}" for note in scores.notes]
    header = ["tracker", "data set", "published", f"measured {measured[0].headline_name}", "difference", "precision"]
    table = format_table([*header, "norm. precision", "sequences"], rows, markdown)
    protocol = measured[0].protocol
    lines = [
        f"published: {published.source}",
        f"measured: from raw results on this machine, protocol {protocol.name}: {protocol.rule}",
        *notes,
    ]
    if unknown:
        names = ", ".join(published.trackers)
        lines.append(
            f"not in the published table: {', '.join(unknown)}; a label says which row is meant, such as "
            f"mytracker/results=SiamRPN++ (its rows: {names})"
        )
    return "\n".join([table, *([""] if markdown else []), *map(printable, lines)])
