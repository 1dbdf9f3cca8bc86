"""The paired benchmark: contestants by text, a real race of two processes, and figures put into a page."""

from __future__ import annotations

import json
import re

import pytest

from experiments.benchmarks import paired
from experiments.benchmarks.paired import CHECKOUT, Record, main, parse_contestant, table
from ltr.errors import UserError


def test_contestants_are_read_from_text(tmp_path) -> None:
    own = parse_contestant("dimp18:backend=torch:box_refinement_iter=3:net_path=/a/b.safetensors")
    assert (own.parameter, own.checkout) == ("dimp18", CHECKOUT)
    assert own.overrides == {"backend": "torch", "box_refinement_iter": 3, "net_path": "/a/b.safetensors"}
    (tmp_path / "old" / "pytracking").mkdir(parents=True)
    peer = parse_contestant(f"{tmp_path}/old=kcf")
    assert (peer.label, peer.parameter, peer.checkout) == ("old: kcf", "kcf", tmp_path / "old")


@pytest.mark.parametrize(("text", "said"), [("kcf:backend", "give KEY=VALUE"), ("/nowhere=kcf", "no checkout")])
def test_what_is_no_contestant_is_said(text, said) -> None:
    with pytest.raises(UserError, match=said):
        parse_contestant(text)


def test_a_race_of_the_same_tracker_gives_the_same_boxes(tmp_path, capsys) -> None:
    page, figures, picture = tmp_path / "page.md", tmp_path / "figures.json", tmp_path / "plot.png"
    page.write_text("before\n<!-- paired -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    command = ["kcf", "--peer", f"{CHECKOUT}=kcf", "--clips", "dog", "--frames", "4", "--warmup", "1"]
    assert main([*command, "--json", str(figures), "--page", str(page), "--plot", str(picture)]) == 0
    one, other = json.loads(figures.read_text(encoding="utf-8"))["records"]
    assert one["boxes"] == other["boxes"]
    assert len(one["seconds"]) == len(one["boxes"]) == 4
    assert one["overlap"] > 30
    assert 0 < one["imported"] < one["first_box"]
    assert one["memory"] > 50
    content = page.read_text(encoding="utf-8")
    assert content.startswith("before\n<!-- paired -->\n")
    assert content.endswith("<!-- end -->\nafter\n")
    assert "old\n" not in content
    assert re.search(r"\| kcf +\| 1 +\|", content)
    assert content.split("<!-- paired -->")[1].strip().startswith(capsys.readouterr().out.strip()[:40])
    assert picture.stat().st_size > 1000


def test_the_table_pairs_frames(monkeypatch) -> None:
    quick = Record("quick", 1, seconds=[0.01, 0.02, 0.04], boxes=[[0, 0, 1, 1]] * 3)
    slow = Record("slow", 1, seconds=[0.03, 0.06, 0.04], boxes=[[0, 0, 1, 1], [0, 0, 1, 1.5], [0, 0, 1, 1]])
    cells = [cell.strip() for cell in table([quick, slow]).splitlines()[2].split("|")]
    assert cells[3].startswith("20.0 (")
    assert cells[4:7] == ["42.9", "3.00", "0.5 px"]


def test_a_tracker_that_is_not_there_ends_the_race(capfd) -> None:
    with pytest.raises(UserError, match="ended with status"):
        paired.race([parse_contestant("no_such_tracker")], [], 1, 2, 1)
