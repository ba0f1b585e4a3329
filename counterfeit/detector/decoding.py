"""Decoding listed photographs in processes, while this one computes scores. Without torch, in every process."""

import hashlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, ParamSpec, TypeVar

from counterfeit.cache import ArrayCache
from counterfeit.data.images import BadImage, Pixels, decode_image, read_inside

AHEAD = 2  # batches in flight for each process, once to be hashed and once to be decoded: bounds the memory
T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Batch(NamedTuple):
    """Inputs that are decoded together: of which part they are, and whether they are its last."""

    part: int
    last: bool
    paths: list[str | None]


class Decoded(NamedTuple):
    """One input: its hash and pixels, no pixels if its score is known, or the reason why there are none."""

    sha256: str | None
    pixels: Pixels | None
    reason: str | None


class Hashed(NamedTuple):
    """A batch without pixels, and which of its inputs need some."""

    batch: Batch
    results: list[Decoded]
    new: list[int]


@dataclass(frozen=True)
class Decoder:
    """Reads and hashes inputs below ``root``, and decodes them to ``size`` pixels square."""

    root: Path
    size: int

    def hashed(self, paths: Sequence[str | None]) -> list[Decoded]:
        """Inputs without pixels."""
        return [self._one(path, None) for path in paths]

    def decoded(self, paths: Sequence[str | None]) -> list[Decoded]:
        """Inputs with pixels."""
        return [self._one(path, self.size) for path in paths]

    def _one(self, path: str | None, size: int | None) -> Decoded:
        digest = None
        try:
            content = read_inside(self.root, _checked(path))
            digest = hashlib.sha256(content).hexdigest()
            return Decoded(digest, None if size is None else decode_image(content, size), None)
        except BadImage as bad:
            return Decoded(digest, None, bad.reason)


def decoded(
    decoder: Decoder, batches: Iterable[Batch], known: ArrayCache, workers: int
) -> Iterator[tuple[Batch, list[Decoded]]]:
    """Batches and what came of them, in order.

    Each file is first hashed, and read again to be decoded unless its hash is known: the index of what is known is
    large, and stays in this process.

    Args:
        decoder: for all inputs.
        batches: inputs.
        known: keyed by the hashes of the contents that need no pixels.
        workers: processes that work ahead; 0 decodes in this one.
    """

    def begin(one: tuple[Batch, list[Decoded]]) -> tuple[Hashed, Future[list[Decoded]]]:
        batch, results = one
        new = [i for i, result in enumerate(results) if result.sha256 is not None and result.sha256 not in known]
        return Hashed(batch, results, new), pool.submit(decoder.decoded, [batch.paths[i] for i in new])

    with _pool(workers) as pool:
        hashed = _ahead(((batch, pool.submit(decoder.hashed, batch.paths)) for batch in batches), AHEAD * workers)
        for (batch, results, new), pixels in _ahead(map(begin, hashed), AHEAD * workers):
            for i, one in zip(new, pixels, strict=True):
                results[i] = one
            yield batch, results


def _ahead(started: Iterable[tuple[T, Future[R]]], count: int) -> Iterator[tuple[T, R]]:
    """Results in order, with as many as ``count`` begun before the first is asked for."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for one in started:
        waiting.append(one)
        if len(waiting) >= count:
            item, future = waiting.popleft()
            yield item, future.result()
    for item, future in waiting:
        yield item, future.result()


class _Here(Executor):
    """Runs what it is given at once."""

    def submit(self, function: Callable[P, R], /, *args: P.args, **options: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        future.set_result(function(*args, **options))
        return future


def _pool(workers: int) -> Executor:
    if not workers:
        return _Here()
    # Spawned, not forked: a fork of a process in which torch or a progress bar runs threads can hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)


def _checked(path: str | None) -> str:
    if path is None:
        raise BadImage("no path")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BadImage("outside of root")
    return path


def _begin() -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A killed parent takes its processes with it; the pool alone would leave them waiting for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
