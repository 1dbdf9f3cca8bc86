"""Runs that are killed, pre-empted, or spread over two processes by torchrun: none loses or changes anything."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from tiny_training import at_every_loss, launch, tiny_recipe

from ltr.admin.checkpoint import load_network, load_training_state
from ltr.run_training import exit_status
from ltr.train_settings.recipe import with_changes
from ltr.trainers import loop
from ltr.trainers.checkpoints import checkpoints
from ltr.trainers.log import read_log
from ltr.trainers.loop import RunSettings, train

CHANGES = ("micro_batches=2", "optimiser.learning_rates.feature_extractor=1e-4", "optimiser.ema_decay=0.9")
SETS = [word for change in CHANGES for word in ("--set", change)]
# The moments are steps of 9 in epochs of 3; the signal comes some milliseconds after the step's line in the log.
LAUNCHES = {
    "killed": (1, ["--kill-at", "5", "--checkpoint-interval", "1", "--workers", "1"]),
    "spread": (2, []),
    "spread_stopped": (2, ["--term-at", "2"]),
    "poisoned": (2, ["--nan-at", "2"]),
    "tracked": (
        2,
        ["--track", "--set", "tracking.interval=1", "--set", "epochs=1", "--set", "best_metric=tracking/auc"],
    ),
}
MEASURED = {"seconds", "images_per_second", "waiting_share"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ended(workspace):
    """Name -> (status, stdout, stderr) of every launch."""
    started = {
        name: launch(workspace / name, *SETS, *options, processes=processes)
        for name, (processes, options) in LAUNCHES.items()
    }
    try:
        texts = {name: process.communicate(timeout=300) for name, process in started.items()}
    finally:
        for process in started.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return {name: (started[name].returncode, *texts[name]) for name in started}


@pytest.fixture
def finish(workspace, monkeypatch):
    """Train the same recipe here, in one process, from whatever a launch left."""
    recipe = with_changes(tiny_recipe(monkeypatch), list(CHANGES))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda name: train(recipe, RunSettings(workspace / name, "cpu", num_workers=0, log_interval=1))
    torch.set_num_threads(threads)


@pytest.fixture
def whole(workspace, finish):
    return finish("whole")


def logged(path):
    records = read_log(path.parent)
    return [{name: value for name, value in record.items() if name not in MEASURED} for record in records]


@pytest.mark.parametrize("how", ["killed", "SIGTERM", "SIGINT"])
def test_a_run_that_was_stopped_is_the_run_without_a_stop_bit_for_bit(how, ended, whole, finish, monkeypatch, capsys):
    if how == "killed":
        assert ended[how][0] == -signal.SIGKILL, ended[how]
    else:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "set_up", loop.set_up)
            at_every_loss(signalling(getattr(signal, how), step=5))
            assert exit_status(lambda: finish(how)) == {"SIGTERM": 75, "SIGINT": 130}[how]
        assert f"stopped by {how} after step 5, which is saved" in capsys.readouterr().err
    done = load_training_state(checkpoints(whole.parents[2] / how / "tiny")[-1])["step"]
    assert 4 <= done < 9
    assert done == 5 or how == "killed"
    resumed = finish(how)
    first, second = load_network(whole).state_dict(), load_network(resumed).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert logged(resumed) == logged(whole)
    assert len(logged(resumed)) == 12
    last = [load_training_state(checkpoints(path.parent)[-1]) for path in (whole, resumed)]
    assert last[0]["best"] == last[1]["best"]
    averages = [state["average"] for state in last]
    assert int(averages[0]["n_averaged"]) == 9
    assert all(torch.equal(averages[0][key], averages[1][key]) for key in averages[0])


def signalling(number, step):
    """Sends this process a signal in the middle of a step, in its first micro-batch."""
    sent = []

    def sending(training, output):
        if training.step + 1 == step and not sent:
            sent.append(os.kill(os.getpid(), number))
        return output

    return sending


def assert_equal_to_rounding(first, second):
    for key, value in first.items():
        assert torch.allclose(value.double(), second[key].double(), rtol=1e-4, atol=1e-5), key


def test_two_processes_train_what_one_does(ended, whole):
    status, _, error = ended["spread"]
    assert status == 0, error
    spread = whole.parents[2] / "spread" / "tiny" / "network.safetensors"
    assert_equal_to_rounding(load_network(whole).state_dict(), load_network(spread).state_dict())
    one, two = logged(whole), logged(spread)
    assert len(one) == len(two) == 12
    for first, second in zip(one, two):
        assert first.pop("kind") == second.pop("kind")
        assert first == pytest.approx(second, rel=1e-3, abs=1e-4)


def test_two_processes_stop_together_and_one_goes_on(ended, whole, finish):
    status, _, error = ended["spread_stopped"]
    assert status != 0
    # Both have saved together; torchrun may end the second while it says so.
    assert "exitcode  : 75" in error, error
    assert "stopped by SIGTERM after step" in error, error
    resumed = finish("spread_stopped")
    assert_equal_to_rounding(load_network(whole).state_dict(), load_network(resumed).state_dict())
    assert [record["step"] for record in logged(resumed)] == [record["step"] for record in logged(whole)]


def test_a_loss_that_is_not_finite_in_one_process_stops_both(ended, workspace):
    status, _, error = ended["poisoned"]
    assert status != 0
    assert error.count("error: the loss is not finite at step 2, epoch 1") == 2, error
    folder = workspace / "poisoned" / "tiny"
    assert [path.name for path in folder.glob("nonfinite_*")] == ["nonfinite_1.pt"]
    kept = load_training_state(folder / "nonfinite_1.pt")
    assert all(source in error for source in kept["batches"][0]["sources"])
    assert kept["step"] == 1


def test_one_process_tracks_while_the_other_waits_and_both_go_on(ended, workspace):
    status, output, error = ended["tracked"]
    assert status == 0, error
    (validation,) = [record for record in read_log(workspace / "tracked" / "tiny") if record["kind"] == "validation"]
    assert validation["tracking/auc"] == 50
    assert output.count("AUC 50.000") == 1
    assert (workspace / "tracked" / "tiny" / "best_network.safetensors").exists()
