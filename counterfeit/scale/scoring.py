"""Scores of a listing on a Ray cluster: workers read, decode and score whole parts; this process writes them."""

import platform
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from counterfeit.data.listing import Listing
from counterfeit.detector.decoding import Decoder
from counterfeit.detector.engine import Packed
from counterfeit.detector.scorer import Scorer
from counterfeit.detector.stream import SHARD, Advance, Part, Rows, cache_folder, part_rows, scores_known, write_scores
from counterfeit.errors import UserError
from counterfeit.scale.cluster import RETRIES, LostCallError, dies_always, first_of, machines, told

AHEAD = 2  # parts given to each worker at once, so that none waits for this process
WORKERS_A_GPU = 4  # while one computes, others decode
PROBED = 1000  # inputs among which a readable one is looked for


def score_listing_on(
    packed: Packed, listing: Listing, out: Path, cache: str | None, workers: int | None, show: bool = True
) -> dict[str, Any]:
    """Score every input on the connected cluster. The part of a worker that dies is given to another.

    Args:
        packed: the detector; machines need no copy of it.
        listing: the inputs, below a root that every machine reaches under the same path.
        out: folder to write, by this process alone; unfinished scores are continued.
        cache: folder of known scores, on each machine; ``None`` for the machine's own.
        workers: how many; ``None`` for as many as the cluster has processors, or four a GPU.
        show: a progress bar on standard error.

    Returns:
        The counts of ``scores.json``.

    Raises:
        UserError: ``out`` holds something else, a machine does not reach the photographs, or there are no GPUs.
    """
    count, gpus = _workers(packed, workers, -(-len(listing) // SHARD))
    # Ray shows each worker its own GPU alone, whatever number it has.
    packed_there = replace(packed, device="cuda" if gpus else "cpu")
    job = Job(packed_there, listing.root, *_readable(Decoder(listing.root, packed.card.size), listing), cache)
    ahead = AHEAD if len(listing) >= AHEAD * SHARD * count else 1

    def score(parts: Iterable[Part], advance: Advance) -> Iterator[tuple[int, Rows]]:
        return Crew(job, count, gpus, ahead).rows(parts, advance)

    return write_scores(packed.card, packed.name, listing, out, score, show)


@dataclass(frozen=True)
class Job:
    """What workers need to begin.

    Attributes:
        packed: the detector.
        root: folder that the inputs are relative to.
        readable: an input that is there, by which machines tell whether they see the same folder; ``None`` if none is.
        sha256: of its content.
        cache: folder of known scores; ``None`` for the machine's own.
    """

    packed: Packed
    root: Path
    readable: str | None
    sha256: str | None
    cache: str | None


class Worker:
    """Scores parts on one processor, and on a share of a GPU where the engine computes on one."""

    def __init__(self) -> None:
        self.part_rows: Callable[[Part], tuple[int, Rows]]

    def begin(self, job: Job) -> None:
        """Load the detector."""
        if job.readable is not None:
            (seen,) = Decoder(job.root, job.packed.card.size).hashed([job.readable])
            if seen.sha256 != job.sha256:
                raise UserError(f"{platform.node()} does not see what is in {job.root}: share the folder with it")
        scorer = Scorer.unpack(job.packed, threads=1)
        known = scores_known(cache_folder(job.cache), scorer)
        self.part_rows = lambda part: next(part_rows(scorer, job.root, [part], known, 0, lambda count: None))

    def score(self, part: Part) -> tuple[int, Rows]:
        """The rows of a part, and its number."""
        return self.part_rows(part)


class Crew:
    """Workers on the connected cluster, each of which has parts to score once it has begun.

    Args:
        job: what they need.
        count: of workers.
        gpus: share of one that each keeps busy.
        ahead: parts that each is given at once.
    """

    def __init__(self, job: Job, count: int, gpus: float, ahead: int) -> None:
        import ray

        self._remote = ray.remote(num_cpus=1, num_gpus=gpus)(Worker)
        self._job, self._ahead = ray.put(job), ahead
        self._beginning: dict[Any, tuple[Any, int]] = {}
        self._scoring: dict[Any, tuple[Any, Part]] = {}
        self._idle: list[Any] = []
        self._lost: Counter[int] = Counter()  # times that the part of a number was
        for _ in range(count):
            self._hire(0)

    def rows(self, parts: Iterable[Part], advance: Advance) -> Iterator[tuple[int, Rows]]:
        """Rows as they come. Workers that the cluster has no room for are given nothing, and hold up nothing."""
        coming, again = iter(parts), deque[Part]()
        part = next(coming, None)
        while part or self._scoring:
            while part and self._idle:
                worker = self._idle.pop()
                self._scoring[worker.score.remote(part)] = worker, part
                part = again.popleft() if again else next(coming, None)
            done, _ = first_of([*self._scoring, *self._beginning])
            try:
                result = told(done)
            except LostCallError as died:
                again.extend(self._bury(done, died))
                part = part or (again.popleft() if again else None)
                continue
            if done in self._beginning:
                self._idle += [self._beginning.pop(done)[0]] * self._ahead
                continue
            self._idle.append(self._scoring.pop(done)[0])
            number, rows = result
            advance(len(rows))
            yield number, rows

    def _hire(self, died_before: int) -> None:
        """Take a worker on in the place of others, as many of which died before they had begun."""
        worker = self._remote.remote()
        self._beginning[worker.begin.remote(self._job)] = worker, died_before

    def _bury(self, call: Any, died: LostCallError) -> list[Part]:
        """Forget a dead worker and hire another; returns the parts that were lost with it."""
        if call in self._beginning:
            _, before = self._beginning.pop(call)
            if before >= RETRIES:
                raise dies_always(died) from died
            self._hire(before + 1)
            return []
        worker = self._scoring[call][0]
        lost = [part for other, part in self._scoring.values() if other is worker]
        self._scoring = {ref: (other, part) for ref, (other, part) in self._scoring.items() if other is not worker}
        self._idle = [other for other in self._idle if other is not worker]
        self._lost.update(part.number for part in lost)
        if any(self._lost[part.number] > RETRIES for part in lost):
            raise dies_always(died) from died
        self._hire(0)
        return lost


def _workers(packed: Packed, asked: int | None, parts: int) -> tuple[int, float]:
    """How many workers, and how much of a GPU each takes; raises ``UserError`` where there are not so many."""
    on_gpu = packed.device != "cpu"
    able = [machine for machine in machines() if machine.gpus or not on_gpu]
    processors, gpus = sum(machine.processors for machine in able), sum(machine.gpus for machine in able)
    if on_gpu and not gpus:
        raise UserError(f"--device {packed.device}: the cluster has no GPU; take --device cpu")
    count = asked or min(parts, processors, WORKERS_A_GPU * gpus if on_gpu else processors)
    if not 0 < count <= processors:
        raise UserError(f"--workers {count}: the cluster has {processors} processors, one for each worker")
    return count, 1 / max(1, -(-count // gpus)) if on_gpu else 0


def _readable(decoder: Decoder, listing: Listing) -> tuple[str | None, str | None]:
    """The first input that can be read, and the hash of its content."""
    for path in listing.paths[:PROBED].to_pylist():
        (found,) = decoder.hashed([path])
        if found.reason is None:
            return path, found.sha256
    return None, None
