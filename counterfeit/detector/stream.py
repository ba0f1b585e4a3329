"""Scores of a long listing: a kill loses one part, and nothing known is scored again.

Pixels and rows in memory are bounded. What grows, in this process only, is the list of paths and the index of known
contents: about 230 bytes for each image that the detector has ever scored into this cache.
"""

import importlib
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from counterfeit import __version__
from counterfeit.cache import ArrayCache, default_cache_folder
from counterfeit.data.listing import Listing
from counterfeit.detector.card import BANDS, Card
from counterfeit.detector.decoding import Batch, Decoded, Decoder, decoded
from counterfeit.detector.scorer import BATCH, Scorer
from counterfeit.detector.shards import SCHEMA, Shards
from counterfeit.errors import UserError

SHARD = 8 * BATCH  # inputs of a part
Rows = list[dict[str, Any]]
Advance = Callable[[int], None]
"""Told how many more inputs have been dealt with."""


class Part(NamedTuple):
    """Inputs whose scores are written together, and the part's number."""

    number: int
    paths: list[str | None]


PartRows = Callable[[Iterable[Part], Advance], Iterator[tuple[int, Rows]]]
"""Gives rows for parts, under their numbers, in any order."""


def score_listing(
    scorer: Scorer, listing: Listing, out: Path, cache: Path, workers: int = 0, show: bool = True
) -> dict[str, Any]:
    """Score every input on this machine and write the scores; more of the arguments and errors: :func:`write_scores`.

    Args:
        scorer: a loaded detector.
        listing: the inputs.
        out: folder to write.
        cache: folder where scores are kept by content.
        workers: processes that decode; 0 decodes in this one.
        show: a progress bar on standard error.
    """
    known = scores_known(cache, scorer)

    def score(parts: Iterable[Part], advance: Advance) -> Iterator[tuple[int, Rows]]:
        return part_rows(scorer, listing.root, parts, known, workers, advance)

    return write_scores(scorer.card, scorer.engine_name, listing, out, score, show)


def write_scores(
    card: Card, engine_name: str, listing: Listing, out: Path, score: PartRows, show: bool = True
) -> dict[str, Any]:
    """Write ``scores.parquet``, ``scores.csv`` and ``scores.json``.

    Args:
        card: what the detector is.
        engine_name: ``torch`` or ``onnx``.
        listing: the inputs.
        out: folder to write; unfinished scores of the same detector and root are continued.
        score: gives the rows of the parts that are still to be made.
        show: a progress bar on standard error.

    Returns:
        The counts of ``scores.json``.

    Raises:
        UserError: ``out`` holds something else.
    """
    job = {"detector_sha256": card.sha256, "engine": engine_name, "root": str(listing.root), "columns": SCHEMA.names}
    about = _about(card, engine_name, listing)  # before the work: what fails in it must not fail at the end
    shards = Shards(out, job)
    with _progress(show) as progress:
        task = progress.add_task("scoring", total=len(listing))

        def advance(count: int) -> None:
            progress.advance(task, count)

        for number, rows in score(_missing(shards, listing, advance), advance):
            shards.write(number, rows)
    return shards.finish(-(-len(listing) // SHARD), about)


def cache_folder(cache: str | None) -> Path:
    """The folder where scores are kept, ``None`` for the one of this machine, made where it is missing.

    Raises:
        UserError: it cannot be written to.
    """
    folder = Path(cache).expanduser() if cache else default_cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"cannot write to the cache folder {folder}: {error.strerror}; set --cache") from error


def scores_known(cache: Path, scorer: Scorer) -> ArrayCache:
    """The scores that a detector has given so far, keyed by the hashes of the contents.

    Args:
        cache: folder where they are kept.
        scorer: the detector.
    """
    return ArrayCache(cache, f"scored-{scorer.card.sha256[:16]}-{scorer.engine_name}", (2,), np.float64)


def part_rows(
    scorer: Scorer, root: Path, parts: Iterable[Part], known: ArrayCache, workers: int, advance: Advance
) -> Iterator[tuple[int, Rows]]:
    """Rows of parts, in order.

    Args:
        scorer: a loaded detector.
        root: folder that the paths are relative to.
        parts: inputs.
        known: of :func:`scores_known`; new scores are added.
        workers: processes that decode, across the borders of parts; 0 decodes in this one.
        advance: is told of each batch.
    """
    rows: Rows = []
    for batch, results in decoded(Decoder(root, scorer.card.size), _batches(parts), known, workers):
        _score_new(scorer, results, known)
        rows += _rows(scorer, batch, results, known)
        advance(len(results))
        if batch.last:
            yield batch.part, rows
            rows = []


def _missing(shards: Shards, listing: Listing, skip: Advance) -> Iterator[Part]:
    """The parts that are still to be made; ``skip`` is told how many inputs the others hold."""
    for number, paths in enumerate(listing.chunks(SHARD)):
        if shards.missing(number, paths):
            yield Part(number, paths)
        else:
            skip(len(paths))


def _batches(parts: Iterable[Part]) -> Iterator[Batch]:
    for number, paths in parts:
        for start in range(0, len(paths), BATCH):
            yield Batch(number, start + BATCH >= len(paths), paths[start : start + BATCH])


def _score_new(scorer: Scorer, results: list[Decoded], known: ArrayCache) -> None:
    """Score each content that has no score yet, once."""
    new = {
        one.sha256: one.pixels
        for one in results
        if one.sha256 is not None and one.pixels is not None and one.sha256 not in known
    }
    if new:
        known.append(list(new), scorer.kept(np.stack(list(new.values()))))


def _rows(scorer: Scorer, batch: Batch, results: list[Decoded], known: ArrayCache) -> Rows:
    digests = [one.sha256 for one in results if one.reason is None and one.sha256 is not None]
    probability, capture = known.rows(digests).astype(np.float64).T
    bands = scorer.card.band_numbers(probability)
    scored = zip(probability.tolist(), bands.tolist(), capture.astype(int).tolist(), strict=True)
    rows = []
    for path, one in zip(batch.paths, results, strict=True):
        row = {"path": path, "sha256": one.sha256, "status": "error", "error": one.reason}
        if one.reason is None:
            score, band, number = next(scored)
            row |= {"status": "ok", "score": score, "band": BANDS[band], "counterfeit": score >= scorer.card.threshold}
            row |= {"captured": scorer.card.captures[number]}
        rows.append(row)
    return rows


def _about(card: Card, engine_name: str, listing: Listing) -> dict[str, Any]:
    """What ``scores.json`` says beside the counts."""
    # Of the module in use, for it comes in packages of several names: onnxruntime, onnxruntime-gpu, ...
    package = "onnxruntime" if engine_name == "onnx" else "torch"
    return {
        "run": str(card.folder.resolve()),
        "detector_sha256": card.sha256,
        "root": str(listing.root),
        "engine": engine_name,
        "operating_point": card.operating_point,
        "bands": card.bands,
        "calibration": card.calibration,
        "captures": card.captures,
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
