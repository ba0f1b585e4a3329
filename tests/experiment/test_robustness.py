"""Only the photographs that a run was tested on are corrupted and scored again."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from counterfeit.errors import UserError
from counterfeit.experiment.robustness import LARGEST, _corrupted


def test_a_photograph_is_corrupted_at_its_own_resolution_and_another_in_its_place_refused(tmp_path: Path) -> None:
    file, seen = tmp_path / "a.png", []
    for size in (200, 2 * LARGEST):
        Image.new("RGB", (size, size // 2), "red").save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()

        def inverted(image: np.ndarray, seed: int) -> np.ndarray:
            seen.append((image.shape, seed))
            return 255 - image

        assert _corrupted(file, digest, 7, 64, inverted)[32, 32].tolist() == [0, 255, 255]
    assert seen == [((200, 200, 3), 7), ((LARGEST, LARGEST, 3), 7)]
    with pytest.raises(UserError, match=r"a\.png is another photograph than in the run"):
        _corrupted(file, "0" * 64, 7, 64, inverted)
    file.unlink()
    with pytest.raises(UserError, match="cannot be read any more"):
        _corrupted(file, digest, 7, 64, inverted)
