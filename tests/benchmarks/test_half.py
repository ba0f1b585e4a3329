"""The halved bank is compared on the same test images, and takes over what does not depend on the number of images."""

import argparse

import pytest

from benchmarks.half import FULL, HALF, RANDOM, half_of, table, take_over
from benchmarks.synthesis import plan_entry
from benchmarks.synthesis_statistics import measure
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


@pytest.mark.parametrize(("count", "expected"), [(200, 100), (7, 3)])
def test_half_is_rounded_down(tmp_path, count, expected):
    (tmp_path / "config.yaml").write_text(f"synthesis: {{count: {count}}}")
    assert half_of(RunFolder(tmp_path)) == expected
