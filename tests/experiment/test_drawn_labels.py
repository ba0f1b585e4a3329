"""On drawn labels, whose truth is known: neither trivial nor hopeless, thresholds that hold, heat maps that point."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.explanations import Values, known, measure
from counterfeit.data.datamodule import ProductData
from counterfeit.detector import Detector, score_parts
from counterfeit.evaluation.metrics import recall_at_fpr
from counterfeit.evaluation.robustness import CORRUPTIONS
from counterfeit.experiment.calibration import probabilities
from counterfeit.experiment.reopen import reopen
from counterfeit.fit import main

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detectors that know 16 real counterfeits, one a seed."""
    base = tmp_path_factory.mktemp("drawn")
    cache = os.environ.get("COUNTERFEIT_CACHE", str(base / "cache"))
    options = ["--experiment.arms=[real]", f"--seeds={list(SEEDS)}", "--stages=[data,detector]"]
    assert main([*options, f"--data.cache={cache}", "--out", str(base / "run")]) == 0
    return base / "run"


@pytest.fixture(scope="module")
def looked_at(run: Path) -> list[Values]:
    """What the maps of each seed's test counterfeits of severity above one half hit; 20 of them are occluded."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    data = ProductData(**known(ProductData, config["data"]))
    data.prepare_data()
    return [measure(run, seed, "real/0", config, data.folder, 20) for seed in SEEDS]


@pytest.mark.slow
def test_recall_with_16_counterfeits_leaves_room_on_both_sides(run: Path) -> None:
    recalls = []
    for path in sorted(run.glob("detector/*/real/0/predictions.parquet")):
        table = pq.read_table(path)
        recalls.append(recall_at_fpr(table["label"].to_numpy(), table["score"].to_numpy(), 0.05))
    assert len(recalls) == 3
    assert 0.3 < np.mean(recalls) < 0.8, recalls


@pytest.mark.slow
def test_genuine_photographs_that_were_captured_otherwise_are_seldom_flagged(run: Path) -> None:
    opened = reopen(run, 0)
    seed, detector = opened.seed, opened.cells.detector(opened.seed, "real", 0.0)
    rows = seed.rows("test")
    pixels = seed.data.pixels(rows[seed.data.photos.label[rows] == 0][:150])
    blind = Detector(**detector.hparams)
    blind.load_state_dict({k: v for k, v in detector.state_dict().items() if "captures" not in k}, strict=False)
    for name in ("JPEG 50", "JPEG 30", "WebP 50", "blur", "noise", "crop 80 %", "screenshot", "greyscale"):
        corrupted = np.stack([CORRUPTIONS[name](image, number) for number, image in enumerate(pixels)])
        embeddings = seed.embedder(corrupted)
        flagged, before = (
            (probabilities(made, score_parts(made, embeddings)) >= float(made.combination.threshold)).mean()
            for made in (detector, blind.eval())
        )
        assert flagged < 0.2 and before > 0.3, (name, flagged, before)


@pytest.mark.slow
def test_the_pointing_game_is_won_six_times_in_ten_and_not_by_chance(looked_at: list[Values]) -> None:
    def mean(name: str) -> float:
        return float(np.mean([seed[name].mean() for seed in looked_at]))

    assert min(len(seed["evidence hit"]) for seed in looked_at) >= 10
    assert mean("evidence hit") >= 0.6
    assert mean("evidence inside") > mean("blind inside") + 0.1
    assert mean("evidence hit") > mean("centre hit")
    assert mean("evidence inside") > mean("centre inside")


@pytest.mark.slow
def test_the_score_rests_on_what_the_evidence_map_points_at(looked_at: list[Values]) -> None:
    for name in ("evidence", "gradient"):
        assert np.mean([seed[f"{name} drop"].mean() for seed in looked_at]) > 0, name
