"""Networks on disk: safetensors with the constructor in the header and a JSON card beside. Reading executes nothing.

`load_network` reads PyTracking's checkpoints too (`ltr.admin.public_checkpoint`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltr.admin.files import whole_file, write_json
from ltr.admin.inputs import read_object
from ltr.admin.model_constructor import NetworkConstructor, plain_argument
from ltr.admin.public_checkpoint import load_public_checkpoint
from ltr.admin.torch_file import check_torch_file, is_torch_file, is_torch_zip, load_checked
from ltr.errors import CheckpointError, UserError
from ltr.models.tracking.tracking_net import TrackingNet

FORMAT = "ebm-tracking-1"
# That of a network of 1000 tensors has 100 kB.
_MAX_HEADER_BYTES = 4 * 2**20
_LARGEST_SETTING = 10_000


def card_path(path: str | Path) -> Path:
    """Where the JSON card of a checkpoint lies: `model.safetensors` -> `model.json`."""
    return Path(path).with_suffix(".json")


def save_network(
    path: str | Path,
    net: nn.Module,
    constructor: NetworkConstructor,
    card: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    tracking: dict[str, Any] | None = None,
) -> None:
    """Write a network and its card.

    Args:
        path: ends in `.safetensors`.
        net: its state dict is stored; floating-point tensors as `dtype`.
        constructor: how to build the network again.
        card: facts for a reader (recipe, data, licences, seed, figures); written as `<stem>.json`.
        tracking: parameters of a tracker, set as in training (`Recipe.tracking_settings`), for `tracking_settings`.

    Raises:
        OSError: nothing is left half-written.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        stored = value.detach().cpu()
        tensors[name] = (stored.to(dtype) if stored.is_floating_point() else stored).contiguous().clone()
    described = {"constructor": asdict(constructor), "input": input_normalisation(net)}
    if tracking is not None:
        described["tracking"] = tracking
    metadata = {"format": FORMAT, **{key: json.dumps(value) for key, value in described.items()}}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    if card is not None:
        write_json(card_path(path), {**described, **card})


def input_normalisation(net: nn.Module) -> dict[str, Any] | None:
    """How a tracking network wants its images: (x / `scale` - `mean`) / `std`, RGB; None for any other module."""
    if not isinstance(net, TrackingNet):
        return None
    extractor = net.feature_extractor
    return {"channels": "RGB", "scale": 255, "mean": list(extractor.input_mean), "std": list(extractor.input_std)}


def read_header(path: str | Path, format_name: str = FORMAT) -> dict[str, Any]:
    """The header of a safetensors file of ours, each entry parsed from its JSON.

    Args:
        format_name: format that the header must state.

    Raises:
        CheckpointError: no such file, cut off, another format, or a header that is too large or too deep.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        if length > _MAX_HEADER_BYTES:
            raise CheckpointError(f"{path} is not a checkpoint: its header would have {length} bytes")
        with safe_open(path, framework="pt", device="cpu") as stored:
            metadata = stored.metadata() or {}
        if metadata.get("format") != format_name:
            raise CheckpointError(
                f"{path} is a safetensors file but not a checkpoint of this project: its header has format "
                f"{str(metadata.get('format'))[:40]!a}, wanted {format_name!r}"
            )
        return {key: json.loads(text) for key, text in metadata.items() if key != "format"}
    except CheckpointError:
        raise
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of this project (safetensors with a '{format_name}' header), or it is cut "
            f"off: {type(error).__name__}: {ascii(str(error))[1:-1][:200]}"
        ) from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file whose header `read_header` has passed."""
    with safe_open(path, framework="pt", device="cpu") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118


def tracking_settings(path: str | Path) -> dict[str, Any]:
    """What a tracker must set as training did, from a network's header, and what its card alone says; `{}` for neither.

    Returns:
        Names of tracker parameters with numbers, strings, or tuples of numbers.

    Raises:
        CheckpointError: a value of another kind, or a header or card that cannot be read.
    """
    if not Path(path).is_file() or is_torch_file(path):
        return {}
    found: dict[str, Any] = {}
    for source in (read_card(path), read_header(path)):
        stated = source.get("tracking", {})
        if type(stated) is not dict:
            raise CheckpointError(f"{path}: its 'tracking' is a {type(stated).__name__}, not a dict")
        found |= {key: _tracking_value(path, key, value) for key, value in stated.items()}
    return found


def _tracking_value(path: str | Path, key: str, value: Any) -> Any:
    if type(value) in (str, bool) or (type(value) in (int, float) and abs(value) <= _LARGEST_SETTING):
        return value
    if type(value) is list and len(value) <= 8 and all(type(item) in (int, float) for item in value):
        return tuple(value)
    raise CheckpointError(f"{path}: 'tracking' gives {key[:40]!a} a value that is no number up to {_LARGEST_SETTING}")


def read_card(path: str | Path) -> dict[str, Any]:
    """The card beside a checkpoint, `{}` where there is none.

    Raises:
        CheckpointError: it is no JSON object, or larger or deeper than a card is.
    """
    card = card_path(path)
    try:
        return read_object(card, CheckpointError, _MAX_HEADER_BYTES) if card.is_file() else {}
    except CheckpointError as error:
        raise CheckpointError(f"{error}; it is read as the card of {Path(path).name}") from None


def read_checkpoint(path: str | Path) -> tuple[NetworkConstructor, nn.Module]:
    """Which network a checkpoint holds, ours or PyTracking's (its content says which), and the network itself.

    Returns:
        The network is float32, in eval mode, on the CPU.

    Raises:
        CheckpointError: no such file, not a checkpoint, cut off, an unknown constructor, or weights that do not fit.
    """
    path = Path(path)
    if is_torch_file(path):
        public = load_public_checkpoint(path)
        return public.constructor, build_network(path, public.constructor, public.state_dict)
    header = read_header(path)
    stated: Any = header.get("constructor")
    try:
        kinds = {key: type(value) for key, value in stated.items()} if type(stated) is dict else {}
        if kinds != {"name": str, "arguments": dict}:
            raise UserError("its header states no constructor, a name and a dict of arguments")
        arguments = {key: plain_argument(key, value) for key, value in stated["arguments"].items()}
        constructor = NetworkConstructor(stated["name"], arguments)
    except UserError as error:
        raise CheckpointError(f"{path} is not a checkpoint of this project: {error}") from error
    net = build_network(path, constructor, read_tensors(path))
    if header.get("input") is not None and header["input"] != input_normalisation(net):
        raise CheckpointError(
            f"{path} wants its images normalised in another way than '{constructor.name}' does: "
            f"{input_normalisation(net)}"
        )
    return constructor, net


def build_network(path: str | Path, constructor: NetworkConstructor, tensors: dict[str, Tensor]) -> nn.Module:
    """A network with weights, in float32 and eval mode; `path` is where they come from, for messages.

    Raises:
        CheckpointError: an unknown constructor, or weights that do not fit.
    """
    try:
        net = constructor.build(backbone_pretrained=False)
        check_weights(net, tensors)
        floats = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
        net.load_state_dict(floats, strict=True)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit the network it names, '{constructor.name}': {error}") from error
    return net.eval()


def check_weights(net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Compare names and shapes with a network's own.

    Raises:
        ValueError: names the first tensor of each kind that is missing, too many or of another shape.
    """
    wanted = net.state_dict()
    # Files of torch before 0.4.1 have no counters; torch sets them to zero.
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in wanted]
    shapes = [name for name in tensors if name in wanted and tensors[name].shape != wanted[name].shape]
    problems = []
    if missing:
        problems.append(f"{len(missing)} tensors are missing, the first is '{missing[0]}'")
    if unknown:
        problems.append(f"{len(unknown)} tensors are unknown, the first is {unknown[0][:100]!a}")
    if shapes:
        first = shapes[0]
        problems.append(
            f"{len(shapes)} tensors have another shape, the first is '{first}': {list(tensors[first].shape)} "
            f"instead of {list(wanted[first].shape)}"
        )
    if problems:
        raise UserError("; ".join(problems))


def load_network(path: str | Path) -> nn.Module:
    """The network of `read_checkpoint`: float32, in eval mode, on the CPU. Raises `CheckpointError` as it does."""
    return read_checkpoint(path)[1]


def load_training_state(path: str | Path) -> dict[str, Any]:
    """Read a training checkpoint (tensors, numbers, strings and containers only; nothing is executed).

    Raises:
        CheckpointError: missing, cut off, or holding anything else.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"there is no training checkpoint at {path}")
    # torch up to 2.5 can be made to execute the older formats although weights_only is set (CVE-2025-32434).
    if not is_torch_zip(path):
        raise CheckpointError(f"{path} is not a training checkpoint of this project, or it is cut off")
    try:
        check_torch_file(path)
        state = load_checked(path)
    except CheckpointError as error:
        raise CheckpointError(f"this is not a training checkpoint of this project: {error}") from error
    if type(state) is not dict or type(state.get("format")) is not str or state["format"] != FORMAT:
        raise CheckpointError(f"{path} is not a training checkpoint of this project")
    return state


def save_training_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write a training checkpoint whole; `state` holds tensors, numbers, strings and containers.

    Raises:
        OSError: the disk is full, say; the message names the file, and an older one of that name is untouched.
    """
    try:
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **state}, file)
    except (OSError, RuntimeError) as error:
        # torch's writer hides a failed write behind an error of its own.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise OSError(f"{path} cannot be written: {cause.strerror}") from error
