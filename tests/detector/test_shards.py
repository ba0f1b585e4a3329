"""The parts of a folder of scores: what is continued, what is refused, and what a spreadsheet gets to see."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from counterfeit.detector.shards import Shards
from counterfeit.errors import UserError

JOB = {"detector_sha256": "a", "engine": "onnx", "root": "/photos"}


def row(path: str | None, error: str | None = None, score: float = 0.75) -> dict[str, object]:
    if error:
        return {"path": path, "sha256": None, "status": "error", "error": error}
    kind = "JPEG" if score < 0.5 else "as in training"
    found = {"score": score, "band": "unclear", "counterfeit": score >= 0.5, "captured": kind}
    return {"path": path, "sha256": "0", "status": "ok"} | found


def test_parts_are_joined_in_order_and_counted(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "out", JOB)
    shards.write(1, [row("c", score=0.25)])
    shards.write(0, [row("a"), row("b", "truncated")])
    counts = shards.finish(2, {"run": "r"})
    assert pq.read_table(tmp_path / "out/scores.parquet")["path"].to_pylist() == ["a", "b", "c"]
    assert counts == {
        "inputs": 3, "ok": 2, "error": 1, "likely genuine": 0, "unclear": 2, "likely counterfeit": 0,
        "counterfeit": 1, "captured": {"as in training": 1, "JPEG": 1}, "errors": {"truncated": 1},
    }  # fmt: skip
    assert json.loads((tmp_path / "out/scores.json").read_text()) == {"run": "r", "counts": counts}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores.csv", "scores.json", "scores.parquet"]


@pytest.mark.parametrize(("error", "again"), [("missing", True), ("unreadable", True), ("truncated", False)])
def test_files_that_could_not_be_reached_are_looked_for_again(tmp_path: Path, error: str, again: bool) -> None:
    Shards(tmp_path, JOB).write(0, [row("a"), row("b", error)])
    assert Shards(tmp_path, JOB).missing(0, ["a", "b"]) is again


def test_a_part_of_other_paths_is_made_again(tmp_path: Path) -> None:
    shards = Shards(tmp_path, JOB)
    assert shards.missing(0, ["a", None])
    shards.write(0, [row("a"), row(None, "no path")])
    assert not shards.missing(0, ["a", None])
    assert shards.missing(0, ["a", "b"]) and shards.missing(0, ["a"]) and shards.missing(1, ["a", None])


@pytest.mark.parametrize("key", JOB)
def test_another_job_is_refused(tmp_path: Path, key: str) -> None:
    Shards(tmp_path, JOB).write(0, [row("a")])
    with pytest.raises(UserError, match="unfinished scores of another"):
        Shards(tmp_path, {**JOB, key: "other"})
    assert not Shards(tmp_path, JOB).missing(0, ["a"])  # the parts are left as they were


def test_folders_with_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        Shards(tmp_path, JOB)
    with pytest.raises(UserError, match="is a file"):
        Shards(tmp_path / "notes.txt", JOB)
    with pytest.raises(UserError, match="cannot write to --out"):
        Shards(tmp_path / "notes.txt/out", JOB)
    with pytest.raises(UserError, match="cannot write to --out"):
        Shards(tmp_path / ("x" * 300), JOB)
    Shards(tmp_path / "out", JOB).finish(0, {})
    with pytest.raises(UserError, match="finished scores"):
        Shards(tmp_path / "out", JOB)


def test_file_names_that_are_formulas_are_text_in_the_csv(tmp_path: Path) -> None:
    formulas = ['=HYPERLINK("http://x","y").jpg', "+1.jpg", "-1.jpg", "@a.jpg", "\ta.jpg", "\ra.jpg"]
    harmless: list[str | None] = ["a=b.jpg", "a/-b.jpg", "'a.jpg", "ä.jpg", "a\n=b.jpg"]
    shards = Shards(tmp_path, JOB)
    shards.write(0, [row(path) for path in formulas + harmless] + [row(None, "no path")])
    shards.finish(1, {})
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        written = [line["path"] for line in csv.DictReader(file)]
    assert written == [f"'{path}" for path in formulas] + harmless + [""]
    assert pq.read_table(tmp_path / "scores.parquet")["path"].to_pylist() == formulas + harmless + [None]
