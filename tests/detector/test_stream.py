"""Long listings: killed and continued, in processes, with awkward rows and duplicates; the engine sees brightness.

Without torch: the process that is killed begins faster so.
"""

import csv
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.cache import ArrayCache
from counterfeit.data.listing import read_listing
from counterfeit.detector import stream
from counterfeit.detector.card import Card
from counterfeit.detector.engine import Outputs
from counterfeit.detector.scorer import BATCH, Scorer
from counterfeit.errors import UserError

PROJECT = Path(__file__).parents[2]
CAPTURES = ["as in training", "darker"]
FILES = ("scores.parquet", "scores.csv", "scores.json")


def brightness(pixels: np.ndarray) -> Outputs:
    """Bright photographs are counterfeit; patches as their brightness says; those without light are darker."""
    bright = pixels.mean(3, dtype=np.float32) / 255
    side = pixels.shape[1] // 8
    patches = bright.reshape(len(pixels), side, 8, side, 8).mean((2, 4))
    light = bright.mean((1, 2))
    return Outputs(8 * light - 4, 8 * patches - 4, 2 * patches, (light == 0).astype(np.int64))


def made_card(folder: Path, threshold: float = 0.5, size: int = 64) -> Card:
    bands = {"genuine_below": 0.3, "counterfeit_from": 0.7}
    return Card(
        folder, "0" * 64, None, {"size": size}, {"rule": "fpr<=0.05", "threshold": threshold}, bands, [], CAPTURES
    )


class Engine:
    """Counts the images it saw, and calls ``stop`` before its batch number ``last``."""

    def __init__(self, last: int | None = None, stop: Callable[[], None] = lambda: None) -> None:
        self.last, self.stop, self.batches, self.images = last, stop, 0, 0

    def __call__(self, pixels: np.ndarray) -> Outputs:
        if self.batches == self.last:
            self.stop()
        self.batches += 1
        self.images += len(pixels)
        return brightness(pixels)


def score(
    photographs: Path, out: Path, cache: Path, workers: int = 0, engine: Engine | None = None
) -> dict[str, object]:
    card = made_card(photographs)
    scorer = Scorer(card, engine or Engine(), "torch")
    return stream.score_listing(scorer, read_listing(photographs), out, cache, workers, show=False)


def score_until_killed(photographs: str, out: str, cache: str, workers: str, batches: str) -> None:
    """For a process of its own, which kills itself."""
    stream.SHARD = 2 * BATCH
    engine = Engine(int(batches), lambda: os.kill(os.getpid(), signal.SIGKILL))
    score(Path(photographs), Path(out), Path(cache), int(workers), engine)


def draw(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, colour in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 3)).tolist()):
        Image.new("RGB", (16, 12), tuple(colour)).save(folder / f"{i:03d}.png")
    return folder


def rows(out: Path) -> list[dict[str, object]]:
    return pq.read_table(out / "scores.parquet").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_continued_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    photographs = draw(tmp_path / "photographs", 5 * BATCH)
    (photographs / "005.png").write_bytes(b"no image")
    (photographs / "999.jpg").write_bytes(b"")
    monkeypatch.setattr(stream, "SHARD", 2 * BATCH)
    score(photographs, tmp_path / "whole", tmp_path / "cache of whole")

    out, cache = tmp_path / "out", tmp_path / "cache"
    code = "import sys; from tests.detector.test_stream import score_until_killed as s; s(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(photographs), str(out), str(cache), str(workers), "3"]
    # Its processes share its output, which ends when the last of them has gone.
    killed = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [path.name for path in (out / ".parts").glob("*.parquet")] == ["000000.parquet"]
    assert not (out / "scores.json").exists()

    engine = Engine()
    score(photographs, out, cache, workers, engine)
    assert engine.images == 2 * BATCH  # of five, three had been scored; broken are one of theirs and the last
    for name in FILES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (out / ".parts").exists()


def print_peak(photographs: str, out: str, cache: str) -> None:
    """For a process of its own: score, and print its peak of memory in MB."""
    score(Path(photographs), Path(out), Path(cache))
    # Not by getrusage, which begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024)  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_listing(tmp_path: Path) -> None:
    picture = draw(tmp_path, 1).joinpath("000.png").read_bytes()
    peaks = []
    for count in (2_000, 16_000):
        photographs = tmp_path / str(count)
        photographs.mkdir()
        for i in range(count):
            (photographs / f"{i:05d}.png").write_bytes(picture + i.to_bytes(4, "big"))  # contents of their own
        code = "import sys; from tests.detector.test_stream import print_peak as p; p(*sys.argv[1:])"
        paths = [photographs, tmp_path / f"out of {count}", tmp_path / f"cache of {count}"]
        command = [sys.executable, "-c", code, *map(str, paths)]
        peaks.append(int(subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout))
        assert pq.read_metadata(paths[1] / "scores.parquet").num_rows == count
    # The pixels of 14 000 photographs are 172 MB, their rows some 10 MB.
    assert peaks[1] - peaks[0] < 20, peaks


def test_the_index_of_known_contents_stays_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ArrayCache) -> None:
        raise AssertionError("handed to a process")

    photographs = draw(tmp_path / "photographs", 3)
    score(photographs, tmp_path / "here", tmp_path / "cache")
    monkeypatch.setattr(ArrayCache, "__reduce_ex__", lambda self, protocol: refuse(self))
    engine = Engine()
    score(photographs, tmp_path / "there", tmp_path / "cache", 1, engine)
    assert engine.images == 0 and rows(tmp_path / "there") == rows(tmp_path / "here")
    score(photographs, tmp_path / "anew", tmp_path / "another cache", 1, engine)
    assert engine.images == 3 and rows(tmp_path / "anew") == rows(tmp_path / "here")


def test_every_row_of_a_table_has_its_row(tmp_path: Path) -> None:
    root = draw(tmp_path / "root", 2)
    (tmp_path / "secret.png").write_bytes((root / "000.png").read_bytes())
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "inside.png").symlink_to(root / "001.png")
    paths = [
        "000.png", None, "", "../secret.png", "a/../001.png", "/etc/hostname", "link.png", "inside.png",
        str(root / "001.png"), "absent.png", "000.png",
    ]  # fmt: skip
    pq.write_table(pa.table({"path": paths}), root / "table.parquet")
    counts = score(root / "table.parquet", tmp_path / "out", tmp_path / "cache")
    found = rows(tmp_path / "out")
    assert [(row["path"], row["error"]) for row in found] == [
        ("000.png", None),
        (None, "no path"),
        (None, "no path"),
        ("../secret.png", "outside of root"),
        ("a/../001.png", "outside of root"),
        ("/etc/hostname", "outside of root"),
        ("link.png", "symlink out of root"),
        ("inside.png", None),
        ("001.png", None),
        ("absent.png", "missing"),
        ("000.png", None),
    ]
    assert found[0] == found[-1] and found[7] == {**found[8], "path": "inside.png"}
    assert all((row["status"] == "ok") == (row["score"] is not None) == (row["error"] is None) for row in found)
    assert (counts["inputs"], counts["ok"], counts["error"]) == (11, 4, 7)


def test_a_csv_table_with_a_root_elsewhere_fills_the_bar_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, table = draw(tmp_path / "root", BATCH + 3), tmp_path / "listings.csv"
    table.write_text("\n".join(["path", *(f"{i:03d}.png" for i in range(BATCH + 3)), "absent.png", ""]))
    bars, made = [], stream._progress
    monkeypatch.setattr(stream, "_progress", lambda show: bars.append(made(show)) or bars[-1])
    scorer = Scorer(made_card(root), Engine(), "torch")
    stream.score_listing(scorer, read_listing(table, root), tmp_path / "out", tmp_path / "cache", 0, show=True)
    assert [row["status"] for row in rows(tmp_path / "out")] == ["ok"] * (BATCH + 3) + ["error"]
    ((task,),) = (bar.tasks for bar in bars)
    assert task.completed == task.total == BATCH + 4


def test_hostile_names_and_files_are_rows(tmp_path: Path) -> None:
    root, names = tmp_path / "root", [
        "<script>alert(1)<|script>.png", "=cmd().png", "%2e%2e%2fescape.png", "line\nbreak.png", "n" * 240 + ".png",
        "\u202egnp.exe.png", "'; DROP TABLE item; --.png",
    ]  # fmt: skip
    root.mkdir()
    for name in names:
        Image.new("RGB", (16, 12), "white").save(root / name)
    Image.new("1", (9000, 9000)).save(root / "bomb.png")
    counts = score(root, tmp_path / "of folder", tmp_path / "cache")
    reason = {row["path"]: row["error"] for row in rows(tmp_path / "of folder")}
    assert reason == {**dict.fromkeys(names), "bomb.png": "more than 40 megapixels"}
    assert counts["ok"] == len(names)
    with (tmp_path / "of folder/scores.csv").open(newline="", encoding="utf-8") as file:
        assert {row["path"].removeprefix("'") for row in csv.DictReader(file)} >= {*names, "bomb.png"} - {names[-1]}

    table = [*names, "../secret.png", "%2e%2e/secret.png", "nul\0.png", "x" * 300, "/etc/passwd\n", "C:\\secret.png"]
    pq.write_table(pa.table({"path": table}), root / "table.parquet")
    score(root / "table.parquet", tmp_path / "of table", tmp_path / "cache")
    errors = [row["error"] for row in rows(tmp_path / "of table")]
    assert errors[: len(names)] == [None] * len(names)
    assert errors[len(names) :] == [
        "outside of root",
        "missing",
        "unreadable",
        "unreadable",
        "outside of root",
        "missing",
    ]


def test_the_same_content_is_scored_once(tmp_path: Path) -> None:
    photographs = draw(tmp_path / "photographs", BATCH + 8)
    for path in list(photographs.iterdir()):
        (photographs / f"again {path.name}").write_bytes(path.read_bytes())
    engine = Engine()
    score(photographs, tmp_path / "out", tmp_path / "cache", engine=engine)
    assert engine.images == BATCH + 8
    draw(tmp_path / "more/old", BATCH + 8)
    draw(tmp_path / "more/new", 2, seed=1)
    score(tmp_path / "more", tmp_path / "out of more", tmp_path / "cache", engine=engine)
    assert engine.images == BATCH + 8 + 2
    score_of = {row["sha256"]: row["score"] for row in rows(tmp_path / "out")}
    old = [row for row in rows(tmp_path / "out of more") if str(row["path"]).startswith("old")]
    assert [score_of[row["sha256"]] for row in old] == [row["score"] for row in old] and len(old) == BATCH + 8


def test_a_share_that_comes_back_is_scored_on_continuation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "SHARD", BATCH)
    share = draw(tmp_path / "root/a share", BATCH)
    draw(tmp_path / "root/b", 2, seed=1)
    paths = sorted(path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*.png"))
    pq.write_table(pa.table({"path": paths}), tmp_path / "root/table.parquet")
    share.rename(tmp_path / "unmounted")
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "root/table.parquet", tmp_path / "out", tmp_path / "cache", engine=Engine(0, stop))
    assert (tmp_path / "out/.parts/000000.parquet").exists()
    (tmp_path / "unmounted").rename(share)
    counts = score(tmp_path / "root/table.parquet", tmp_path / "out", tmp_path / "cache")
    assert counts["ok"] == BATCH + 2 and counts["errors"] == {}


def test_unfinished_scores_of_another_folder_are_refused(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(draw(tmp_path / "a", 1), tmp_path / "out", tmp_path / "cache", engine=Engine(0, stop))
    with pytest.raises(UserError, match="another detector, engine, folder or version"):
        score(draw(tmp_path / "b", 1), tmp_path / "out", tmp_path / "cache")
    assert score(tmp_path / "a", tmp_path / "out", tmp_path / "cache")["ok"] == 1


def test_versions_are_known_without_the_metadata_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", refuse)  # onnxruntime-gpu, a plain checkout
    score(draw(tmp_path / "photographs", 1), tmp_path / "out", tmp_path / "cache")
    versions = json.loads((tmp_path / "out/scores.json").read_text())["versions"]
    assert set(versions) == {"python", "counterfeit", "torch", "pillow", "numpy"} and all(versions.values())


def test_what_describes_the_scores_is_gathered_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(stream, "_about", fail)
    engine = Engine()
    with pytest.raises(RuntimeError):
        score(draw(tmp_path / "photographs", 1), tmp_path / "out", tmp_path / "cache", engine=engine)
    assert engine.images == 0 and not (tmp_path / "out").exists()
