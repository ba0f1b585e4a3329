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
    heads, own = load_file(path), heads_of(detector)
    if {name: value.shape for name, value in heads.items()} != {name: value.shape for name, value in own.items()}:
        raise UserError(f"{path} is of another version of counterfeit: begin again with another --out")
    detector.load_state_dict(heads, strict=False)


def heads_of(detector: Detector) -> dict[str, torch.Tensor]:
    """All but the frozen backbone, which every cell shares."""
    state = detector.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("backbone.")}
