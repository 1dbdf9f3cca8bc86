"""The reader of torch.save's files: honest ones are read right, damaged ones end in an error of ours, nothing else."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.torchfile.pickle_data import read_pickle
from ltr.torchfile.reader import is_torch_file, is_torch_zip, read_torch_file
from ltr.torchfile.records import Record, StoredTensor, TorchFileError

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text() | st.binary()
)
KEYS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20)
SETS = st.sets(st.integers(-9, 9)) | st.frozensets(st.integers(-9, 9) | st.text(max_size=3))
PLAIN = st.recursive(
    SCALARS | SETS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=5).map(tuple)
    ),
    max_leaves=30,
)
QUICK = settings(deadline=None, derandomize=True, max_examples=150)


def saved(content, zip_format, protocol=2):
    stream = io.BytesIO()
    torch.save(content, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zip_format)
    return stream.getvalue()


@QUICK
@given(PLAIN, st.integers(2, 5))
def test_plain_data_is_what_pickle_reads(content, protocol):
    pickled = pickle.dumps(content, protocol)
    stream = io.BytesIO(pickled + b"rest")
    assert read_pickle(stream) == content
    assert stream.read() == b"rest"


@settings(QUICK, max_examples=30)
@given(PLAIN, st.integers(2, 5), st.booleans())
def test_files_of_both_formats(tmp_path_factory, content, protocol, zip_format):
    path = tmp_path_factory.mktemp("torch") / "x.pt"
    path.write_bytes(saved({"plain": content, "w": torch.arange(3)}, zip_format, protocol))
    file = read_torch_file(path)
    assert file.root["plain"] == content
    assert torch.equal(file.tensors({"w": file.root["w"]})["w"], torch.arange(3))
    assert is_torch_file(path) and is_torch_zip(path) == zip_format


@pytest.mark.parametrize("zip_format", [True, False])
def test_tensors_of_one_storage_share_memory(tmp_path, zip_format):
    path = tmp_path / "x.pt"
    whole = torch.randn(4, 6)
    parameter = torch.nn.Parameter(whole.t())
    content = OrderedDict(whole=whole, part=whole[1:3, ::2], parameter=parameter, other=torch.ones(2))
    path.write_bytes(saved(content, zip_format))
    file = read_torch_file(path)
    assert all(isinstance(value, StoredTensor) for value in file.root.values())
    tensors = file.tensors(file.root)
    for name, value in content.items():
        assert torch.equal(tensors[name], value) and tensors[name].stride() == value.stride()
    tensors["whole"][1, 2] = 7
    assert tensors["part"][0, 1] == 7 and tensors["parameter"][2, 1] == 7


@pytest.mark.parametrize("protocol", [2, 4])
def test_numpy_numbers_become_python_numbers_and_arrays_records(protocol):
    content = [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True), np.arange(3, dtype=np.int16)]
    *numbers, array = read_pickle(io.BytesIO(pickle.dumps(content, protocol)))
    assert numbers == [0.1, 0.5, -3, True] and [type(value) for value in numbers] == [float, float, int, bool]
    assert isinstance(array, Record) and array.class_name == "numpy.ndarray"
    assert np.array_equal(np.frombuffer(array["data"], array["dtype"]).reshape(array["shape"]), content[-1])


@pytest.mark.parametrize("array", [np.array([{}], dtype=object), np.array(["a"]), np.arange(3, dtype=">i4")])
def test_other_arrays_are_refused(array):
    with pytest.raises(TorchFileError, match="numpy array"):
        read_pickle(io.BytesIO(pickle.dumps(array, 2)))


CONTENT = {"net": OrderedDict(w=torch.arange(5.0), b=torch.zeros(2)), "epoch": 3, "name": "dimp", "rates": [0.1, None]}


@pytest.mark.parametrize("zip_format", [True, False])
def test_damage_is_an_error_of_ours_or_other_plain_data(tmp_path, zip_format):
    """One byte changed anywhere, or a part left out."""
    path = tmp_path / "x.pt"
    whole = saved(CONTENT, zip_format)
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(600):
        damaged = bytearray(whole)
        where = int(generator.integers(len(whole)))
        if generator.random() < 0.7:
            damaged[where] = int(generator.integers(256))
        else:
            del damaged[where : where + int(generator.integers(1, 40))]
        path.write_bytes(damaged)
        try:
            file = read_torch_file(path)
            if isinstance(file.root, dict) and type(file.root.get("net")) is dict:
                stored = {key: value for key, value in file.root["net"].items() if isinstance(value, StoredTensor)}
                file.tensors(stored, limit=2**20)
        except TorchFileError as error:
            assert str(error)
            refused += 1
    assert refused > 100


def test_a_safetensors_header_that_begins_like_a_pickle(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((0x80).to_bytes(8, "little") + b'{"a": 1}')
    assert not is_torch_file(path)


def test_other_files(tmp_path):
    path = tmp_path / "x"
    for content, message in (
        (b"", "not a file that torch.save wrote"),
        (b"GIF89a", "not a file that torch.save wrote"),
        (pickle.dumps([1, 2, 3], 2) * 3, "a pickle, but not one that torch.save wrote"),
    ):
        path.write_bytes(content)
        with pytest.raises(TorchFileError, match=message):
            read_torch_file(path)
