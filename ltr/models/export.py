"""Networks as ONNX graphs without weights, for ONNX Runtime: the weights are put in from the checkpoint on loading.

So a graph is small, and it serves every training of the same network; but one in 8 bits holds its weights, and is for
them alone. Writing one needs the package `onnx`, reading one does not. A file of graphs is a zip archive: an index says
what each needs, in the order of its inputs.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ltr.admin.files import whole_file
from ltr.errors import MissingPackageError, UserError
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.bbreg.windowed_energy import Cells, Windowed
from ltr.models.tracking.extraction import Extraction, fold_batch_norm
from ltr.models.tracking.tracking_net import TrackingNet

EXTRACTION, EXTRACTION_INT8, ASCENT = "extraction", "extraction_int8", "ascent"
# What graphs take and give; files of another format are refused.
FORMAT = 3
_INDEX = f"graphs{FORMAT}.json"
_OPSET = 18


@dataclass(frozen=True)
class Graph:
    """A graph without weights.

    Attributes:
        model: the ONNX file's bytes.
        weights: names of the tensors, of the module's state dict, that are put in on loading.
        facts: what the graph was made for: side of the crops in pixels, or the ascent's space, number of steps and
            decay; with weights in it, their checksum (`weights_checksum`).
    """

    model: bytes
    weights: list[str]
    facts: dict[str, Any]


class AscentGraph(nn.Module):
    """`ClosedFormHead.climb` of one image with its options fixed, and all inputs in one row."""

    def __init__(self, head: ClosedFormHead, space: str, steps: int, decay: float) -> None:
        super().__init__()
        self.head, self.space, self.steps, self.decay = head, space, steps, decay

    def inputs(self) -> dict[str, dict[int, str]]:
        """Names of the inputs and of their dimensions that may change."""
        levels = range(len(self.head.levels))
        return {
            **{f"part_{k}": {2: f"height_{k}", 3: f"width_{k}"} for k in levels},
            **{f"inside_{k}": {2: f"inner_height_{k}", 3: f"inner_width_{k}"} for k in levels},
            **{f"modulation_{k}": {} for k in levels},
            **{f"columns_{k}": {2: f"columns_{k}"} for k in levels},
            **{f"lines_{k}": {2: f"lines_{k}"} for k in levels},
            "shift": {},
            "starts": {1: "M"},
            "unit": {},
            "within": {0: "cells"},
            "places": {0: "places"},
            **{name: {0: "places", 1: "cells"} for name in ("rise", "bend", "half_bend")},
            "step_length": {},
        }

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(boxes [1, M, 4], scores [1, M], all boxes that were scored [T, 1, M, 4])."""
        count = len(self.head.levels)
        parts, inside, modulation, columns, lines = (inputs[k * count : (k + 1) * count] for k in range(5))
        shift, starts, unit, *cells, step_length = inputs[5 * count :]
        return self.head.climb(
            Windowed(parts, inside, modulation, columns, lines, shift, Cells(*cells)), starts, unit,
            space=self.space, steps=self.steps, step_length=step_length, decay=self.decay,
        )  # fmt: skip


def write_graphs(
    net: TrackingNet,
    path: Path,
    *,
    size: int,
    ascents: Iterable[tuple[str, int, float]],
    examples: Sequence[Tensor] = (),
) -> None:
    """Write the graphs of a tracker's network.

    Args:
        net: in eval mode, on the CPU, in float32.
        size: side of the crops in pixels.
        ascents: space, number of steps and decay (`gradient_ascent`) of each ascent.
        examples: crops [1, 3, size, size] in 0..255 as the tracker will see, for a graph of the extraction in 8 bits,
            which is made for the ranges that features have in them; without any there is no such graph.

    Raises:
        UserError: the package `onnx` is not installed, or for `examples` `onnxruntime`.
    """
    extraction = Extraction(net)
    samples = torch.zeros(1, 3, size, size)
    recorder = _Recorder(net.bb_regressor)
    with torch.no_grad():
        layers = extraction(samples)[: len(recorder.levels)]
        starts = torch.tensor([[[size / 2, size / 2, size / 5, size / 5]]]) * torch.ones(1, 3, 1)
        modulation = net.bb_regressor.get_modulation(layers, starts[:, 0])
        recorder.refine(modulation, layers, starts, steps=1, step_length=0.0)
    example = (*recorder.seen, torch.zeros(4))
    features = {name: {0: "N"} for name in extraction.names}
    outputs = {"boxes": {1: "M"}, "scores": {1: "M"}, "visited": {2: "M"}}
    graphs = {EXTRACTION: _graph(extraction, (samples,), extraction.inputs, features, {"size": size})}
    for space, steps, decay in ascents:
        ascent = AscentGraph(recorder, space, steps, decay)
        facts = {"space": space, "steps": steps, "decay": decay}
        graphs[ascent_name(space, steps, decay)] = _graph(ascent, example, ascent.inputs(), outputs, facts)
    if examples:
        facts = {"size": size, "weights": weights_checksum(net)}
        graphs[EXTRACTION_INT8] = Graph(_in_8_bits(net, examples, features), [], facts)
    index = {name: {"weights": graph.weights, "facts": graph.facts} for name, graph in graphs.items()}
    contents = {f"{name}.onnx": graph.model for name, graph in graphs.items()}
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {_INDEX: json.dumps(index).encode(), **contents}.items():
            # Without the time of day, so that the same graphs are the same file.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)


def ascent_name(space: str, steps: int, decay: float) -> str:
    """Name of an ascent's graph in its file."""
    return f"{ASCENT}_{space}_{steps}" + (f"_{decay:g}" if decay != 1 else "")


def read_graphs(path: Path) -> dict[str, Graph]:
    """The graphs of a file by name.

    Raises:
        UserError: no file of graphs, or one of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read(_INDEX))
            return {
                name: Graph(archive.read(f"{name}.onnx"), entry["weights"], entry["facts"])
                for name, entry in index.items()
            }
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is no file of graphs of format {FORMAT} ({error}): python -m pytracking export NAME writes one"
        ) from error


def weights_checksum(net: nn.Module) -> str:
    """SHA-256 of all parameters and buffers of a network on the CPU."""
    found = hashlib.sha256()
    for name, values in net.state_dict().items():
        found.update(name.encode() + values.contiguous().numpy().tobytes())
    return found.hexdigest()


def _in_8_bits(net: TrackingNet, examples: Sequence[Tensor], outputs: Mapping[str, Mapping[int, str]]) -> bytes:
    """The extraction as a model with its weights, which computes convolutions, and what lies between them, in int8."""
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.quant_utils import add_pre_process_metadata
    except ImportError as error:
        raise MissingPackageError("a graph in 8 bits needs ONNX Runtime: pip install onnxruntime") from error
    import onnx

    class Examples(quantization.CalibrationDataReader):
        left = iter(examples)

        def get_next(self) -> dict[str, Any] | None:
            sample = next(self.left, None)
            return None if sample is None else {"samples": sample.numpy()}

    extraction = Extraction(deepcopy(net))
    fold_batch_norm(extraction, examples[0])
    model = as_onnx(extraction, (examples[0],), extraction.inputs, outputs)
    constant = {tensor.name for tensor in model.graph.initializer}
    constant |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    kinds = ("Conv", "Clip", "Relu", "MaxPool", "Add")
    # A constant is added to what the features are divided by, which is no map.
    chosen = [each for each in model.graph.node if each.op_type in kinds]
    chosen = [each.name for each in chosen if each.op_type != "Add" or not constant & set(each.input)]
    add_pre_process_metadata(model)
    with TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model,
            made,
            Examples(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(kinds),
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(made)
    _shorten_names(model.graph)
    return bytes(model.SerializeToString())


class _Recorder(ClosedFormHead):
    """Notes what `climb` is given, as an example of a graph's inputs."""

    seen: tuple[Tensor, ...]

    def climb(self, windowed: Windowed, starts: Tensor, unit: Tensor, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
        parts, inside, modulation, columns, lines, shift, cells = windowed
        self.seen = (*parts, *inside, *(modulation or ()), *columns, *lines, shift, starts, unit, *cells)
        return super().climb(windowed, starts, unit, **options)


def as_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Mapping[str, Mapping[int, str]],
    outputs: Mapping[str, Mapping[int, str]],
) -> Any:
    """A module as an ONNX model (`onnx.ModelProto`), with its weights.

    Args:
        example: of its inputs.
        inputs, outputs: their names in order, and of each the dimensions that may change by their names.

    Raises:
        UserError: the package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError("writing ONNX graphs needs the package onnx: pip install onnx") from error
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter warns of every shape that it takes for constant; the tests compare what comes of it.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            # As they are, so that weights keep their names and values.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in {**inputs, **outputs}.items()},
            opset_version=_OPSET,
        )
    return onnx.load_from_string(buffer.getvalue())


def _graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Mapping[str, Mapping[int, str]],
    outputs: Mapping[str, Mapping[int, str]],
    facts: dict[str, Any],
) -> Graph:
    model = as_onnx(module, example, inputs, outputs)
    state = module.state_dict()
    weights = []
    for tensor in model.graph.initializer:
        if tensor.name in state:
            weights.append(tensor.name)
            _take_out(tensor, state[tensor.name])
    _shorten_names(model.graph)
    return Graph(model.SerializeToString(), weights, facts)


def _take_out(tensor: Any, values: Tensor) -> None:
    """Leave of a stored tensor its name, type and shape."""
    tensor.ClearField("raw_data")
    tensor.data_location = type(tensor).EXTERNAL
    for key, value in {"location": "checkpoint", "offset": 0, "length": values.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))


def _shorten_names(graph: Any) -> None:
    """Number what lies between inputs and outputs: the exporter's names are most of a graph without weights."""
    kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    short: dict[str, str] = {}
    for node in graph.node:
        node.name = node.doc_string = ""
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name and name not in kept:
                    names[place] = short.setdefault(name, f"t{len(short)}")
