"""A pretended accelerator: tensors that say that they are on it, hold CPU data, and count what a real one would do.

Its tensors refuse to be mixed with those of the CPU where CUDA's would, and every kernel, copy to the device and wait
of the host is counted. Inside `pretended()`, torch's device 'pretend' works as 'cuda' does.
"""

from __future__ import annotations

import collections
import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.utils.backend_registration as registration
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

KIND = "pretend"
ROOT = str(Path(__file__).resolve().parents[2])
aten = torch.ops.aten

# Indices may be on the CPU (they are copied), and these copy between devices.
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
COPYING = {aten.copy_.default, aten._to_copy.default, aten.set_.source_Tensor}
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.is_nonzero.default,
}
ANSWERING = WAITING - {aten.nonzero.default, aten.masked_select.default}
WITHOUT_KERNEL = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
    aten.detach.default,
    aten.alias.default,
    aten._unsafe_view.default,
    aten.lift_fresh.default,
    aten._reshape_alias.default,
    aten.set_.source_Tensor,
    aten.set_.source_Storage,
}


class DeviceMix(RuntimeError):
    """Tensors or generators of two devices in one operation."""


class Counts:
    """What the device was asked to do.

    Attributes:
        kernels: number of launches by operation.
        waits, copies: where the host waited for the device, and where it copied to it.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start at zero."""
        self.kernels: collections.Counter[str] = collections.Counter()
        self.waits: list[str] = []
        self.copies: list[str] = []

    @property
    def launches(self) -> int:
        """Number of kernels."""
        return sum(self.kernels.values())


COUNTS = Counts()


class _Module(registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        """Draws on the device come from the CPU's generator."""
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        """The CPU's generator is set by itself."""


registration._setup_privateuseone_for_python_backend(KIND, backend_module=_Module())
DEVICE = torch.device(KIND, 0)


class Pretended(torch.Tensor):
    """A tensor on the device; `inner` is its data."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Pretended:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
            requires_grad=False,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self, **_: Any) -> str:
        return f"Pretended({self.inner!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "tolist":
            COUNTS.waits.append(f"tolist at {_place()}")
            return args[0].inner.tolist()
        if name in ("numpy", "__array__"):
            raise TypeError(f"can't convert a tensor of the device to numpy ({_place()})")
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


def _place() -> str:
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(ROOT)]
    ours = [frame for frame in frames if "/tests/support/" not in frame.filename and "/.venv/" not in frame.filename]
    return " < ".join(f"{frame.filename[len(ROOT) + 1 :]}:{frame.lineno}" for frame in ours[::-1][:3])


def _is_view(func: Any) -> bool:
    return any(a.alias_info is not None and not a.alias_info.is_write for a in func._schema.arguments)


def _writes(func: Any) -> bool:
    return any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)


def _check_devices(func: Any, args: Any, found: list[torch.Tensor]) -> None:
    """Raise `DeviceMix` where CUDA would: CPU tensors are allowed as indices and as single numbers."""
    bad = [tensor for tensor in found if not isinstance(tensor, Pretended)]
    first = args[0] if args else None
    written_on_cpu = _writes(func) and isinstance(first, torch.Tensor) and not isinstance(first, Pretended)
    if func in INDEXING and isinstance(first, Pretended):
        indices = {id(leaf) for leaf in tree_leaves(args[1])}
        if any(id(tensor) in indices for tensor in bad):
            COUNTS.copies.append(f"index at {_place()}")
        bad = [tensor for tensor in bad if id(tensor) not in indices and tensor.dim() > 0]
    elif torch.Tag.pointwise in func.tags and not written_on_cpu:
        bad = [tensor for tensor in bad if tensor.dim() > 0]
    if bad:
        raise DeviceMix(f"{func} of tensors on the device and on the CPU at {_place()}")


def _count(func: Any, args: Any, found: list[torch.Tensor], to_host: bool, to_device: bool) -> None:
    on_device = [tensor for tensor in found if isinstance(tensor, Pretended)]
    if func is aten.copy_.default and len(on_device) == 1:
        to_device, to_host = isinstance(args[0], Pretended), not isinstance(args[0], Pretended)
    if to_device:
        COUNTS.copies.append(f"{func} at {_place()}")
    masks = func is aten.index.Tensor and any(
        isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.bool, torch.uint8) for leaf in tree_leaves(args[1])
    )
    if to_host or masks or func in WAITING:
        COUNTS.waits.append(f"{func} at {_place()}")
    if func is aten.im2col.default:
        # CUDA launches one kernel an image.
        COUNTS.kernels[str(func)] += args[0].shape[0] - 1
    if not (to_host or func in WAITING or func in WITHOUT_KERNEL or _is_view(func)):
        COUNTS.kernels[str(func)] += 1


def _dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    wanted = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
    found = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    on_device = any(isinstance(tensor, Pretended) for tensor in found)
    if not on_device and wanted != KIND:
        return func(*args, **kwargs)
    if on_device and func not in COPYING:
        _check_devices(func, args, found)
    moving = func is aten._to_copy.default and wanted is not None
    to_host = moving and on_device and wanted == "cpu"
    to_device = moving and not on_device and wanted == KIND
    _count(func, args, found, to_host, to_device)

    inner_args, inner_kwargs = tree_map(
        lambda leaf: leaf.inner if isinstance(leaf, Pretended) else leaf, (args, kwargs)
    )
    if wanted == KIND:
        inner_kwargs["device"] = torch.device("cpu")
    result = func(*inner_args, **inner_kwargs)
    if to_host or wanted == "cpu" or func in ANSWERING:
        return result
    if _writes(func) and not _is_view(func):
        if "out" in kwargs:
            return kwargs["out"]
        if not func._schema.returns:
            return None
        if len(func._schema.returns) == 1 and not str(func).partition(".")[2].startswith("_foreach"):
            return args[0]
    return tree_map(
        lambda leaf: Pretended(leaf) if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Pretended) else leaf,
        result,
    )


class _DispatchMode(TorchDispatchMode):
    """Lets operations that only name the device create tensors on it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


class _FunctionMode(TorchFunctionMode):
    """What no dispatch shows: the device's number, generators of the wrong device, and tensors made of numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is not torch.device:
            args, kwargs = tree_map(_numbered, (args, kwargs))
        if kwargs.get("generator") is not None and func is not torch.device:
            tensor = next((leaf for leaf in args if isinstance(leaf, torch.Tensor)), None)
            kind = kwargs.get("device", "cpu" if tensor is None else tensor.device)
            # Generators here are all of the CPU.
            if torch.device(kind or "cpu").type == KIND:
                raise DeviceMix(f"a generator of the CPU draws on the device at {_place()}")
        name = getattr(func, "__name__", "")
        if name in ("tensor", "as_tensor", "new_tensor"):
            device = kwargs.get("device", args[0].device if name == "new_tensor" else None)
            if device is not None and torch.device(device).type == KIND:
                return self._made_of_numbers(name, args, kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _made_of_numbers(name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        data = args[1] if name == "new_tensor" else args[0]
        if isinstance(data, Pretended):
            return data
        if name == "new_tensor":
            kwargs.setdefault("dtype", args[0].dtype)
        COUNTS.copies.append(f"{name} at {_place()}")
        requires_grad = kwargs.pop("requires_grad", False)
        made = Pretended(torch.tensor(data, **{**kwargs, "device": "cpu"}))
        return made.requires_grad_(requires_grad)


def _numbered(leaf: Any) -> Any:
    return DEVICE if isinstance(leaf, torch.device | str) and str(leaf) == KIND else leaf


@contextlib.contextmanager
def pretended() -> Iterator[Counts]:
    """The device 'pretend' works inside; what it is asked to do is counted from zero."""
    COUNTS.reset()
    with torch.autograd.set_multithreading_enabled(False), _FunctionMode(), _DispatchMode():
        yield COUNTS
