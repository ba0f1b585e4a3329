"""The verb that rebuilds: the same comparison, the same last lines, no training code, its exit codes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from counterfeit.evaluate import main

PROJECT = Path(__file__).parents[1]


def finished_run(folder, effect):
    """A run folder with predictions of two arms and three seeds, and its configuration."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        label = (np.arange(300) % 5 == 0).astype(int)
        shared = rng.normal(size=300) + 2 * label - 1
        for arm, dose, gain in (("real", 0.0, 0.0), ("synthetic", 0.3, effect)):
            score = 1 / (1 + np.exp(-(shared + gain * label + 0.2 * rng.normal(size=300))))
            table = {
                "arm": [arm] * 300,
                "dose": [dose] * 300,
                "seed": [seed] * 300,
                "path": [f"{seed}-{i:03d}.jpg" for i in range(300)],
                "group": [f"{seed}-{i // 2}" for i in range(300)],
                "kind": ["font" if y else "" for y in label],
                "label": label,
                "score": score,
            }
            cell = folder / "detector" / str(seed) / arm / f"{dose:g}"
            cell.mkdir(parents=True)
            pq.write_table(pa.table(table), cell / "predictions.parquet")
            save_file({"combination.threshold": np.array(0.5, np.float32)}, cell / "heads.safetensors")
    (folder / "config.yaml").write_text("experiment:\n  resamples: 300\n  arms: [real, synthetic]\n")
    return folder


@pytest.fixture(scope="module")
def hurt(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("hurt"), effect=-1.5)


@pytest.mark.slow
def test_rebuilds_alone_within_a_minute_and_without_training_code(tmp_path):
    run = finished_run(tmp_path / "run", effect=1.5)
    program = (
        "import sys; from counterfeit.evaluate import main; code = main(sys.argv[1:]);"
        "loaded = [m for m in sys.modules if m.split('.')[0] in ('torch', 'pytorch_lightning', 'timm')"
        " or m.startswith(('counterfeit.gan', 'counterfeit.experiment', 'counterfeit.detector'))];"
        "print('loaded', loaded); sys.exit(code)"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, "--run", str(run)], capture_output=True, text=True, cwd=PROJECT
    )
    assert time.perf_counter() - begin < 60
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "loaded []"
    assert lines[0] == "verdict: HELPS"
    assert f"report: {run / 'report.html'}" in lines
    assert (run / "report.html").stat().st_size > 1000
    comparison = json.loads((run / "comparison.json").read_text())
    assert comparison["verdict"] == "HELPS"
    assert comparison["resamples"] == 300
    assert comparison["pairs"][0]["mcnemar"]["gained"] > comparison["pairs"][0]["mcnemar"]["lost"]


def test_the_gate_closes_on_harm_alone(hurt, capsys):
    assert main(["--run", str(hurt), "--gate"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "verdict: HURTS" and lines[-1] == "next: python -m counterfeit.fit --data.root FOLDER"
    assert main(["--run", str(hurt)]) == 0


@pytest.mark.parametrize("key", ["root", "manifest"])
def test_own_photographs_are_followed_by_others_to_score(tmp_path, capsys, key):
    run = finished_run(tmp_path / "my run", effect=0)
    with (run / "config.yaml").open("a") as config:
        config.write(f"data:\n  {key}: photos\n")
    assert main(["--run", str(run)]) == 0
    next_line = capsys.readouterr().out.splitlines()[-1]
    assert next_line == f"next: python -m counterfeit.predict FOLDER --run '{run}' --out scores"


def test_what_the_run_decided_itself_is_kept(hurt):
    main(["--run", str(hurt)])
    first = (hurt / "comparison.json").read_text()
    decided = json.loads(first) | {"dose_reason": "chosen by cross-validation", "resamples": 200, "seed": 4}
    (hurt / "comparison.json").write_text(json.dumps(decided))
    main(["--run", str(hurt)])
    again = json.loads((hurt / "comparison.json").read_text())
    assert again["dose_reason"] == "chosen by cross-validation"
    assert (again["resamples"], again["seed"]) == (200, 4)
    (hurt / "comparison.json").unlink()
    main(["--run", str(hurt)])
    assert (hurt / "comparison.json").read_text() == first


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "config.yaml").unlink(), "holds no run"),
        (lambda run: (run / "config.yaml").write_bytes(b"\x7fELF\xd0"), "cannot be read"),
        (lambda run: (run / "comparison.json").write_text("{"), "not valid JSON; delete it"),
        (lambda run: (run / "comparison.json").write_text('{"resamples": -5}'), "delete it, and it is made again"),
        (lambda run: (run / "comparison.json").write_text("[]"), "delete it, and it is made again"),
        (lambda run: [f.unlink() for f in run.glob("detector/*/*/*/predictions.parquet")], "holds no predictions"),
        (lambda run: [f.unlink() for f in run.glob("detector/*/real/*/predictions.parquet")], "no arm 'real'"),
        (
            lambda run: [f.unlink() for f in run.glob("detector/*/synthetic/*/predictions.parquet")],
            "no arm 'synthetic'",
        ),
    ],
)
def test_a_run_that_cannot_be_rebuilt_is_one_line(tmp_path, capsys, spoil, message):
    run = finished_run(tmp_path / "run", effect=0.0)
    spoil(run)
    assert main(["--run", str(run)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (run / "report.html").exists()


def test_an_unfinished_run_gets_no_verdict_and_can_be_continued(tmp_path, capsys):
    run = finished_run(tmp_path / "my run", effect=0.0)
    for arm in ("synthetic/0.3", "real/0"):
        (run / "detector" / "2" / arm / "predictions.parquet").unlink()
    config = "experiment: {arms: [synthetic, real], doses: [0.3]}\nseeds: [0, 1, 2]\n"
    (run / "config.yaml").write_text(config)
    before = sorted(run.rglob("*"))
    assert main(["--run", str(run)]) == 2
    assert sorted(run.rglob("*")) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert "no predictions of synthetic of seed 2 and 1 more; continue it: " in line
    assert line.endswith(f"python -m counterfeit.fit --config '{run}/config.yaml' --out '{run}'")
    (run / "report.html").touch()  # a finished run of which something was removed
    (run / "comparison.json").write_text('{"resamples": 300}')
    assert main(["--run", str(run)]) == 2
    assert capsys.readouterr().err.rstrip().endswith("--stages '[detector,compare,report]'")


@pytest.mark.parametrize("args", [[], ["--run", "elsewhere"], ["--run", "a", "--stages", "[gan]"]])
def test_wrong_arguments_are_one_line(args, capsys):
    assert main(args) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_verdict_is_about_the_arm_that_the_run_itself_would_take(tmp_path):
    run = finished_run(tmp_path / "run", effect=0.0)
    for seed in range(3):
        cell = run / "detector" / str(seed)
        (cell / "synthetic").rename(cell / "transplant")
        for arm in ("transplant", "oracle"):
            table = pq.read_table(cell / "transplant/0.3/predictions.parquet")
            (cell / arm / "0.3").mkdir(parents=True, exist_ok=True)
            named = table.set_column(table.column_names.index("arm"), "arm", pa.array([arm] * len(table)))
            pq.write_table(named, cell / arm / "0.3/predictions.parquet")
    (run / "config.yaml").write_text("experiment:\n  resamples: 100\n  arms: [real, transplant, oracle]\n")
    assert main(["--run", str(run)]) == 0
    assert json.loads((run / "comparison.json").read_text())["product"] == "transplant"
