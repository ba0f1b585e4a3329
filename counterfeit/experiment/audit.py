"""Audits of a run: whether the detector could have cheated, and how good the synthetic images are as images."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterfeit.backbone import Embeddings
from counterfeit.data.files import without_nan, write_json
from counterfeit.evaluation.arms import BASELINE
from counterfeit.evaluation.fidelity import audit_fidelity
from counterfeit.evaluation.findings import Audit, AuditedBank, AuditedSeed
from counterfeit.evaluation.leakage import audit_leakage
from counterfeit.evaluation.memorisation import audit_memorisation
from counterfeit.evaluation.predictions import read_parquet
from counterfeit.evaluation.shortcuts import audit_shortcuts, image_traits
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.seed import Seed
from counterfeit.synthesis import read_bank

AUDITS: tuple[Callable[[Sequence[AuditedSeed]], Audit], ...] = (
    audit_leakage,
    audit_shortcuts,
    audit_memorisation,
    audit_fidelity,
)


def write_audits(folder: RunFolder, seeds: Sequence[Seed], product: str) -> Path:
    """Write ``audits.json`` from the banks and predictions that the run folder holds; return its path.

    Args:
        folder: after the detector stage.
        seeds: of the run; their embeddings are cached.
        product: the arm whose bank is audited, if it has one.
    """
    start = time.perf_counter()
    data = seeds[0].data
    everything = np.arange(len(data.photos))
    pixels = data.pixels(everything)
    files = [data.folder / path for path in data.photos.path.tolist()]
    traits = np.stack([image_traits(file, image) for file, image in zip(files, pixels, strict=True)])
    audited = [_audited(folder, seed, product, pixels, traits) for seed in seeds]
    audits = {}
    for audit in AUDITS:
        found = audit(audited)
        audits[found.name] = {
            "question": found.question,
            "finding": found.finding,
            "findings": [without_nan(asdict(finding)) for finding in found.findings],
            "named": [list(pair) for pair in found.named],
        }
    path = folder.path / "audits.json"
    write_json(path, {"schema": 1, "bank": product, "audits": audits, "seconds": round(time.perf_counter() - start, 1)})
    return path


def _audited(
    folder: RunFolder, seed: Seed, product: str, pixels: NDArray[np.uint8], traits: NDArray[np.float64]
) -> AuditedSeed:
    photos, embedded = seed.data.photos, seed.data.embed(seed.embedder, np.arange(len(pixels)), view=0)
    training = embedded.pooled[seed.train]
    mean, spread = training.mean(0), training.std(0)
    spread = np.maximum(spread, 0.1 * np.median(spread))  # a feature that hardly varies here would drown all others

    def standardise(found: Embeddings) -> NDArray[np.float32]:
        standardised: NDArray[np.float32] = ((found.pooled - mean) / spread).astype(np.float32)
        return standardised

    return AuditedSeed(
        number=seed.number,
        path=photos.path,
        label=photos.label,
        group=photos.group,
        split=seed.split,
        sha256=photos.sha256,
        pixels=pixels,
        features=standardise(embedded),
        traits=traits,
        score=_scores(folder, seed),
        bank=_bank(folder, seed, product, standardise),
    )


def _scores(folder: RunFolder, seed: Seed) -> NDArray[np.float64]:
    """Scores of the arm ``real``, nan for all photographs but its test images."""
    file = folder.cell(seed.number, BASELINE, 0.0) / "predictions.parquet"
    score: dict[str, float] = {}
    if file.exists():
        table = read_parquet(file, ["path", "score"])
        score = dict(zip(table["path"].to_pylist(), table["score"].to_pylist(), strict=True))
    return np.array([score.get(path, math.nan) for path in seed.data.photos.path.tolist()])


def _bank(
    folder: RunFolder, seed: Seed, product: str, standardise: Callable[[Embeddings], NDArray[np.float32]]
) -> AuditedBank | None:
    place = folder.bank(product, seed.number)
    if not (place / "manifest.parquet").exists():
        return None
    bank, table = read_bank(place), read_parquet(place / "manifest.parquet", ["path", "sha256"])
    return AuditedBank(
        path=np.array([f"{product}/{seed.number}/{path}" for path in table["path"].to_pylist()]),
        label=bank.label,
        host=bank.host,
        donor=bank.donor,
        pixels=bank.pixels,
        features=standardise(seed.embedder(bank.pixels)),
        sha256=np.array(table["sha256"].to_pylist()),
    )
