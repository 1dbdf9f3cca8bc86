"""Two trainings at once in one folder: the second is refused, and may start when the first has ended."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from tiny_training import tiny_recipe

from ltr.trainers.loop import RunSettings, train
from ltr.trainers.processes import only_run

HOLD = """
import sys, time
from pathlib import Path
from ltr.trainers.processes import only_run
with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_training_in_a_folder_is_refused_until_the_first_has_died(tmp_path, monkeypatch):
    recipe = tiny_recipe(monkeypatch)
    run = RunSettings(workspace=tmp_path, device="cpu", num_workers=0)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "tiny")], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            with pytest.raises(ValueError, match=r"another program is training in .*tiny: wait for it"):
                train(recipe, run)
            monkeypatch.setenv("RANK", "1")
            with only_run(tmp_path / "tiny"):
                monkeypatch.delenv("RANK")
        finally:
            holder.kill()
    with only_run(tmp_path / "tiny"):
        assert (tmp_path / "tiny.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_no_lock_stays_behind_a_run_that_cannot_start(tmp_path, monkeypatch):
    recipe = tiny_recipe(monkeypatch)
    wrong = replace(recipe, batch_norm="sync", data=replace(recipe.data, samples_per_epoch=1))
    with pytest.raises(ValueError, match="fewer than the batch size"):
        train(wrong, RunSettings(workspace=tmp_path, device="cpu", num_workers=0))
    assert list(tmp_path.iterdir()) == []
