"""Scores of a long listing: a kill loses one part, and nothing known is scored again.

Pixels and rows in memory are bounded. What grows, in this process only, is the list of paths and the index of known
contents: about 220 bytes for each image that the detector has ever scored into this cache.
"""

import importlib
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from counterfeit import __version__
from counterfeit.cache import ArrayCache
from counterfeit.data.listing import Listing
from counterfeit.detector.card import BANDS
from counterfeit.detector.decoding import Batch, Decoded, Decoder, decoded
from counterfeit.detector.scorer import BATCH, Scorer
from counterfeit.detector.shards import Shards

SHARD = 8 * BATCH  # inputs of a part


def score_listing(
    scorer: Scorer, listing: Listing, out: Path, cache: Path, workers: int = 0, show: bool = True
) -> dict[str, Any]:
    """Score every input and write ``scores.parquet``, ``scores.csv`` and ``scores.json``.

    Args:
        scorer: a loaded detector.
        listing: the inputs.
        out: folder to write; unfinished scores of the same detector and root are continued.
        cache: folder where scores are kept by content.
        workers: processes that decode; 0 decodes in this one.
        show: a progress bar on standard error.

    Returns:
        The counts of ``scores.json``.

    Raises:
        UserError: ``out`` holds something else.
    """
    card = scorer.card
    job = {"detector_sha256": card.sha256, "engine": scorer.engine_name, "root": str(listing.root)}
    about = _about(scorer, listing)  # before the work: what fails in it must not fail at the end
    shards = Shards(out, job)
    known = ArrayCache(cache, f"scores-{card.sha256[:16]}-{scorer.engine_name}", (), np.float64)
    rows: list[dict[str, Any]] = []
    with _progress(show) as progress:
        task = progress.add_task("scoring", total=len(listing))
        batches = _batches(shards, listing, lambda finished: progress.advance(task, finished))
        for batch, results in decoded(Decoder(listing.root, card.size), batches, known, workers):
            _score_new(scorer, results, known)
            rows += _rows(scorer, batch, results, known)
            progress.advance(task, len(results))
            if batch.last:
                shards.write(batch.part, rows)
                rows = []
    return shards.finish(-(-len(listing) // SHARD), about)


def _batches(shards: Shards, listing: Listing, skip: Callable[[int], None]) -> Iterator[Batch]:
    """Batches of the parts that are still to be made; ``skip`` is told how many inputs the others hold."""
    for part, paths in enumerate(listing.chunks(SHARD)):
        if not shards.missing(part, paths):
            skip(len(paths))
            continue
        for start in range(0, len(paths), BATCH):
            yield Batch(part, start + BATCH >= len(paths), paths[start : start + BATCH])


def _score_new(scorer: Scorer, results: list[Decoded], known: ArrayCache) -> None:
    """Score each content that has no score yet, once."""
    new = {
        one.sha256: one.pixels
        for one in results
        if one.sha256 is not None and one.pixels is not None and one.sha256 not in known
    }
    if new:
        known.append(list(new), scorer.probabilities(np.stack(list(new.values()))))


def _rows(scorer: Scorer, batch: Batch, results: list[Decoded], known: ArrayCache) -> list[dict[str, Any]]:
    digests = [one.sha256 for one in results if one.reason is None and one.sha256 is not None]
    probability = known.rows(digests).astype(np.float64)
    bands = scorer.card.band_numbers(probability)
    scored = zip(probability.tolist(), bands.tolist(), strict=True)
    rows = []
    for path, one in zip(batch.paths, results, strict=True):
        row = {"path": path, "sha256": one.sha256, "status": "error", "error": one.reason}
        if one.reason is None:
            score, band = next(scored)
            row |= {"status": "ok", "score": score, "band": BANDS[band], "counterfeit": score >= scorer.card.threshold}
        rows.append(row)
    return rows


def _about(scorer: Scorer, listing: Listing) -> dict[str, Any]:
    """What ``scores.json`` says beside the counts."""
    card = scorer.card
    # Of the module in use, for it comes in packages of several names: onnxruntime, onnxruntime-gpu, ...
    package = "onnxruntime" if scorer.engine_name == "onnx" else "torch"
    return {
        "run": str(card.folder.resolve()),
        "detector_sha256": card.sha256,
        "root": str(listing.root),
        "engine": scorer.engine_name,
        "operating_point": card.operating_point,
        "bands": card.bands,
        "calibration": card.calibration,
        "versions": {
            "python": platform.python_version(),
            "counterfeit": __version__,
            package: str(importlib.import_module(package).__version__),
            "pillow": PIL.__version__,
            "numpy": np.__version__,
        },
    }


def _progress(show: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not show)
