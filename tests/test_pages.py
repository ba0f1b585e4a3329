"""The pages for those who use a detector, followed: every block is typed in its order, as it stands.

Three things are not as they stand: `counterfeit.fit` is told to be quick, fewer photographs are drawn to learn from,
and what pip would install is there already.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from tests.review.server import links

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUICK = (
    "counterfeit.fit --data.counterfeits=12 --data.views=1 --trainer.max_epochs=1 --model.bank=64 --seeds=[0]"
    " --experiment.arms=[real,placebo] --experiment.resamples=50 --synthesis.count=8"
)
FEWER = ("genuine=600, counterfeit=200", "genuine=90, counterfeit=45")
FORM = re.compile(r'action="(/item/\d+/decide)">\s*<input[^>]*value="([^"]+)">\s*<input[^>]*value="(\d+)">')
pytestmark = pytest.mark.slow


class Reader:
    """Somebody who follows a page in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin/python", "serving/bin/python"):
            self._script(name, f'exec "{sys.executable}" "$@"')
        self._script("serving/bin/pip", f'exec "{sys.executable}" -m pip "$@"')

    def _script(self, name: str, line: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    def begin(self, block: str) -> "subprocess.Popen[str]":
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        threads = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COUNTERFEIT_CACHE": str(self.folder / "cache")}
        return subprocess.Popen(
            ["bash", "-euc", block.replace("counterfeit.fit", QUICK).replace(*FEWER)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PATH": path, **threads},
            start_new_session=True,
        )

    def type(self, block: str) -> str:
        """What a block prints; it must succeed."""
        process = self.begin(block)
        printed, said = process.communicate()
        assert process.returncode == 0, f"{block}\n{said}"
        return printed

    @contextmanager
    def review(self, block: str) -> Iterator[dict[str, str]]:
        """The moderators' page that a block opens, by the links that it prints, closed as with Ctrl-C."""
        process = self.begin(block)
        assert process.stdout is not None
        try:
            found = links(process.stdout)
            assert found, process.communicate()[1]
            yield found
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=20)


def blocks(page: str) -> list[str]:
    """Blocks of a page of docs/, but for those that only install what the tests have."""
    found: list[str] = BLOCK.findall((PROJECT / "docs" / page).read_text(encoding="utf-8"))
    return [block for block in found if "pip install" not in block]


def decide(link: str, count: int) -> None:
    """Enter by a link and call what is shown genuine, some times over."""
    base = link.partition("/enter")[0]
    with httpx.Client(base_url=base, headers={"origin": base}, follow_redirects=True) as client:
        page = client.get(link)
        for _ in range(count):
            form = FORM.search(page.text)
            assert form, page.text
            action, token, version = form.groups()
            page = client.post(action, data={"form_token": token, "version": version, "choice": "genuine"})
            assert page.status_code == 200


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make fit` leaves behind."""
    reader = Reader(tmp_path_factory.mktemp("fit"))
    reader.type("python -m counterfeit.fit --out runs/labels-1")
    return reader.folder / "runs"


@pytest.fixture
def reader(finished: Path, tmp_path: Path) -> Reader:
    shutil.copytree(finished, tmp_path / "runs")
    return Reader(tmp_path)


def test_photographs_are_scored_as_the_page_says(reader: Reader) -> None:
    draw, predict, review = blocks("score.md")
    reader.type(draw)
    assert "next: python -m counterfeit.review" in reader.type(predict)
    rows = pq.read_table(reader.folder / "scores" / "scores.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 60
    with reader.review(review) as links_of:
        assert len(links_of) == 1


def test_a_detector_is_deployed_as_the_page_says(reader: Reader) -> None:
    printed = [reader.type(block) for block in blocks("deploy.md")]
    said = "".join(printed)
    assert "the same\n" in said
    assert re.search(r"largest difference 0\.\d+, other labels 0 of 100", said)
    assert re.search(r"\d+ compared: largest difference 0\.0e\+00, other bands 0", said)
    assert "onnxruntime==" in (reader.folder / "serving.txt").read_text()


def test_photographs_are_reviewed_and_learned_from_as_the_page_says(reader: Reader) -> None:
    draw, opened, link, learn, alone, verify, others = blocks("review.md")
    reader.type(draw)
    with reader.review(opened) as links_of:
        assert "enter?token=" in reader.type(link)
        for reviewer in ("anna", "ben"):
            decide(links_of[reviewer], 20)
    assert "next: python -m counterfeit.fit" in reader.type(learn)
    assert (reader.folder / "runs" / "b" / "report.html").is_file()
    reader.type(alone)
    assert len((reader.folder / "scores" / "decisions.csv").read_text().splitlines()) > 10
    assert "sound" in reader.type(verify)
    with reader.review(others) as links_of:
        assert set(links_of) == {"anna", "ben"}
