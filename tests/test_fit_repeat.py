"""The learning curve and unseen kinds from the command line, and what they say where they cannot be measured."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.data.kinds import single_kinds
from counterfeit.fit import main

PROJECT = Path(__file__).parents[1]
SMOKE = [
    f"--config={PROJECT / 'configs' / 'smoke.yaml'}", "--seeds=[0]", "--experiment.resamples=50",
    "--trainer.max_epochs=1", "--experiment.arms=[real,transplant]", "--synthesis.count=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def said(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text())


@pytest.mark.slow
def test_a_learning_curve_is_drawn_and_continued(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    synthetic = [*SMOKE, "--experiment.arms=[real,synthetic]", "--gan.kimg=0.064", "--gan.pool=32"]
    command = [*synthetic, f"--data.cache={cache}", "--experiment.learning_curve=[16,6,500]", f"--out={out}"]
    assert main(command) == 0
    assert "learning curve without 500: there are 40 training counterfeits" in capsys.readouterr().err
    curve = said(out, "learning_curve.json")
    assert (curve["counts"], curve["seeds"], curve["product"]) == ([6, 16], 1, "synthetic")
    assert {entry["counterfeits"] for entry in curve["worth"]} == {6, 16}
    assert said(out, "report.json")["learning_curve"] == curve
    assert "With 6 real counterfeits, by AUROC" in (out / "report.html").read_text()
    # The count of the run is the run's own; the bank of another stems from its own few counterfeits.
    assert not (out / "curve/16").exists()
    levels = {arm["arm"]: arm["levels"]["auroc"]["estimate"] for arm in said(out, "comparison.json")["arms"]}
    assert {arm: points["auroc"][1][0] for arm, points in curve["arms"].items()} == pytest.approx(levels)
    bank = pq.read_table(out / "curve/6/synthetic/0/manifest.parquet").to_pylist()
    donors = {row["donor"] for row in bank if row["label"] == 1 and not row["anomaly"]}
    split = {row["path"]: row["split"] for row in pq.read_table(out / "splits.parquet").to_pylist()}
    assert 0 < len(donors) <= 6 and {split[donor] for donor in donors} == {"train"}
    tables = [pq.read_table(path) for path in out.glob("**/detector/0/*/*/predictions.parquet")]
    assert len(tables) == 4 and len({tuple(table["path"].to_pylist()) for table in tables}) == 1
    # A cell that is lost is made again, the same; the others are read.
    cells = {path: path.stat().st_mtime_ns for path in out.glob("curve/6/detector/0/*/*/predictions.parquet")}
    lost = next(path for path in cells if "synthetic" in path.parts)
    lost.unlink()
    assert main([*command, "--stages=[curve]"]) == 0
    assert {path for path in cells if path.stat().st_mtime_ns != cells[path]} == {lost}
    assert said(out, "learning_curve.json") == curve


@pytest.mark.slow
def test_every_kind_with_enough_images_is_held_out(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    drawn = ["--data.drawn_counterfeit=120", "--data.size=64"]
    assert main([*SMOKE, *drawn, f"--data.cache={cache}", "--experiment.holdout_kind=all", f"--out={out}"]) == 0
    found = said(out, "holdout.json")
    assert len(found["kinds"]) > 2
    split = {row["path"]: row["split"] for row in pq.read_table(out / "splits.parquet").to_pylist()}
    for entry in found["kinds"]:
        table = pq.read_table(next((out / "holdout" / entry["kind"]).glob("detector/0/real/*/predictions.parquet")))
        rows = table.to_pylist()
        assert {split[row["path"]] for row in rows} == {"test"}
        assert all(entry["kind"] in single_kinds(row["kind"]) for row in rows if row["label"])
        assert sum(row["label"] for row in rows) == entry["n_counterfeit"] >= 8
        assert entry["n_genuine"] == sum(not row["label"] for row in rows) == 56
        bank = pq.read_table(out / "holdout" / entry["kind"] / "transplant/0/manifest.parquet").to_pylist()
        kinds = {row["path"]: row["kind"] for row in pq.read_table(out / "manifest.parquet").to_pylist()}
        assert not any(entry["kind"] in single_kinds(kinds[row["donor"]]) for row in bank if row["label"])
    page = (out / "report.html").read_text()
    assert 'id="unseen"' in page and said(out, "report.json")["holdout"] == found


def refused(options: list[str], cache: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    small = ["--data.drawn_genuine=30", "--data.drawn_counterfeit=15", "--data.counterfeits=4", "--data.views=1"]
    assert main([*small, f"--data.cache={cache}", f"--out={out}", *options]) == 2
    assert not out.exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--experiment.learning_curve=[]", "at least 1"),
        ("--experiment.learning_curve=[0,8]", "at least 1"),
        ("--experiment.learning_curve=[900]", "training counterfeits"),
        ("--experiment.holdout_kind=nothing", "no kind 'nothing', only emblem"),
        ("--experiment.holdout_kind=all", "no kind can be held out: emblem has"),
        ("--stages=[curve]", "--experiment.learning_curve"),
        ("--stages=[holdout]", "--experiment.holdout_kind"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    option: str, words: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused([option], cache, tmp_path / "out", capsys)


def test_a_set_without_kinds_has_none_to_hold_out(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    for name in ("genuine", "counterfeit"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = generator.integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    options = [f"--data.root={tmp_path / 'photos'}", "--experiment.holdout_kind=all"]
    assert "add the column kind to the manifest" in refused(options, cache, tmp_path / "out", capsys)
