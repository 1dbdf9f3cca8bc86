"""What computes a tracker's networks: torch, eager, compiled or recorded, or on a CPU ONNX Runtime or OpenVINO."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ltr.actors.energy import PRECISIONS, has_bf16
from ltr.admin.paths import cache_folder
from ltr.errors import MissingPackageError, UserError
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.bbreg.device_ascent import Recorded
from ltr.models.bbreg.windowed_energy import Windowed
from ltr.models.export import (
    EXTRACTION,
    EXTRACTION_INT8,
    FORMAT,
    AscentGraph,
    Graph,
    ascent_name,
    read_graphs,
    weights_checksum,
    write_graphs,
)
from ltr.models.tracking.dimpnet import FEATURE_STRIDE
from ltr.models.tracking.extraction import Extraction, fold_batch_norm
from ltr.models.tracking.tracking_net import TrackingNet

if TYPE_CHECKING:
    from pytracking.tracker.shared.settings import TrackerParameters

BACKENDS = ("auto", "torch", "onnx", "openvino", "compile", "cuda_graphs")
GRAPHS_SUFFIX = ".graphs.zip"
# What the engines of graphs need.
_PACKAGES = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime",)}


class Backend(Protocol):
    """The parts of a tracker that are the same for every target."""

    @property
    def refiner(self) -> ClosedFormHead:
        """The ascent of boxes."""

    def search(self) -> AbstractContextManager[None]:
        """In which targets are found in a frame; learning from it is torch's alone."""

    def extract(self, samples: Tensor) -> dict[str, Tensor]:
        """Features by name (`Extraction.names`), float32, of samples [n, 3, S, S] in 0..255."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads within, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TorchBackend:
    """Torch, with batch norm folded into convolutions.

    Args:
        network: in eval mode, on its device, for this alone: it is changed.
        size: side S of the samples.
        dtype: type of the backbone's arithmetic.
        way: 'torch', 'compile' (by torch.compile, in the first frames) or 'cuda_graphs' (`Recorded`).
    """

    def __init__(self, network: TrackingNet, size: int, dtype: torch.dtype = torch.float32, way: str = "torch") -> None:
        fold_batch_norm(Extraction(network), torch.zeros(1, 3, size, size, device=network.get_buffer("_mean").device))
        network.feature_extractor.to(dtype)
        extraction = Extraction(network, dtype)
        self._names = extraction.names
        self._extract: Callable[[Tensor], tuple[Tensor, ...]] = extraction
        if way == "compile":
            # Weights that cannot change are laid out for the processor once.
            self._extract = torch.compile(extraction, options={"freezing": True})
        elif way == "cuda_graphs":
            # Of a function: a module would itself be changed.
            self._extract = Recorded(extraction.forward)
        self.refiner = ClosedFormHead(network.bb_regressor)

    def search(self) -> AbstractContextManager[None]:
        """See `Backend`."""
        return nullcontext()

    def extract(self, samples: Tensor) -> dict[str, Tensor]:
        """See `Backend`."""
        # The first stages' features of one sample stay in a CPU's cache, those of many do not.
        parts = samples.split(1) if samples.device.type == "cpu" else [samples]
        return dict(zip(self._names, map(_joined, zip(*(self._extract(part) for part in parts)))))


def _joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Parts as one tensor; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


# What computes a graph's outputs of its inputs by name, others being left aside.
Session = Callable[[dict[str, np.ndarray]], list[np.ndarray]]
# Makes a session for a graph and a module with its weights, with so many threads.
Sessions = Callable[[Graph, nn.Module, int], Session]


class GraphBackend:
    """Engines for graphs on the CPU, with as many threads as torch has when it is made.

    Args:
        network: in eval mode, on the CPU, as the graphs were written.
        graphs: from `read_graphs`.
        sessions: of the engine that extracts features, `onnx_session` or `openvino_session`.
        ascents: of the engine that boxes climb in; None for torch.
        extraction: which graph extracts the features.

    Raises:
        UserError: graphs of another network, or in 8 bits of other weights.
    """

    def __init__(
        self,
        network: TrackingNet,
        graphs: dict[str, Graph],
        sessions: Sessions,
        ascents: Sessions | None,
        extraction: str = EXTRACTION,
    ) -> None:
        graph, module = graphs[extraction], Extraction(network)
        if graph.facts.get("weights") not in (None, weights_checksum(network)):
            raise UserError("the graph in int8 was written for other weights: python -m pytracking export NAME --int8")
        self._names = module.names
        self._session = sessions(graph, module, torch.get_num_threads())
        head = network.bb_regressor
        self.refiner = ClosedFormHead(head) if ascents is None else GraphHead(head, graphs, ascents)

    @contextmanager
    def search(self) -> Iterator[None]:
        """See `Backend`."""
        # Small operations cost less than in `no_grad` alone. Torch's threads go on waiting in a loop after its work,
        # and would take the cores from the engine's.
        with torch.inference_mode(), torch_threads(1):
            yield

    def extract(self, samples: Tensor) -> dict[str, Tensor]:
        """See `Backend`."""
        # One by one, for the CPU's cache.
        parts = [self._session({"samples": part}) for part in samples.float()[:, None].numpy()]
        return {name: _joined(list(map(torch.from_numpy, values))) for name, values in zip(self._names, zip(*parts))}


class GraphHead(ClosedFormHead):
    """`ClosedFormHead` whose ascents of the graphs' spaces and steps run in another engine; others run in torch."""

    # These engines take any size as it comes.
    part_granule = 1

    def __init__(self, head: BoxHead, graphs: dict[str, Graph], sessions: Sessions) -> None:
        super().__init__(head)
        self._graphs, self._make_session, self._threads = graphs, sessions, torch.get_num_threads()
        self._sessions: dict[str, tuple[list[str], Session]] = {}

    def climb(
        self,
        windowed: Windowed,
        starts: Tensor,
        unit: Tensor,
        *,
        step_length: float | tuple[float, float] = 0.0,
        **options: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `ClosedFormHead.climb`."""
        kind = options.get("space", "relative"), options["steps"], options.get("decay", 1.0)
        name = ascent_name(*kind)
        parts, inside, modulation, columns, lines, shift, cells = windowed
        if modulation is None or name not in self._graphs or options.get("per_box_step_control"):
            return super().climb(windowed, starts, unit, step_length=step_length, **options)
        centre, size = step_length if isinstance(step_length, tuple) else (step_length, step_length)
        lengths = np.array([centre, centre, size, size], np.float32)
        if name not in self._sessions:
            module = AscentGraph(self, *kind)
            made = self._make_session(self._graphs[name], module, self._threads)
            self._sessions[name] = list(module.inputs()), made
        inputs, session = self._sessions[name]
        heights = [part.shape[2] - 2 * reach for part, reach in zip(parts, self.reach)]
        given = [each.numpy() for each in (*parts, *inside, *modulation, *columns)]
        rows = np.arange(len(starts))[:, None, None]
        given += [line.numpy() - rows * height for line, height in zip(lines, heights)]
        given += [each.numpy() for each in (shift, starts, unit)]
        tables = [each.numpy() for each in cells]
        found = []
        for image in range(len(starts)):
            values = [*(each[image : image + 1] for each in given), *tables, lengths]
            feed = dict(zip(inputs, map(np.ascontiguousarray, values)))
            found.append([torch.from_numpy(each) for each in session(feed)])
        boxes, scores, visited = zip(*found)
        return _joined(boxes), _joined(scores), _joined(visited, 1)


def onnx_session(graph: Graph, module: nn.Module, threads: int) -> Session:
    """A session of ONNX Runtime for a graph, with the weights of the module that it was made from.

    Raises:
        UserError: the module has not the graph's weights.
        MissingPackageError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            "backend 'onnx' needs ONNX Runtime: pip install onnxruntime, or 'ebm-tracking[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait in a loop gain little on a quiet machine, and lose much on a busy one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(values) for values in _weights_of(graph, module)]
    options.add_external_initializers(graph.weights, values)
    engine = onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
    inputs = [entry.name for entry in engine.get_inputs()]
    return lambda feed: engine.run(None, {name: feed[name] for name in inputs})


def openvino_session(
    graph: Graph, module: nn.Module, threads: int, size: int | None = None, precision: str = "fp32"
) -> Session:
    """The same in OpenVINO.

    Args:
        size: side S of samples [1, 3, S, S], which are its only input; None for inputs of any size, which are slower.
        precision: of its arithmetic, 'bf16' or else fp32 but where the graph is in int8.

    Raises:
        UserError: as `onnx_session`.
        MissingPackageError: the packages `openvino` and `onnx` are not both installed.
    """
    try:
        import onnx
        import openvino
    except ImportError as error:
        raise MissingPackageError(
            "backend 'openvino' needs two packages: pip install openvino onnx, or 'ebm-tracking[openvino]'"
        ) from error
    model = onnx.load_from_string(graph.model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, values in zip(graph.weights, _weights_of(graph, module)):
        stored[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        # Trackers in several processes would all take the first core.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    core = _core_of(openvino)
    read = core.read_model(model.SerializeToString())
    if size is not None:
        read.reshape([1, 3, size, size])
    request = core.compile_model(read, "CPU", settings).create_infer_request()
    inputs = [entry.any_name for entry in request.model_inputs]

    def run(feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return list(request.infer({name: feed[name] for name in inputs}, share_inputs=True).values())

    return run


@cache
def _core_of(openvino: Any) -> Any:
    """The engine of the module `openvino`: one for the whole process, to the end.

    Each sets the stack that signals are handled on (`sigaltstack`), and puts back the one before when it goes: where
    two go in the order that they came, the stack that is left is none, and the next signal ends the process.
    """
    return openvino.Core()


def _weights_of(graph: Graph, module: nn.Module) -> list[np.ndarray]:
    """What the graph takes from the module. Raises `UserError` if the module has not all of it."""
    state = module.state_dict()
    missing = [name for name in graph.weights if name not in state]
    if missing:
        raise UserError(f"the graph was written for another network: this one has no {missing[0]}")
    return [np.ascontiguousarray(state[name].numpy()) for name in graph.weights]


def graphs_beside(checkpoint: Path) -> Path:
    """The file of graphs that belongs to a checkpoint, whether or not it is there."""
    return checkpoint.with_name(checkpoint.stem + GRAPHS_SUFFIX)


def ascent_of(params: TrackerParameters) -> tuple[str, int, float]:
    """What `write_graphs` asks of a tracker's ascent."""
    return params.box_refinement_space, params.box_refinement_iter, params.box_refinement_step_decay


def find_graphs(params: TrackerParameters, network: TrackingNet, checkpoint: Path, weights_sha256: str) -> Path | None:
    """The graphs for a checkpoint and a tracker's parameters: beside it, or in the user's cache; None without.

    Where the parameters ask for an engine of graphs and there are none, they are written into the cache, if the package
    `onnx` is installed. Files in the cache go by the weights' checksum and the parameters.
    """
    if params.backend in ("torch", "compile", "cuda_graphs"):
        return None
    beside = graphs_beside(checkpoint)
    if beside.is_file() and _fits(read_graphs(beside), params.image_sample_size):
        return beside
    facts = params.image_sample_size, *ascent_of(params)
    cached = cache_folder() / "graphs" / ("-".join(map(str, (weights_sha256[:16], *facts, FORMAT))) + GRAPHS_SUFFIX)
    if not cached.is_file():
        if params.backend == "auto" or find_spec("onnx") is None:
            return beside if beside.is_file() else None
        write_graphs(network, cached, size=facts[0], ascents=[facts[1:]])
    return cached


def choose_backend(
    name: str,
    network: TrackingNet,
    device: torch.device,
    *,
    size: int,
    precision: str = "fp32",
    graphs: Path | None = None,
) -> Backend:
    """The back end of a name in `BACKENDS`.

    Args:
        network: in eval mode, on the device, for the back end alone.
        size: side of the samples in pixels.
        precision: of the backbone's arithmetic, 'int8' or a name in `PRECISIONS`.
        graphs: file of the network's graphs, if there is one.

    Raises:
        UserError: a back end where it cannot be, or a precision that the device would be slower with.
    """
    _check_precision(precision, device)
    hindrance: str | None = f"'{name}' does not compute in it: set backend='auto'"
    for engine in ["onnx"] if name == "auto" else [name] if name in _PACKAGES else []:
        hindrance = _hindrance(engine, device, size, precision, graphs)
        if hindrance is None and graphs is not None:
            fixed = partial(openvino_session, size=size, precision=precision)
            sessions = fixed if engine == "openvino" else onnx_session
            ascents = onnx_session if find_spec("onnxruntime") else None
            extraction = EXTRACTION_INT8 if precision == "int8" else EXTRACTION
            return GraphBackend(network, read_graphs(graphs), sessions, ascents, extraction)
        if name != "auto":
            raise UserError(f"parameter backend is '{name}', but {hindrance}")
    if precision == "int8":
        raise UserError(f"parameter precision is 'int8', but {hindrance}")
    if name == "cuda_graphs" and not _records(device):
        raise UserError(f"parameter backend is 'cuda_graphs', but '{device}' is no NVIDIA GPU: set backend='auto'")
    if name == "compile" and device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
        raise UserError(
            "parameter backend is 'compile', but torch.compile finds no C++ compiler: install g++ or clang++"
        )
    return TorchBackend(network, size, PRECISIONS[precision], "torch" if name == "auto" else name)


def _records(device: torch.device) -> bool:
    """Whether there are CUDA graphs on a device."""
    return device.type == "cuda"


def _check_precision(precision: str, device: torch.device) -> None:
    """Raise `UserError` where the device has no arithmetic of its own for a precision, and would be slower."""
    if precision == "bf16" and device.type == "cpu" and not has_bf16():
        raise UserError(
            "precision 'bf16' is no faster on this processor, which has neither AVX512-BF16 nor AMX: set 'fp32'"
        )
    if precision == "fp16" and device.type == "cpu":
        raise UserError("precision 'fp16' is slower than 'fp32' on a CPU: set 'fp32', or 'bf16' if it is a recent one")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            "precision 'bf16' is slower than 'fp32' on this GPU, which only emulates it: set 'fp16' or 'fp32'"
        )


def _hindrance(engine: str, device: torch.device, size: int, precision: str, graphs: Path | None) -> str | None:
    """Why an engine of graphs, a name in `_PACKAGES`, cannot compute a tracker's networks; None where it can."""
    if device.type != "cpu":
        return f"it runs on the CPU here, not on {device}; set backend='torch' or device='cpu'"
    if precision not in ("fp32", "int8") and (engine, precision) != ("openvino", "bf16"):
        return f"it computes in fp32, not in {precision}; set backend='torch' or precision='fp32'"
    for package in _PACKAGES[engine]:
        if find_spec(package) is None:
            return f"{package} is not installed: pip install {package}"
    if graphs is None or not graphs.is_file():
        return (
            "the network has no graphs: python -m pytracking export writes them, or pip install onnx, for it to be done"
        )
    if precision == "int8" and EXTRACTION_INT8 not in read_graphs(graphs):
        return (
            f"{graphs} has no graph in int8: python -m pytracking export NAME --int8 PICTURES writes it, or set "
            "precision='fp32'"
        )
    if not _fits(found := read_graphs(graphs), size):
        exported = found[EXTRACTION].facts["size"]
        return f"{graphs} is for samples of {exported} pixels, not {size}: export again, or pip install onnx"
    return None


def _fits(graphs: dict[str, Graph], size: int) -> bool:
    """Whether graphs are for samples of a side: where all strides divide it, paddings are the same as of another."""
    exported = graphs[EXTRACTION].facts["size"]
    return bool(exported == size or exported % FEATURE_STRIDE == size % FEATURE_STRIDE == 0)
