"""The test images of a run, corrupted, before its stored detectors: `robustness/<name>.parquet`, `robustness.json`."""

import hashlib
import inspect
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image
from rich.progress import Progress

from counterfeit.backbone import Embedder, Embeddings
from counterfeit.data.datamodule import ProductData
from counterfeit.data.files import write_json
from counterfeit.data.images import BadImage, decode_image
from counterfeit.data.manifest import read_columns, write_table
from counterfeit.detector import Detector, score_parts
from counterfeit.errors import UserError
from counterfeit.evaluation.comparison import Comparison
from counterfeit.evaluation.predictions import read_cell, read_parquet
from counterfeit.evaluation.robustness import CORRUPTIONS, Corruption, robustness_rows
from counterfeit.experiment.calibration import probabilities
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.tensors import load_heads, load_tuned

LARGEST = 512  # pixels: photographs are corrupted at their own resolution, but not above this
BATCH = 32


@dataclass(frozen=True)
class _Cell:
    """A stored detector and the test images that it scored."""

    detector: Detector
    tested: pa.Table
    embedder: Embedder


def measure_robustness(run: Path, comparison: Comparison, resamples: int = 1000) -> Path:
    """Score the corrupted test images with the baseline's and the product's detectors of all seeds.

    A corruption that was finished by the same detectors before is read, not made again. Writes and returns
    ``robustness.json``: recall and FPR at each cell's own threshold, AUROC, all with intervals.

    Raises:
        UserError: a cell of the run or a photograph is missing, or has changed since the run.
    """
    folder, config = RunFolder(run), yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    arms = {(comparison.baseline, comparison.baseline_dose), (comparison.product, comparison.product_dose)}
    paths = [folder.cell(test.seed, *arm) for test in comparison.tests for arm in sorted(arms)]
    data = ProductData(**_accepted(ProductData, config["data"]))
    data.prepare_data()
    missing = [name for name in CORRUPTIONS if not _finished(_part(run, name), _digest(paths))]
    if missing:
        frozen = Embedder(config["model"]["backbone"], data.size)
        cells = [_read(path, config, frozen) for path in paths]
        images = sorted({path for cell in cells for path in cell.tested["path"].to_pylist()})
        known = _checksums(folder.manifest)
        with Progress(transient=True) as progress:
            task = progress.add_task("corrupting", total=len(missing) * len(images))
            for name in missing:
                progress.update(task, description=name)
                parts = []
                for batch in _batches(data.folder, images, known, data.size, CORRUPTIONS[name]):
                    parts.append({embedder: embedder(batch) for embedder in {cell.embedder for cell in cells}})
                    progress.advance(task, len(batch))
                table = pa.concat_tables([_scored(cell, images, parts) for cell in cells], promote_options="permissive")
                write_table(table.replace_schema_metadata({"detectors": _digest(paths)}), _part(run, name))
    rows = [row for name in CORRUPTIONS for row in robustness_rows(name, read_parquet(_part(run, name)), resamples)]
    write_json(run / "robustness.json", {"corruptions": rows, "resamples": resamples})
    return run / "robustness.json"


def _part(run: Path, name: str) -> Path:
    return run / "robustness" / f"{name.replace(' ', '_').replace('%', 'percent')}.parquet"


def _finished(part: Path, digest: str) -> bool:
    """Whether a corruption was scored by these very detectors."""
    if not part.exists():
        return False
    metadata = pq.ParquetFile(part).schema_arrow.metadata or {}
    return bool(metadata.get(b"detectors") == digest.encode())


def _digest(cells: list[Path]) -> str:
    digest = hashlib.sha256()
    for cell in cells:
        for name in ("heads.safetensors", "predictions.parquet"):
            try:
                digest.update((cell / name).read_bytes())
            except OSError as error:
                raise UserError(f"{cell / name} is missing: run the stage detector first") from error
    return digest.hexdigest()


def _read(cell: Path, config: dict[str, Any], frozen: Embedder) -> _Cell:
    detector = Detector(**_accepted(Detector, config["model"]) | {"size": config["data"]["size"]})
    tuned = cell / "tuned.safetensors"
    if tuned.exists():
        load_tuned(detector, tuned)
    else:
        load_heads(detector, cell / "heads.safetensors")
    own = Embedder(frozen.name, frozen.size, network=detector.backbone) if tuned.exists() else frozen
    return _Cell(detector.eval(), read_cell(cell), own)


def _accepted(made: type, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that this version knows: a folder of an older one may have more."""
    return {name: value for name, value in settings.items() if name in inspect.signature(made).parameters}


def _checksums(manifest: Path) -> dict[str, str]:
    columns = read_columns(manifest, ["path", "sha256"])
    return dict(zip(columns["path"].to_pylist(), columns["sha256"].to_pylist(), strict=True))


def _batches(
    root: Path, images: list[str], known: Mapping[str, str], size: int, corruption: Corruption
) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        yield np.stack(
            [_corrupted(root / path, known[path], zlib.crc32(path.encode()), size, corruption) for path in batch]
        )


def _corrupted(file: Path, sha256: str, seed: int, size: int, corruption: Corruption) -> NDArray[np.uint8]:
    """One photograph, corrupted at its own resolution, then as the detector takes it."""
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise UserError(f"{file} is another photograph than in the run: put that one back")
        with Image.open(io.BytesIO(content)) as header:
            side = int(np.clip(max(header.size), size, LARGEST))
        pixels = decode_image(content, side)
    except (OSError, BadImage) as error:
        raise UserError(f"{file} cannot be read any more: the photographs must lie where they were") from error
    corrupted = Image.fromarray(corruption(pixels, seed))
    return np.asarray(corrupted.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _scored(cell: _Cell, images: list[str], parts: list[dict[Embedder, Embeddings]]) -> pa.Table:
    """The cell's predictions with what is said of the corrupted images in place of its own."""
    position = {path: row for row, path in enumerate(images)}
    rows = np.array([position[path] for path in cell.tested["path"].to_pylist()])
    embeddings = Embeddings.concatenate([part[cell.embedder] for part in parts])[rows]
    score = probabilities(cell.detector, score_parts(cell.detector, embeddings))
    made = {"score": pa.array(score), "captured": pa.array(cell.detector.captures.said(embeddings.pooled))}
    return pa.table({name: cell.tested[name] for name in cell.tested.column_names} | made)
