"""Tracks with the graphs of `export --onnx` by ONNX Runtime alone; run by path, with a folder and a tracker's name.

In the folder: the graphs and `job.npz` (frames [T, H, W, 3], box [4], jitter [T - 1, J, 4], skipping, iterations on a
frame in `skipping` and on a hard negative). It writes `boxes.npz` (boxes [T - 1, 4], flags [T - 1]).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(folder: Path, name: str) -> None:
    """Track as docs/speed.md says."""
    job = np.load(folder / "job.npz")
    sessions = {
        part: onnxruntime.InferenceSession(folder / f"{name}_{part}.onnx", providers=["CPUExecutionProvider"])
        for part in ("init", "step", "learn")
    }

    def run(part: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = sessions[part]
        given = {entry.name: feed[entry.name] for entry in session.get_inputs()}
        return dict(zip([entry.name for entry in session.get_outputs()], session.run(None, given)))

    state = run("init", {"image": job["frames"][0], "box": job["box"]})
    first, places = len(state["samples"]), len(state["weights"]) + 1
    for key in ("samples", "boxes"):
        buffer = np.zeros((places, *state[key].shape[1:]), np.float32)
        buffer[:first] = state[key]
        state[key] = buffer
    boxes, flags = [], []
    for number, image in enumerate(job["frames"][1:], start=1):
        found = run("step", {**state, "image": image, "jitter": job["jitter"][number - 1]})
        for key in ("target", "weights", "stored"):
            state[key] = found[f"next_{key}"]
        boxes.append(found["box"])
        flags.append(found["flag"])
        if found["flag"] > 1:
            continue
        place = found["place"]
        state["samples"][place], state["boxes"][place] = found["sample"], found["sample_box"]
        hard = found["flag"] == 1
        count = min(int(state["stored"][0]), places - 1)
        for _ in range(int(job["iterations"][int(hard)]) if hard or number % job["skipping"] == 0 else 0):
            memory = {key: state[key][:count] for key in ("samples", "boxes", "weights")}
            state["filter"] = run("learn", {**memory, "filter": state["filter"]})["next_filter"]
    assert not {"torch", "ltr", "pytracking", "onnx"} & set(sys.modules)
    np.savez(folder / "boxes.npz", boxes=boxes, flags=flags)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
