"""Decoding listed photographs in processes, while this one computes scores. Without torch, in every process."""

import hashlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from counterfeit.cache import ArrayCache
from counterfeit.data.images import BadImage, Pixels, decode_image, read_inside

AHEAD = 2  # batches in flight for each process: bounds the memory


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


@dataclass
class Decoder:
    """Reads, hashes and decodes inputs below ``root`` to ``size`` pixels square, unless ``known`` has their score."""

    root: Path
    size: int
    known: ArrayCache

    def __call__(self, paths: Sequence[str | None]) -> list[Decoded]:
        """Decode a batch."""
        return [self._one(path) for path in paths]

    def _one(self, path: str | None) -> Decoded:
        digest = None
        try:
            content = read_inside(self.root, _checked(path))
            digest = hashlib.sha256(content).hexdigest()
            return Decoded(digest, None if digest in self.known else decode_image(content, self.size), None)
        except BadImage as bad:
            return Decoded(digest, None, bad.reason)


def decoded(decoder: Decoder, batches: Iterable[Batch], workers: int) -> Iterator[tuple[Batch, list[Decoded]]]:
    """Batches and what came of them, in order, decoded ahead by ``workers`` processes; 0 decodes in this one."""
    if not workers:
        for batch in batches:
            yield batch, decoder(batch.paths)
        return
    waiting: deque[tuple[Batch, Future[list[Decoded]]]] = deque()
    # Spawned, not forked: a fork of a process in which torch or a progress bar runs threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(decoder.root, decoder.size, decoder.known)
    )
    with pool:
        for batch in batches:
            waiting.append((batch, pool.submit(_decode, batch.paths)))
            if len(waiting) >= AHEAD * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


def _checked(path: str | None) -> str:
    if path is None:
        raise BadImage("no path")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BadImage("outside of root")
    return path


_decoder: Decoder  # of a worker process


def _begin(root: Path, size: int, known: ArrayCache) -> None:
    global _decoder
    _decoder = Decoder(root, size, known)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A killed parent takes its processes with it; the pool alone would leave them waiting for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _decode(paths: Sequence[str | None]) -> list[Decoded]:
    return _decoder(paths)
