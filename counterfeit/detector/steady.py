"""Directions in which patches change with the way a photograph was captured, whatever the product."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterfeit.data.transforms import IN_PLACE
from counterfeit.detector.captures import Copies

DIRECTIONS = 16  # of a patch's features, that say most of how the photograph was captured


def capture_directions(patches: NDArray[np.float16], genuine: NDArray[np.bool_], copies: Copies, std: Tensor) -> Tensor:
    """Where the patches of a genuine photograph move most when it is captured otherwise.

    Speaker verification removes such directions from what it compares (Solomonoff et al. 2005, nuisance attribute
    projection). Every condition counts alike, however far it moves patches: the mild ones are those that are met.
    Conditions that move the product in the image are left out, as the same place then shows something else.

    Args:
        patches: ``(N, G, G, C)`` of the training photographs.
        genuine: ``(N,)`` which of them are.
        copies: of some of them.
        std: ``(C,)`` deviations in which movements are measured.

    Returns:
        ``(16, C)`` orthonormal rows, fewer where there are fewer channels.
    """
    channels = patches.shape[-1]
    covariance = np.zeros((channels, channels))
    for number in np.flatnonzero(IN_PLACE):
        rows = np.flatnonzero((copies.condition == number) & genuine[copies.source])
        moved = copies.embeddings.patches[rows].astype(np.float32) - patches[copies.source[rows]]
        moved = moved.reshape(-1, channels) / std.numpy()
        power = float(np.square(moved).sum())
        if power > 0:  # grey photographs do not become paler
            covariance += (moved.T @ moved).astype(np.float64) / power
    return torch.from_numpy(np.linalg.eigh(covariance)[1].T[::-1][:DIRECTIONS].copy()).float()
