"""Whole files: the old content survives every failure."""

from __future__ import annotations

import errno
import json

import pytest

from ltr.admin.files import whole_file, write_json, write_text


def test_the_target_appears_whole_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "new" / "a.txt"
    write_text(target, "one")
    write_json(target.with_name("b.json"), {"x": [1, 2]})
    assert target.read_text() == "one"
    assert json.loads((target.parent / "b.json").read_text()) == {"x": [1, 2]}
    assert sorted(path.name for path in target.parent.iterdir()) == ["a.txt", "b.json"]


def test_a_full_disk_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fill(temporary):
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"), whole_file(target) as temporary:
        fill(temporary)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
