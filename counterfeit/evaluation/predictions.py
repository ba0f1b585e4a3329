"""The predictions of an experiment: read from the run folder's cells, checked, and sorted by arm and seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from counterfeit.errors import UserError

Array = NDArray[np.float64]
_COLUMNS = ("arm", "dose", "seed", "path", "group", "label", "score")
_THRESHOLD = "combination.threshold"  # its name among the weights of a cell


class SeedScores(NamedTuple):
    """One arm's scores of one seed's test images, in the order of their paths.

    Attributes:
        path: ``(N,)``.
        group: ``(N,)``, indexes the union of groups.
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        score: ``(N,)``, higher is more suspect.
        threshold: that of the cell, ``None`` where it is not known.
    """

    path: NDArray[np.str_]
    group: NDArray[np.int64]
    label: Array
    score: Array
    threshold: float | None


def read_predictions(run: Path) -> pa.Table:
    """Return the predictions of all cells of a run folder, with each cell's ``threshold``.

    Where ``predictions.parquet`` has no such column, the threshold is that stored in the cell's ``tuned.safetensors``,
    else in its ``heads.safetensors``, and null where there is neither.

    Raises:
        UserError: there are none, or a file of a cell cannot be read.
    """
    files = sorted((run / "detector").glob("*/*/*/predictions.parquet"))
    if not files:
        raise UserError(f"{run} holds no predictions of a detector: finish the run first, or name another folder")
    return pa.concat_tables([read_cell(file.parent) for file in files], promote_options="permissive")


def read_cell(cell: Path) -> pa.Table:
    """Return the predictions of one cell, with its ``threshold``.

    Raises:
        UserError: a file of the cell cannot be read.
    """
    table = read_parquet(cell / "predictions.parquet")
    if "threshold" in table.column_names:
        return table
    tuned = cell / "tuned.safetensors"
    threshold = _stored_threshold(tuned if tuned.exists() else cell / "heads.safetensors")
    return table.append_column("threshold", pa.array([threshold] * len(table), pa.float64()))


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table of a run folder.

    Args:
        path: of the file.
        columns: those to read; all if left out.

    Raises:
        UserError: it cannot be read.
    """
    try:
        # Not `read_table`, which reads meaning into folder names.
        return pq.ParquetFile(path).read(columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read: remove it and run the stage that writes it again") from error


def _stored_threshold(heads: Path) -> float | None:
    if not heads.exists():
        return None
    try:
        with safe_open(heads, framework="numpy") as tensors:
            return float(tensors.get_tensor(_THRESHOLD)) if _THRESHOLD in tensors.keys() else None  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{heads} cannot be read: remove its folder and rerun the detector") from error


def distinct_groups(tests: Sequence[SeedScores], label: int) -> int:
    """Count the groups that hold an image of one class, over all seeds."""
    return len(np.unique(np.concatenate([test.group[test.label == label] for test in tests])))


def same_scores(first: SeedScores, second: SeedScores) -> bool:
    """Whether two arms gave every test image of a seed the same score, so that nothing can differ between them."""
    return np.array_equal(first.score, second.score)


def scores_by_arm(predictions: pa.Table) -> dict[tuple[str, float], dict[int, SeedScores]]:
    """Sort a table of predictions by arm and dose, and seed.

    Raises:
        UserError: it cannot be compared: a column or value is missing, a score is not finite, an arm has an image of a
            seed twice, or other images than the rest.
    """
    missing = [name for name in _COLUMNS if name not in predictions.column_names]
    if missing or predictions.num_rows == 0:
        raise UserError(
            f"predictions: {'no column ' + ', '.join(missing) if missing else 'no rows'}; rerun the detector"
        )
    if any(predictions[name].null_count for name in _COLUMNS):
        raise UserError("predictions: empty cells; rerun the detector stage")
    columns = {name: np.asarray(predictions[name].to_pylist()) for name in _COLUMNS}
    thresholds = predictions["threshold"].to_pylist() if "threshold" in predictions.column_names else None
    if not np.isfinite(columns["score"]).all():
        raise UserError("predictions: a score is not a finite number; the detector of that arm has diverged")
    columns["group"] = np.unique(columns["group"], return_inverse=True)[1]
    # Rounded, so that a dose stored as float32 is the one in the configuration.
    keys = zip(columns["arm"].tolist(), columns["dose"].round(6).tolist(), columns["seed"].tolist(), strict=True)
    rows: dict[tuple[str, float, int], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    scores: dict[tuple[str, float], dict[int, SeedScores]] = {}
    expected: dict[int, SeedScores] = {}
    for (arm, dose, seed), members in sorted(rows.items()):
        ordered = np.array(members)[np.argsort(columns["path"][members], kind="stable")]
        threshold = None if thresholds is None else thresholds[members[0]]
        path, group, label, score = (columns[name][ordered] for name in ("path", "group", "label", "score"))
        test = SeedScores(path, group, label, score, threshold)
        same = expected.setdefault(seed, test)
        if (test.path[1:] == test.path[:-1]).any():
            raise UserError(f"predictions: arm {arm}, dose {dose}, seed {seed} has an image twice")
        if not (np.array_equal(test.path, same.path) and np.array_equal(test.label, same.label)):
            raise UserError(
                f"predictions: arm {arm}, dose {dose}, seed {seed} was tested on other images than the rest"
            )
        scores.setdefault((arm, dose), {})[seed] = test
    return scores
