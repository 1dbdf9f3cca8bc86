"""Composited video: exact boxes, honest visibility, and frames that depend on seed and number only."""

from __future__ import annotations

import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image

from ltr.dataset.composited import CompositedSettings, CompositedVideo
from ltr.dataset.compositing import Sprite, outline_boxes, visible_share
from ltr.dataset.cutouts import CutoutSource, moving_cutouts

STILL = CompositedSettings(absence=0, shake=0, loose=0, night=0)
ALONE = replace(STILL, distractors=0, occluders=0, occlusion=0, blur=0, defocus=0, noise=0, compression=0)


@pytest.fixture
def cutouts(tmp_path):
    colours = [(100, 100, 100), (200, 40, 30), (20, 180, 60)]
    return CutoutSource(
        [((write_image(tmp_path / f"{k}.png", shape_rgba(colour)), None),) for k, colour in enumerate(colours)]
    )


@pytest.fixture
def photographs(tmp_path):
    return [write_image(tmp_path / "backgrounds" / f"{k}.png", scene(k, 300, 200)) for k in range(3)]


def corners(mask):
    rows, cols = np.nonzero(mask)
    return np.array((cols.min(), rows.min(), cols.max() + 1, rows.max() + 1))


def test_boxes_are_the_tight_boxes_of_what_is_drawn(tmp_path, cutouts):
    black = write_image(tmp_path / "black.png", np.zeros((200, 300, 3), np.uint8))
    data = CompositedVideo(CutoutSource(cutouts.entries[:1]), [black], 30, ALONE, seed=3)
    errors = []
    for index in range(30):
        info = data.sequence_info(index)
        for t in (0, 20, 35):
            (frame,) = data.frames(index, [t])
            height, width = frame.shape[:2]
            low, high = info.boxes[t, :2], info.boxes[t, :2] + info.boxes[t, 2:]
            if frame[0, 0].any() or (low < 1).any() or high[0] > width - 1 or high[1] > height - 1:
                continue  # a made background, or a target that leaves the image
            brightness = frame.max(axis=2)
            found = corners(brightness > brightness.max() / 2)
            errors.append(found - np.concatenate((low, high)))
    errors = np.array(errors)
    assert len(errors) > 40
    assert abs(errors).max() <= 1.5, "drawn on whole pixels, so within one and a bit"
    assert abs(errors).mean() <= 0.5
    assert abs(errors.mean(axis=0)).max() <= 0.25, "and nowhere shifted or widened"


def test_boxes_move_smoothly_and_vary_in_size(cutouts, photographs):
    data = CompositedVideo(cutouts, photographs, 100, STILL)
    sizes = []
    for index in range(100):
        boxes = data.sequence_info(index).boxes
        assert boxes.shape == (36, 4) and boxes.dtype == np.float32 and (boxes[:, 2:] > 0).all()
        centre = boxes[:, :2] + boxes[:, 2:] / 2
        assert np.linalg.norm(np.diff(centre, n=2, axis=0), axis=1).max() < 60, "no jumps"
        assert abs(np.diff(np.log(boxes[:, 2:]), axis=0)).max() < 0.5
        sizes.append(np.sqrt(boxes[:, 2:].prod(axis=1)).mean())
    assert min(sizes) < 30 and max(sizes) > 120


def test_edges_show_the_colours_of_object_and_background_only(tmp_path):
    """Neither what lies under a mask's transparent part nor black shines through, which would betray the box."""
    rgba = shape_rgba((200, 200, 200))
    rgba[rgba[..., 3] == 0, :3] = (255, 0, 0)
    source = CutoutSource([((write_image(tmp_path / "grey.png", rgba), None),)])
    white = write_image(tmp_path / "white.png", np.full((200, 300, 3), 200, np.uint8))
    data = CompositedVideo(source, [white], 20, ALONE)
    for index in range(20):
        (frame,) = data.frames(index, [0])
        if np.ptp(frame[[0, -1]].reshape(-1, 3), axis=0).max() > 1:
            continue  # a made background, or a target that leaves the image
        background = frame[0, 0].astype(int)
        y, x = np.round(data.sequence_info(index).boxes[0] @ ((0, 1), (1, 0), (0, 0.5), (0.75, 0))).astype(int)
        colour = frame[y, x].astype(int)
        low, high = np.minimum(background, colour) - 4, np.maximum(background, colour) + 4
        assert ((frame >= low) & (frame <= high)).all()


def test_outline_boxes_are_exact_under_affine_maps():
    rgba = np.zeros((10, 20, 4), np.uint8)
    rgba[2:6, 3:15, 3] = 255
    rgba[0, 0, 3] = 100  # mostly transparent, so outside
    still = np.array(((2.0, 0.0, 5.0), (0.0, 3.0, -1.0)))
    quarter = np.array(((0.0, -1.0, 0.0), (1.0, 0.0, 0.0)))
    slanted = np.array(((1.0, 1.0, 0.0), (0.0, 1.0, 0.0)))
    boxes = outline_boxes(rgba, np.stack((still, quarter, slanted)))
    assert boxes.tolist() == [[11, 5, 24, 12], [-6, 3, 4, 12], [5, 2, 16, 4]]


def placed(rgba, x, y, frames=1):
    placement = np.tile(np.array(((1.0, 0.0, x), (0.0, 1.0, y))), (frames, 1, 1))
    return Sprite((rgba,), np.zeros(frames, int), placement, np.ones((frames, 3)))


def test_visible_share_counts_what_is_inside_and_in_front():
    square = np.full((20, 20, 4), 255, np.uint8)
    canvas = (100, 80)
    assert visible_share(placed(square, 30, 30), [], canvas).tolist() == [1.0]
    assert visible_share(placed(square, 90, 30), [], canvas) == pytest.approx([0.5], abs=0.06)
    assert visible_share(placed(square, 200, 30), [], canvas).tolist() == [0.0]
    behind = visible_share(placed(square, 30, 30), [placed(square, 35, 30)], canvas)
    assert behind == pytest.approx([0.25], abs=0.06)
    twice = visible_share(placed(square, 30, 30), [placed(square, 35, 30), placed(square, 15, 30)], canvas)
    assert twice.tolist() == [0.0]
    clear = square.copy()
    clear[..., 3] = 0
    assert visible_share(placed(square, 30, 30), [placed(clear, 30, 30)], canvas).tolist() == [1.0]


def test_a_hidden_target_is_not_visible_but_keeps_its_box(cutouts, photographs):
    data = CompositedVideo(cutouts, photographs, 60, replace(ALONE, occluders=4, size=(18.0, 60.0)))
    hidden = [~data.sequence_info(index).visible for index in range(60)]
    assert all(data.sequence_info(index).valid.all() for index in range(60))
    assert 0 < np.mean(hidden) < 0.2, "occlusions happen, and are not the rule"


def test_a_video_depends_on_seed_and_number_only(cutouts, photographs):
    first, second = (CompositedVideo(cutouts, photographs, 20, seed=5) for _ in range(2))
    for index in (0, 7, 19):
        one = first.frames(index, [0, 5, 30])
        second.sequence_info(3)
        two = second.frames(index, [30, 0])
        assert np.array_equal(one[0], two[1]) and np.array_equal(one[2], two[0])
        assert np.array_equal(first.sequence_info(index).boxes, second.sequence_info(index).boxes)
    copied = copy.deepcopy(first)
    assert np.array_equal(copied.frames(4, [9])[0], second.frames(4, [9])[0])
    other = CompositedVideo(cutouts, photographs, 20, seed=6)
    assert not np.array_equal(other.sequence_info(0).boxes, first.sequence_info(0).boxes)
    assert not np.array_equal(first.sequence_info(0).boxes, first.sequence_info(1).boxes)


def test_frames_are_images_that_change_over_time(cutouts, photographs):
    everything = CompositedSettings(blur=1, defocus=1, noise=1, compression=1)
    for settings in (ALONE, everything):
        data = CompositedVideo(cutouts, photographs, 5, settings)
        for index in range(5):
            frames = data.frames(index, [0, 24])
            assert len({frame.shape for frame in frames}) == 1 and frames[0].shape[2] == 3
            assert all(frame.dtype == np.uint8 and frame.std() > 5 for frame in frames)
            assert not np.array_equal(*frames)


def test_backgrounds_are_made_where_there_are_none(cutouts):
    (frame,) = CompositedVideo(cutouts, [], 3).frames(1, [0])
    assert frame.std() > 5


def test_rendering_leaves_the_cutouts_as_they_are(cutouts, photographs):
    before = [cutouts[k][0].copy() for k in range(len(cutouts))]
    data = CompositedVideo(cutouts, photographs, 10)
    for index in range(10):
        data.frames(index, [0, 10])
    assert all(np.array_equal(one, cutouts[k][0]) for k, one in enumerate(before))


def test_no_cutout_is_refused(photographs):
    with pytest.raises(ValueError, match="at least one cut-out"):
        CompositedVideo(CutoutSource([]), photographs, 10)


def moving(folder, frames=10):
    """A video of a disc that grows from frame to frame, with its masks."""
    for k in range(frames):
        mask = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 30 + 4 * k, 255, -1)
        write_image(folder / "img" / f"{k:04d}.png", np.dstack([mask] * 3))
        write_image(folder / "masks" / f"{k:04d}.png", mask)
    return folder


def test_a_moving_cutout_keeps_its_deformation_and_its_box_follows(tmp_path):
    black = write_image(tmp_path / "black.png", np.zeros((200, 300, 3), np.uint8))
    source = CutoutSource(moving_cutouts([moving(tmp_path / "growing")]))
    assert len(source[0]) == 10 and len({look.shape for look in source[0]}) == 10, "all looks at one scale"
    data = CompositedVideo(source, [black], 30, replace(ALONE, size=(40.0, 60.0)))
    growth, errors = [], []
    for index in range(30):
        info = data.sequence_info(index)
        area = info.boxes[:, 2:].prod(axis=1)
        growth.append(area.max() / area.min())
        (frame,) = data.frames(index, [20])
        height, width = frame.shape[:2]
        low, high = info.boxes[20, :2], info.boxes[20, :2] + info.boxes[20, 2:]
        if not frame[0, 0].any() and (low > 1).all() and high[0] < width - 1 and high[1] < height - 1:
            brightness = frame.max(axis=2)
            errors.append(corners(brightness > brightness.max() / 2) - np.concatenate((low, high)))
    assert np.median(growth) > 2, "much more than zooming alone makes of a still one"
    assert len(errors) > 10 and abs(np.array(errors)).max() <= 1.5


def test_a_video_whose_object_is_mostly_hidden_is_no_moving_cutout(tmp_path):
    hidden = moving(tmp_path / "hidden")
    for k in range(3, 10):
        write_image(hidden / "masks" / f"{k:04d}.png", np.zeros((200, 200), np.uint8))
    assert moving_cutouts([hidden, tmp_path / "without masks"]) == []


def test_an_absent_target_leaves_the_picture_and_returns(cutouts, photographs):
    data = CompositedVideo(cutouts, photographs, 40, replace(ALONE, absence=1.0, size=(20.0, 40.0)))
    seen = np.array([data.sequence_info(index).visible for index in range(40)])
    returned = [row[:12].any() and not row.all() and row[-12:].any() for row in seen]
    assert np.mean(returned) > 0.7 and 0.3 < seen.mean() < 0.9


def test_loose_boxes_hold_the_tight_ones_by_the_same_margins_in_all_frames(cutouts, photographs):
    tight, loose = (
        CompositedVideo(cutouts, photographs, 1, replace(ALONE, loose=share)).sequence_info(0).boxes for share in (0, 1)
    )
    margins = np.concatenate(
        (tight[:, :2] - loose[:, :2], loose[:, :2] + loose[:, 2:] - tight[:, :2] - tight[:, 2:]), 1
    )
    parts = margins / np.tile(tight[:, 2:], 2)
    assert (parts >= -1e-4).all() and (parts <= 0.2001).all() and parts.max() > 0.05
    assert abs(parts - parts[0]).max() < 1e-3


def test_a_shaking_camera_moves_everything_together(cutouts, photographs):
    for shake in (0.0, 1.0):
        data = CompositedVideo(cutouts, photographs, 20, replace(ALONE, shake=shake))
        plans = [data._plan(index) for index in range(20)]
        # Jolts are what changes from frame to frame; everything else is slow.
        jolts = [[np.diff(m[:, :, 2], n=2, axis=0).ravel() for m in (p.camera, p.target.placement)] for p in plans]
        together = np.median([np.corrcoef(*pair)[0, 1] for pair in jolts])
        assert together > 0.9 if shake else together < 0.5


def test_a_look_alike_is_near_in_colour_and_another_object(tmp_path):
    colours = [(250, 20, 20), (245, 25, 25), *((20, 20, 30 * k) for k in range(8))]
    entries = [((write_image(tmp_path / f"{k}.png", shape_rgba(colour)), None),) for k, colour in enumerate(colours)]
    source = CutoutSource(entries)
    drawn = [source.alike(0, np.random.default_rng(seed)) for seed in range(60)]
    assert 1 in drawn and 0 not in drawn and len(set(drawn)) == 6
    assert CutoutSource(entries[:1]).alike(0, np.random.default_rng(0)) == 0
    often = CutoutSource([entries[0], *entries, entries[0]])
    assert {entries.index(often.entries[often.alike(0, np.random.default_rng(seed))]) for seed in range(60)} == set(
        drawn
    )
