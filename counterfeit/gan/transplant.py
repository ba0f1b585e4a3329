"""Carry the evidence of a counterfeit into a genuine photograph, or a genuine patch likewise: composites with masks."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

LOW_FREQUENCY_GRID = 4  # cells a side: what is coarser than this is light and pose, not evidence


@dataclass(frozen=True)
class Sources:
    """Training images from which composites are made.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8.
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        evidence: ``(N, G, G)`` distance of each patch from the genuine bank.
        neighbours: ``(N, K)`` the genuine images most similar to each image, itself excluded: its possible hosts.
    """

    pixels: NDArray[np.uint8]
    label: NDArray[np.int64]
    evidence: NDArray[np.float32]
    neighbours: NDArray[np.intp]


@dataclass(frozen=True)
class Composites:
    """Images composed of a host and a donor.

    Attributes:
        images: ``(N, 3, S, S)`` float in [0, 1].
        masks: ``(N, 1, S, S)`` share of the donor in each pixel, in [0, 1].
        host: ``(N,)`` row of the genuine image that was edited.
        donor: ``(N,)`` row of the image whose evidence was carried over.
        label: ``(N,)`` the donor's label.
    """

    images: Tensor
    masks: Tensor
    host: NDArray[np.intp]
    donor: NDArray[np.intp]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.host)


def host_candidates(pooled: NDArray[np.float32], label: NDArray[np.int64], share: float = 0.1) -> NDArray[np.intp]:
    """For each image the genuine images that look most like it, so that products and poses match.

    Args:
        pooled: ``(N, D)`` backbone features.
        label: ``(N,)``.
        share: part of the genuine images to keep, at least 10 images where there are as many.

    Returns:
        ``(N, K)`` rows.
    """
    features = (pooled - pooled.mean(0)) / (pooled.std(0) + 1e-6)
    features /= np.linalg.norm(features, axis=1, keepdims=True) + 1e-6
    genuine = np.flatnonzero(label == 0)
    similarity = features @ features[genuine].T
    similarity[genuine, np.arange(len(genuine))] = -np.inf
    keep = min(max(10, int(share * len(genuine))), len(genuine) - 1)
    return genuine[np.argsort(-similarity, axis=1, kind="stable")[:, :keep]]


def draw_composites(
    sources: Sources, label: int, count: int, generator: np.random.Generator, flips: bool = False
) -> Composites:
    """Transplants with random donors of one label, hosts, mask sizes, colour matching and strength.

    Args:
        sources: the training images.
        label: 1 carries counterfeit evidence, 0 carries the most unusual patches of genuine images.
        count: how many.
        generator: source of all randomness.
        flips: whether donors may be mirrored.
    """
    donors = np.flatnonzero(sources.label == label)
    # Each donor in turn before any a second time: few donors must not be thinned out by chance.
    rounds = [generator.permutation(donors) for _ in range(-(-count // len(donors)))]
    donor = np.concatenate(rounds)[:count]
    neighbours = sources.neighbours[donor]
    host = neighbours[np.arange(count), generator.integers(neighbours.shape[1], size=count)]
    evidence = sources.evidence[donor]
    quantile = generator.uniform(0.75, 0.95, count)
    threshold = np.array([np.quantile(e, q) for e, q in zip(evidence, quantile, strict=True)])
    inside = torch.from_numpy((evidence > threshold[:, None, None]).astype(np.float32))[:, None]
    dilated = torch.from_numpy(generator.random(count) < 0.5).view(-1, 1, 1, 1)
    inside = torch.where(dilated, F.max_pool2d(inside, 3, stride=1, padding=1), inside)
    size = sources.pixels.shape[1]
    masks = F.interpolate(inside, size=(size, size), mode="bilinear", align_corners=False)
    donated, hosted = to_float(sources.pixels[donor]), to_float(sources.pixels[host])
    if flips:
        mirrored = torch.from_numpy(generator.random(count) < 0.5).view(-1, 1, 1, 1)
        donated, masks = (torch.where(mirrored, x.flip(3), x) for x in (donated, masks))
    share = torch.from_numpy(generator.uniform(0.3, 1.0, count).astype(np.float32)).view(-1, 1, 1, 1)
    strength = torch.from_numpy(generator.uniform(0.6, 1.0, count).astype(np.float32)).view(-1, 1, 1, 1)
    matched = donated + share * (low_frequencies(hosted) - low_frequencies(donated))
    masks = masks * strength
    images = (hosted + masks * (matched - hosted)).clamp(0, 1)
    return Composites(images, masks, host, donor, np.full(count, label))


def low_frequencies(images: Tensor) -> Tensor:
    """What remains of images ``(N, 3, S, S)`` on a 4 x 4 grid, back at full size."""
    coarse = F.adaptive_avg_pool2d(images, LOW_FREQUENCY_GRID)
    return F.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)


def to_float(pixels: NDArray[np.uint8]) -> Tensor:
    """Stored pixels ``(N, S, S, 3)`` uint8 as images ``(N, 3, S, S)`` in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images ``(N, 3, S, S)`` in [0, 1] as pixels ``(N, S, S, 3)`` uint8."""
    rounded = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().numpy()
