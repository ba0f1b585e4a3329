"""Workers that are watched: where they run, and what the crew has lost."""

import os
import time
from pathlib import Path

import pytest

from counterfeit.scale import scoring

PAIR = 2


class SlowWorker(scoring.Worker):
    """Notes its process beside the cache, begins when there are two of them, and takes its time over a part."""

    def begin(self, job):
        super().begin(job)
        noted, patience = processes(Path(job.cache)), time.monotonic() + 60
        noted.mkdir(exist_ok=True)
        (noted / str(os.getpid())).touch()
        while len(list(noted.iterdir())) < PAIR and time.monotonic() < patience:
            time.sleep(0.05)

    def score(self, part):
        time.sleep(0.5)
        return super().score(part)


def processes(cache: Path) -> Path:
    """The folder that has a file for the process of each worker that began."""
    return cache.with_name("processes")


def lost_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the numbers of the parts that were lost with a worker."""
    lost, bury = [], scoring.Crew._bury

    def spied(self, call, died):
        parts = bury(self, call, died)
        lost.extend(part.number for part in parts)
        return parts

    monkeypatch.setattr(scoring.Crew, "_bury", spied)
    return lost
