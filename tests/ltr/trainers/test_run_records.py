"""Log, checkpoints on disk and the registered tracking: small rules that a resume relies on."""

from __future__ import annotations

import json

import pytest
from tiny_training import squares_recipe

from ltr.admin.checkpoint import save_training_state
from ltr.train_settings.recipe import with_changes
from ltr.trainers.checkpoints import checkpoint_file, checkpoints, delete_old, load_newest, set_aside
from ltr.trainers.log import RunLog, read_log
from ltr.trainers.run import micro_batch_seed
from ltr.trainers.validation import find_tracking


def test_lines_after_the_resumed_step_and_a_half_written_one_are_dropped(tmp_path):
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.write("train", step, {"loss": float(step)})
    log.close()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "st')
    RunLog(tmp_path, step=2).close()
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]
    RunLog(tmp_path).close()
    assert read_log(tmp_path) == []


def test_a_damaged_line_inside_a_log_is_an_error(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2"):
        read_log(tmp_path)


def test_the_newest_and_the_best_checkpoints_stay(tmp_path):
    for step in (2, 4, 10, 12, 100):
        save_training_state(checkpoint_file(tmp_path, step), {"step": step})
    delete_old(tmp_path, keep=2, best_step=4)
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint_{step:08d}.pt" for step in (4, 12, 100)]
    assert load_newest(tmp_path)[1]["step"] == 100
    assert load_newest(tmp_path / "nothing") is None


def test_a_run_is_set_aside_under_a_free_name(tmp_path):
    assert set_aside(tmp_path / "run") is None
    for number in (1, 2):
        (tmp_path / "run").mkdir()
        assert set_aside(tmp_path / "run") == tmp_path / f"run.{number}"


def test_seeds_of_micro_batches_are_written_down_and_differ():
    seeds = {micro_batch_seed(seed, step, part) for seed in range(3) for step in range(20) for part in range(4)}
    assert len(seeds) == 240
    assert max(seeds) < 2**63
    assert micro_batch_seed(0, 1, 2) == 1535930435702422785


def test_tracking_is_asked_for_under_the_recipes_name():
    recipe = with_changes(squares_recipe(), ["tracking.interval=1"])
    asked = []
    assert find_tracking(recipe, lambda settings: asked.append(settings.parameter) or "track") == "track"
    assert asked == ["tiny"]
    assert find_tracking(squares_recipe(), None) is None
    with pytest.raises(ValueError, match=r"tracking\.interval=1 needs a way to track: pass prepare_tracking"):
        find_tracking(recipe, None)
