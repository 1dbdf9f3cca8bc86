"""Independent tasks on several processes, with progress and an estimate of the time that is left."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from experiments.training_methods.features import one_thread
from ltr.admin.files import write_json


@dataclass(frozen=True)
class Task:
    """A call that can be made in another process.

    Attributes:
        name: for messages.
        function, arguments: importable and picklable.
        weight: expected time in any unit.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    weight: float = 1.0


def run_tasks(title: str, tasks: Sequence[Task], workers: int) -> dict[str, Any]:
    """Run all tasks, the longest first.

    Args:
        workers: processes of one thread each; with 1 all runs here, with torch's own threads.

    Returns:
        What each task returned, by name. The first exception of a task is raised, after the others are done.
    """
    ordered = sorted(tasks, key=lambda task: -task.weight)
    progress = _Progress(title, ordered)
    results: dict[str, Any] = {}
    if workers == 1 or len(tasks) < 2:
        for task in ordered:
            results[task.name] = task.function(*task.arguments)
            progress.done(task)
        return {task.name: results[task.name] for task in tasks}
    failed: Exception | None = None
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        futures: dict[Future[Any], Task] = {pool.submit(t.function, *t.arguments): t for t in ordered}
        for future in as_completed(futures):
            task = futures[future]
            error = future.exception()
            if isinstance(error, Exception):
                print(f"{title}: {task.name} failed: {error}", file=sys.stderr)
                failed = failed or error
            else:
                results[task.name] = future.result()
            progress.done(task)
    if failed is not None:
        raise failed
    return {task.name: results[task.name] for task in tasks}


class _Progress:
    def __init__(self, title: str, tasks: Sequence[Task]) -> None:
        self.title, self.count, self.total = title, len(tasks), sum(task.weight for task in tasks)
        self.finished, self.weight, self.began = 0, 0.0, time.perf_counter()

    def done(self, task: Task) -> None:
        self.finished += 1
        self.weight += task.weight
        spent = time.perf_counter() - self.began
        left = spent * (self.total - self.weight) / max(self.weight, 1e-9)
        print(
            f"{self.title}: {self.finished}/{self.count} {task.name}, {spent / 60:.1f} min, about {left / 60:.1f} left",
            flush=True,
        )


def remembered(path: Path, question: dict[str, Any], answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer stored at `path` if it is to this question; else it is computed and stored, whole.

    Args:
        question: plain JSON values, everything that the answer depends on.
    """
    asked = json.loads(json.dumps(question))
    if path.is_file():
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stored["question"] == asked:
            return stored
    found = json.loads(json.dumps({"question": asked, **answer()}))
    write_json(path, found)
    result: dict[str, Any] = found
    return result
