"""Public checkpoints of OSTrack: no constructor, weights under `net`, and objects of `lib.train.admin` beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden import fill_by_rule
from public_files import FORMATS, public_framework

from ltr.admin.checkpoint import load_network, read_checkpoint, save_network
from ltr.admin.convert import convert
from ltr.admin.model_constructor import NetworkConstructor
from ltr.admin.public_checkpoint import load_public_checkpoint, save_public_checkpoint
from ltr.errors import CheckpointError, PretrainedWeightsError
from ltr.models.backbone import pretrained
from ltr.models.tracking.ostrack import OSTrack, ostrack
from pytracking.networks import public

# Heads have 64 channels in public files.
SMALL: dict[str, Any] = {"width": 64, "depth": 4, "heads": 1, "head_channels": 16, "search_size": 64}
SMALL |= {"template_size": 32, "drop_path": 0.0}


@pytest.fixture(scope="module")
def net() -> OSTrack:
    made = fill_by_rule(ostrack(**SMALL))
    assert isinstance(made, OSTrack)
    return made


def write(path: Path, state_dict: Any, kind: str = "zip", **changes: Any) -> Path:
    """A checkpoint as the public trainer writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with public_framework() as fakes:
        settings = fakes["lib.train.admin.settings"].Settings()
        settings.env = fakes["lib.train.admin.local"].EnvironmentSettings()
        settings.device = torch.device("cuda:0")
        meter = fakes["lib.train.admin.stats"].AverageMeter()
        meter.history = [0.5]
        content = {
            "epoch": 300,
            "actor_type": "OSTrackActor",
            "net_type": "OSTrack",
            "net": state_dict,
            "net_info": None,
            "constructor": None,
            "stats": {"train": {"Loss/giou": meter}, "val": None},
            "settings": settings,
            **changes,
        }
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_the_network_is_built_from_the_shapes_of_its_weights(tmp_path: Path, net: OSTrack, kind: str) -> None:
    path = write(tmp_path / "OSTrack_ep0300.pth.tar", net.state_dict(), kind)
    loaded = load_network(path)
    assert isinstance(loaded, OSTrack) and not loaded.training
    assert (loaded.template_size, loaded.search_size, loaded.backbone.eliminates) == (32, 64, True)
    assert list(loaded.state_dict()) == list(net.state_dict())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert load_public_checkpoint(path).epoch == 300


def test_a_file_of_weights_alone_is_enough(tmp_path: Path, net: OSTrack) -> None:
    torch.save({"net": net.state_dict()}, tmp_path / "any.pth")
    assert isinstance(load_network(tmp_path / "any.pth"), OSTrack)


@pytest.mark.parametrize(
    ("name", "eliminates"),
    [
        ("vitb_256_mae_32x4_ep300/OSTrack_ep0300.pth.tar", False),
        ("vitb_256_mae_ce_32x4_ep300/OSTrack_ep0300.pth.tar", True),
        ("vitb_384_mae_ce_32x4_got10k_ep100.pth", True),
        ("vitb_384_mae_32x4_ep300.pth", False),
        ("other/name.pth", True),
    ],
)
def test_the_path_says_whether_candidates_are_eliminated(
    tmp_path: Path, net: OSTrack, name: str, eliminates: bool
) -> None:
    loaded = load_network(write(tmp_path / name, net.state_dict()))
    assert isinstance(loaded, OSTrack) and loaded.backbone.eliminates is eliminates


def test_conversion_both_ways_keeps_weights_and_what_the_file_says(tmp_path: Path, net: OSTrack) -> None:
    public_file = write(tmp_path / "vitb_256_mae_32x4_ep300" / "OSTrack_ep0300.pth.tar", net.state_dict())
    convert(public_file, tmp_path / "ours.safetensors")
    constructor, ours = read_checkpoint(tmp_path / "ours.safetensors")
    assert constructor.arguments["candidate_elimination"] is False
    convert(tmp_path / "ours.safetensors", tmp_path / "back.pth.tar")
    back = torch.load(tmp_path / "back.pth.tar", weights_only=True)
    assert (back["net_type"], back["actor_type"], back["epoch"]) == ("OSTrack", "OSTrackActor", 300)
    assert back["constructor"] is None
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in back["net"].items())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in ours.state_dict().items())


def test_what_the_public_code_could_not_run_is_not_written(tmp_path: Path, net: OSTrack) -> None:
    with pytest.raises(CheckpointError, match="heads of 64 channels"):
        save_public_checkpoint(tmp_path / "x.pth", NetworkConstructor("ostrack", {**SMALL, "heads": 2}), {})


def test_blocks_that_eliminate_travel_with_a_network(tmp_path: Path) -> None:
    constructor = NetworkConstructor("ostrack", {**SMALL, "elimination_blocks": [0, 2]})
    save_network(tmp_path / "net.safetensors", constructor.build(), constructor)
    loaded = load_network(tmp_path / "net.safetensors")
    assert isinstance(loaded, OSTrack) and [block.keep for block in loaded.backbone.blocks] == [0.7, 1.0, 0.7, 1.0]


def test_forged_shapes_are_refused(tmp_path: Path, net: OSTrack) -> None:
    weights = dict(net.state_dict())
    for name, value, message in (
        ("backbone.pos_embed_x", torch.zeros(1, 15, 64), "square position embeddings"),
        ("backbone.pos_embed_z", torch.zeros(4), "square position embeddings"),
        ("box_head.conv1_ctr.0.weight", torch.zeros(3), "centre head"),
        ("backbone.norm.weight", torch.zeros(7), "another shape"),
        ("backbone.blocks.99.norm1.weight", torch.zeros(64), "tensors are missing"),
    ):
        path = write(tmp_path / "forged.pth", {**weights, name: value})
        with pytest.raises(CheckpointError, match=message):
            load_network(path)
    many = {f"backbone.blocks.{index}.x": torch.zeros(1) for index in range(100)}
    with pytest.raises(CheckpointError, match="depth may be 32 at most"):
        load_network(write(tmp_path / "deep.pth", {**weights, **many}))


def test_fetching_by_name_wants_a_file_and_the_right_size(
    tmp_path: Path, net: OSTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path / "networks"))
    with pytest.raises(ValueError, match=r"drive\.google\.com/drive/folders/.*--from"):
        public.fetch("ostrack_256")
    path = write(tmp_path / "OSTrack_ep0300.pth.tar", net.state_dict())
    with pytest.raises(CheckpointError, match="search_size=64, not 256"):
        public.fetch("ostrack_256", source=path)


def test_training_may_start_from_the_weights_of_a_masked_autoencoder(
    tmp_path: Path, net: OSTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(PretrainedWeightsError, match="licence"):
        ostrack(**SMALL, backbone_pretrained=True)
    path = tmp_path / "checkpoints" / pretrained.MAE_URL.rsplit("/", 1)[1]
    path.parent.mkdir()
    own = {name: value for name, value in net.backbone.state_dict().items() if name[:10] != "pos_embed_"}
    torch.save({"model": {**own, "decoder.weight": torch.zeros(2)}}, path)
    started = ostrack(**SMALL, backbone_pretrained=True).backbone
    assert torch.equal(started.blocks[3].mlp.fc2.weight, net.backbone.blocks[3].mlp.fc2.weight)
    assert started.pos_embed_x.shape == (1, 16, 64) and started.pos_embed_x.abs().sum() > 0
    torch.save({"model": {"cls_token": own["cls_token"]}}, path)
    with pytest.raises(PretrainedWeightsError, match="no weights of this transformer"):
        ostrack(**SMALL, backbone_pretrained=True)
