"""Forged and damaged checkpoints: nothing in them runs or makes the reader take memory, and one line says why."""

from __future__ import annotations

import builtins
import os
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from public_files import FORMATS, public_content, public_framework, wrap_pickle, write_public

from ltr.admin import torch_file
from ltr.admin.checkpoint import load_network, load_training_state, save_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.admin.public_checkpoint import load_public_checkpoint
from ltr.admin.torch_file import check_torch_file, is_torch_file, load_torch_file, tensors_of
from ltr.errors import CheckpointError

DIMP = "ltr.models.tracking.dimpnet"
SMALL = {"w": torch.arange(6.0).reshape(2, 3)}
CASES = Path(__file__).parents[2] / "data" / "checkpoints"


def refused(path, message, load=load_public_checkpoint):
    """Loading fails with one line that names the file and matches the message."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text and "\x1b" not in text and len(text) < 600


@pytest.mark.parametrize("kind", FORMATS)
def test_objects_of_ostrack_are_plain_data(tmp_path, kind):
    """Settings with a `torch.device`, paths and statistics, as that framework pickles them."""
    path = tmp_path / "OSTrack_ep0300.pth.tar"
    with public_framework() as fakes:

        def instance(module, name, **fields):
            made = getattr(fakes[f"lib.train.admin.{module}"], name)()
            made.__dict__.update(fields)
            return made

        env = instance("local", "EnvironmentSettings", workspace_dir="/home/someone")
        meter = instance("stats", "AverageMeter", avg=np.float32(0.5), count=2, history=np.arange(3.0))
        settings = instance("settings", "Settings", device=torch.device("cuda", 0), env=env, batchsize=32)
        content = {"net": SMALL, "stats": {"train": {"Loss/total": meter}}, "settings": settings, "constructor": None}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    root = load_torch_file(path)
    assert torch.equal(tensors_of(root["net"])["w"], SMALL["w"])
    assert root["settings"].class_name == "lib.train.admin.settings.Settings"
    assert root["settings"]["env"] == {"workspace_dir": "/home/someone"} and root["settings"]["batchsize"] == 32
    assert root["settings"]["device"] == torch.device("cuda:0")
    assert root["stats"]["train"]["Loss/total"] == {"avg": 0.5, "count": 2, "history": {}}


@pytest.mark.parametrize("case", ["format_laughs.pth", "fixed_deep.pth", "cad.safetensors"])
def test_values_without_end(case):
    refused(CASES / case, "cannot be read|not a checkpoint", load_network)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def touch(witness):
    return f"__import__('pathlib').Path({str(witness)!r}).touch()"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("where", "attack", "name"),
    [
        ("root", lambda w: Call(os.system, f"touch {w}"), r"posix\.system"),
        ("constructor", lambda w: Call(builtins.eval, touch(w)), r"__builtin__\.eval"),
        ("settings", lambda w: Call(getattr, Call(getattr, "", "__class__"), "mro"), r"__builtin__\.getattr"),
        ("net", lambda w: Call(torch.hub.load, "someone/something", "model"), r"torch\.hub\.load"),
        ("net", lambda w: Call(bytearray, 2**45), r"__builtin__\.bytearray"),
    ],
)
def test_calls_are_refused_by_name_and_not_made(tmp_path, kind, where, attack, name):
    witness, path = tmp_path / "executed", tmp_path / "bad.pth.tar"
    with public_framework() as fakes:
        content = public_content(fakes, SMALL, "dimpnet18", DIMP)
        evil = attack(witness)
        if where == "constructor":
            content["constructor"].kwds["filter_size"] = evil
        elif where == "settings":
            content["settings"].env.workspace_dir = [evil]
        else:
            content = evil if where == "root" else {**content, where: {"w": evil}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    refused(path, f"names the global '{name}'.*nothing in it was executed")
    assert not witness.exists()


def test_the_witness_would_see_it(tmp_path):
    """The same pickle does run when Python reads it."""
    witness = tmp_path / "executed"
    pickle.loads(pickle.dumps(Call(builtins.eval, touch(witness)), 2))  # noqa: S301
    assert witness.exists()


@pytest.mark.parametrize(
    ("name", "module"),
    [("system", "os"), ("load_imagenet", DIMP), ("dimpnet50", "ltr.models.bbreg.atom"), ("dimpnet_lite0", DIMP)],
)
def test_a_forged_constructor_is_not_called(tmp_path, name, module):
    path = write_public(tmp_path / "bad.pth", "zip", SMALL, name, module, f"touch {tmp_path / 'executed'}")
    refused(path, rf"constructor is the function '{module}\.{name}'.*was not called", load_network)
    assert not (tmp_path / "executed").exists()


SETTINGS = b"cltr.admin.settings\nSettings\n"
LAUGHS = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(40)) + b"h\x28"
DEEP_TUPLE = b")" + b"\x85" * 100_000
FORGED = {
    # name: (raw operations of a pickle of protocol 2, what the message says)
    "state of a class": (SETTINGS + b"}X\x0c\x00\x00\x00__setstate__Nsb.", "damaged"),
    "state of a list": (b"]}b.", "damaged"),
    "one state of many": (SETTINGS + b")\x81}q\x00b" + SETTINGS + b")\x81h\x00b\x86.", "one state to several objects"),
    "call of an object": (SETTINGS + b")\x81)R.", "calls something that is not a name"),
    "name with a dot": (b"cltr.admin\nos.system\n.", r"names the global 'ltr.admin.os.system'"),
    "name with control characters": (b"cltr.admin\na\x1b[\n.", r"names the global 'ltr.admin.a\\x1b\['"),
    "name in Unicode digits": ("cltr.admin\na²\n.".encode(), "damaged|names the global"),
    "another operation": (b"(X\x01\x00\x00\x00aios\nsystem\n.", "operation INST"),
    "another protocol": (b"\x80\x04]\x94.", "protocol 4"),
    "another reference": (b"X\x06\x00\x00\x00moduleQ.", "not a storage"),
    "deep tuple as a key": (b"}" + DEEP_TUPLE + b"Ns.", "nests tuples deeper"),
    "shared tuples as a key": (b"})" + b"q\x00h\x00\x86" * 40 + b"Ns.", "nests tuples deeper"),
    "empty stack": (b"R.", "damaged"),
    "below a mark": (b"](a.", "damaged"),
    "no memo": (b"h\x07.", "damaged"),
    "no end": (b"]" * 5, "damaged"),
    "integer of 255 bytes": (b"\x8a\xff" + b"\x01" * 255 + b".", "more than 128 bits"),
    "integer of 5000 digits": (b"L" + b"9" * 5000 + b"L\n.", "damaged"),
    "text of 4 GiB": (b"X\xff\xff\xff\xffabc", "damaged"),
    "slow encoding": (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x08\x00\x00\x00punycode\x86R.", "latin1"),
    "copies": (b"ccollections\nOrderedDict\n]\x85R.", "fills an OrderedDict"),
    "too many values": (b"](" + b"N" * 510_000 + b"e.", "more than 500000 operations"),
    "deep list": (b"]" * 100_000 + b"a" * 99_999 + b".", "holds no network"),
    "laughing list": (LAUGHS + b".", "holds no network"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", FORGED)
def test_forged_pickles(tmp_path, kind, name):
    operations, message = FORGED[name]
    refused(wrap_pickle(tmp_path / "bad.pth", kind, b"\x80\x02" + operations), message)


@pytest.mark.parametrize(
    ("place", "value"),
    [("format", LAUGHS), ("kwds", LAUGHS), ("kwds", DEEP_TUPLE), ("kwds", b"]" * 50_000 + b"a" * 49_999)],
)
@pytest.mark.parametrize("argument", [b"filter_size", b"feat_stride"])
def test_what_a_forged_checkpoint_says_is_never_printed_or_compared_unseen(tmp_path, place, value, argument):
    """Shared and deep values where the reader looks at the text of something."""

    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word

    arguments = b"}" + (text(argument) + value + b"s" if place == "kwds" else b"")
    constructor = b"cltr.admin.model_constructor\nNetConstructor\n)\x81}("
    constructor += text(b"fun_name") + text(b"dimpnet18") + text(b"fun_module") + text(DIMP.encode())
    constructor += text(b"args") + b")" + text(b"kwds") + arguments + b"ub"
    stated = text(b"format") + value if place == "format" else b""
    root = b"}(" + text(b"net") + b"}" + text(b"constructor") + constructor + stated + b"u."
    refused(wrap_pickle(tmp_path / "bad.pth", "zip", b"\x80\x02" + root), "cannot be read|tensors are", load_network)


def storage(count, key=b"0", kind=b"FloatStorage"):
    """Raw operations that push a storage."""
    number = b"\x8a\x08" + struct.pack("<q", count)
    text = b"X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX\x01\x00\x00\x00" + key + b"X\x03\x00\x00\x00cpu"
    return b"(" + text + number + b"tQ"


def tensor(count, offset, size, stride):
    numbers = [b"\x8a\x08" + struct.pack("<q", number) for number in (offset, *size, *stride)]
    shape = b"(" + b"".join(numbers[1 : 1 + len(size)]) + b"t(" + b"".join(numbers[1 + len(size) :]) + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(count) + numbers[0] + shape + b"\x89NtR."


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (tensor(6, 1, (6,), (1,)), "does not lie within its storage"),
        (tensor(6, 0, (2, 3), (2**40, 1)), "does not lie within its storage"),
        (tensor(6, 0, (2**40, 2**40, 0), (1, 1, 1)), "several places|does not lie within its storage"),
        (tensor(6, 0, (2**32, 0), (1, 1)), "does not lie within its storage"),
        (tensor(6, 0, (10**6, 10**6), (0, 0)), "one number at several places"),
        (tensor(9, 0, (3, 3), (1, 1)), "one number at several places"),
        (tensor(6, -1, (2,), (1,)), "not a tuple of natural numbers"),
        (tensor(6, 0, (2,), (-1,)), "not a tuple of natural numbers"),
        (tensor(6, 0, (1,) * 9, (1,) * 9), "more than 8 dimensions"),
        (tensor(6, 0, (2, 3), (1,)), "not as many strides"),
        (tensor(2**60, 0, (2,), (1,)), "key or size is malformed"),
        (tensor(2**40, 0, (2,), (1,)), "should have 4398046511104 bytes, and there is nothing"),
        (storage(6, kind=b"NoneStorage") + b".", "names the global 'torch.NoneStorage'"),
        (storage(6) + storage(7) + b"\x86.", "describes storage '0' in two ways"),
    ],
)
def test_tensors_that_do_not_lie_in_their_storage(tmp_path, operations, message):
    refused(wrap_pickle(tmp_path / "bad.pth", "zip", b"\x80\x02" + operations), message)


def test_storages_that_the_older_format_declares(tmp_path):
    path = wrap_pickle(tmp_path / "bad.pth", "legacy", b"\x80\x02" + tensor(6, 0, (2,), (1,)))
    refused(path, "list of storages is not that of its tensors")
    path = write_public(tmp_path / "cut.pth", "legacy", SMALL, "dimpnet18", DIMP)
    path.write_bytes(path.read_bytes()[:-4])
    refused(path, r"cut off: its tensors need \d+ bytes")


def rewritten(path, change, compression=zipfile.ZIP_STORED):
    """The same archive with changed entries."""
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in entries.items():
            target.writestr(name, change(name, content))


def test_archives(tmp_path):
    path = tmp_path / "x.pth"

    def fresh():
        write_public(path, "zip", SMALL, "dimpnet18", DIMP)

    fresh()
    rewritten(path, lambda name, content: content + bytes(4) if name.endswith("data/0") else content)
    refused(path, "storage '0' should have 24 bytes, and there is 28")
    fresh()
    rewritten(path, lambda name, content: bytes(10**7) if "data/0" in name else content, zipfile.ZIP_DEFLATED)
    refused(path, "compressed or encrypted.* declare to hold")
    fresh()
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"data/0"))
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    refused(path, "entries declare|cut off or damaged")
    fresh()
    data = path.read_bytes()
    path.write_bytes(data.replace(SMALL["w"].numpy().tobytes(), bytes(23) + b"\x07"))
    refused(path, "entry '[a-z]+/data/0' is damaged: the checksum")
    for names, message in ((("a/data.pkl", "a/DATA.PKL"), "two entries"), (("readme",), "not one that torch.save")):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"\x80\x02N.")
        refused(path, message)


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files(tmp_path, kind):
    path = write_public(tmp_path / "whole.pth", kind, SMALL, "dimpnet18", DIMP)
    whole = path.read_bytes()
    for length in (0, 1, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "cut off|not a file that torch.save wrote|not one that")


def test_other_files(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((0x80).to_bytes(8, "little") + b'{"a": 1}')
    assert not is_torch_file(path), "a safetensors header that begins like a pickle"
    for content, message in ((b"GIF89a", "not a file that torch.save"), (pickle.dumps([1], 2) * 3, "not one that")):
        path.write_bytes(content)
        refused(path, message, check_torch_file)


def test_a_limit_of_the_file(tmp_path, monkeypatch):
    path = write_public(tmp_path / "small.pth", "zip", SMALL, "dimpnet18", DIMP)
    monkeypatch.setattr(torch_file, "MAX_FILE_BYTES", path.stat().st_size - 1)
    refused(path, "more than the limit of")


@pytest.mark.parametrize("version", ["2.4.0", "2.9.1+cpu"])
def test_torch_with_a_known_hole_reads_no_pickle(tmp_path, monkeypatch, version):
    path = write_public(tmp_path / "small.pth", "zip", SMALL, "dimpnet18", DIMP)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
    refused(path, "takes torch 2.10 or newer; a .safetensors file needs no newer one", load_network)


def test_training_state_is_read_from_the_zip_format_only(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": "ebm-tracking-1"}, path, _use_new_zipfile_serialization=False)
    refused(path, "not a training checkpoint", load_training_state)


def damaged(generator, data, start, end):
    """Some bytes between `start` and `end` changed, left out, repeated, or set to what means something in a pickle."""
    data = bytearray(data)
    for _ in range(int(generator.integers(1, 4))):
        where = int(generator.integers(start, end))
        length = int(generator.integers(1, 24))
        kind = generator.integers(4)
        if kind == 0:
            data[where] = int(generator.integers(256))
        elif kind == 1:
            del data[where : where + length]
        elif kind == 2:
            data[where:where] = data[start + (where * 7) % (end - start) :][:length]
        else:
            data[where : where + 1] = generator.choice(
                [b"\xff\xff\xff\x7f", b"(", b"]", b"\x86R", b"h\x00", b"9", b"b"]
            )
        end = min(end, len(data))
        if end <= start:
            break
    return bytes(data)


def test_damage_is_an_error_of_ours_or_another_network(tmp_path):
    """A fixed number of damaged files of each format, from a fixed seed."""
    generator = np.random.default_rng(0)
    archive = write_public(tmp_path / "zip.pth", "zip", SMALL, "dimpnet18", DIMP)
    legacy = write_public(tmp_path / "legacy.pth", "legacy", SMALL, "dimpnet18", DIMP).read_bytes()
    with zipfile.ZipFile(archive) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    small = NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 8, "box_dim": 8})
    save_network(tmp_path / "whole.safetensors", small.build(), small)
    ours = (tmp_path / "whole.safetensors").read_bytes()
    end = ours.index(b'"}', 8)
    before, path, refused_files = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, tmp_path / "damaged", 0
    for _ in range(80):
        with zipfile.ZipFile(path, "w") as target:
            for name, content in entries.items():
                pickled = name.endswith("data.pkl")
                target.writestr(name, damaged(generator, content, 0, len(content)) if pickled else content)
        attempts = [(path.read_bytes(), load_public_checkpoint)]
        whole = archive.read_bytes()
        attempts.append((damaged(generator, whole, 0, len(whole)), load_public_checkpoint))
        attempts.append((damaged(generator, legacy, 0, len(legacy)), load_public_checkpoint))
        attempts.append((damaged(generator, ours, 0, end), load_network))
        for content, load in attempts:
            path.write_bytes(content)
            try:
                load(path)
            except CheckpointError as error:
                assert str(path) in str(error) and "\n" not in str(error)
                refused_files += 1
    assert refused_files > 160
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"
