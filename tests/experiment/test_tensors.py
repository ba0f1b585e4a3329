"""What a cell's detector leaves on disk is read back whole, or refused in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from counterfeit.detector import Detector
from counterfeit.errors import UserError
from counterfeit.experiment.tensors import heads_of, load_heads, load_tuned, save_tensors

Load = Callable[[Detector, Path], None]
STORED: dict[Load, Callable[[Detector], dict[str, torch.Tensor]]] = {
    load_heads: heads_of,
    load_tuned: Detector.state_dict,
}


def made(seed: int) -> Detector:
    torch.manual_seed(seed)
    return Detector(size=64, folds=2, bank=8, hidden=4)


@pytest.mark.parametrize("load", STORED)
def test_what_was_saved_is_read_back(load: Load, tmp_path: Path) -> None:
    first, other = made(0), made(1)
    save_tensors(STORED[load](first), tmp_path / "stored")
    load(other, tmp_path / "stored")
    for name, value in STORED[load](first).items():
        assert torch.equal(other.state_dict()[name], value), name


@pytest.mark.parametrize("load", STORED)
def test_a_name_more_a_name_less_and_another_shape_are_refused(load: Load, tmp_path: Path) -> None:
    detector = made(0)
    stored = STORED[load](detector)
    name = "distances.placed.scale"
    without = {key: value for key, value in stored.items() if key != name}
    for other in (stored | {"distances.placed.std": torch.ones(176)}, without, stored | {name: torch.ones(2)}):
        save_tensors(other, tmp_path / "stored")
        with pytest.raises(UserError, match="of another version of counterfeit"):
            load(detector, tmp_path / "stored")
