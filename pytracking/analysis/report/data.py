"""What the HTML report shows, as plain JSON data: metrics, curves and subsets, all taken from `Scores`."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ltr.dataset.layout import attribute_names
from pytracking.analysis.bootstrap import FEWEST_SEQUENCES, tracker_difference
from pytracking.analysis.plots import tracker_style
from pytracking.analysis.scores import PLOTS, Scores

# Dash patterns of SVG and canvas for the line styles of the plots.
_DASHES: dict[str, list[float]] = {"-": [], "--": [7, 3], "-.": [7, 3, 1.5, 3], ":": [1.5, 2.5]}


def pack(values: np.ndarray) -> dict[str, Any]:
    """An array as JSON: its shape, and its values as little-endian float32 in base64. NaN stays NaN."""
    array = np.asarray(values, "<f4")
    return {"shape": list(array.shape), "float32": base64.b64encode(array.tobytes()).decode("ascii")}


def report_data(scores: Scores, against: str | None = None) -> dict[str, Any]:
    """All numbers of the page. The page computes none itself: means, intervals and curves of every subset are here.

    Args:
        scores: scores of K trackers on S sequences.
        against: label of the tracker that differences are taken to; the first when left out.

    Returns:
        JSON data without NaN; arrays as `pack` makes them.

    Raises:
        UserError: no tracker is called `against`.
    """
    base = 0 if against is None else scores.column(against)
    protocol = scores.protocol
    # '' stands for all sequences.
    subsets = {"": np.ones(len(scores.sequences), bool)}
    subsets |= scores.attribute_rows() if any(scores.attributes) else {}
    return {
        "dataset": scores.dataset,
        "protocol": {"name": protocol.name, "rule": protocol.rule, "source": protocol.source},
        "excludes_invalid": scores.excludes_invalid,
        "notes": scores.notes,
        "trackers": [_tracker(scores, k) for k in range(len(scores.trackers))],
        "ranking": scores.ranking,
        "base": base,
        "metrics": {title: pack(values) for title, values in scores.metrics.items()},
        "plots": _plots(scores),
        "sequences": [
            {"name": name, "frames": int(count), "attributes": list(attributes or ())}
            for name, count, attributes in zip(scores.sequences, scores.frames, scores.attributes)
        ],
        "subsets": [_subset(scores, name, rows, base) for name, rows in subsets.items()],
        "bootstrap": {"samples": 10_000, "level": 0.95, "seed": 0, "fewest": FEWEST_SEQUENCES},
    }


def _tracker(scores: Scores, k: int) -> dict[str, Any]:
    style, colour = tracker_style(k)
    return {
        "name": scores.trackers[k],
        "colour": colour,
        "dash": _DASHES[style],
        "fps": _plain(scores.fps[k]),
        "runs": len(scores.columns[scores.trackers[k]]),
        "deviation": _plain(scores.spread()[k]),
    }


def _plots(scores: Scores) -> list[dict[str, Any]]:
    titles = {"success": scores.headline_name, "prec": "Precision", "norm_prec": "Norm. precision"}
    return [
        {
            "key": key,
            "title": PLOTS[key].title,
            "metric": titles[key],
            "thresholds": [round(float(value), 6) for value in scores.curves(key).thresholds],
            "decimals": 0 if key == "prec" else 2,
            "xlabel": PLOTS[key].xlabel,
            "ylabel": PLOTS[key].ylabel,
            "read_at": PLOTS[key].read_at,
            "values": pack(scores.curves(key).values),
        }
        for key in scores.plot_types
    ]


def _subset(scores: Scores, name: str, rows: np.ndarray, base: int) -> dict[str, Any]:
    return {
        "name": name,
        "title": f"{name} {attribute_names().get(name, '')}".strip(),
        "rows": np.flatnonzero(rows).tolist(),
        "metrics": {title: [_plain(v) for v in scores.mean(values, rows)] for title, values in scores.metrics.items()},
        "deviation": [_plain(value) for value in scores.spread(rows)],
        "curves": {key: pack(scores.mean(scores.curves(key).values, rows)) for key in scores.plot_types},
        "differences": [_difference(scores, k, base, rows) for k in range(len(scores.trackers))],
    }


def _difference(scores: Scores, k: int, base: int, rows: np.ndarray) -> dict[str, Any] | None:
    """Tracker `k` minus the base with its interval; None for the base itself and for fewer than two sequences."""
    if k == base or (rows & (scores.weights > 0)).sum() < 2:
        return None
    found = tracker_difference(scores, scores.trackers[k], scores.trackers[base], rows)
    return {"mean": found.mean, "low": found.low, "high": found.high, "verdict": found.verdict}


def _plain(value: float) -> float | None:
    """A number for JSON, which knows no NaN."""
    return float(value) if np.isfinite(value) else None
