"""The digits that come with scikit-learn, and what is said where MNIST cannot be had."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from counterfeit.data import digits
from counterfeit.errors import UserError


def test_digits_are_those_of_scikit_learn_enlarged_in_a_black_frame(tmp_path: Path) -> None:
    pixels, label = digits.read_digits("digits", tmp_path)
    assert pixels.shape == (1797, 32, 32, 3) and pixels.dtype == np.uint8
    assert np.array_equal(label, load_digits().target)
    inner = pixels[:, 4:28, 4:28, 0]
    assert int(pixels.sum()) == 3 * int(inner.sum())  # grey, and black around
    again = inner.reshape(-1, 8, 3, 8, 3).mean((2, 4)) * 16 / 255
    assert np.corrcoef(again.ravel(), load_digits().images.ravel())[0, 1] > 0.98


def test_mnist_without_a_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(digits, "MNIST", refuse)
    with pytest.raises(UserError, match="--data digits"):
        digits.read_digits("MNIST", tmp_path)
