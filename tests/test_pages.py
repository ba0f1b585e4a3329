"""The pages for those who use a detector, followed: every block is typed in its order, as it stands.

Four things are not as they stand: `counterfeit.fit` is told to be quick, fewer photographs are drawn to learn from, the
page opens on a free port, and what pip would install is there already.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from tests.quick import QUICK
from tests.review.server import links

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERWISE = {
    "counterfeit.fit": f"counterfeit.fit {' '.join(QUICK)}",
    "genuine=600, counterfeit=200": "genuine=90, counterfeit=45",
    "counterfeit.review scores/": "counterfeit.review --port 0 scores/",
}
PATIENCE = 300  # seconds
FORM = re.compile(r'action="(/item/\d+/decide)">\s*<input[^>]*value="([^"]+)">\s*<input[^>]*value="(\d+)">')
pytestmark = pytest.mark.slow


class Reader:
    """Somebody who follows a page in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = folder / "said.txt"
        for name in ("bin/python", "serving/bin/python"):
            self._script(name, f'exec "{sys.executable}" "$@"')
        self._script("serving/bin/pip", f'exec "{sys.executable}" -m pip "$@"')

    def _script(self, name: str, line: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    @contextmanager
    def begin(self, block: str) -> Iterator["subprocess.Popen[str]"]:
        """A block at work; what it says beside its output is in ``said``. Nothing of it is left at the end."""
        for told, typed in OTHERWISE.items():
            block = block.replace(told, typed)
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        threads = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COUNTERFEIT_CACHE": str(self.folder / "cache")}
        with self.said.open("w") as said:
            process = subprocess.Popen(
                ["bash", "-euc", block],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=self.folder,
                env={**os.environ, "PATH": path, **threads},
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def type(self, block: str) -> str:
        """What a block prints; it must succeed."""
        with self.begin(block) as process:
            printed, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, f"{block}\n{self.said.read_text()}"
        return printed

    @contextmanager
    def review(self, block: str) -> Iterator[dict[str, str]]:
        """The moderators' page that a block opens, by the links that it prints, closed as with Ctrl-C."""
        with self.begin(block) as process:
            assert process.stdout is not None
            found = links(process.stdout)
            assert found, self.said.read_text()
            yield found
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=20)
        assert "Traceback" not in self.said.read_text()


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
def finished(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody who has typed `make fit`."""
    reader = Reader(tmp_path_factory.mktemp("fit"))
    reader.type("python -m counterfeit.fit --out runs/labels-1")
    return reader


@pytest.fixture
def reader(finished: Reader, tmp_path: Path) -> Reader:
    for name in ("runs", "cache"):  # drawn labels lie in the cache: the page shows them beside what was scored
        shutil.copytree(finished.folder / name, tmp_path / name)
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
    said = "".join(reader.type(block) for block in blocks("deploy.md"))
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
