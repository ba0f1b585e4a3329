import numpy as np
import pytest

from counterfeit.gan.transplant import Sources, host_candidates


@pytest.fixture(scope="module")
def sources() -> Sources:
    """Ten genuine and three counterfeit images of coarse noise."""
    rng = np.random.default_rng(0)
    label = np.r_[np.zeros(10, np.int64), np.ones(3, np.int64)]
    pixels = rng.integers(0, 256, (13, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    evidence = rng.random((13, 8, 8), dtype=np.float32)
    return Sources(pixels, label, evidence, host_candidates(rng.normal(size=(13, 5)).astype(np.float32), label))
