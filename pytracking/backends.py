"""What computes a tracker's networks: torch, or ONNX Runtime on a CPU where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ltr.errors import MissingPackageError, UserError
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.export import ASCENT, EXTRACTION, AscentGraph, Graph, read_graphs
from ltr.models.tracking.extraction import Extraction, fold_batch_norm
from ltr.models.tracking.tracking_net import TrackingNet

BACKENDS = ("auto", "torch", "onnx")
GRAPHS_SUFFIX = ".graphs.zip"


class Backend(Protocol):
    """The parts of a tracker that are the same for every target."""

    @property
    def refiner(self) -> ClosedFormHead:
        """The ascent of boxes."""
        ...

    def extract(self, samples: Tensor) -> dict[str, Tensor]:
        """Features by name (`Extraction.names`), float32, of samples [n, 3, S, S] in 0..255."""
        ...


class TorchBackend:
    """Torch, with batch norm folded into convolutions.

    Args:
        network: in eval mode, on its device, for this alone: it is changed.
        size: side S of the samples.
        dtype: type of the backbone's arithmetic.
    """

    def __init__(self, network: TrackingNet, size: int, dtype: torch.dtype = torch.float32) -> None:
        fold_batch_norm(Extraction(network), torch.zeros(1, 3, size, size, device=network.get_buffer("_mean").device))
        network.feature_extractor.to(dtype)
        self._extraction = Extraction(network, dtype)
        self.refiner = ClosedFormHead(network.bb_regressor)

    def extract(self, samples: Tensor) -> dict[str, Tensor]:
        """See `Backend`."""
        return dict(zip(self._extraction.names, self._extraction(samples)))


class OnnxBackend:
    """ONNX Runtime on the CPU, in float32, with as many threads as torch has when it is made.

    Args:
        network: in eval mode, on the CPU, as the graphs were written.
        graphs: from `read_graphs`.
    """

    def __init__(self, network: TrackingNet, graphs: dict[str, Graph]) -> None:
        extraction = Extraction(network)
        self._names = extraction.names
        self._session = session(graphs[EXTRACTION], extraction)
        self.refiner = OnnxHead(network.bb_regressor, graphs[ASCENT])

    def extract(self, samples: Tensor) -> dict[str, Tensor]:
        """See `Backend`."""
        found = self._session.run(None, {"samples": samples.float().numpy()})
        return {name: torch.from_numpy(values) for name, values in zip(self._names, found)}


class OnnxHead(ClosedFormHead):
    """`ClosedFormHead` whose ascent of a graph's space and steps runs in ONNX Runtime; another runs in torch."""

    # A session is made for every number of cells, so there are few of them.
    cells_granule = 2

    def __init__(self, head: BoxHead, graph: Graph) -> None:
        super().__init__(head)
        self._graph = graph
        facts = graph.facts
        self._module = [AscentGraph(self, facts["space"], facts["steps"])]
        self._sessions: dict[tuple[int, ...], Any] = {}

    def climb(
        self,
        parts: Sequence[Tensor],
        modulation: Sequence[Tensor] | None,
        places: Sequence[Tensor],
        first: Tensor,
        within: Tensor,
        starts: Tensor,
        unit: Tensor,
        *,
        step_length: float | tuple[float, float] = 0.0,
        **options: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `ClosedFormHead.climb`."""
        plain = {"decay": 1.0, "per_box_step_control": False, **self._graph.facts}
        if modulation is None or any(plain.get(name, value) != value for name, value in options.items()):
            return super().climb(
                parts, modulation, places, first, within, starts, unit, step_length=step_length, **options
            )
        centre, size = step_length if isinstance(step_length, tuple) else (step_length, step_length)
        lengths = torch.tensor([centre, centre, size, size])
        values = (*parts, *modulation, *places, first, within, starts, unit, lengths)
        feed = {name: value.contiguous().numpy() for name, value in zip(self._module[0].inputs(), values)}
        sizes = (*starts.shape[:2], len(within))
        if sizes not in self._sessions:
            self._sessions[sizes] = session(self._graph, self._module[0], dict(zip(("N", "M", "cells"), sizes)))
        boxes, scores, visited = map(torch.from_numpy, self._sessions[sizes].run(None, feed))
        return boxes, scores, visited


def session(graph: Graph, module: nn.Module, sizes: dict[str, int] | None = None) -> Any:
    """A session of ONNX Runtime for a graph, with the weights of the module that it was made from.

    Args:
        sizes: dimensions that are fixed from now on, by name.

    Raises:
        UserError: the module has not the graph's weights.
        MissingPackageError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("backend 'onnx' needs ONNX Runtime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait in a loop for the next frame would take the cores from torch's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, value in (sizes or {}).items():
        options.add_free_dimension_override_by_name(name, value)
    state = module.state_dict()
    missing = [name for name in graph.weights if name not in state]
    if missing:
        raise UserError(f"the graph was written for another network: this one has no {missing[0]}")
    values = [np.ascontiguousarray(state[name].numpy()) for name in graph.weights]
    options.add_external_initializers(graph.weights, [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in values])
    return onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])


def graphs_beside(checkpoint: Path) -> Path:
    """The file of graphs that belongs to a checkpoint, whether or not it is there."""
    return checkpoint.with_name(checkpoint.stem + GRAPHS_SUFFIX)


def choose_backend(
    name: str,
    network: TrackingNet,
    device: torch.device,
    *,
    size: int,
    dtype: str = "float32",
    graphs: Path | None = None,
) -> Backend:
    """The back end of a name in `BACKENDS`.

    Args:
        network: in eval mode, on the device, for the back end alone.
        size: side of the samples in pixels.
        dtype: type of the backbone's arithmetic, a name of torch's.
        graphs: file of the network's graphs, if there is one.

    Raises:
        UserError: 'onnx' is asked for where it cannot be.
    """
    if name != "torch":
        hindrance = _hindrance(device, size, dtype, graphs)
        if hindrance is None and graphs is not None:
            return OnnxBackend(network, read_graphs(graphs))
        if name == "onnx":
            raise UserError(f"parameter backend is 'onnx', but {hindrance}")
    return TorchBackend(network, size, getattr(torch, dtype))


def _hindrance(device: torch.device, size: int, dtype: str, graphs: Path | None) -> str | None:
    """Why ONNX Runtime cannot compute a tracker's networks; None where it can."""
    if device.type != "cpu":
        return f"it runs on the CPU here, not on {device}; set backend='torch' or device='cpu'"
    if dtype != "float32":
        return f"it computes in float32, not in {dtype}; set backend='torch' or feature_dtype='float32'"
    if find_spec("onnxruntime") is None:
        return "ONNX Runtime is not installed: pip install onnxruntime"
    if graphs is None or not graphs.is_file():
        return f"there are no graphs ({graphs}): write them by python -m pytracking export"
    exported = read_graphs(graphs)[EXTRACTION].facts["size"]
    if exported != size:
        return f"{graphs} is for samples of {exported} pixels, not {size}: export again"
    return None
