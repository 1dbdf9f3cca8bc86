"""The parameter files against the table of SPEC section 4, and the documentation's table against both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytracking.errors import UserError
from pytracking.features.augmentation import Augmentation
from pytracking.registry import list_trackers, load_parameters
from pytracking.tracker.dimp import DiMPParameters

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "tracker.md"

COMMON: dict[str, Any] = {
    "sample_memory_size": 50,
    "learning_rate": 0.01,
    "init_samples_minimum_weight": 0.25,
    "train_skipping": 20,
    "net_opt_iter": 10,
    "net_opt_update_iter": 2,
    "net_opt_hn_iter": 1,
    "distractor_threshold": 0.8,
    "hard_negative_threshold": 0.5,
    "target_neighborhood_scale": 2.2,
    "displacement_scale": 0.8,
    "hard_negative_learning_rate": 0.02,
    "num_init_random_boxes": 9,
    "box_jitter_pos": 0.1,
    "box_jitter_sz": 0.5,
    "box_refinement_step_decay": 1.0,
    "iounet_k": 3,
    "maximal_aspect_ratio": 6.0,
    "augmentation_expansion_factor": 2.0,
    "random_shift_factor": 1 / 3,
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
DIMP = {"score_preprocess": "none", "target_not_found_threshold": 0.25}
PRDIMP = {"score_preprocess": "softmax", "target_not_found_threshold": 0.04}

SPEC = {
    ("dimp18", "dimp50"): {**REPLICATE, **DIMP, **ABSOLUTE, **COMMON},
    ("super_dimp", "dimp_kldis", "dimp_nce", "dimp_nceplus"): {**INSIDE, **DIMP, **RELATIVE, **COMMON},
    ("prdimp50",): {**INSIDE, **PRDIMP, **RELATIVE, **COMMON},
    ("prdimp18",): {**REPLICATE, **PRDIMP, **RELATIVE, **COMMON},
}
# How an energy is climbed is chosen for each trained network; the SPEC gives it for super_dimp's.
CHOSEN_BY_EXPERIMENT = {("dimp_nce", "box_refinement_step_length"), ("dimp_nceplus", "box_refinement_step_length")}
TRACKERS = [(name, values) for names, values in SPEC.items() for name in names]


@pytest.mark.parametrize(("name", "values"), TRACKERS, ids=[name for name, _ in TRACKERS])
def test_parameter_files_equal_the_spec(name, values):
    params = load_parameters(name, "dimp")
    for field, value in values.items():
        if (name, field) not in CHOSEN_BY_EXPERIMENT:
            assert getattr(params, field) == value, field
    assert params.augmentation == Augmentation(
        relative_shift=((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6)),
        fliplr=True,
        blur=((3.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
        rotate=(10.0, -10.0, 45.0, -45.0),
        dropout=(2, 0.2),
    )
    assert params.use_iou_net and params.use_augmentation and params.update_classifier


def test_every_parameter_file_is_a_whole_set_of_parameters():
    names = list_trackers()["dimp"]
    assert set(names) >= {name for name, _ in TRACKERS} | {"dimp_nceplus_lite"}
    for name in names:
        assert isinstance(load_parameters(name, "dimp"), DiMPParameters)


def test_the_compact_tracker_is_the_recipes():
    from ltr.train_settings.dimp.dimp_nceplus_lite import recipe

    crop, params = recipe().crop, load_parameters("dimp_nceplus_lite", "dimp")
    assert params.image_sample_size == crop.output_size
    assert params.search_area_scale == crop.search_area_factor
    assert (params.border_mode, params.patch_max_scale_change) == (crop.border, crop.max_scale_change)
    assert params.box_refinement_space == "relative"


def test_the_energy_trackers_differ_from_super_dimp_by_their_network_and_its_ascent():
    fields = DiMPParameters.__dataclass_fields__
    base = load_parameters("super_dimp", "dimp")
    for name in ("dimp_kldis", "dimp_nce", "dimp_nceplus"):
        params = load_parameters(name, "dimp")
        changed = {field for field in fields if getattr(params, field) != getattr(base, field)}
        assert "net_name" in changed
        assert all(field == "net_name" or field.startswith("box_refinement_") for field in changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"border_mode": "inside_mayor"}, "did you mean 'inside_major'"),
        ({"score_preprocess": "soft"}, "softmax"),
        ({"box_refinement_space": "log"}, "box_refinement_space"),
        ({"feature_dtype": "bf16"}, "bfloat16"),
        ({"image_sample_size": 0}, "image_sample_size must be at least 1, not 0"),
        ({"train_skipping": 0}, "train_skipping"),
        ({"net_opt_iter": -1}, "net_opt_iter must be at least 0"),
        ({"search_area_scale": float("nan")}, "search_area_scale must be"),
        ({"learning_rate": 1.0}, "learning_rate must be between 0 and 1"),
        ({"augmentation_expansion_factor": 0.5}, "augmentation_expansion_factor must be at least 1"),
    ],
)
def test_values_out_of_range_are_one_clear_line(change, message):
    with pytest.raises(UserError, match=message):
        DiMPParameters(**change)


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'hard_negative_threshold'"):
        load_parameters("super_dimp", "dimp", hard_negative_treshold=0.5)


def table() -> str:
    """Values in the code, one column a group of trackers, the SPEC's in brackets where they differ."""
    columns = [*SPEC.items(), (("dimp_nceplus_lite",), {})]
    lines = ["| parameter | " + " | ".join(", ".join(f"`{name}`" for name in names) for names, _ in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    fields = list(dict.fromkeys([*INSIDE, *DIMP, *RELATIVE, *COMMON]))
    for field in fields:
        cells = []
        for names, values in columns:
            found = [written(getattr(load_parameters(name, "dimp"), field)) for name in names]
            one = (
                found[0] if len(set(found)) == 1 else ", ".join(f"{name}: {value}" for name, value in zip(names, found))
            )
            spec = written(values[field]) if field in values else one
            cells.append(one if spec == one else f"{one} (SPEC: {spec})")
        lines.append(f"| `{field}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(value: Any) -> str:
    if value == 1 / 3:
        return "1/3"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_documented_table_is_that_of_the_code():
    assert table() in DOCUMENT.read_text(encoding="utf-8"), f"docs/tracker.md must hold this table:\n\n{table()}"
