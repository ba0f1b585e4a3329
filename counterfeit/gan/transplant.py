"""Carry the evidence of a counterfeit into a genuine photograph, or a genuine patch likewise: composites with masks."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

QUANTILES = (0.90, 0.98)  # of the evidence map, between which a mask begins
TURN, STRETCH, SHIFT = 0.1, 0.1, 0.05  # radians; logarithm of the scale; deviation in half images
LEAST_LEFT = 0.2  # of a mask, when it has been moved
LOW_FREQUENCY_GRID = 4  # cells a side: what is coarser than this is light and pose, not evidence


@dataclass(frozen=True)
class Sources:
    """Training images from which composites are made.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8.
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        evidence: ``(N, G, G)`` distance of each patch from genuine ones at its place, in deviations of genuine images.
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
        donated: ``(N, 3, S, S)`` the donors as they were placed, before anything of the host came to them.
    """

    images: Tensor
    masks: Tensor
    host: NDArray[np.intp]
    donor: NDArray[np.intp]
    label: NDArray[np.int64]
    donated: Tensor

    def __len__(self) -> int:
        return len(self.host)

    @staticmethod
    def concatenate(parts: list["Composites"]) -> "Composites":
        """All parts, one after the other."""
        host, donor, label = (np.concatenate([getattr(p, name) for p in parts]) for name in ("host", "donor", "label"))
        images, masks, donated = (
            torch.cat([getattr(p, name) for p in parts]) for name in ("images", "masks", "donated")
        )
        return Composites(images, masks, host, donor, label, donated)


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
    """Transplants with random donors of one label, hosts, mask sizes, placement, colour matching and strength.

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
    masks = evidence_masks(sources.evidence[donor], sources.pixels.shape[1], generator)
    donated, hosted = to_float(sources.pixels[donor]), to_float(sources.pixels[host])
    if flips:
        mirrored = torch.from_numpy(generator.random(count) < 0.5).view(-1, 1, 1, 1)
        donated, masks = (torch.where(mirrored, x.flip(3), x) for x in (donated, masks))
    donated, masks = moved(donated, masks, generator)
    share = torch.from_numpy(generator.uniform(0.3, 1.0, count).astype(np.float32)).view(-1, 1, 1, 1)
    strength = torch.from_numpy(generator.uniform(0.6, 1.0, count).astype(np.float32)).view(-1, 1, 1, 1)
    matched = donated + share * (low_frequencies(hosted) - low_frequencies(donated))
    masks = masks * strength
    images = (hosted + masks * (matched - hosted)).clamp(0, 1)
    return Composites(images, masks, host, donor, np.full(count, label), donated)


def evidence_masks(evidence: NDArray[np.float32], size: int, generator: np.random.Generator) -> Tensor:
    """Masks ``(N, 1, size, size)`` of the most unusual 2 to 10 % of evidence maps ``(N, G, G)``, half of them wider."""
    quantile = generator.uniform(*QUANTILES, len(evidence))
    threshold = np.array([np.quantile(e, q) for e, q in zip(evidence, quantile, strict=True)])
    inside = torch.from_numpy((evidence > threshold[:, None, None]).astype(np.float32))[:, None]
    dilated = torch.from_numpy(generator.random(len(evidence)) < 0.5).view(-1, 1, 1, 1)
    inside = torch.where(dilated, F.max_pool2d(inside, 3, stride=1, padding=1), inside)
    return F.interpolate(inside, size=(size, size), mode="bilinear", align_corners=False)


def moved(images: Tensor, masks: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images and their masks, turned and scaled about the middle of the mask and moved a little.

    A product to come lies a little otherwise than the donor; far from its place, anything would be odd.

    Args:
        images: ``(N, 3, S, S)``.
        masks: ``(N, 1, S, S)``.
        generator: source of all randomness.

    Returns:
        Both, of the same shapes; what lies outside of an image is its reflection, and no mask. Where little of the mask
        would be left, both stay as they were.
    """
    count, size = len(images), images.shape[-1]
    angle = generator.uniform(-TURN, TURN, count)
    scale = np.exp(generator.uniform(-STRETCH, STRETCH, count))
    line = torch.linspace(-1, 1, size)
    mass = masks[:, 0].sum((1, 2)).clamp_min(1e-6)
    middle = torch.stack([(masks[:, 0].sum(dim) * line).sum(1) / mass for dim in (1, 2)], dim=1).double().numpy()
    target = np.clip(middle + generator.normal(0, SHIFT, (count, 2)), -0.8, 0.8)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    turn = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    offset = middle - (turn @ target[:, :, None])[:, :, 0]
    affine = torch.from_numpy(np.concatenate([turn, offset[:, :, None]], axis=2).astype(np.float32))
    grid = F.affine_grid(affine, [count, 3, size, size], align_corners=False)
    placed = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    found = F.grid_sample(masks, grid, padding_mode="zeros", align_corners=False)
    left = found.sum((1, 2, 3), keepdim=True) > LEAST_LEFT * masks.sum((1, 2, 3), keepdim=True)
    return torch.where(left, placed, images), torch.where(left, found, masks)


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
