"""What the HTML report shows, as plain JSON data: figures, curves and subsets, all taken from `Scores`."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ltr.errors import unknown_name
from pytracking.analysis.attributes import attribute_rows
from pytracking.analysis.bootstrap import paired_difference
from pytracking.analysis.extract import Scores
from pytracking.analysis.plots import tracker_style
from pytracking.analysis.tables import ranking

# Dash patterns of SVG and canvas for the line styles of the plots.
_DASHES: dict[str, list[float]] = {"-": [], "--": [7, 3], "-.": [7, 3, 1.5, 3], ":": [1.5, 2.5]}


def pack(values: np.ndarray) -> dict[str, Any]:
    """An array as JSON: its shape, and its values as little-endian float32 in base64. NaN stays NaN."""
    array = np.asarray(values, "<f4")
    return {"shape": list(array.shape), "float32": base64.b64encode(array.tobytes()).decode("ascii")}


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """The array that `pack` made into JSON, as float32."""
    return np.frombuffer(base64.b64decode(packed["float32"]), "<f4").reshape(packed["shape"])


def headline_name(scores: Scores) -> str:
    """'AUC' or 'AO'."""
    return scores.protocol.headline.upper()


def figures(scores: Scores) -> dict[str, np.ndarray]:
    """Title, such as 'OP50' or 'Norm. precision', -> [S, K] in percent; the headline figure is the first."""
    average = scores.protocol.headline == "ao"
    found = {
        headline_name(scores): scores.headline,
        "SR0.5" if average else "OP50": scores.overlap_precision(0.5),
        "SR0.75" if average else "OP75": scores.overlap_precision(0.75),
    }
    if scores.protocol.has_precision:
        found |= {"Precision": scores.precision_figure, "Norm. precision": scores.norm_precision_figure}
    return found


def curves(scores: Scores) -> dict[str, np.ndarray]:
    """Key of a plot, as in `plots.PLOT_TYPES`, -> [S, K, N] in percent."""
    found = {"success": 100 * scores.success}
    if scores.protocol.has_precision:
        found |= {"prec": 100 * scores.precision, "norm_prec": 100 * scores.norm_precision}
    return found


def report_data(scores: Scores, against: str | None = None, seed: int = 0) -> dict[str, Any]:
    """All numbers of the page. The page computes none itself: means, intervals and curves of every subset are here.

    Args:
        scores: of K trackers on S sequences.
        against: label of the tracker that differences are taken to; the first when left out.
        seed: of the bootstrap.

    Returns:
        JSON data without NaN; arrays as `pack` makes them.

    Raises:
        UserError: no tracker is called `against`.
    """
    if against is not None and against not in scores.trackers:
        raise unknown_name("tracker", against, scores.trackers)
    base = 0 if against is None else scores.trackers.index(against)
    protocol = scores.protocol
    return {
        "dataset": scores.dataset,
        "protocol": {"name": protocol.name, "rule": protocol.rule, "source": protocol.source},
        "excludes_invalid": scores.excludes_invalid,
        "notes": scores.notes,
        "trackers": [_tracker(scores, k) for k in range(len(scores.trackers))],
        "ranking": ranking(scores),
        "base": base,
        "figures": {title: pack(values) for title, values in figures(scores).items()},
        "plots": _plots(scores),
        "sequences": [
            {"name": name, "frames": int(count), "attributes": list(attributes or ())}
            for name, count, attributes in zip(scores.sequences, scores.frames, scores.attributes)
        ],
        "subsets": [_subset(scores, name, rows, base, seed) for name, rows in _subset_rows(scores).items()],
        "bootstrap": {"samples": 10_000, "level": 0.95, "seed": seed},
    }


def _tracker(scores: Scores, k: int) -> dict[str, Any]:
    style, colour = tracker_style(k)
    return {
        "name": scores.trackers[k],
        "colour": colour,
        "dash": _DASHES[style],
        "fps": _plain(scores.fps[k]),
        "runs": int(scores.runs[k].shape[1]),
        "deviation": _plain(scores.deviation[k]),
    }


def _plots(scores: Scores) -> list[dict[str, Any]]:
    protocol = scores.protocol
    described: dict[str, tuple[str, np.ndarray, str, str, int]] = {
        "success": ("Success", protocol.overlap_thresholds, "Overlap threshold", "higher overlap", 2),
        "prec": ("Precision", protocol.centre_thresholds, "Centre error threshold [px]", "smaller error", 0),
        "norm_prec": (
            "Normalised precision",
            protocol.norm_thresholds,
            "Centre error threshold [target sizes]",
            "smaller error",
            2,
        ),
    }
    read_at = {"prec": protocol.precision_at, "norm_prec": protocol.norm_precision_at}
    titles = {"success": headline_name(scores), "prec": "Precision", "norm_prec": "Norm. precision"}
    found = []
    for key, values in curves(scores).items():
        title, thresholds, xlabel, what, decimals = described[key]
        found.append(
            {
                "key": key,
                "title": title,
                "figure": titles[key],
                "thresholds": [round(float(value), 6) for value in thresholds],
                "decimals": decimals,
                "xlabel": xlabel,
                "ylabel": f"Frames with a {what} [%]",
                "read_at": read_at.get(key),
                "values": pack(values),
            }
        )
    return found


def _subset_rows(scores: Scores) -> dict[str, np.ndarray]:
    """'' (all sequences), then each attribute -> [S] bool."""
    everything = {"": np.ones(len(scores.sequences), bool)}
    return everything | (attribute_rows(scores) if any(scores.attributes) else {})


def _subset(scores: Scores, name: str, rows: np.ndarray, base: int, seed: int) -> dict[str, Any]:
    spread = scores.deviation if rows.all() else _deviation(scores, rows)
    return {
        "name": name,
        "rows": np.flatnonzero(rows).tolist(),
        "figures": {title: [_plain(v) for v in scores.mean(values, rows)] for title, values in figures(scores).items()},
        "deviation": [_plain(value) for value in spread],
        "curves": {key: pack(scores.mean(values, rows)) for key, values in curves(scores).items()},
        "differences": [_difference(scores, k, base, rows, seed) for k in range(len(scores.trackers))],
    }


def _deviation(scores: Scores, rows: np.ndarray) -> np.ndarray:
    """[K] standard deviation over runs of the headline figure of the sequences of `rows`; NaN for a single run."""
    means = [scores.mean(runs, rows) for runs in scores.runs]
    return np.array([values.std(ddof=1) if len(values) > 1 else np.nan for values in means])


def _difference(scores: Scores, k: int, base: int, rows: np.ndarray, seed: int) -> dict[str, Any] | None:
    """Tracker `k` minus the base with its interval; None for the base itself and for fewer than two sequences."""
    counted = rows & (scores.weights > 0)
    if k == base or counted.sum() < 2:
        return None
    found = paired_difference(
        scores.headline[counted, k], scores.headline[counted, base], weights=scores.weights[counted], seed=seed
    )
    return {"mean": found.mean, "low": found.low, "high": found.high, "excludes_zero": found.excludes_zero}


def _plain(value: float) -> float | None:
    """A number for JSON, which knows no NaN."""
    return float(value) if np.isfinite(value) else None
