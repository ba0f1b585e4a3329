"""Scores on a real Ray cluster of this machine: the same as here, also where workers die and the command is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from counterfeit.data.listing import read_listing
from counterfeit.detector import stream
from counterfeit.detector.card import read_card
from counterfeit.detector.engine import Packed, pack_engine
from counterfeit.detector.scorer import BATCH, Scorer
from counterfeit.errors import UserError
from counterfeit.predict import main
from counterfeit.scale import connected, score_listing_on, scoring
from counterfeit.scale.cluster import LostCallError, told
from tests.detector.test_stream import draw
from tests.review.made_run import make_run
from tests.scale.slow_worker import SlowWorker, lost_parts, processes

ray = pytest.importorskip("ray", reason="needs Ray: pip install -e '.[scale]'")
pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return pack_engine(read_card(make_run(tmp_path_factory.mktemp("run"))), "auto")


@pytest.fixture(scope="module")
def cluster():
    with connected("local", 2):
        yield


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five parts, with a broken photograph and one that stands in two parts."""
    for module in (stream, scoring):
        monkeypatch.setattr(module, "SHARD", BATCH)
    folder = draw(tmp_path / "photographs", 5 * BATCH - 7)
    (folder / "005.png").write_bytes(b"no image")
    (folder / "999.png").write_bytes((folder / "000.png").read_bytes())
    return folder


def rows(out: Path) -> list[dict[str, object]]:
    return pq.read_table(out / "scores.parquet").to_pylist()


def assert_same_scores(ours: Path, theirs: Path) -> None:
    """Equal but for what passes of another size may change of a score."""
    for a, b in zip(rows(ours), rows(theirs), strict=True):
        assert a == {**b, "score": a["score"]}
        assert a["score"] == (None if b["score"] is None else pytest.approx(b["score"], abs=1e-6))
    a, b = (json.loads((out / "scores.json").read_text()) for out in (ours, theirs))
    assert a == b


def test_scores_on_a_cluster_are_those_of_this_machine(cluster, packed, photographs, tmp_path):
    listing = read_listing(photographs)
    score_listing_on(packed, listing, tmp_path / "there", str(tmp_path / "cache there"), None, show=False)
    stream.score_listing(Scorer.unpack(packed), listing, tmp_path / "here", tmp_path / "cache here", show=False)
    assert_same_scores(tmp_path / "there", tmp_path / "here")


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(cluster, packed, photographs, tmp_path, monkeypatch):
    write, killed, cache = stream.Shards.write, [], tmp_path / "cache there"
    lost = lost_parts(monkeypatch)

    def write_and_kill(self, number, rows):
        write(self, number, rows)
        if not killed:
            killed.append(min(int(path.name) for path in processes(cache).iterdir()))
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(stream.Shards, "write", write_and_kill)
    monkeypatch.setattr(scoring, "Worker", SlowWorker)
    listing = read_listing(photographs)
    counts = score_listing_on(packed, listing, tmp_path / "there", str(cache), 2, show=False)
    assert len(killed) == 1
    assert lost
    assert (counts["ok"], counts["error"]) == (5 * BATCH - 7, 1)
    stream.score_listing(Scorer.unpack(packed), listing, tmp_path / "here", tmp_path / "cache here", show=False)
    assert_same_scores(tmp_path / "there", tmp_path / "here")


def test_rows_that_lay_on_a_lost_machine_are_made_again(monkeypatch):
    """Rows of many inputs stay where they were made until they are asked for."""
    monkeypatch.setattr(ray, "get", lambda call: (_ for _ in ()).throw(ray.exceptions.ObjectLostError("", None, "")))
    with pytest.raises(LostCallError):
        told("call")


def test_what_the_cluster_cannot_do_is_one_line(cluster, packed, photographs, tmp_path, monkeypatch):
    listing = read_listing(photographs)
    on_gpu = Packed("torch", packed.card, b"", "cuda")
    with pytest.raises(UserError, match="the cluster has no GPU"):
        score_listing_on(on_gpu, listing, tmp_path / "on gpu", None, None, show=False)
    with pytest.raises(UserError, match="--workers 3: the cluster has 2 processors"):
        score_listing_on(packed, listing, tmp_path / "three", None, 3, show=False)
    listing.root.rename(tmp_path / "elsewhere")
    listing.root.mkdir()  # as where a share is not mounted
    monkeypatch.setattr(scoring, "_readable", lambda decoder, listing: ("000.png", "0" * 64))
    with pytest.raises(UserError, match=r"does not see what is in .*photographs: share"):
        score_listing_on(packed, listing, tmp_path / "nowhere", None, None, show=False)


class Deadly(scoring.Worker):
    def score(self, part):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_part_that_kills_every_worker_is_told(cluster, packed, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "RETRIES", 1)
    monkeypatch.setattr(scoring, "Worker", Deadly)
    with pytest.raises(UserError, match="died again and again"):
        score_listing_on(packed, read_listing(photographs), tmp_path / "out", None, 1, show=False)


def test_a_command_on_a_cluster_is_killed_and_continued(packed, photographs, tmp_path):
    """The whole command, which starts a cluster and ends it."""
    out, run = tmp_path / "out", packed.card.folder
    code = "import sys; from tests.scale.test_scoring import main_of_short_parts as main; sys.exit(main(sys.argv[1:]))"
    options = [
        str(photographs),
        "--run",
        str(run),
        "--out",
        str(out),
        "--cache",
        str(tmp_path / "cache"),
        "--ray",
        "local",
    ]
    command = [sys.executable, "-c", code, *options]
    killed = subprocess.run([*command, "kill"], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((out / ".parts").glob("*.parquet"))) == 2
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"next: python -m counterfeit.review {out}" in done.stdout
    assert not done.stderr.strip()
    listing = read_listing(photographs)
    stream.score_listing(Scorer.unpack(packed), listing, tmp_path / "here", tmp_path / "cache here", show=False)
    assert_same_scores(out, tmp_path / "here")


def main_of_short_parts(args: list[str]) -> int:
    """For a process of its own, which kills itself after two parts if told to."""
    stream.SHARD = scoring.SHARD = BATCH
    write = stream.Shards.write

    def write_and_die(self, number, rows):
        write(self, number, rows)
        if len(list(self.parts.glob("*.parquet"))) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    if args[-1] == "kill":
        stream.Shards.write = write_and_die
        args.pop()
    return main(args)
