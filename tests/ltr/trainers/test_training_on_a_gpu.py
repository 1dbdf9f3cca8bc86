"""Training on a GPU: each precision, and two processes, give the losses that the CPU gives. Marked 'cuda'."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_training import launch, tiny_recipe

from ltr.trainers.log import read_log
from ltr.trainers.loop import RunSettings, train

pytestmark = pytest.mark.cuda


def losses(folder):
    """Of every step: the loss of the classifier, which draws no samples on the device."""
    return [line["loss/classifier"] for line in read_log(folder) if line["kind"] == "train"]


def trained(recipe, folder, device):
    run = RunSettings(workspace=folder, device=device, num_workers=0, log_interval=1)
    return losses(train(recipe, run).parent)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.02), ("bf16", 0.1), ("fp16", 0.05)])
def test_a_gpu_learns_as_the_cpu_does(monkeypatch, tmp_path, gpu, precision, tolerance):
    if precision == "fp16" and gpu == "cpu":
        pytest.skip("the CPU has no fp16 training")
    recipe = replace(tiny_recipe(monkeypatch), epochs=1)
    expected = trained(recipe, tmp_path / "cpu", "cpu")
    assert trained(replace(recipe, precision=precision), tmp_path / "gpu", gpu) == pytest.approx(
        expected, rel=tolerance
    )


def test_two_gpus_learn_as_one_cpu_does(monkeypatch, tmp_path, gpu):
    if gpu != "cpu" and torch.cuda.device_count() < 2:
        pytest.skip("one GPU here; two processes need two")
    recipe = replace(tiny_recipe(monkeypatch), epochs=1, micro_batches=2)
    expected = trained(recipe, tmp_path / "cpu", "cpu")
    options = ("--set", "epochs=1", "--set", "micro_batches=2", "--device", gpu)
    process = launch(tmp_path, *options, processes=2)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert losses(tmp_path / "tiny") == pytest.approx(expected, rel=0.02)
