"""Unseen kinds: ``real`` and the product are trained without one kind of counterfeit and tested on it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.datamodule import ProductData
from counterfeit.data.files import write_json
from counterfeit.data.kinds import single_kinds
from counterfeit.errors import UserError
from counterfeit.evaluation.unseen import unseen_kinds
from counterfeit.experiment.repeat import Repeater
from counterfeit.experiment.seed import Seed

LEAST_TEST = 8  # test images of a kind in every seed, below which it is not held out
LEAST_LEFT = {"train": 2, "validation": 1}  # counterfeits of other kinds that a seed needs


def check_kinds(seeds: Sequence[Seed], wanted: str) -> tuple[list[str], dict[str, str]]:
    """The kinds that can be held out, in alphabetical order, and why others cannot.

    Args:
        seeds: of the run.
        wanted: one kind, or ``all``.

    Raises:
        UserError: the counterfeits have no kinds, there is no such kind, or none can be held out.
    """
    data = seeds[0].data
    named = data.photos.kind[(data.photos.label == 1) & (data.photos.kind != "")]
    kinds = sorted(set().union(*map(single_kinds, named.tolist())))
    if not kinds:
        raise UserError("experiment.holdout_kind needs to know kinds: add the column kind to the manifest")
    if wanted != "all" and wanted not in kinds:
        raise UserError(f"experiment.holdout_kind: there is no kind {wanted!r}, only {', '.join(kinds)}, or all")
    reasons = {kind: _obstacle(seeds, kind) for kind in (kinds if wanted == "all" else [wanted])}
    left_out = {kind: reason for kind, reason in reasons.items() if reason}
    if len(left_out) == len(reasons):
        said = "; ".join(f"{kind} {reason}" for kind, reason in left_out.items())
        raise UserError(f"experiment.holdout_kind {wanted}: no kind can be held out: {said}")
    return [kind for kind in reasons if kind not in left_out], left_out


def write_holdout(
    repeat: Repeater, seeds: Sequence[Seed], kinds: Sequence[str], left_out: dict[str, str], resamples: int
) -> Path:
    """Write ``holdout.json``; the cells lie in ``holdout/<kind>/``.

    Args:
        repeat: trains both arms.
        seeds: of the run.
        kinds: to hold out, one after the other.
        left_out: kinds that could not be held out, and why.
        resamples: replicates of the bootstrap.
    """
    data, run = seeds[0].data, repeat.cells.folder.path
    tables, learned = {}, {}
    for kind in kinds:
        view = data.with_unseen(of_kind(data, kind))
        cells = repeat.cells.elsewhere(run / "holdout" / folder_name(kind, kinds))
        tables[kind] = repeat.predictions(cells, seeds, view, f"without {kind}")
        learned[kind] = min(int((replace(seed, data=view).label == 1).sum()) for seed in seeds)
    found = unseen_kinds(tables, repeat.arm, repeat.dose, resamples)
    for entry in found["kinds"]:
        kind = entry["kind"]
        only = (data.photos.label == 1) & (data.photos.kind == kind)
        alone = [(only & (seed.split == "test")).sum() for seed in seeds]
        entry |= {"n_learned": learned[kind], "n_alone": int(min(alone))}
    write_json(run / "holdout.json", found | {"least_test": LEAST_TEST, "left_out": left_out})
    return run / "holdout.json"


def of_kind(data: ProductData, kind: str) -> NDArray[np.bool_]:
    """``(N,)``, true for counterfeits that deviate in this way, also where in others too."""
    pairs = zip(data.photos.label.tolist(), data.photos.kind.tolist(), strict=True)
    return np.array([label == 1 and kind in single_kinds(name) for label, name in pairs])


def folder_name(kind: str, kinds: Sequence[str]) -> str:
    """A kind as the name of a folder; its place among the kinds keeps names apart that differ in signs alone."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", kind)
    return plain if plain == kind else f"{plain}-{kinds.index(kind)}"


def _obstacle(seeds: Sequence[Seed], kind: str) -> str | None:
    chosen = of_kind(seeds[0].data, kind)
    tested = min(int((chosen & (seed.split == "test")).sum()) for seed in seeds)
    if tested < LEAST_TEST:
        return f"has {tested} test images in a seed, fewer than {LEAST_TEST}"
    for seed in seeds:
        without = replace(seed, data=seed.data.with_unseen(chosen))
        for split, least in LEAST_LEFT.items():
            left = int((seed.data.photos.label[without.rows(split)] == 1).sum())
            if left < least:
                return f"leaves {left} counterfeits of other kinds in {split}, fewer than {least}"
    return None
