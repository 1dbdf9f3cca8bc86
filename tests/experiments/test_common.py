"""What the studies share: tasks on processes, answers that are kept, settings that are not mixed, and tables."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments.common import Task, claim_workspace, markdown, mean_and_spread, remembered, run_tasks
from ltr.errors import UserError

ROOTS = [Task(str(value), math.sqrt, (value,)) for value in (9, 4, 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_return_their_results_by_name_in_their_order(workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(run_tasks("roots", ROOTS, workers).items()) == [("9", 3.0), ("4", 2.0), ("1", 1.0)]
    printed = capsys.readouterr()
    assert "roots: 3/3" in printed.err and not printed.out


def test_a_task_that_fails_is_raised_after_the_others_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"domain|nonnegative"):
        run_tasks("roots", [Task("none", math.sqrt, (-1.0,)), *ROOTS], 2)
    printed = capsys.readouterr().err
    assert "roots: none failed" in printed and all(f" {task.name}, " in printed for task in ROOTS)


def test_an_answer_is_kept_until_the_question_changes(tmp_path: Path) -> None:
    path, asked = tmp_path / "answer.json", []

    def answer() -> dict[str, object]:
        asked.append(1)
        return {"step": (1, 2)}

    for step, times in ((1, 1), (1, 1), (2, 2)):
        assert remembered(path, {"step": (step,)}, answer) == {"question": {"step": [step]}, "step": [1, 2]}
        assert len(asked) == times


def test_a_workspace_of_other_settings_is_refused(tmp_path: Path) -> None:
    claim_workspace(tmp_path, {"steps": (1, 2), "seeds": 1})
    claim_workspace(tmp_path, {"steps": (1, 2), "seeds": 2}, free=("seeds",))
    with pytest.raises(
        UserError, match=r"settings\.json was made with other settings \(steps\): choose another folder"
    ):
        claim_workspace(tmp_path, {"steps": (1, 3), "seeds": 2})


def test_tables() -> None:
    table = markdown(
        ["method", "IoU"], [["NCE", mean_and_spread([1.0, 2.0, 3.0])], ["NCE+", mean_and_spread([4.0], 2)]]
    )
    assert table.splitlines() == [
        "| method | IoU       |",
        "| ------ | --------- |",
        "| NCE    | 2.0 ± 1.0 |",
        "| NCE+   | 4.00      |",
    ]
