"""The parameter files against the table of docs/reference.md, section 4, and the documentation's table against both."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from ltr.admin.checkpoint import card_path, save_network
from ltr.admin.files import write_json
from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import UserError
from ltr.run_training import load_recipe, recipes
from pytracking.features.augmentation import Augmentation
from pytracking.registry import list_trackers, load_parameters
from pytracking.tracker.atom import ATOMParameters
from pytracking.tracker.dimp import DiMPParameters
from pytracking.tracker.ostrack import OSTrackParameters

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "tracker.md"

COMMON: dict[str, Any] = {
    "learning_rate": 0.01,
    "init_samples_minimum_weight": 0.25,
    "distractor_threshold": 0.8,
    "hard_negative_threshold": 0.5,
    "target_neighborhood_scale": 2.2,
    "displacement_scale": 0.8,
    "displacement_penalty": 0.0,
    "displacement_sigma": 1.0,
    "velocity_weight": 0.0,
    "distractor_penalty": 0.0,
    "hard_negative_learning_rate": 0.02,
    "num_init_random_boxes": 9,
    "box_jitter_pos": 0.1,
    "box_jitter_sz": 0.5,
    "box_refinement_step_decay": 1.0,
    "iounet_k": 3,
    "maximal_aspect_ratio": 6.0,
    "augmentation_expansion_factor": 2.0,
    "random_shift_factor": 1 / 3,
    "augmentation.fliplr": True,
    "augmentation.relative_shift": ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6)),
}
REPLICATE = {"image_sample_size": 288, "search_area_scale": 5.0, "border_mode": "replicate"}
INSIDE = {
    "image_sample_size": 352,
    "search_area_scale": 6.0,
    "border_mode": "inside_major",
    "patch_max_scale_change": 1.5,
}
RELATIVE = {"box_refinement_space": "relative", "box_refinement_iter": 10, "box_refinement_step_length": 2.5e-3}
ABSOLUTE = {"box_refinement_space": "absolute", "box_refinement_iter": 5, "box_refinement_step_length": 1.0}
NOT_FOUND = {"target_not_found_threshold": 0.25}
NOT_FOUND_PROBABILITY = {"target_not_found_threshold": 0.04}
FILTER = {
    "sample_memory_size": 50,
    "train_skipping": 20,
    "augmentation.blur": ((3.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
    "augmentation.rotate": (10.0, -10.0, 45.0, -45.0),
    "augmentation.dropout": (2, 0.2),
    "net_opt_iter": 10,
    "net_opt_update_iter": 2,
    "net_opt_hn_iter": 1,
}
DIMP = {**NOT_FOUND, **COMMON, **FILTER, "score_preprocess": "none"}
PRDIMP = {**NOT_FOUND_PROBABILITY, **COMMON, **FILTER, "score_preprocess": "softmax"}
ATOM = {
    **NOT_FOUND,
    **COMMON,
    "sample_memory_size": 250,
    "train_skipping": 10,
    "augmentation.blur": ((2.0, 0.2), (0.2, 2.0), (3.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
    "augmentation.rotate": (5.0, -5.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0, 45.0, -45.0, 60.0, -60.0),
    "augmentation.dropout": (7, 0.2),
    "compressed_dim": 64,
    "kernel_size": 4,
    "output_sigma_factor": 0.25,
    "response_activation": "mlu",
    "mlu_min_value": 0.05,
    "filter_reg": 0.1,
    "projection_reg": 1e-4,
    "init_CG_iter": 60,
    "init_GN_iter": 6,
    "CG_iter": 5,
    "hard_negative_CG_iter": 5,
}

REFERENCE: dict[tuple[str, ...], dict[str, Any]] = {
    ("dimp/dimp18", "dimp/dimp50"): {**REPLICATE, **ABSOLUTE, **DIMP},
    ("dimp/super_dimp", "dimp/dimp_kldis", "dimp/dimp_nce", "dimp/dimp_nceplus"): {**INSIDE, **RELATIVE, **DIMP},
    ("dimp/prdimp50",): {**INSIDE, **RELATIVE, **PRDIMP},
    ("dimp/prdimp18",): {**REPLICATE, **RELATIVE, **PRDIMP},
    ("atom/default",): {**REPLICATE, **ABSOLUTE, **ATOM},
    ("atom/atom_mlis", "atom/atom_kldis", "atom/atom_nceplus"): {**REPLICATE, **RELATIVE, **ATOM},
}
# How an energy is climbed is chosen for each trained network; the reference gives it for super_dimp's.
CHOSEN_BY_EXPERIMENT = {
    (name, "box_refinement_step_length")
    for name in ("dimp/dimp_nce", "dimp/dimp_nceplus", "atom/atom_mlis", "atom/atom_kldis", "atom/atom_nceplus")
}
# Trackers of ours, of which docs/reference.md says nothing.
COMPACT = [(f"dimp/dimp_{name}_lite",) for name in ("nceplus", "kldis", "nce", "iou")]
NANO = ("dimp/dimp_nceplus_nano",)
TRACKERS = [(name, values) for names, values in REFERENCE.items() for name in names]


def load(name: str) -> Any:
    """Parameters of 'tracker/parameter'."""
    tracker, _, parameter = name.partition("/")
    return load_parameters(parameter, tracker)


def value_of(params: Any, field: str) -> Any:
    """A field, 'augmentation.rotate' one of the augmentation's; None where this tracker has no such field."""
    for part in field.split("."):
        params = getattr(params, part, None)
    return params


@pytest.mark.parametrize(("name", "values"), TRACKERS, ids=[name for name, _ in TRACKERS])
def test_parameter_files_equal_the_spec(name, values):
    params = load(name)
    for field, value in values.items():
        if (name, field) not in CHOSEN_BY_EXPERIMENT:
            assert value_of(params, field) == value, field
    assert params.use_iou_net and params.use_augmentation and params.update_classifier


@pytest.mark.parametrize(("tracker", "kind"), [("dimp", DiMPParameters), ("atom", ATOMParameters)])
def test_every_parameter_file_is_a_whole_set_of_parameters(tracker, kind):
    names = list_trackers()[tracker]
    assert {f"{tracker}/{name}" for name in names} >= {name for name, _ in TRACKERS if name.startswith(tracker)}
    for name in names:
        assert isinstance(load_parameters(name, tracker), kind)


@pytest.mark.parametrize("name", [name.removeprefix("dimp/") for names in COMPACT for name in names])
def test_the_compact_trackers_crop_as_in_training(name):
    crop, params = load_recipe([name]).crop, load_parameters(name, "dimp")
    assert params.image_sample_size == crop.output_size
    assert params.search_area_scale == crop.search_area_factor
    assert (params.border_mode, params.patch_max_scale_change) == (crop.border, crop.max_scale_change)


def tracker_of(recipe: str) -> str:
    """The tracker whose networks a recipe trains."""
    folder = recipes()[recipe].split(".")[-2].replace("bbreg", "atom")
    return "atom/default" if recipe == "atom" else f"{folder}/{recipe}"


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_has_a_tracker_that_climbs_as_its_validation_does(name):
    tracker = tracker_of(name)
    params, refinement = load(tracker), load_recipe([name]).refinement
    assert name == "atom" or params.net_name == name
    assert (params.box_refinement_space, params.box_refinement_iter, params.box_refinement_step_length) == (
        refinement.space,
        refinement.steps,
        refinement.step_length,
    )
    assert (params.box_refinement_step_decay, params.iounet_k) == (refinement.decay, refinement.top_k)
    assert params.num_init_random_boxes + 1 == refinement.starts


@pytest.mark.parametrize(
    ("base", "energy"),
    [
        ("dimp/super_dimp", ("dimp/dimp_kldis", "dimp/dimp_nce", "dimp/dimp_nceplus")),
        ("atom/default", ("atom/atom_mlis", "atom/atom_kldis", "atom/atom_nceplus")),
        ("dimp/dimp_nceplus_lite", ("dimp/dimp_iou_lite", "dimp/dimp_kldis_lite", "dimp/dimp_nce_lite")),
    ],
)
def test_the_energy_trackers_differ_from_their_base_by_their_network_and_its_ascent(base, energy):
    fields = type(load(base)).__dataclass_fields__
    for name in energy:
        changed = {field for field in fields if getattr(load(name), field) != getattr(load(base), field)}
        assert "net_name" in changed
        ascent = ("box_refinement_", "uncertainty_")
        assert all(field == "net_name" or field.startswith(ascent) for field in changed)


@pytest.mark.parametrize("name", recipes())
def test_what_a_recipe_writes_into_its_network_is_what_its_tracker_sets(name):
    tracker = tracker_of(name)
    params = load(tracker)
    assert {key: getattr(params, key) for key in load_recipe([name]).tracking_settings()} == load_recipe(
        [name]
    ).tracking_settings()


SMALL = NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 8, "box_dim": 8})


def test_a_network_of_ones_own_recipe_tracks_as_it_was_trained(tmp_path):
    path = tmp_path / "network.safetensors"
    recipe = load_recipe(["dimp_nceplus_lite"])
    own = replace(
        recipe,
        crop=replace(recipe.crop, output_size=192, search_area_factor=4.5, border="replicate"),
        refinement=replace(recipe.refinement, steps=7, step_length=(1e-3, 4e-3)),
        classifier=replace(recipe.classifier, score_threshold=0.1),
    )
    save_network(path, SMALL.build(), SMALL, tracking=own.tracking_settings())
    for name in ("dimp18", "dimp_nceplus_lite"):
        params = load_parameters(name, net_path=str(path), box_refinement_iter=3)
        assert (params.image_sample_size, params.search_area_scale, params.border_mode) == (192, 4.5, "replicate")
        assert (params.box_refinement_iter, params.box_refinement_step_length) == (3, (1e-3, 4e-3))
        assert params.target_not_found_threshold == 0.1
    # In a collection, what the parameter file names goes before what the network states.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path))
        path.rename(tmp_path / "dimp18.safetensors")
        params = load_parameters("dimp18")
    assert (params.image_sample_size, params.target_not_found_threshold) == (288, 0.1)


def test_a_network_that_states_nothing_runs_with_the_values_of_the_parameter_file(tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(path, SMALL.build(), SMALL)
    assert load_parameters("dimp_nceplus_lite", net_path=str(path)).image_sample_size == 256
    assert load_parameters("dimp18", net_path=str(path)).search_area_scale == 5.0
    write_json(card_path(path), {"tracking": {"image_sample_size": 224}})
    assert load_parameters("dimp18", net_path=str(path)).image_sample_size == 224, "from the card"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"image_sample_sise": 288}, "did you mean 'image_sample_size'"),
        ({"image_sample_size": "large"}, "image_sample_size|not supported"),
        ({"image_sample_size": 10**9}, "no number up to"),
        ({"image_sample_size": [[1]]}, "no number up to"),
        ({"border_mode": "outside"}, "border_mode"),
        ([1], "is a list, not a dict"),
    ],
)
def test_a_network_that_states_nonsense_is_refused_by_name(tmp_path, stated, message):
    path = tmp_path / "network.safetensors"
    save_network(path, SMALL.build(), SMALL, tracking=stated)
    with pytest.raises(UserError, match=message) as caught:
        load_parameters("dimp18", net_path=str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"border_mode": "inside_mayor"}, "did you mean 'inside_major'"),
        ({"score_preprocess": "soft"}, "softmax"),
        ({"box_refinement_space": "log"}, "box_refinement_space"),
        ({"precision": "bf17"}, "bf16"),
        ({"image_sample_size": 0}, "image_sample_size must lie between 16 and 4096, not 0"),
        ({"train_skipping": 0}, "train_skipping"),
        ({"net_opt_iter": -1}, "net_opt_iter must lie between 0 and 10000"),
        ({"search_area_scale": float("nan")}, "search_area_scale must lie between"),
        ({"search_area_scale": 1e9}, "search_area_scale must lie between 0.1 and 1000, not 1000000000.0"),
        ({"search_area_scale": math.inf}, "search_area_scale must lie between"),
        ({"sample_memory_size": 10**400}, "sample_memory_size must lie between"),
        ({"box_refinement_step_length": (1e-3, math.nan)}, "box_refinement_step_length must lie between"),
        ({"iounet_k": "3"}, "iounet_k must be a number, not '3'"),
        ({"seed": 2**70}, "seed must lie between"),
        ({"distractor_threshold": math.nan}, "distractor_threshold must be a finite number, not nan"),
        ({"target_not_found_threshold": math.nan}, "target_not_found_threshold must lie between"),
        ({"augmentation": Augmentation(rotate=(math.inf,))}, "rotate must be a finite number"),
        ({"learning_rate": 1.0}, "learning_rate must lie between 1e-06 and"),
        ({"augmentation_expansion_factor": 0.5}, "augmentation_expansion_factor must lie between 1 and"),
    ],
)
def test_values_out_of_range_are_one_clear_line(change, message):
    with pytest.raises(UserError, match=message):
        DiMPParameters(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"border_mode": "inside_mayor"}, "did you mean 'inside_major'"),
        ({"response_activation": "relu"}, "response_activation"),
        ({"compressed_dim": 0}, "compressed_dim must lie between 1 and 4096, not 0"),
        ({"CG_iter": -1}, "CG_iter must lie between 0 and"),
        ({"filter_reg": 0.0}, "filter_reg must lie between 1e-12 and"),
        ({"mlu_min_value": float("nan")}, "mlu_min_value must lie between"),
        ({"init_CG_iter": 50}, r"init_CG_iter \(50\) must be a multiple of init_GN_iter \(6\)"),
    ],
)
def test_atoms_values_out_of_range_are_one_clear_line(change, message):
    with pytest.raises(UserError, match=message):
        ATOMParameters(**change)


def every_number(kind: type) -> list[str]:
    return [field.name for field in fields(kind) if field.type in ("int", "float", "int | None", "float | None")]


@pytest.mark.parametrize("bad", [math.nan, -1e300, 10**400])
def test_no_number_of_any_tracker_may_be_nonsense(bad):
    for kind in (DiMPParameters, ATOMParameters, OSTrackParameters):
        assert len(every_number(kind)) > 10
        for name in every_number(kind):
            if (bad == -1e300 and name not in kind.RANGES) or (name == "target_not_found_threshold" and bad == bad):
                continue
            with pytest.raises(UserError, match=f"{name} must "):
                kind(**{name: bad})
    with pytest.raises(UserError, match="timeout must lie between"):
        load_parameters("trax", "external", command="x", timeout=bad)


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'hard_negative_threshold'"):
        load_parameters("super_dimp", "dimp", hard_negative_treshold=0.5)
    with pytest.raises(UserError, match="did you mean 'hard_negative_CG_iter'"):
        load_parameters("default", "atom", hard_negative_CG_iters=1)


def test_a_tracker_alone_is_asked_for_its_parameters():
    with pytest.raises(UserError, match="'opencv' is a tracker: name parameters of it, csrt, dasiamrpn, "):
        load_parameters("opencv")


def test_default_is_a_parameter_of_several_trackers():
    with pytest.raises(UserError, match="'default' exists for the trackers atom, static; name one"):
        load_parameters("default")


def table() -> str:
    """Values in the code, one column a group of trackers, the reference's in brackets where they differ."""
    columns: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        *REFERENCE.items(),
        *((names, {}) for names in [*COMPACT, NANO]),
    ]
    heads = [", ".join(f"`{name.removeprefix('dimp/')}`" for name in names) for names, _ in columns]
    lines = ["| parameter | " + " | ".join(heads) + " |", "|---" * (len(columns) + 1) + "|"]
    for field in dict.fromkeys([*INSIDE, *RELATIVE, *DIMP, *ATOM]):
        cells = []
        for names, values in columns:
            found = [written(value_of(load(name), field)) for name in names]
            one = (
                found[0] if len(set(found)) == 1 else ", ".join(f"{name}: {value}" for name, value in zip(names, found))
            )
            spec = written(values[field]) if field in values else one
            cells.append(one if spec == one else f"{one} (reference: {spec})")
        lines.append(f"| `{field}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(value: Any) -> str:
    if value is None:
        return "-"
    if value == 1 / 3:
        return "1/3"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(f"({written(part)})" if isinstance(part, tuple) else f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_documented_table_is_that_of_the_code():
    assert table() in DOCUMENT.read_text(encoding="utf-8"), f"docs/tracker.md must hold this table:\n\n{table()}"
