"""The comparison within parts of the test images: one kind of counterfeit, one size of group, one source."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from counterfeit.data.kinds import single_kinds
from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import Comparison, Difference, Level
from counterfeit.evaluation.predictions import read_parquet

_RESAMPLES = 500
_SIZES = ((1, 1, "alone"), (2, 4, "2 to 4 images"), (5, 10**9, "5 images or more"))


class SliceRow(NamedTuple):
    """Recall at 5 % FPR within a part, without and with the product.

    Attributes:
        slice: ``kind``, ``group size`` or ``source``.
        name: of the part.
        images: distinct counterfeits of the part in all test sets.
        genuine: distinct genuine images: all, or those of the part where it is not a kind.
        seeds: those with a counterfeit of the part.
        baseline: recall without the product.
        product: recall with it.
        difference: of the two.
    """

    slice: str
    name: str
    images: int
    genuine: int
    seeds: int
    baseline: Level
    product: Level
    difference: Difference


def slices(run: Path, predictions: pa.Table | None, comparison: Comparison) -> list[SliceRow]:
    """Compare baseline and product within every part that holds a counterfeit."""
    if predictions is None or "kind" not in predictions.column_names:
        return []
    arms = np.isin(predictions["arm"].to_pylist(), (comparison.baseline, comparison.product))
    table = predictions.filter(pa.array(arms))
    return [
        row
        for slice_, name, chosen in _parts(run, table)
        if (row := _row(slice_, name, table.filter(pa.array(chosen)), comparison)) is not None
    ]


def _parts(run: Path, table: pa.Table) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Slice, name and the rows of the part."""
    genuine = np.asarray(table["label"].to_pylist()) == 0
    kinds = [single_kinds(kind) for kind in table["kind"].to_pylist()]
    for kind in sorted({kind for found, real in zip(kinds, genuine, strict=True) if not real for kind in found}):
        yield "kind", kind, genuine | np.array([kind in found for found in kinds])
    _, member, counts = np.unique(_per_seed_groups(table), return_inverse=True, return_counts=True)
    size = counts[member] // max(1, _cells_per_seed(table))
    for low, high, name in _SIZES:
        inside = (size >= low) & (size <= high)
        if inside.any() and not inside.all():
            yield "group size", name, inside
    manifest = run / "manifest.parquet"
    if manifest.is_file():
        rows = read_parquet(manifest, ["path", "source"])
        source_of = dict(zip(rows["path"].to_pylist(), rows["source"].to_pylist(), strict=True))
        source = np.array([source_of.get(path) or "unknown" for path in table["path"].to_pylist()])
        names = np.unique(source)
        for name in names if len(names) > 1 else []:
            yield "source", str(name), source == name


def _per_seed_groups(table: pa.Table) -> NDArray[np.str_]:
    pairs = zip(table["seed"].to_pylist(), table["group"].to_pylist(), strict=True)
    return np.array([f"{seed} {group}" for seed, group in pairs])


def _cells_per_seed(table: pa.Table) -> int:
    cells = set(zip(*(table[name].to_pylist() for name in ("arm", "dose", "seed")), strict=True))
    return len(cells) // len({seed for *_, seed in cells})


def _row(slice_: str, name: str, table: pa.Table, comparison: Comparison) -> SliceRow | None:
    label = np.asarray(table["label"].to_pylist())
    if not (label == 1).any():
        return None
    part = compare(
        table,
        baseline=comparison.baseline,
        product=comparison.product,
        product_dose=comparison.product_dose,
        resamples=_RESAMPLES,
        seed=comparison.seed,
    )
    levels = {(arm.arm, arm.dose): arm.levels["recall_at_5pct_fpr"] for arm in part.arms}
    counterfeit = table.filter(pa.array(label == 1))
    return SliceRow(
        slice=slice_,
        name=name,
        images=len(set(counterfeit["path"].to_pylist())),
        genuine=len(set(table.filter(pa.array(label == 0))["path"].to_pylist())),
        seeds=len(set(counterfeit["seed"].to_pylist())),
        baseline=levels[part.baseline, part.baseline_dose],
        product=levels[part.product, part.product_dose],
        difference=part.pair().differences["recall_at_5pct_fpr"],
    )
