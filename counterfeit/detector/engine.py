"""Two ways of computing scores from pixels: the exported graph in ONNX Runtime, and torch. Neither unpickles."""

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from counterfeit.detector.card import GRAPH, WEIGHTS, Card, read_checked
from counterfeit.errors import UserError

if TYPE_CHECKING:
    from counterfeit.detector.module import Detector

EngineName = Literal["auto", "torch", "onnx"]
DEVICE = re.compile(r"cpu|cuda(:(?P<index>\d+))?")


class Outputs(NamedTuple):
    """What an engine says of ``N`` images, float32.

    Attributes:
        logit: ``(N,)``, calibrated.
        patch_map: ``(N, G, G)`` logits, where an image looks counterfeit; ``G`` = working size / 8.
        distance_map: ``(N, G, G)`` in [0, 2], how far each patch is from genuine ones.
    """

    logit: NDArray[np.float32]
    patch_map: NDArray[np.float32]
    distance_map: NDArray[np.float32]


Engine = Callable[[NDArray[np.uint8]], Outputs]
"""Takes pixels ``(N, H, W, 3)`` uint8 RGB of any size."""


def probability_of(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities in [0, 1] of logits of any shape."""
    # By the hyperbolic tangent, which neither overflows nor warns.
    probability: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * logit.astype(np.float64)))
    return probability


def load_engine(card: Card, name: EngineName, device: str = "cpu", threads: int | None = None) -> tuple[str, Engine]:
    """The engine of a stored detector and its name, ``torch`` or ``onnx``.

    ``auto`` takes torch on a GPU; on a CPU the exported graph, or makes the graph in memory if there is none, because
    ONNX Runtime is about three times as fast there.

    Raises:
        UserError: the files are not there or not those that the card names, or the device cannot be had.
    """
    _check_device(device, name)
    exported = card.onnx_sha256 is not None
    if name == "onnx" and not exported:
        raise UserError(
            f"{card.folder} holds no detector.onnx: python -m counterfeit.export --run {card.folder} --out export"
        )
    if exported and (name == "onnx" or (name == "auto" and device == "cpu")):
        return "onnx", onnx_engine(read_checked(card.folder / GRAPH, card.onnx_sha256), threads)
    from counterfeit.detector.graph import detector_onnx, torch_engine  # late: it needs torch

    detector = load_detector(card)
    if name == "auto" and device == "cpu":
        return "onnx", onnx_engine(detector_onnx(detector), threads)
    return "torch", torch_engine(detector, device)


def _check_device(device: str, engine: EngineName) -> None:
    known = DEVICE.fullmatch(device)
    if not known:
        raise UserError(f"there is no --device {device}; it takes cpu, cuda or cuda:<number>")
    if device == "cpu":
        return
    if engine == "onnx":
        raise UserError(f"--engine onnx computes on the CPU; leave out --device {device}, or take --engine torch")
    import torch  # late: a CPU with an export needs none

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(known["index"] or 0) >= found:
        raise UserError(f"--device {device} cannot be had: torch finds {found} CUDA devices here; take --device cpu")


def load_detector(card: Card) -> "Detector":
    """The stored detector in torch, in evaluation mode.

    Raises:
        UserError: the weights are missing or not those that the card names.
    """
    from safetensors.torch import load

    from counterfeit.detector.module import Detector

    weights = load(read_checked(card.folder / WEIGHTS, card.sha256))
    detector = Detector(**card.hyperparameters)
    detector.load_state_dict(weights)
    return detector.eval()


def onnx_engine(graph: bytes, threads: int | None = None) -> Engine:
    """ONNX Runtime on the CPU.

    Args:
        graph: as :func:`~counterfeit.detector.graph.detector_onnx` makes it.
        threads: processor threads; as many as this process may use unless told.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_processors()
    options.log_severity_level = 3
    # Threads that spin while they wait would take the processor from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return Outputs(*session.run(list(Outputs._fields), {"images": images}))

    return run


def available_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
