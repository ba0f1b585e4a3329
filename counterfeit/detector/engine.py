"""Two ways of computing scores from pixels: the exported graph in ONNX Runtime, and torch. Neither unpickles."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from counterfeit.detector.card import GRAPH, WEIGHTS, Card, read_checked
from counterfeit.errors import UserError

if TYPE_CHECKING:
    from counterfeit.detector.module import Detector

EngineName = Literal["auto", "torch", "onnx"]
PASS = 16  # images in one pass of ONNX Runtime: 8 and 32 measured a sixth slower, caches and weights pull either way
DEVICE = re.compile(r"cpu|cuda(:(?P<index>\d+))?")


class Outputs(NamedTuple):
    """What an engine says of ``N`` images.

    Attributes:
        logit: ``(N,)``, calibrated.
        evidence_map: ``(N, G, G)`` in deviations of genuine images at the place; ``G`` = working size / 8.
        distance_map: ``(N, G, G)`` in [0, 2], how far patches, less the average of their image, are from genuine ones.
        capture: ``(N,)`` int64, position of the kind of capture in the card's ``captures``; 0 is as in training.
    """

    logit: NDArray[np.float32]
    evidence_map: NDArray[np.float32]
    distance_map: NDArray[np.float32]
    capture: NDArray[np.int64]


Engine = Callable[[NDArray[np.uint8]], Outputs]
"""Takes pixels ``(N, H, W, 3)`` uint8 RGB of any size."""


def probability_of(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities in [0, 1] of logits of any shape."""
    # By the hyperbolic tangent, which neither overflows nor warns.
    probability: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * logit.astype(np.float64)))
    return probability


@dataclass(frozen=True)
class Packed:
    """All that an engine is made of, as bytes, so that it can be made in another process or on another machine.

    Attributes:
        name: ``onnx`` or ``torch``.
        card: what the detector is.
        content: the exported graph, or for torch the weights.
        device: where to compute.
    """

    name: str
    card: Card
    content: bytes = field(repr=False)
    device: str

    def unpack(self, threads: int | None = None) -> Engine:
        """The engine.

        Args:
            threads: of ONNX Runtime; all processors unless told.

        Raises:
            UserError: the weights are of another version, or the device cannot be had here.
        """
        if self.name == "onnx":
            return onnx_engine(self.content, threads)
        if self.device != "cpu":
            _check_gpu(self.device)
        from counterfeit.detector.graph import torch_engine  # late: it needs torch

        return torch_engine(_detector_of(self.card, self.content), self.device)


def pack_engine(card: Card, name: EngineName, device: str = "cpu") -> Packed:
    """The engine of a stored detector, packed.

    ``auto`` takes torch on a GPU; on a CPU the exported graph, or makes the graph in memory if there is none, because
    ONNX Runtime is about three times as fast there.

    Raises:
        UserError: the files are not there or not those that the card names, or there is no such device anywhere.
    """
    _check_device(device, name)
    exported = card.onnx_sha256 is not None
    if name == "onnx" and not exported:
        raise UserError(
            f"{card.folder} holds no detector.onnx: python -m counterfeit.export --run {card.folder} --out export"
        )
    if exported and (name == "onnx" or (name == "auto" and device == "cpu")):
        return Packed("onnx", card, read_checked(card.folder / GRAPH, card.onnx_sha256), device)
    if name == "auto" and device == "cpu":
        from counterfeit.detector.graph import detector_onnx  # late: it needs torch

        return Packed("onnx", card, detector_onnx(load_detector(card)), device)
    return Packed("torch", card, read_checked(card.folder / WEIGHTS, card.sha256), device)


def _check_device(device: str, engine: EngineName) -> None:
    if not DEVICE.fullmatch(device):
        raise UserError(f"there is no --device {device}; it takes cpu, cuda or cuda:<number>")
    if device != "cpu" and engine == "onnx":
        raise UserError(f"--engine onnx computes on the CPU; leave out --device {device}, or take --engine torch")


def _check_gpu(device: str) -> None:
    import torch  # late: a CPU with an export needs none

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= found:
        raise UserError(f"--device {device} cannot be had: torch finds {found} CUDA devices here; take --device cpu")


def load_detector(card: Card) -> "Detector":
    """The stored detector in torch, in evaluation mode.

    Raises:
        UserError: the weights are missing, not those that the card names, or of another version.
    """
    return _detector_of(card, read_checked(card.folder / WEIGHTS, card.sha256))


def _detector_of(card: Card, content: bytes) -> "Detector":
    from safetensors import SafetensorError
    from safetensors.torch import load

    from counterfeit.detector.module import Detector

    try:
        weights = load(content)
        detector = Detector(**card.hyperparameters)
        detector.load_state_dict(weights)
    except SafetensorError as error:  # whatever it is, it is not unpickled
        raise UserError(f"{card.folder / WEIGHTS} holds no safetensors: fit the detector again") from error
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"{card.folder / WEIGHTS} is of another version of counterfeit: fit the detector again"
        ) from error
    return detector.eval()


def onnx_engine(graph: bytes, threads: int | None = None) -> Engine:
    """ONNX Runtime on the CPU: small passes side by side, each on one thread, so that none waits for another.

    Args:
        graph: as :func:`~counterfeit.detector.graph.detector_onnx` makes it.
        threads: processor threads; as many as this process may use unless told.
    """
    count = threads or available_processors()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    pool = ThreadPoolExecutor(count, "onnx")

    def one_pass(pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        outputs: list[NDArray[Any]] = session.run(list(Outputs._fields), {"images": images})
        return outputs

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        size = min(PASS, -(-len(pixels) // count))
        passes = pool.map(one_pass, [pixels[start : start + size] for start in range(0, len(pixels), size)])
        return Outputs(*(np.concatenate(parts) for parts in zip(*passes, strict=True)))

    return run


def available_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
