"""Drawing composited frames: blur that is whole, colours that stay, occlusion that lasts a while."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image

from ltr.dataset.composited import CompositedSettings, CompositedVideo
from ltr.dataset.compositing import Plan, Sprite, render, visible_share
from ltr.dataset.cutouts import CutoutSource

WIDTH, HEIGHT = 100, 80


def plan(**changes):
    """Two frames of a plain background with a grey square of 20 pixels that moves by 12 to the right."""
    square = np.full((20, 20, 4), 255, np.uint8)
    square[..., :3] = 200
    placement = np.tile(np.array(((1.0, 0.0, 40.0), (0.0, 1.0, 30.0))), (2, 1, 1))
    placement[0, 0, 2] -= 12
    still = np.tile(np.array(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))), (2, 1, 1))
    made = Plan(
        canvas=(WIDTH, HEIGHT),
        background=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        camera=still,
        behind=(),
        target=Sprite((square,), np.zeros(2, int), placement, np.ones((2, 3))),
        before=(),
        light=np.ones((2, 3)),
        margins=np.zeros(4),
        motion_blur=0.0,
        defocus=0.0,
        noise=0.0,
        quality=0,
        noise_seed=0,
    )
    return replace(made, **changes)


def moved(made, x):
    placement = made.target.placement.copy()
    placement[:, 0, 2] += x
    return replace(made, target=replace(made.target, placement=placement))


def test_a_streak_is_as_bright_as_the_object_and_not_cut_off():
    sharp, blurred = (render(plan(motion_blur=blur), 1).astype(float) for blur in (0.0, 1.0))
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=0.01)
    columns = np.flatnonzero(blurred[40, :, 0] > 4)
    assert columns.min() == pytest.approx(40 - 6, abs=1) and columns.max() == pytest.approx(59 + 6, abs=1)
    middle = (blurred[..., 0].sum(axis=0) * (np.arange(WIDTH) + 0.5)).sum() / blurred[..., 0].sum()
    assert middle == pytest.approx(50, abs=0.1), "the streak lies about the object's place"


@pytest.mark.parametrize("x", [-44, 46])
def test_what_lies_beyond_the_edge_streaks_into_the_picture(x):
    whole = render(plan(motion_blur=1.0), 1)
    seen = render(moved(plan(motion_blur=1.0), x), 1)
    wanted = np.zeros_like(whole)
    source = slice(max(-x, 0), WIDTH - max(x, 0))
    wanted[:, max(x, 0) : WIDTH + min(x, 0)] = whole[:, source]
    assert abs(seen.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("colour", [(250, 30, 20), (20, 40, 240)])
def test_compression_keeps_the_colours(colour):
    background = np.tile(np.uint8(colour), (HEIGHT, WIDTH, 1))
    coded = render(replace(plan(quality=90), background=background), 0)
    assert abs(coded[:10, :10].reshape(-1, 3).mean(axis=0) - colour).max() < 4


def test_simulated_compression_loses_blue_more_than_green():
    """JPEG keeps colour at half the resolution; coding RGB as BGR would change which details are lost."""
    checks = ((np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2) * 120 + 60).astype(np.uint8)
    lost = []
    for channel in (0, 2):
        background = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        background[..., channel] = checks
        coded = render(replace(plan(quality=75), background=background), 0).astype(float)
        lost.append(coded[:24, :, channel].std() / background[:24, :, channel].std())
    assert lost[0] > 1.5 * lost[1], "red is a larger part of luma than blue"


def test_light_and_blending_round():
    """Cutting off would darken every frame by half a level."""
    made = replace(plan(), background=scene(3, WIDTH, HEIGHT), light=np.full((2, 3), 0.9))
    wanted = scene(3, WIDTH, HEIGHT) * 0.9
    drawn = render(made, 0)
    assert abs((drawn - wanted)[:20].mean()) < 0.05 and abs(drawn - wanted)[:20].max() <= 0.5001


@pytest.fixture
def video(tmp_path):
    entries = [((write_image(tmp_path / f"{k}.png", shape_rgba((60 * k, 90, 90))), None),) for k in range(4)]
    backgrounds = [write_image(tmp_path / "backgrounds" / f"{k}.png", scene(k, 300, 200)) for k in range(3)]
    return CompositedVideo(CutoutSource(entries), backgrounds, 200)


def covered(video, index):
    """What part of what is inside the picture is hidden by others, [T]."""
    made = video._plan(index)
    inside = visible_share(made.target, [], made.canvas)
    return 1 - visible_share(made.target, made.before, made.canvas) / np.maximum(inside, 1e-6)


def test_a_third_of_the_clips_is_partly_hidden_for_a_while(video):
    clips = [((covered(video, k) >= 0.2) & (covered(video, k) <= 0.6)).sum() >= 6 for k in range(120)]
    assert 0.22 <= np.mean(clips) <= 0.5


def test_an_occluder_hides_what_it_should_and_leaves(video):
    video.settings = replace(CompositedSettings(), occlusion=1.0, occluders=0, cover=(0.4, 0.4), absence=0, shake=0)
    most = []
    for index in range(60):
        hidden = covered(video, index)
        most.append(np.median(np.sort(hidden)[-8:]))
        visible = video.sequence_info(index).visible
        assert (visible == (visible_share(*_parts(video, index)) > 0.35)).all()
    assert np.median(most) == pytest.approx(0.4, abs=0.12)
    free = [covered(video, index)[[0, -1]].min() for index in range(60)]
    assert np.mean(np.array(free) < 0.05) > 0.7, "it comes, or goes"


def _parts(video, index):
    made = video._plan(index)
    return made.target, made.before, made.canvas
