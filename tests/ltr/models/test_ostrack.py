"""OSTrack against the numbers of its public code, with weights filled by rule."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from golden import DATA, fill_by_rule, load_golden
from torch import Tensor
from torch.nn import functional

from ltr.errors import UserError
from ltr.models.backbone.vit import StochasticDepth, drop_rates, resize_position_embedding
from ltr.models.tracking.ostrack import OSTrack, OSTrackOutput, decode, keep_ratio, ostrack

TOY: dict[str, Any] = {"width": 48, "depth": 3, "heads": 3, "head_channels": 128, "elimination_blocks": (0, 2)}
SIZES: dict[str, dict[str, Any]] = {
    "256": {},
    "384": {"search_size": 384, "template_size": 192},
    "toy": TOY,
}
RUNS = [("toy", "ce"), ("toy", "ce_all"), ("toy", "ce_keep085"), ("toy", "noce"), ("256", "ce"), ("256", "noce")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(golden: dict[str, np.ndarray], name: str) -> Tensor:
    size = int(golden[f"{name}_size"])
    low = torch.from_numpy(golden[f"{name}_lowres"])
    return functional.interpolate(low, size=(size, size), mode="bicubic", align_corners=False)


def close(found: Tensor, wanted: np.ndarray, tolerance: float) -> None:
    error = (found.double().numpy() - wanted.astype(np.float64)).__abs__().max() / np.abs(wanted).max()
    assert error <= tolerance, error


@pytest.mark.parametrize("name", SIZES)
def test_state_dicts_are_those_of_the_public_checkpoints(name: str) -> None:
    with torch.device("meta"):
        net = ostrack(**SIZES[name])
    found = {key: list(tensor.shape) for key, tensor in net.state_dict().items()}
    wanted = json.loads((DATA / "ostrack_specs.json").read_text())[name]
    assert list(found.items()) == list(wanted.items())


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str], tuple[OSTrackOutput, list[Tensor]]]:
    """Output and block outputs of each golden run."""
    found = {}
    for name in ("toy", "256"):
        golden = load_golden(f"ostrack_{name}")
        template, search = images(golden, "template"), images(golden, "search")
        for elimination in (True, False):
            net = fill_by_rule(ostrack(candidate_elimination=elimination, **SIZES[name]))
            assert isinstance(net, OSTrack)
            for run in [run for which, run in RUNS if which == name and (run == "noce") != elimination]:
                blocks: list[Tensor] = []
                hooks = [
                    b.register_forward_hook(lambda *a, into=blocks: into.append(a[2][0])) for b in net.backbone.blocks
                ]
                rows = None if run == "ce_all" else net.centre_token
                with torch.no_grad():
                    output = net(template, search, rows, 0.85 if run == "ce_keep085" else None)
                for hook in hooks:
                    hook.remove()
                found[name, run] = output, blocks
    return found


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_forward_equals_the_reference(name: str, run: str, runs: Any) -> None:
    golden = load_golden(f"ostrack_{name}")
    output, blocks = runs[name, run]
    tolerance = 3e-6 if name == "toy" else 1e-5
    for key, found in (
        ("score_map", output.maps.score),
        ("size_map", output.maps.size),
        ("offset_map", output.maps.offset),
    ):
        close(found, golden[f"{run}_{key}"], tolerance)
    close(output.boxes[:, None], golden[f"{run}_pred_boxes"], tolerance)
    close(
        decode(output.maps, torch.from_numpy(golden["hann"]) * output.maps.score),
        golden[f"{run}_boxes_windowed"],
        tolerance,
    )
    features = output.features
    tokens = torch.cat((features.template.flatten(2), features.search.flatten(2)), dim=2).transpose(1, 2)
    close(tokens.mean(1), golden[f"{run}_feat_mean"], tolerance)
    close(tokens.std(1, correction=0), golden[f"{run}_feat_std"], tolerance)
    close(tokens[:, torch.from_numpy(golden[f"{run}_token_index"])], golden[f"{run}_tokens"], tolerance)
    norm = tokens.norm(dim=2)
    close(norm, golden[f"{run}_token_norm"], tolerance)
    assert ((norm == 0).numpy() == (golden[f"{run}_token_norm"] == 0)).all()
    close(torch.stack([block.mean((1, 2)) for block in blocks]), golden[f"{run}_block_mean"], 2 * tolerance)
    close(torch.stack([block.std((1, 2), correction=0) for block in blocks]), golden[f"{run}_block_std"], tolerance)


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_the_same_candidates_are_eliminated(name: str, run: str, runs: Any) -> None:
    golden = load_golden(f"ostrack_{name}")
    eliminations = runs[name, run][0].features.eliminations
    assert [f"{run}_kept_after_block{block}" for block in eliminations] == [
        key for key in golden if key.startswith(f"{run}_kept_after")
    ]
    for block, found in eliminations.items():
        for image in range(2):
            assert set(found.kept[image].tolist()) == set(golden[f"{run}_kept_after_block{block}"][image].tolist())
            assert set(found.removed[image].tolist()) == set(golden[f"{run}_removed_in_block{block}"][image].tolist())
        close(found.scores, golden[f"{run}_attention_sorted_block{block}"], 1e-5)


def test_the_centre_token_is_the_reference_mask() -> None:
    for name in ("toy", "256"):
        mask = load_golden(f"ostrack_{name}")["template_mask"][0]
        with torch.device("cpu"):
            token = ostrack(**TOY).centre_token
        assert np.flatnonzero(mask).tolist() == token.tolist()
    assert ostrack(**{**TOY, "template_size": 192, "search_size": 384}).centre_token.tolist() == [65]
    with pytest.raises(UserError, match="not 160"):
        _ = ostrack(**{**TOY, "template_size": 160}).centre_token


def test_training_schedule_and_position_embedding_equal_the_reference() -> None:
    golden = load_golden("ostrack_train")
    found = [keep_ratio(epoch) for epoch in range(1, 301)]
    assert found == pytest.approx(golden["keep_rate_start20_warm80"], abs=1e-12)
    found = [keep_ratio(epoch, warm_up=50) for epoch in range(1, 101)]
    assert found == pytest.approx(golden["keep_rate_start20_warm50"], abs=1e-12)
    assert drop_rates(0.1, 12) == pytest.approx(golden["drop_path_12"], abs=1e-8)
    embedding = torch.from_numpy(golden["pos_embed_in"])
    for cells in (8, 12, 16, 24):
        assert torch.allclose(
            resize_position_embedding(embedding, cells), torch.from_numpy(golden[f"pos_embed_{cells}"]), atol=1e-6
        )


def test_pretrained_weights_are_taken_and_the_class_token_is_not_used() -> None:
    net = ostrack(**TOY)
    source = {name: tensor.clone() for name, tensor in net.backbone.state_dict().items() if "pos_embed_" not in name}
    source["pos_embed"] = torch.randn(1, 197, 48, generator=torch.Generator().manual_seed(0))
    source["decoder.weight"] = torch.zeros(1)
    net.backbone.load_pretrained(source)
    assert torch.equal(net.backbone.pos_embed_x, resize_position_embedding(source["pos_embed"], 16))
    del source["norm.weight"]
    with pytest.raises(KeyError, match=r"norm\.weight"):
        net.backbone.load_pretrained(source)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = StochasticDepth(0.25).train()
    out = layer(torch.ones(4000, 3, 2))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(out, out[:, :1, :1].expand_as(out))
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(layer.eval()(torch.ones(5, 1)), torch.ones(5, 1))


@pytest.mark.parametrize("bad", [{"search_size": 250}, {"width": 50}, {"template_size": 0}])
def test_sizes_that_make_no_network_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(bad))):
        ostrack(**{**TOY, **bad})
