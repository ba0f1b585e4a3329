"""Scores of a listing on a Ray cluster: workers read, decode and score whole parts; this process writes them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterfeit.cache import default_cache_folder
from counterfeit.data.listing import Listing
from counterfeit.detector.engine import Packed
from counterfeit.detector.scorer import Scorer
from counterfeit.detector.stream import Advance, Part, Rows, part_rows, scores_known, write_scores
from counterfeit.errors import UserError
from counterfeit.scale.cluster import RETRIES, first_of, told

AHEAD = 2  # parts given to each worker at once, so that none waits for this process
WORKERS_A_GPU = 4  # while one computes, others decode


def score_listing_on(
    packed: Packed, listing: Listing, out: Path, cache: Path | None, workers: int | None, show: bool = True
) -> dict[str, Any]:
    """Score every input on the connected cluster; a worker that dies is begun anew, and its part with it.

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

    def score(parts: Iterable[Part], advance: Advance) -> Iterator[tuple[int, Rows]]:
        return _on_workers(_hired(packed, workers), Job(packed, listing.root, cache), parts, advance)

    return write_scores(packed.card, packed.name, listing, out, score, show)


@dataclass(frozen=True)
class Job:
    """What workers need to begin."""

    packed: Packed
    root: Path
    cache: Path | None


class Worker:
    """Scores parts on one processor, and on a share of a GPU where the engine computes on one."""

    def __init__(self) -> None:
        # The job comes with each call: what is handed over here would be lost where a worker is begun anew.
        self.scorer: Scorer | None = None

    def begin(self, job: Job) -> None:
        """Load the detector, once."""
        if self.scorer is None:
            if not job.root.is_dir():
                raise UserError(f"a machine of the cluster has no folder {job.root}: share the photographs with it")
            scorer = Scorer.unpack(job.packed, threads=1)
            self.known = scores_known(job.cache or default_cache_folder(), scorer)
            self.scorer = scorer

    def score(self, job: Job, part: Part) -> tuple[int, Rows]:
        """The rows of a part, and its number."""
        self.begin(job)
        assert self.scorer is not None
        return next(part_rows(self.scorer, job.root, [part], self.known, 0, lambda count: None))


def _hired(packed: Packed, workers: int | None) -> list[Any]:
    """Workers, which begin when the cluster has room for them."""
    import ray

    resources = ray.cluster_resources()
    processors, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    on_gpu = packed.device != "cpu"
    if on_gpu and not gpus:
        raise UserError(f"--device {packed.device}: the cluster has no GPU; take --device cpu")
    count = workers or (min(WORKERS_A_GPU * gpus, processors) if on_gpu else processors)
    if not 0 < count <= processors:
        raise UserError(f"--workers {count}: the cluster has {processors} processors, one for each worker")
    share = 1 / max(1, -(-count // gpus)) if on_gpu else 0
    remote = ray.remote(num_cpus=1, num_gpus=share, max_restarts=RETRIES, max_task_retries=RETRIES)(Worker)
    return [remote.remote() for _ in range(count)]


def _on_workers(workers: list[Any], job: Job, parts: Iterable[Part], advance: Advance) -> Iterator[tuple[int, Rows]]:
    """Rows as they come. Workers that the cluster has no room for yet are given nothing, and hold up nothing."""
    import ray

    shared = ray.put(job)
    beginning = {worker.begin.remote(shared): worker for worker in workers}
    scoring: dict[Any, Any] = {}
    idle: list[Any] = []
    waiting = iter(parts)
    part = next(waiting, None)
    while part or scoring:
        while part and idle:
            worker = idle.pop()
            scoring[worker.score.remote(shared, part)] = worker
            part = next(waiting, None)
        done, _ = first_of([*scoring, *beginning])
        result = told(done)
        if done in beginning:
            idle += [beginning.pop(done)] * AHEAD
            continue
        idle.append(scoring.pop(done))
        number, rows = result
        advance(len(rows))
        yield number, rows
