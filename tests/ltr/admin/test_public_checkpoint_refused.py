"""Forged checkpoints: nothing in them runs, nothing makes the reader take memory, and the message says why."""

from __future__ import annotations

import builtins
import functools
import operator
import os
import pickle
import struct
import zipfile

import pytest
import torch
from public_files import FORMATS, public_content, public_framework, wrap_pickle, write_public

from ltr.admin.checkpoint import load_network, load_training_state
from ltr.admin.public_checkpoint import load_public_checkpoint
from ltr.errors import CheckpointError

DIMP = "ltr.models.tracking.dimpnet"
SMALL = {"w": torch.arange(6.0).reshape(2, 3)}


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def touch(witness):
    return f"__import__('pathlib').Path({str(witness)!r}).touch()"


ATTACKS = {
    "os.system": (lambda w: Call(os.system, f"touch {w}"), r"system"),
    "eval": (lambda w: Call(builtins.eval, touch(w)), r"__builtin__\.eval"),
    "exec": (lambda w: Call(builtins.exec, touch(w)), r"__builtin__\.exec"),
    "nested reductions": (
        lambda w: Call(dict, [("a", [Call(list, (Call(builtins.eval, touch(w)),))])]),
        r"__builtin__\.(dict|list|eval)",
    ),
    "getattr chain": (lambda w: Call(getattr, Call(getattr, "", "__class__"), "mro"), r"__builtin__\.getattr"),
    "attrgetter": (lambda w: Call(operator.attrgetter, "__class__.__base__"), r"(_?operator|__builtin__)\.\w+"),
    "partial": (lambda w: Call(functools.partial, eval, touch(w)), r"(functools|__builtin__)\.\w+"),
    "in a state": (lambda w: Call(set, [], state={"a": Call(builtins.eval, touch(w))}), r"__builtin__\.eval"),
    "torch.hub": (lambda w: Call(torch.hub.load, "someone/something", "model"), r"torch\.hub\.load"),
    "torch.load": (lambda w: Call(torch.load, str(w)), r"torch\.serialization\.load"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("where", ["root", "constructor", "settings", "stats", "net"])
def test_calls_are_refused_by_name_and_not_made(tmp_path, kind, attack, where):
    witness, path = tmp_path / "executed", tmp_path / "bad.pth.tar"
    make, names = ATTACKS[attack]
    with public_framework() as fakes:
        content = public_content(fakes, SMALL, "dimpnet18", DIMP)
        evil = make(witness)
        if where == "constructor":
            content["constructor"].kwds["filter_size"] = evil
        elif where == "settings":
            content["settings"].env.workspace_dir = [evil]
        else:
            content = evil if where == "root" else {**content, where: {"w": evil}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(CheckpointError, match=f"names the global '[a-z_.]*{names}'") as caught:
        load_network(path)
    assert str(path) in str(caught.value) and "nothing in it was executed" in str(caught.value)
    assert not witness.exists()


def test_the_witness_would_see_it(tmp_path):
    """The same pickle does run when Python reads it."""
    witness = tmp_path / "executed"
    pickle.loads(pickle.dumps(Call(builtins.eval, touch(witness)), 2))  # noqa: S301
    assert witness.exists()


TEXT = b"X\x04\x00\x00\x00a=1;"
FORGED = {
    # (raw operations behind the protocol, what the message says)
    "call of an inert class": (b"cltr.admin.settings\nSettings\n)R.", "calls 'ltr.admin.settings.Settings'"),
    "object with arguments": (b"cltr.admin.settings\nSettings\nK\x01\x85\x81.", "not plain data"),
    "object of a function": (b"c_codecs\nencode\n)\x81.", "makes an object of '_codecs.encode'"),
    "object of an object": (b"cltr.admin.settings\nSettings\n)\x81)\x81.", "makes an object of a Record"),
    "call of an object": (b"cltr.admin.settings\nSettings\n)\x81)R.", "calls a Record"),
    "state of a class": (
        b"cltr.admin.settings\nSettings\n}X\x0c\x00\x00\x00__setstate__NsbN.",
        "sets the state of 'ltr",
    ),
    "state of a function": (b"ccollections\nOrderedDict\n}b.", "sets the state of 'collections.OrderedDict'"),
    "state of a list": (b"]}b.", "sets the state of a list"),
    "slots": (b"cltr.admin.settings\nSettings\n)\x81N}\x86b.", "is not a plain dict of attributes"),
    "state with other keys": (
        b"cltr.admin.settings\nSettings\n)\x81}K\x01K\x02sb.",
        "is not a plain dict of attributes",
    ),
    "dotted attribute": (b"\x8c\tltr.admin\x8c\tos.system\x93.", "names the global 'ltr.admin.os.system'"),
    "dotted module": (b"\x8c\x0bltr.admin..\x8c\x06system\x93.", "names the global"),
    "line feed in a name": (b"\x8c\tltr.admin\x8c\x05a\nb\x1b[\x93.", r"names the global 'ltr.admin.a\\nb\\x1b\['"),
    "name that is no string": (b"K\x01K\x02\x93.", "not a string"),
    "module prefix": (b"cltr.administrator\nx\n.", "names the global 'ltr.administrator.x'"),
    "inst": (b"(" + TEXT + b"ios\nsystem\n.", "operation b'i'"),
    "obj": (b"(cltr.admin.settings\nSettings\no.", "operation b'o'"),
    "extension": (b"\x82\x01.", r"operation b'\\x82'"),
    "persistent line": (b"P1\n.", "operation b'P'"),
    "other reference": (b"X\x06\x00\x00\x00moduleQ.", "not a storage"),
    "item of a tensor": (b"cltr.admin.settings\nSettings\n)\x81K\x01K\x02s.", "sets items of a Record"),
    "append to a tuple": (b")K\x01a.", "appends to a tuple"),
    "deep key": (b"})\x85\x85Ns.", "uses a tuple as a key"),
    "empty stack": (b"R.", "malformed"),
    "no memo": (b"h\x07.", "malformed"),
    "no mark": (b"t.", "malformed"),
    "bad text": (b"X\x02\x00\x00\x00\xff\xfe.", "malformed"),
    "no arguments": (b"ctorch._utils\n_rebuild_tensor_v2\n)R.", "malformed"),
    "giant integer": (b"\x8a\xff" + b"\x01" * 255 + b".", "more than 128 bits"),
    "encoding": (b"c_codecs\nencode\n" + TEXT + b"X\x05\x00\x00\x00rot13\x86R.", "latin1"),
    "no end": (b"]" * 5, "cut off"),
    "text of 4 GiB": (b"X\xff\xff\xff\xffabc", "or declares to be"),
    "bytes of 4 GiB": (b"B\xff\xff\xff\xffabc", "or declares to be"),
    "copies": (b"](" + b"K\x01" * 100_000 + b"eq\x000" + b"c__builtin__\nset\nh\x00\x85R" * 50 + b".", "operations"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", FORGED)
def test_forged_pickles(tmp_path, kind, name):
    operations, message = FORGED[name]
    path = wrap_pickle(tmp_path / "bad.pth", kind, b"\x80\x02" + operations)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_public_checkpoint(path)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_deep_nesting_is_no_network_but_no_crash(tmp_path):
    path = wrap_pickle(tmp_path / "deep.pth", "zip", b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    with pytest.raises(CheckpointError, match="holds no network"):
        load_public_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("system", "os"),
        ("system", "posix"),
        ("eval", "builtins"),
        ("load_imagenet", DIMP),
        ("__import__", DIMP),
        ("dimpnet50", "builtins"),
        ("dimpnet50", "ltr.models.bbreg.atom"),
        ("dimpnet_lite0", DIMP),
        ("DiMPNet", DIMP),
    ],
)
def test_a_forged_constructor_is_refused(tmp_path, name, module):
    witness = tmp_path / "executed"
    path = write_public(tmp_path / "bad.pth", "zip", SMALL, name, module, f"touch {witness}")
    with pytest.raises(CheckpointError, match=rf"constructor is the function '{module}\.{name}'.*was not called"):
        load_network(path)
    assert not witness.exists()


def small_zip(tmp_path):
    return write_public(tmp_path / "small.pth", "zip", SMALL, "dimpnet18", DIMP)


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(small_zip(tmp_path)) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in source.namelist():
            bomb.writestr(name, bytes(50_000_000) if name.endswith("data/0") else source.read(name))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(CheckpointError, match=r"compressed or encrypted.* declare to hold"):
        load_public_checkpoint(path)


def test_an_archive_that_declares_more_than_it_has(tmp_path):
    path = small_zip(tmp_path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"data/0"))
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"entries declare \d+ bytes, and the file has|cut off or damaged"):
        load_public_checkpoint(path)


def test_two_entries_of_one_name_and_other_archives(tmp_path):
    path = tmp_path / "x.pth"
    for names, message in ((["a/data.pkl"] * 2, "two entries"), (["readme"], "not one that torch.save wrote")):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                with pytest.warns(UserWarning) if name in archive.namelist() else pytest.MonkeyPatch.context():
                    archive.writestr(name, b"\x80\x02N.")
        with pytest.raises(CheckpointError, match=message):
            load_public_checkpoint(path)


def storage(count, key=b"0", kind=b"FloatStorage"):
    """Raw operations that push a storage."""
    number = b"\x8a\x08" + struct.pack("<q", count)
    text = b"X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX\x01\x00\x00\x00" + key + b"X\x03\x00\x00\x00cpu"
    return b"(" + text + number + b"tQ"


def tensor(count, offset, size, stride, key=b"0"):
    numbers = [b"\x8a\x08" + struct.pack("<q", number) for number in (offset, *size, *stride)]
    sizes, strides = numbers[1 : 1 + len(size)], numbers[1 + len(size) :]
    shape = b"(" + b"".join(sizes) + b"t(" + b"".join(strides) + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(count, key) + numbers[0] + shape + b"\x89NtR."


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (tensor(6, 0, (10**6, 10**6), (0, 0)), "does not lie within its storage"),
        (tensor(6, 0, (7,), (1,)), "does not lie within its storage"),
        (tensor(6, 1, (6,), (1,)), "does not lie within its storage"),
        (tensor(6, 0, (2, 3), (2**40, 1)), "does not lie within its storage"),
        (tensor(6, -1, (2,), (1,)), "not a tuple of natural numbers"),
        (tensor(6, 0, (-2,), (1,)), "not a tuple of natural numbers"),
        (tensor(6, 0, (2,), (-1,)), "not a tuple of natural numbers"),
        (tensor(6, 0, (1,) * 9, (1,) * 9), "more than 8 dimensions"),
        (tensor(6, 0, (2, 3), (1,)), "different lengths"),
        (tensor(2**60, 0, (2,), (1,)), "key or size is malformed"),
        (tensor(-6, 0, (2,), (1,)), "key or size is malformed"),
        (storage(6, kind=b"NoneStorage") + b".", "names the global 'torch.NoneStorage'"),
        (storage(6) + b"0" + storage(7) + b".", "describes storage '0' in two ways"),
    ],
)
def test_tensors_that_reach_outside_their_storage(tmp_path, operations, message):
    path = wrap_pickle(tmp_path / "bad.pth", "zip", b"\x80\x02" + operations)
    with pytest.raises(CheckpointError, match=message):
        load_public_checkpoint(path)


def test_a_storage_that_declares_more_than_there_is(tmp_path):
    """The pickle says 65535 numbers where there are six."""
    for kind in FORMATS:
        path = write_public(tmp_path / f"{kind}.pth", kind, SMALL, "dimpnet18", DIMP)
        data = path.read_bytes()
        cpu = data.index(b"X\x03\x00\x00\x00cpu")
        count = data.index(b"K\x06", cpu)
        grown = data[:count] + b"M\xff\xff" + data[count + 2 :]
        if kind == "zip":
            with zipfile.ZipFile(path) as source:
                pickled = source.read("zip/data.pkl").replace(data[cpu : count + 2], grown[cpu : count + 3], 1)
                entries = {name: source.read(name) for name in source.namelist()} | {"zip/data.pkl": pickled}
            with zipfile.ZipFile(path, "w") as target:
                for name, content in entries.items():
                    target.writestr(name, content)
        else:
            path.write_bytes(grown)
        with pytest.raises(
            CheckpointError, match=r"should have 262140 bytes, and there is 24|cut off: storage '[0-9]+' of 262140"
        ):
            load_public_checkpoint(path)


def test_a_limit_of_memory(tmp_path):
    path = small_zip(tmp_path)
    load_public_checkpoint(path, limit_bytes=24)
    with pytest.raises(CheckpointError, match="its tensors take 24 bytes, more than the limit of 23"):
        load_public_checkpoint(path, limit_bytes=23)


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files(tmp_path, kind):
    path = write_public(tmp_path / "whole.pth", kind, SMALL, "dimpnet18", DIMP)
    whole = path.read_bytes()
    for length in {0, 1, 3, 8, *range(10, len(whole), 97), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as caught:
            load_public_checkpoint(path)
        if length > 20:
            assert "cut off" in str(caught.value), length


def test_a_damaged_weight_is_seen_in_the_zip_format(tmp_path):
    path = small_zip(tmp_path)
    data = path.read_bytes()
    place = data.index(SMALL["w"].numpy().tobytes())
    path.write_bytes(data[:place] + b"\x07" + data[place + 1 :])
    with pytest.raises(CheckpointError, match="storage '0' is damaged"):
        load_public_checkpoint(path)


def test_training_state_is_read_from_the_zip_format_only(tmp_path):
    """torch before 2.6 could be made to execute the older formats."""
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": "ebm-tracking-1"}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="not a training checkpoint"):
        load_training_state(path)
