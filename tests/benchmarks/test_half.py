"""The halved bank is compared on the same test images, and takes over what does not depend on the number of images."""

import argparse

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.half import FULL, HALF, RANDOM, grid_of, half_of, table, take_over
from benchmarks.synthesis import plan_entry
from benchmarks.synthesis_statistics import measure
from counterfeit.data.manifest import write_table
from counterfeit.evaluation.predictions import read_cell
from counterfeit.experiment.folder import RunFolder
from tests.benchmarks.test_synthesis import RESAMPLES, predictions


def test_the_table_has_each_set_and_all_and_says_what_half_of_the_images_lose():
    shifts = {"real": 1.0, HALF: 1.5, FULL: 1.5, RANDOM: 2.5}
    grid = {("labels", 8): measure({8: predictions(shifts)}, RESAMPLES, 0)[8]}
    lines = table(grid).splitlines()
    assert len(lines) == 2 + 3 * 2
    row = {tuple(line.split(" | ")[:2]): line.split(" | ")[2:] for line in lines[2:]}
    assert row["| " + RANDOM, "labels"][0].startswith("-") and row["| real", "labels"][0].startswith("+")
    assert row["| " + RANDOM, "labels"] == row["| " + RANDOM, "all"]
    codes = measure({8: predictions(shifts | {HALF: 2.5})}, RESAMPLES, 0)[8]
    several = table(grid | {("magnetic_tile", 8): grid["labels", 8], ("print_scan_codes", 8): codes}).splitlines()
    assert len(several) == 2 + 3 * 6  # all, all real ones, all but codes, and each
    estimate = {tuple(line.split(" | ")[:2]): float(line.split(" | ")[2].split()[0]) for line in several[2:]}
    alone, codes_alone = estimate["| " + RANDOM, "labels"], estimate["| " + RANDOM, "print_scan_codes"]
    assert alone < -1 < codes_alone
    assert estimate["| " + RANDOM, "all but codes"] == pytest.approx(alone)
    assert estimate["| " + RANDOM, "all real ones"] == pytest.approx((alone + codes_alone) / 2, abs=0.1)
    assert estimate["| " + RANDOM, "all"] == pytest.approx((2 * alone + codes_alone) / 3, abs=0.1)


def test_generators_and_the_arm_without_images_are_taken_over_once(tmp_path):
    full = RunFolder(tmp_path / "full" / "labels-8")
    for path in (full.gan(0), full.cell(0, "real", 0.0)):
        path.mkdir(parents=True)
        (path / "made").write_text("once")
    full.config.write_text("synthesis: {count: 200}")
    args = argparse.Namespace(shared=tmp_path, work=tmp_path / "half", seeds=[0], arms=[FULL])
    entry = plan_entry(args, ["--synthesis.count", str(half_of(full))], "labels", 8)
    for _ in range(2):
        take_over(full, entry, [0])
        (full.gan(0) / "made").write_text("again")
    half = entry.folder
    assert (half.gan(0) / "made").read_text() == (half.cell(0, "real", 0.0) / "made").read_text() == "once"
    half.check(entry.plan.config, stages_named=True)  # raises for a folder that holds no run, or another one
    assert entry.plan.synthesis.count == 100 and half.config.read_text() == entry.plan.config


def test_the_halved_bank_is_read_from_its_own_folder_and_all_else_from_the_grid(tmp_path):
    where = {"half": {FULL: 1.2}, "full": {FULL: 1.5, RANDOM: 2.5, "real": 1.0}}
    for name, shifts in where.items():
        table = predictions(shifts)
        folder = RunFolder(tmp_path / name / "labels-8")
        for row in {(seed, arm) for seed in (0, 1) for arm in shifts}:
            chosen = table.filter((pc.field("seed") == row[0]) & (pc.field("arm") == row[1]))
            dose = 0.0 if row[1] == "real" else 1.0
            dosed = chosen.set_column(chosen.column_names.index("dose"), "dose", pa.array([dose] * len(chosen)))
            write_table(dosed, folder.cell(*row, dose) / "predictions.parquet")
    args = argparse.Namespace(shared=tmp_path, work=tmp_path / "half", seeds=[0, 1], arms=[FULL])
    entry = plan_entry(args, ["--synthesis.count", "100"], "labels", 8)
    cell = grid_of([entry], tmp_path / "full", [0, 1], RESAMPLES)["labels", 8]
    assert set(cell) == {HALF, FULL, RANDOM, "real"} and set(cell[HALF]) == {0, 1}
    read = measure({8: read_cell(RunFolder(tmp_path / "half" / "labels-8").cell(0, FULL, 1.0))}, RESAMPLES, 0)[8]
    assert cell[HALF][0].actual == pytest.approx(read[FULL][0].actual)
    assert cell[HALF][0].actual != pytest.approx(cell[FULL][0].actual)


@pytest.mark.parametrize(("count", "expected"), [(200, 100), (7, 3)])
def test_half_is_rounded_down(tmp_path, count, expected):
    (tmp_path / "config.yaml").write_text(f"synthesis: {{count: {count}}}")
    assert half_of(RunFolder(tmp_path)) == expected
