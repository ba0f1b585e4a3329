"""What the way a photograph was taken and stored does to its scores, learned from copies of training photographs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from counterfeit.backbone import Embeddings, floored
from counterfeit.detector.views import FloatArray, auroc, spread

PRIOR_AS_TRAINED = 0.99  # prior probability that a photograph was captured like those of training
SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity, or a handful of photographs makes it singular
LARGEST_AUROC = 0.995  # that a handful of images can tell
LEAST_COUNTERFEITS = 4  # copied under a condition, below which their order there says nothing
LIKE_GENUINE = 0.75  # share of genuine photographs below the middle, at most: it must not be likely counterfeit


@dataclass(frozen=True)
class Copies:
    """Training photographs as if they had been captured otherwise.

    Attributes:
        embeddings: of ``M`` copies.
        source: ``(M,)`` row of each copy's photograph among the ``N`` training photographs.
        condition: ``(M,)`` number from 0 of the condition of capture.
    """

    embeddings: Embeddings
    source: NDArray[np.intp]
    condition: NDArray[np.int64]


class CaptureConditions(nn.Module):
    """Parts of a photograph as they would be had it been captured like those of training.

    A compressed, blurred or cropped photograph of a genuine item is far from genuine photographs, and every part says
    so. How the item was captured shows in the means of the backbone's early stages: they are compared with those of
    genuine training photographs and of their copies under each condition (linear discriminant analysis, Fisher 1936).
    Weighted by the probability of each condition, the parts are moved by what it does to genuine photographs, and
    divided by how much more these vary in it. Where a condition leaves less to tell counterfeits by, they are then
    drawn to the middle between the classes: neither genuine nor counterfeit. All is kept in buffers; until fitted,
    parts stay as they are.

    Args:
        parts: number of scores of an image.
        features: means of the early stages.
        kinds: names of the ways of capturing, that of training first; those of one name are told apart by strength.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor
    shift: Tensor
    spread: Tensor
    centre: Tensor
    kept: Tensor
    middle: Tensor
    kind: Tensor

    def __init__(self, parts: int, features: int, kinds: Sequence[str]) -> None:
        super().__init__()
        self.names, conditions = tuple(dict.fromkeys(kinds)), len(kinds) - 1
        numbers = torch.tensor([self.names.index(name) for name in kinds])
        self.register_buffer("kind", nn.functional.one_hot(numbers).float(), persistent=False)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("weight", torch.zeros(features, conditions + 1))
        self.register_buffer("bias", torch.from_numpy(np.log(_prior(conditions))).float())
        self.register_buffer("shift", torch.zeros(conditions + 1, parts))
        self.register_buffer("spread", torch.ones(conditions + 1, parts))
        self.register_buffer("centre", torch.zeros(parts))
        self.register_buffer("kept", torch.ones(conditions + 1))
        self.register_buffer("middle", torch.zeros(parts))

    def probability(self, pooled: Tensor) -> Tensor:
        """Probability ``(N, K + 1)`` of each condition, that of training first, from pooled features ``(N, D)``."""
        return (self._standardised(pooled) @ self.weight + self.bias).softmax(1)

    def called(self, pooled: Tensor) -> Tensor:
        """Numbers ``(N,)`` in ``names`` of the most probable kind of capture, from pooled features ``(N, D)``."""
        return (self.probability(pooled) @ self.kind).argmax(1)

    def said(self, pooled: NDArray[np.float32]) -> list[str]:
        """Names ``(N,)`` of the most probable kind of capture, from pooled features ``(N, D)``."""
        with torch.inference_mode():
            return [self.names[number] for number in self.called(torch.from_numpy(pooled)).tolist()]

    def forward(self, parts: Tensor, pooled: Tensor) -> Tensor:
        """Corrected parts ``(N, P)`` of parts ``(N, P)`` and pooled features ``(N, D)``."""
        probability = self.probability(pooled)
        alike = (parts - probability @ self.shift - self.centre) / (probability @ self.spread) + self.centre
        return self.middle + (probability @ self.kept)[:, None] * (alike - self.middle)

    def fit(
        self,
        pooled: NDArray[np.float32],
        parts: FloatArray,
        label: NDArray[np.int64],
        copies: Copies,
        copied: FloatArray,
    ) -> None:
        """Learn what each condition looks like and what it does to the parts of genuine photographs.

        Args:
            pooled: ``(N, D)`` of the training photographs.
            parts: ``(N, P)`` of them, cross-fitted.
            label: ``(N,)``.
            copies: of some of them.
            copied: ``(M, P)`` parts of the copies, cross-fitted.
        """
        genuine = label == 0
        of_genuine = self._early(torch.from_numpy(pooled[genuine]))
        self.mean.copy_(of_genuine.mean(0))
        self.std.copy_(floored(of_genuine.std(0)))
        both = (torch.from_numpy(x) for x in (pooled, copies.embeddings.pooled))
        early, seen = (self._standardised(x).double().numpy() for x in both)
        moved, changed = seen - early[copies.source], copied - parts[copies.source]
        normal = spread(parts[genuine])
        shows_genuine = genuine[copies.source]
        class_means, within = np.zeros((self.weight.shape[1], early.shape[1])), []
        for number in range(1, len(class_means)):
            rows = shows_genuine & (copies.condition == number - 1)
            if rows.any():
                class_means[number] = moved[rows].mean(0)
                within.append(moved[rows] - class_means[number])
                self.shift[number] = torch.from_numpy(np.median(changed[rows], axis=0))
                self.spread[number] = torch.from_numpy(np.maximum(spread(copied[rows]) / normal, 1.0))
        # Copies vary by their photographs and by how the condition acts on each; photographs by themselves alone.
        covariance = ledoit_wolf(early[genuine])[0] + 0.5 * np.cov(np.concatenate(within).T)
        covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        weight = np.linalg.solve(covariance, class_means.T)
        self.weight.copy_(torch.from_numpy(weight))
        log_prior = np.log(_prior(len(class_means) - 1))
        self.bias.copy_(torch.from_numpy(log_prior - 0.5 * (class_means * weight.T).sum(1)))
        self.centre.copy_(torch.from_numpy(np.median(parts[genuine], axis=0)))

    def fit_attenuation(
        self, parts: FloatArray, label: NDArray[np.int64], copies: Copies, copied: FloatArray, weight: FloatArray
    ) -> None:
        """Learn how much of the evidence each condition leaves: the ratio of d' in it to that of the photographs.

        With two Gaussians of one deviation, the slope of the log-likelihood ratio is in proportion to d', which is
        root 2 of the AUROC's normal quantile. Scores turn about the middle between the classes, or about the 75 %
        quantile of genuine photographs where that is lower: what tells nothing is not to be flagged by a rule on FPR.
        With fewer than four counterfeits under a condition all of its evidence is kept.

        Args:
            parts: ``(N, P)`` of the training photographs, corrected and cross-fitted.
            label: ``(N,)``.
            copies: of some of them.
            copied: ``(M, P)`` of the copies, corrected and cross-fitted.
            weight: ``(P,)`` of the parts in their combination.
        """
        centre, counterfeit = (np.median(parts[label == value], axis=0) for value in (0, 1))
        step, score, of_copies = (counterfeit - centre) / 2, parts @ weight, copied @ weight
        longest = max(0.0, np.quantile(score[label == 0], LIKE_GENUINE) - centre @ weight)
        if step @ weight > longest:
            step *= longest / (step @ weight)
        self.middle.copy_(torch.from_numpy(centre + step))
        for number in range(1, len(self.kept)):
            rows = copies.condition == number - 1
            truth = label[copies.source[rows]]
            told = _sensitivity(score[copies.source[rows]], truth)
            if told > 0 and (truth == 1).sum() >= LEAST_COUNTERFEITS:
                self.kept[number] = min(1.0, _sensitivity(of_copies[rows], truth) / told)

    def _standardised(self, pooled: Tensor) -> Tensor:
        return (self._early(pooled) - self.mean) / self.std

    def _early(self, pooled: Tensor) -> Tensor:
        """The means of the early stages, which stand before their maxima at the end of the pooled features."""
        features = len(self.mean)
        return pooled[:, -2 * features : -features]


def _prior(conditions: int) -> FloatArray:
    prior = np.full(conditions + 1, (1 - PRIOR_AS_TRAINED) / conditions)
    prior[0] = PRIOR_AS_TRAINED
    return prior


def _sensitivity(score: FloatArray, label: NDArray[np.int64]) -> float:
    """The normal quantile of the AUROC of scores ``(N,)``, not below 0; 0 where a class is missing."""
    if len(np.unique(label)) < 2:
        return 0.0
    return float(ndtri(np.clip(auroc(score[:, None], label)[0], 0.5, LARGEST_AUROC)))
