"""The page in a process of its own: as a user starts it, or forked off one that has imported everything already."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx

PROJECT = Path(__file__).parents[2]
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["counterfeit.review.app", "counterfeit.review.neighbours", "counterfeit.review.heat"])


class Server:
    """Started on a free port; ``links`` holds the one-time link of each reviewer."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "counterfeit.review", str(folder), "--port", "0", *options]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env=environment
        )
        self.links = links(self.process.stdout)
        assert self.links, self.process.communicate()[1]

    @property
    def base(self) -> str:
        return next(iter(self.links.values())).partition("/enter")[0]

    def enter(self, client: httpx.Client, reviewer: str) -> str:
        """Enter, and return the token that forms need."""
        page = client.get(self.links[reviewer], follow_redirects=True)
        assert page.status_code == 200
        return re.search(r'name="form_token" value="([^"]+)"', page.text)[1]

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.communicate(timeout=20)


class WarmServer(Server):
    """The same command, forked: it begins in a second instead of ten, of which a file with many tests has many."""

    def __init__(self, folder: Path, *options: str) -> None:
        said = folder.with_name("said.txt")
        self.process = WARM.Process(target=review, args=([str(folder), "--port", "0", *options], said))
        self.process.start()
        self.links = links(self._lines(said))
        assert self.links, said.read_text()

    def _lines(self, said: Path) -> Iterator[str]:
        lines: list[str] = []
        while True:
            alive = self.process.is_alive()
            whole = said.read_text().splitlines(keepends=True) if said.exists() else []
            yield from (line for line in whole[len(lines) :] if line.endswith("\n"))
            lines = [line for line in whole if line.endswith("\n")]
            if not alive:
                return
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        os.kill(self.process.pid, number)
        self.process.join(20)
        assert self.process.exitcode is not None


def links(lines: Iterable[str]) -> dict[str, str]:
    """What the command prints for each reviewer, read until it has printed all."""
    found: dict[str, str] = {}
    for line in lines:
        if "enter?token=" in line:
            name, _, link = line.strip().partition(": ")
            found[name] = link
        if "works once" in line:
            break
    return found


def review(arguments: list[str], said: Path) -> None:
    """For a process of its own: the command, with what it prints in a file."""
    from counterfeit.review import main

    sys.stdout = sys.stderr = said.open("w", buffering=1)
    sys.exit(main(arguments))
