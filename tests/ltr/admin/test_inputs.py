"""Names and files from outside: whatever is wrong with them is one line that names them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ltr.admin.inputs import check_name, number_array, parse_assignment, read_bytes, read_json, read_text, read_toml
from ltr.errors import AnnotationError, UserError, exit_status, list_some, printable, unknown_name

GOOD = ["ball", "Jogging_1", "0-6LB4FqxoE_0", "GOT-10k_Val_000001", "a b", "..a", "größe", "球", "x" * 200, "é" * 100]


@pytest.mark.parametrize(
    ("text", "value"),
    [("k=True", True), ("k=true", True), ("k=false", False), ("k=none", "none"), ("k=3", 3), ("k=a=b", "a=b")],
)
def test_an_assignment_has_a_literal_or_text(text: str, value: object) -> None:
    assert parse_assignment(text) == ("k", value)


@pytest.mark.parametrize("name", GOOD)
def test_usual_names_pass_unchanged(name: str) -> None:
    assert check_name("sequence", name) is name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "another folder"),
        ("/etc/x", "another folder"),
        ("a\\b", "another folder"),
        ("", "needs a letter"),
        (".", "needs a letter"),
        ("...", "needs a letter"),
        ("  ", "needs a letter"),
        ("a\nb", "control character"),
        ("a\x1b[31m", "control character"),
        ("a\x00", "control character"),
        ("a\x85", "control character"),
        ("x" * 201, "a name of 201 bytes"),
        ("é" * 101, "a name of 202 bytes"),
        (os.fsdecode(b"caf\xe9"), "not valid UTF-8"),
        ("\ud800", "not valid UTF-8"),
        (7, "is a int, not text"),
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_name("sequence", name)
    assert str(caught.value).isprintable()


def test_a_pipe_a_folder_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(AnnotationError, match="is a pipe, a socket or a device"):
            read_text(path, error=AnnotationError)
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_text(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_text(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be read"):
        read_text(f"{tmp_path}/a\0b")
    with pytest.raises(UserError, match="cannot be read: File name too long"):
        read_text(tmp_path / ("x" * 300))


def test_a_file_larger_than_it_may_be_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="has 1,099,511,627,776 bytes, more than the 100 "):
        read_bytes(tmp_path / "sparse", limit=100)
    with pytest.raises(UserError, match="bytes, more than"):
        read_json(tmp_path / "sparse")


def test_text_is_utf8_with_any_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "a") == "a\nb\nc\n"
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"not a text file \(UTF-8\)"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{\n  x", r"line 2: not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[1,\n" + "9" * 5000 + "]", "line 2: a number in this JSON file has too many digits"),
        ("", "line 1: not JSON"),
    ],
)
def test_what_is_wrong_with_json(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=rf"a\.json.*{message}"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[paths\n", "not valid TOML"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "{b = " * 100_000, "nested too deeply"),
        ("a = 1\n[" + "b." * 50_000 + "b]", "line 2: this TOML file is nested too deeply"),
        ("a = 1\nb = " + "9" * 5000, "line 2: a number in this TOML file has too many digits"),
    ],
)
def test_what_is_wrong_with_toml(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(UserError, match=rf"a\.toml.*{message}"):
        read_toml(tmp_path / "a.toml")


def test_lists_in_messages_are_cut() -> None:
    assert list_some(["a", "b", "c", "d"]) == "a, b, c, d"
    assert list_some("abcde", "see list.txt") == "a, b, c and 2 more (see list.txt)"
    many = str(unknown_name("sequence", "zzzzzzzz", [f"airplane-{number}" for number in range(1400)]))
    assert many.endswith("choose from 1400, such as airplane-0, airplane-1, airplane-10 and 1397 more")


def test_messages_are_one_printable_line(capsys: pytest.CaptureFixture) -> None:
    assert printable("a\nb\x1b\ud800ü球") == "a\\nb\\x1b\\ud800ü球"

    def fail() -> None:
        raise UserError("a\nb\x1b[31m")

    assert exit_status(fail) == 2
    assert capsys.readouterr().err == "error: a\\nb\\x1b[31m\n"


@pytest.mark.parametrize(
    "value", ["true", '"1"', "null", "[1, true]", '["1"]', "{}", "[[1], [2, 3]]", "[[1], 2]", "1e999"]
)
def test_only_numbers_of_json_are_numbers(value: str) -> None:
    with pytest.raises(ValueError, match="number"):
        number_array(json.loads(value))


def test_nested_numbers_of_json() -> None:
    assert number_array([[1, 2.5], [3, -4e3]]).tolist() == [[1, 2.5], [3, -4000]]
    assert np.isnan(number_array([float("nan")], finite=False)).all()
    for value in ([float("nan")], [10**400]):
        with pytest.raises(ValueError, match="number"):
            number_array(value)
