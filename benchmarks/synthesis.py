"""Does synthesis pay? Sets x training counterfeits x seeds x arms, written as tables for docs/benchmarks.md.

    python -m benchmarks.synthesis --shared ../shared/data --work runs/synthesis --write docs/benchmarks.md

Resumable: the work folder has one run folder for each set and number of counterfeits, and what is finished in it is
read. Seeds come one after the other through the whole grid, so that a run stopped early has all sets and sizes with
fewer seeds. Options that are not listed are those of ``counterfeit.fit`` and apply to every run, as in
``--config configs/smoke.yaml --gan.kimg 4``. Arms and seeds may be added later; all else needs another work folder, and
so does another version of the code.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import jsonargparse
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray
from safetensors import safe_open

from benchmarks.curve_picture import write_picture
from benchmarks.real_data import SETS
from benchmarks.synthesis_statistics import Cell, measure
from benchmarks.synthesis_tables import Kept, Made, tables
from counterfeit.data.files import write_text
from counterfeit.detector import PARTS
from counterfeit.errors import UserError
from counterfeit.evaluation.arms import BASELINE, PRODUCT
from counterfeit.evaluation.metrics import auroc
from counterfeit.evaluation.predictions import read_cell
from counterfeit.experiment import Arm, run
from counterfeit.experiment.arms import BANKS
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.run import Plan
from counterfeit.fit import command_line

ARMS = (
    *("real", "transplant", "unrefined", "synthetic", "synthetic-random", "placebo"),
    *("smote", "mixup", "cutmix", "procedural", "oracle"),
)
BEGIN, END = "<!-- synthesis: begin -->", "<!-- synthesis: end -->"
Key = tuple[str, int]


@dataclass
class Entry:
    """One set and number of training counterfeits: its plan, its run folder, and the seconds of each seed run now."""

    name: str
    size: int
    plan: Plan
    folder: RunFolder
    seconds: list[float] = field(default_factory=list)

    def cells(self, seed: int) -> list[tuple[str, Path]]:
        """Arms of a seed and their cells; no oracle where the set has no further counterfeits."""
        oracle = self.oracle_factor(seed) > 1
        cells = [(arm, dose) for arm, dose in self.plan.experiment.cells() if arm != "oracle" or oracle]
        return [(arm, self.folder.cell(seed, arm, dose)) for arm, dose in cells]

    def done(self, seed: int) -> bool:
        """Whether all arms of a seed have predictions."""
        return all((path / "predictions.parquet").exists() for _, path in self.cells(seed))

    def splits(self) -> list[dict[str, object]]:
        """Rows of ``splits.parquet``, with labels."""
        if not self.folder.splits.exists():
            return []
        label = {row["path"]: row["label"] for row in pq.ParquetFile(self.folder.manifest).read().to_pylist()}
        return [row | {"label": label[row["path"]]} for row in pq.ParquetFile(self.folder.splits).read().to_pylist()]

    def oracle_factor(self, seed: int) -> float:
        """By how much the oracle multiplies the training counterfeits of a seed: 2, or what the set allows."""
        split = [row["split"] for row in self.splits() if row["seed"] == seed and row["label"] == 1]
        return 1 + min(1.0, split.count("unused") / max(1, split.count("train")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing within the budget, print the tables, and return the exit code: 0, or 2 for bad input."""
    args, options = _parser().parse_known_args(arguments)
    try:
        entries = [plan_entry(args, options, name, size) for name in args.sets for size in args.sizes]
        run_all(entries, args.seeds, args.budget, time.monotonic())
        grid = measured(entries, args)
        text = results(entries, grid, args)
    except (UserError, jsonargparse.ArgumentError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(text)
    if args.picture:
        write_picture(args.picture, grid, args.sets, args.sizes)
    if args.write:
        write_text(args.write, between_marks(args.write.read_text() if args.write.exists() else "# Benchmarks\n", text))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthesis",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--work", type=Path, default=Path("runs/synthesis"), help="folder of the run folders")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16, 48], help="training counterfeits")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", choices=get_args(Arm), default=list(ARMS))
    parser.add_argument("--budget", type=float, help="minutes after which no further seed of a cell is begun")
    parser.add_argument("--resamples", type=int, default=2000, help="replicates of the bootstrap")
    parser.add_argument("--picture", type=Path, help="PNG to draw, of both arms over training counterfeits")
    parser.add_argument("--write", type=Path, help="page whose section between the marks is rewritten")
    return parser


def plan_entry(args: argparse.Namespace, options: Sequence[str], name: str, size: int) -> Entry:
    """The plan of a set and size: the settings of ``configs/<set>.yaml``, then the caller's, then the grid's."""
    config = Path("configs") / f"{name}.yaml"
    chosen = [*(["--config", str(config)] if config.exists() else []), *options]
    chosen += ["--data.root", "null" if name == "labels" else str(args.shared / name)]
    chosen += ["--data.counterfeits", str(size), "--seeds", str(args.seeds)]
    chosen += ["--experiment.arms", "[" + ",".join(dict.fromkeys(["real", *args.arms])) + "]"]
    plan = command_line(chosen).plan()
    if len(plan.experiment.doses) != 1:
        raise UserError(f"experiment.doses {plan.experiment.doses}: the tables have room for one dose")
    return Entry(name, size, plan, RunFolder(args.work / f"{name}-{size}"))


def run_all(entries: Sequence[Entry], seeds: Sequence[int], budget: float | None, start: float) -> None:
    """Run what is missing, seed by seed; one line for each cell that gets finished, with the time left."""
    for entry in entries:
        widen(entry)
    waiting = [
        (seed, entry) for seed in seeds for entry in entries if not entry.folder.splits.exists() or not entry.done(seed)
    ]
    skipped: set[Key] = set()
    for position, (seed, entry) in enumerate(waiting):
        key = (entry.name, entry.size)
        if key in skipped:
            continue
        expected = _expected(entry, entries)
        if budget is not None and time.monotonic() - start + expected > 60 * budget:
            left = f"{len(waiting) - position} of {len(waiting)} seeds of cells are left"
            _say(f"budget of {budget:g} minutes: {left}; the same command continues")
            return
        begun = time.monotonic()
        try:
            _run_seed(entry, seed, seeds)
        except UserError as error:
            skipped.add(key)
            _say(f"{entry.name} {entry.size} is left out: {error}")
            continue
        entry.seconds.append(time.monotonic() - begun)
        left = sum(_expected(later, entries) for _, later in waiting[position + 1 :])
        state = "finished" if all(entry.done(number) for number in seeds) else f"seed {seed} done"
        _say(f"{entry.name} {entry.size}: {state}, {entry.seconds[-1]:.0f} s; about {left / 60:.0f} minutes left")


def _run_seed(entry: Entry, seed: int, seeds: Sequence[int]) -> None:
    """Train all arms of one seed; what the stages say goes to a log beside the run folder."""
    entry.folder.path.parent.mkdir(parents=True, exist_ok=True)
    log = entry.folder.path.with_suffix(".log")
    with log.open("a") as file, contextlib.redirect_stderr(file):
        split = {int(str(row["seed"])) for row in entry.splits()}
        if not split >= set(seeds):
            # The splits alone need no arms; they tell whether there is an oracle.
            alone, every = replace(entry.plan.experiment, arms=["real"]), sorted(split | set(seeds))
            run(replace(entry.plan, experiment=alone, seeds=every), entry.folder.path, ["data"])
        arms = [arm for arm in entry.plan.experiment.arms if arm != "oracle" or entry.oracle_factor(seed) > 1]
        plan = replace(entry.plan, seeds=[seed], experiment=replace(entry.plan.experiment, arms=arms))
        run(plan, entry.folder.path, ["gan", "synthesis", "detector"])


def _expected(entry: Entry, entries: Sequence[Entry]) -> float:
    """Seconds that a seed of a cell takes, from those that were run now."""
    seconds = entry.seconds or [value for other in entries for value in other.seconds]
    return sum(seconds) / len(seconds) if seconds else 0.0


def widen(entry: Entry) -> None:
    """Let a run folder of the same settings take further arms and seeds; its cells do not depend on them.

    Raises:
        UserError: its settings are others, so that its cells may not be read either.
    """
    kept = entry.folder.config
    if not kept.is_file() or kept.read_text() == entry.plan.config:
        return
    if not same_settings(kept.read_text(), entry.plan.config):
        raise UserError(f"{entry.folder.path} holds a run of other settings; choose another --work folder")
    write_text(kept, entry.plan.config)


def same_settings(first: str, second: str) -> bool:
    """Whether two configurations differ in arms, seeds and resamples at most."""
    both = [yaml.safe_load(text) for text in (first, second)]
    for config in both:
        config["seeds"], config["experiment"]["arms"], config["experiment"]["resamples"] = None, None, None
    return bool(both[0] == both[1])


def measured(entries: Sequence[Entry], args: argparse.Namespace) -> dict[Key, Cell]:
    """What the run folders hold of the seeds and arms asked for."""
    grid: dict[Key, Cell] = {}
    for number, name in enumerate(args.sets):
        found = {
            e.size: pa.concat_tables(read, promote_options="permissive")
            for e in entries
            if e.name == name and (read := list(_predictions(e, args.seeds)))
        }
        cells = measure(found, args.resamples, number) if found else {}
        grid |= {(name, size): cell for size, cell in cells.items()}
    return grid


def results(entries: Sequence[Entry], grid: Mapping[Key, Cell], args: argparse.Namespace) -> str:
    """The tables of a grid."""
    shown = [entry for entry in entries if (entry.name, entry.size) in grid]
    return tables(grid, {(e.name, e.size): _kept(e, args.seeds) for e in shown}, args.sets, args.sizes)


def _kept(entry: Entry, seeds: Sequence[int]) -> Kept:
    factors = [entry.oracle_factor(seed) for seed in seeds if entry.done(seed)]
    return Kept(_doses(entry, seeds), factors, list(_made(entry, seeds)), _areas(entry, seeds))


def _predictions(entry: Entry, seeds: Sequence[int]) -> Iterator[pa.Table]:
    for seed in seeds:
        for _, path in entry.cells(seed):
            if (path / "predictions.parquet").exists():
                yield read_cell(path)


def _doses(entry: Entry, seeds: Sequence[int]) -> dict[str, list[float]]:
    """The dose that each seed's detector used, of the arms whose images have masks."""
    used: dict[str, list[float]] = {}
    for seed in seeds:
        for arm, path in entry.cells(seed):
            if arm in BANKS and (path / "heads.safetensors").exists():
                with safe_open(path / "heads.safetensors", framework="numpy") as tensors:
                    used.setdefault(arm, []).append(float(tensors.get_tensor("combination.dose")))
    return used


def _made(entry: Entry, seeds: Sequence[int]) -> Iterator[Made]:
    """How each seed's refiner ended, and what became of the counterfeits drawn for its bank."""
    for seed in seeds:
        ended, counted = entry.folder.gan(seed) / "done.json", entry.folder.bank("synthetic", seed) / "provenance.json"
        if ended.exists() and counted.exists():
            done, counts = json.loads(ended.read_text()), json.loads(counted.read_text())
            numbers = {"drawn": counts["drawn"]["counterfeit"], "kept": counts["kept"]["counterfeit"]}
            yield Made(done["healthy"], done["attempt"], numbers | counts["rejected"]["counterfeit"])


def _areas(entry: Entry, seeds: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """AUROC of every part and of the whole in per cent, ``(seeds, P + 1)``, of ``real`` and the product."""
    areas: dict[str, list[list[float]]] = {}
    for seed in seeds:
        for arm, path in entry.cells(seed):
            if arm in (BASELINE, PRODUCT) and (path / "predictions.parquet").exists():
                test, parts = read_cell(path), pq.read_table(path / "parts.parquet")
                columns = [*(parts[name] for name in PARTS), test["score"]]
                label = test["label"].to_numpy()
                areas.setdefault(arm, []).append([100 * auroc(label, column.to_numpy()) for column in columns])
    return {arm: np.array(rows) for arm, rows in areas.items()}


def between_marks(page: str, text: str) -> str:
    """The page with the text between the marks, which are appended where there are none."""
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
