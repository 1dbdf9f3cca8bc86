"""One contestant of `experiments.benchmarks.paired`: tracks frame by frame as it is told on its standard input.

Started by path with another checkout before it on the import path, so it uses only what every version has.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

START = time.perf_counter()


def main() -> None:
    """Answer every line of JSON by one: load a tracker, take frames, start, track, or say how much memory was used."""
    job = json.loads(sys.stdin.readline())
    import pytracking

    imported = time.perf_counter() - START
    import cv2
    import numpy as np
    import torch

    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(job["threads"])
    tracker = pytracking.load_tracker(job["parameter"], **job["overrides"])
    answer: dict[str, Any] = {"import": imported, "load": time.perf_counter() - START}
    frames = np.zeros(0)
    while True:
        print(json.dumps(answer), flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        order = json.loads(line)
        if "frames" in order:
            frames = np.load(order["frames"], mmap_mode="r")
            answer = {}
        elif "memory" in order:
            import resource

            answer = {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        else:
            image = np.ascontiguousarray(frames[order["frame"]])
            start = time.perf_counter()
            result = tracker.initialize(image, order["box"]) if "box" in order else tracker.track(image)
            took = time.perf_counter() - start
            answer = {"seconds": took, "box": [float(value) for value in result.box]}


if __name__ == "__main__":
    main()
