"""Draw composites, refine them, gate them and choose: the making of a bank in memory."""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterfeit.backbone import Embeddings
from counterfeit.errors import UserError
from counterfeit.gan.finished import Refine, leave_plain
from counterfeit.gan.transplant import Composites, Sources, draw_composites, to_float, to_pixels
from counterfeit.synthesis.bank import Bank
from counterfeit.synthesis.choose import choose_hard
from counterfeit.synthesis.gate import REASONS, FloatArray, Gates, fit_gates, squared_distances
from counterfeit.synthesis.procedural import draw_anomalies

Draw = Callable[[int, int, np.random.Generator], Composites]
CHUNK = 256  # images made at once
MOST = 1_000_000  # candidates of a label, whose pixels and features lie in memory
NAMES = ("genuine", "counterfeit")


@dataclass
class SynthesisSettings:
    """How many synthetic images, and which.

    Args:
        count: images kept of each label.
        overdraw: candidates drawn for each counterfeit kept; genuine ones need no choice of hardness, only twice.
        hard: share of the kept that are chosen for hardness, the rest at random among the gated.
        anomalies: share of the counterfeit candidates that are drawn by rule into genuine photographs; the others carry
            evidence of real counterfeits.
        refined: share of the candidates that the refiner changes; the others stay as they were pasted.
        novelty: smallest mean change of the host inside the mask, in grey levels of 255.
    """

    count: int = 200
    overdraw: int = 5
    hard: float = 0.5
    anomalies: float = 0.5
    refined: float = 0.5
    novelty: float = 2.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.overdraw < 1:
            raise UserError("synthesis.count and synthesis.overdraw must be at least 1")
        if self.count * self.overdraw > MOST:
            raise UserError(
                f"synthesis.count {self.count} times synthesis.overdraw {self.overdraw} are more candidates than "
                f"{MOST}, the most that are held at once: lower one, or make several banks by counterfeit.synthesize"
            )
        if self.novelty < 0:
            raise UserError(f"synthesis.novelty is a change in grey levels and not below 0, not {self.novelty}")
        for name in ("hard", "anomalies", "refined"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"synthesis.{name} is a share between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Candidates:
    """What the gates need to know of the real training images.

    Attributes:
        sources: the training images.
        path: ``(N,)``.
        group: ``(N,)``.
        fold: ``(N,)`` cross-fitting folds.
        features: ``(N, D)`` standardised pooled features.
        score: ``(N,)`` cross-fitted scores of the ``real`` detector.
        operating_point: its threshold as a score.
        embed: pixels ``(n, S, S, 3)`` to embeddings.
        standardise: pooled features to those of ``features``.
        rate: embeddings and the fold to leave out to scores.
    """

    sources: Sources
    path: NDArray[np.str_]
    group: NDArray[np.str_]
    fold: NDArray[np.int64]
    features: FloatArray
    score: FloatArray
    operating_point: float
    embed: Callable[[NDArray[np.uint8]], Embeddings]
    standardise: Callable[[NDArray[np.float32]], FloatArray]
    rate: Callable[[Embeddings, NDArray[np.int64]], FloatArray]


def draw_candidates(
    real: Candidates,
    refine: Refine,
    settings: SynthesisSettings,
    seed: int,
    flips: bool = False,
    draw: Draw | None = None,
) -> list["Drawn"]:
    """Make, see and score the candidates of both labels: nearly all the time that a bank takes.

    Args:
        real: the training images and how to see and score them.
        refine: composites, masks and a generator to refined images.
        settings: numbers; those of the choice, ``hard`` and ``novelty``, do not matter here.
        seed: source of all randomness.
        flips: whether donors may be mirrored.
        draw: a label, a number and a generator to what is refined; composites of the training images unless given.
    """
    draw = draw or partial(_composites, real.sources, flips, settings.anomalies)
    drawn = []
    for label in (1, 0):
        generator = np.random.default_rng([seed, label])
        count = settings.count * (settings.overdraw if label else min(2, settings.overdraw))
        made = _made(real.sources, draw, refine, settings.refined, label, count, generator)
        embeddings = real.embed(made.pixels)
        features = real.standardise(embeddings.pooled)
        score = real.rate(embeddings, real.fold[made.donor])
        nearest = np.sqrt(squared_distances(features, real.features[real.sources.label == label]).min(1))
        drawn.append(Drawn(made, features, score, nearest, generator))
    return drawn


def synthesise(
    real: Candidates, drawn: Sequence["Drawn"], settings: SynthesisSettings, seed: int
) -> tuple[Bank, dict[str, Any]]:
    """Make a bank of both labels: gate candidates and choose.

    Args:
        real: the training images.
        drawn: candidates of :func:`draw_candidates`, which stay as they are: several banks may be made of them.
        settings: numbers and thresholds.
        seed: of the candidates, for the record.

    Returns:
        The bank, and its counts: ``drawn``, ``kept`` and ``rejected`` by reason, for each label.
    """
    gates = fit_gates(real.features, real.score, real.sources.label, real.group, settings.novelty)
    parts, counts = [], {}
    for candidates in drawn:
        part, count = _gated(real, candidates, gates, settings)
        counts[NAMES[candidates.label]] = count
        parts.append(part)
    provenance = {key: {name: counts[name][key] for name in counts} for key in ("drawn", "kept", "rejected")}
    return _joined(parts), provenance | {"gates": vars(gates), "seed": seed}


@dataclass(frozen=True)
class _Made:
    """Candidates of one label as they will be stored, how much each changes its host, and how it was made."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    host: NDArray[np.intp]
    donor: NDArray[np.intp]
    label: NDArray[np.int64]
    change: FloatArray
    anomaly: FloatArray
    refined: FloatArray


@dataclass(frozen=True)
class Drawn:
    """Candidates of one label, as the gates see them.

    Attributes:
        made: pixels, masks and how they came about.
        features: ``(n, D)`` standardised pooled features.
        score: ``(n,)`` of the ``real`` detector.
        nearest: ``(n,)`` distance to the nearest real image of the label.
        generator: as drawing left it; each choice goes on with a copy.
    """

    made: _Made
    features: FloatArray
    score: FloatArray
    nearest: FloatArray
    generator: np.random.Generator

    @property
    def label(self) -> int:
        """Of all candidates."""
        return int(self.made.label[0])


def _made(
    sources: Sources,
    draw: Draw,
    refine: Refine,
    share: float,
    label: int,
    count: int,
    generator: np.random.Generator,
) -> _Made:
    latents = torch.Generator().manual_seed(int(generator.integers(2**31)))
    parts = []
    for start in range(0, count, CHUNK):  # images as floats take twelve times the memory of their bytes
        composites = draw(label, min(CHUNK, count - start), generator)
        rows = np.flatnonzero(generator.random(len(composites)) < share)
        images = composites.images.clone()
        images[rows] = refine(composites.images[rows], composites.masks[rows], latents)
        pixels = to_pixels(images)
        refined = np.isin(np.arange(len(composites)), rows).astype(np.float64)
        change = _change_inside(sources.pixels[composites.host], pixels, composites.masks)
        masks: NDArray[np.uint8] = (composites.masks[:, 0] * 255).round().to(torch.uint8).numpy()
        # What was drawn by rule is a counterfeit of which no part came from one.
        anomaly = (composites.label > sources.label[composites.donor]).astype(np.float64)
        parts.append(
            _Made(pixels, masks, composites.host, composites.donor, composites.label, change, anomaly, refined)
        )
    return _Made(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Made)))


def _composites(
    sources: Sources, flips: bool, anomalies: float, label: int, count: int, generator: np.random.Generator
) -> Composites:
    by_rule = round(anomalies * count) if label else 0
    parts = []
    if count > by_rule:
        parts.append(draw_composites(sources, label, count - by_rule, generator, flips))
    if by_rule:
        parts.append(draw_anomalies(sources.pixels, sources.label, by_rule, generator))
    return Composites.concatenate(parts)


def _gated(real: Candidates, drawn: Drawn, gates: Gates, settings: SynthesisSettings) -> tuple[Bank, dict[str, Any]]:
    made, score, label = drawn.made, drawn.score, drawn.label
    reason = gates.apply(made.label, drawn.nearest, score, made.change)
    passed = np.flatnonzero(reason == "")
    doubt, hardness = (-score if label else score), -np.abs(score - real.operating_point)
    ranked = (doubt[passed], hardness[passed], drawn.features[passed])
    hard = settings.hard if label else 0.0
    chosen = passed[choose_hard(*ranked, settings.count, hard, copy.deepcopy(drawn.generator))]
    scores = {"score": score, "nearest": drawn.nearest, "change": made.change}
    scores |= {"anomaly": made.anomaly, "refined": made.refined}
    rejected = Counter(reason.tolist())
    counts = {
        "drawn": len(reason),
        "kept": len(chosen),
        "rejected": {name: rejected[name] for name in REASONS} | {"not chosen": len(passed) - len(chosen)},
    }
    return _bank(made, chosen, real.path, {name: values[chosen] for name, values in scores.items()}), counts


def transplants(
    sources: Sources, path: NDArray[np.str_], settings: SynthesisSettings, seed: int, flips: bool = False
) -> Bank:
    """A bank of plain composites, neither refined nor gated nor chosen: what pasting alone is worth."""
    parts = []
    for label in (1, 0):
        generator = np.random.default_rng([seed, label, 1])
        draw = partial(_composites, sources, flips, 0.0)
        made = _made(sources, draw, leave_plain, 0.0, label, settings.count, generator)
        parts.append(_bank(made, np.arange(settings.count), path, {}))
    return _joined(parts)


def _bank(made: _Made, rows: NDArray[np.intp], path: NDArray[np.str_], scores: dict[str, FloatArray]) -> Bank:
    host, donor = path[made.host[rows]], path[made.donor[rows]]
    return Bank(made.pixels[rows], made.masks[rows], made.label[rows], host, donor, scores)


def _change_inside(host: NDArray[np.uint8], pixels: NDArray[np.uint8], masks: Tensor) -> FloatArray:
    """Mean absolute change inside the mask, in grey levels."""
    inside = (masks > 0.5 * masks.amax((1, 2, 3), keepdim=True)).float()
    change = (to_float(host) - to_float(pixels)).abs().mean(1, keepdim=True) * inside
    total: FloatArray = (255 * change.sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp_min(1)).double().numpy()
    return total


def _joined(parts: list[Bank]) -> Bank:
    names = ("pixels", "masks", "label", "host", "donor")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    scores = {name: np.concatenate([p.scores[name] for p in parts]) for name in parts[0].scores}
    return Bank(**columns, scores=scores)
