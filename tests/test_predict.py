"""The verbs predict and export from end to end, and what they say to mistakes; tests/detector has the details."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from counterfeit import export as exporting
from counterfeit.data.labels import write_labels
from counterfeit.detector import Detector
from counterfeit.detector.graph import torch_engine
from counterfeit.errors import UserError
from counterfeit.export import main as export
from counterfeit.output import draft
from counterfeit.predict import main

RATE = {"estimate": 0.5, "low": 0.1, "high": 0.9}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    detector = Detector(size=64, folds=2, bank=16, hidden=4)
    for bank in (detector.distances.relative, detector.distances.absolute):
        torch.nn.init.normal_(bank.entries)
    detector.captures.bias[1] += 9.0  # whatever it sees was compressed as JPEG
    save_file({k: v.contiguous() for k, v in detector.state_dict().items()}, folder / "detector.safetensors")
    point = {"rule": "fpr<=0.05", "threshold": 0.5, "n": 2, "n_genuine": 1, "n_counterfeit": 1}
    card = {
        "arm": "real", "dose": 0.0, "seed": 0, "hyperparameters": {"size": 64, "folds": 2, "bank": 16, "hidden": 4,
        "backbone": "tf_efficientnet_lite0"}, "operating_point": {**point, "recall": RATE, "fpr": RATE},
        "bands": {"genuine_below": 0.3, "counterfeit_from": 0.7, "alpha": 0.1, "n": 2}, "calibration": [],
        "captures": list(detector.captures.names),
        "sha256": hashlib.sha256((folder / "detector.safetensors").read_bytes()).hexdigest(),
    }  # fmt: skip
    (folder / "detector.json").write_text(json.dumps(card))
    return folder


@pytest.mark.slow
def test_export_and_predict_agree_without_torch(run: Path, tmp_path: Path) -> None:
    assert export(["--run", str(run), "--out", str(tmp_path / "a")]) == 0
    again = [sys.executable, "-m", "counterfeit.export", "--run", str(run), "--out", str(tmp_path / "b")]
    subprocess.run(again, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    written = ["README.md", "detector.json", "detector.onnx", "detector.safetensors"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == written
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in written)
    write_labels(tmp_path / "photos", genuine=3, counterfeit=2, size=64)
    (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
    rest = ["--workers", "0", "--cache", str(tmp_path / "cache")]
    code = (
        "import sys; from counterfeit.predict import main; code = main(sys.argv[1:]);"
        " assert 'torch' not in sys.modules; sys.exit(code)"
    )
    command = [str(tmp_path / "photos"), "--run", str(tmp_path / "a"), "--out", str(tmp_path / "onnx"), *rest]
    subprocess.run([sys.executable, "-c", code, *command, "--engine", "onnx"], check=True)
    options = ["--run", str(run), "--out", str(tmp_path / "torch"), "--engine", "torch", *rest]
    assert main([str(tmp_path / "photos"), *options]) == 0
    ours, theirs = (pq.read_table(tmp_path / name / "scores.parquet").to_pylist() for name in ("torch", "onnx"))
    assert [row["status"] for row in ours].count("error") == 1 and len(ours) == 8  # masks too
    for a, b in zip(ours, theirs, strict=True):
        assert a == {**b, "score": a["score"]}
        assert a["score"] == (None if b["score"] is None else pytest.approx(b["score"], abs=1e-4))
    assert main([str(tmp_path / "photos"), *options]) == 2  # finished scores stay


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "foo"], "there is no --device foo"),
        (["--device", "cuda"], "--device cuda cannot be had"),
        (["--workers", "-1"], "--workers -1"),
        (["--workers", "many"], "workers"),
        (["--cache", "FILE/cache"], "set --cache"),
        (["--out", "FILE/scores"], "cannot write to --out"),
        (["--run", "FILE"], "there is no folder"),
        (["--engine", "onnx"], "counterfeit.export"),
        (["--ray", "local"], "--workers 0"),
        (["--workers", "1", "--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: nothing answers there"),
        (["--workers", "1", "--ray", "ray://head:10001"], "give local, auto or host:port"),
    ],
)
def test_mistakes_end_in_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    options: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_labels(tmp_path / "photos", genuine=1, counterfeit=0, size=64)
    (tmp_path / "file").write_text("")
    options = [option.replace("FILE", str(tmp_path / "file")) for option in options]
    base = ["--run", str(run), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--workers", "0"]
    # In torch, which spares the making of the graph; the options given last hold.
    assert main([str(tmp_path / "photos"), *base, "--engine", "torch", *options]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1 and said in line
    assert not (tmp_path / "out/scores.json").exists()


def test_one_photograph_is_scored(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labels(tmp_path / "photos", genuine=2, counterfeit=0, size=64)
    photograph = next(path for path in sorted((tmp_path / "photos/genuine").iterdir()) if "mask" not in path.name)
    base = ["--run", str(run), "--cache", str(tmp_path / "cache"), "--workers", "0", "--engine", "torch"]
    out = tmp_path / "my scores"
    assert main([str(photograph), *base, "--out", str(out)]) == 0
    (row,) = pq.read_table(out / "scores.parquet").to_pylist()
    assert (row["path"], row["status"], row["captured"]) == (photograph.name, "ok", "JPEG")
    assert json.loads((out / "scores.json").read_text())["root"] == str(photograph.parent)
    printed = capsys.readouterr().out
    assert "1 captured otherwise than in training, their scores corrected: JPEG 1" in printed
    assert f"next: python -m counterfeit.review '{out}'" in printed


def test_where_nothing_is_scored_the_user_is_not_sent_to_review(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
    base = ["--run", str(run), "--cache", str(tmp_path / "cache"), "--workers", "0", "--engine", "torch"]
    assert main([str(tmp_path / "photos"), *base, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert "nothing was scored (" in printed.err and "scores.csv says why" in printed.err
    assert "next:" not in printed.out


def test_an_export_that_cannot_be_written_says_so_before_the_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(exporting, "load_detector")
    (tmp_path / "file").write_text("")
    for out in ("file", "file/below", "file/below/that", "x" * 300, "."):
        assert export(["--run", str(run), "--out", str(tmp_path / out)]) == 2
        line = capsys.readouterr().err
        assert line.startswith("error: ") and line.count("\n") == 1 and "--out" in line


def test_engines_that_disagree_leave_no_export(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shifted(graph: Detector):
        engine = torch_engine(graph)
        return lambda pixels: (outputs := engine(pixels))._replace(logit=outputs.logit + 1e-3)

    monkeypatch.setattr(exporting, "detector_onnx", lambda detector: detector)
    monkeypatch.setattr(exporting, "onnx_engine", shifted)
    assert export(["--run", str(run), "--out", str(tmp_path / "above/out")]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_an_export(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write --out .*No space"), draft(tmp_path / "out") as hidden:
        (hidden / "detector.onnx").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())
