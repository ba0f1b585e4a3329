"""Tensors of a cell's detector on disk."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save

from counterfeit.data.files import write_bytes
from counterfeit.detector import Detector
from counterfeit.errors import UserError


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors by rename."""
    write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}))


def load_heads(detector: Detector, path: Path) -> None:
    """Read back what :func:`heads_of` gave; raises a ``UserError`` where another version wrote it."""
    _load(detector, path, heads_of(detector))


def load_tuned(detector: Detector, path: Path) -> None:
    """Read back a whole detector, its own backbone included; raises a ``UserError`` where another version wrote it."""
    _load(detector, path, detector.state_dict())


def _load(detector: Detector, path: Path, own: dict[str, torch.Tensor]) -> None:
    tensors = load_file(path)
    if {name: value.shape for name, value in tensors.items()} != {name: value.shape for name, value in own.items()}:
        raise UserError(f"{path} is of another version of counterfeit: begin again with another --out")
    detector.load_state_dict(tensors, strict=False)


def heads_of(detector: Detector) -> dict[str, torch.Tensor]:
    """All but the frozen backbone, which every cell shares."""
    state = detector.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("backbone.")}
