"""The genuine and counterfeit photographs most like an item, by the frozen backbone's pooled features."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from counterfeit.backbone import Embedder
from counterfeit.backbone.embedder import BATCH
from counterfeit.cache import ArrayCache
from counterfeit.data.images import BadImage, Pixels, decode_image
from counterfeit.review.known import Known
from counterfeit.review.pictures import Pictures

SHOWN = 4
MOST = 2000  # references of a class, drawn at random where there are more
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """A photograph to compare with: number ``id`` of the run's manifest, or of the review's own items."""

    kind: Literal["reference", "photo"]
    id: int


@dataclass
class _Pool:
    """Neighbours to choose from, with unit features ``(N, D)``."""

    members: list[tuple[Literal["reference", "photo"], int, str]]
    features: Floats

    def nearest(self, feature: Floats, sha256: str) -> list[Neighbour]:
        likeness = self.features @ feature
        order = np.argsort(-likeness, kind="stable")[: SHOWN + 1]
        found = [self.members[i] for i in order if self.members[i][2] != sha256]
        return [Neighbour(kind, number) for kind, number, _ in found[:SHOWN]]


class Features:
    """Pooled features of photographs, kept in a cache by content.

    Args:
        backbone: timm name.
        size: side in pixels at which the detector works.
        folder: of the cache.
    """

    def __init__(self, backbone: str, size: int, folder: Path) -> None:
        self.size = size
        self._embedder = Embedder(backbone, size)
        self._cache = ArrayCache(folder, f"pooled-{size}", (self._embedder.network.pooled_features,), np.float32)
        self._lock = threading.Lock()

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._cache

    def rows(self, keys: Sequence[str]) -> Floats:
        """``(N, D)`` of contents that are in the cache."""
        return np.asarray(self._cache.rows(keys), np.float32)

    def of(self, sha256: str, content: Callable[[], bytes]) -> Floats:
        """``(D,)`` of one content, computed if the cache lacks it; raises ``BadImage`` where it cannot be read."""
        if sha256 not in self._cache:
            self.add([sha256], np.stack([decode_image(content(), self.size)]))
        return np.asarray(self.rows([sha256])[0], np.float32)

    def add(self, keys: Sequence[str], pixels: Pixels) -> None:
        """Compute and keep the features of ``(N, size, size, 3)``."""
        pooled = self._embedder(pixels).pooled
        with self._lock:
            self._cache.append(keys, pooled)


class Neighbours:
    """References from a run's manifest, and what this review confirmed as counterfeit.

    Args:
        features: with the cache in the scores folder.
        known: all of the manifest; a neighbour's number is its position.
        pictures: of the run's photographs.
    """

    def __init__(self, features: Features, known: Sequence[Known], pictures: Pictures) -> None:
        self.features = features
        self._lock = threading.Lock()
        chosen = _at_most(known)
        readable = _embed(features, [known[i] for i in chosen], pictures)
        chosen = [i for i in chosen if known[i].sha256 in readable]
        raw = features.rows([known[i].sha256 for i in chosen])
        self.count = len(chosen)
        spread = raw.std(0) if len(raw) else np.ones(1, np.float32)
        self._centre = raw.mean(0) if len(raw) else np.zeros(1, np.float32)
        # A feature that is the same in nearly all references would outweigh the others in an image that has another.
        self._scale = np.maximum(spread, np.median(spread) / 2) + 1e-6
        self._pools = []
        for label in (0, 1):
            mine = [position for position, i in enumerate(chosen) if known[i].label == label]
            members = [("reference", chosen[p], known[chosen[p]].sha256) for p in mine]
            self._pools.append(_Pool(members, self._unit(raw[mine])))  # type: ignore[arg-type]

    def nearest(self, sha256: str, content: Callable[[], bytes]) -> tuple[list[Neighbour], list[Neighbour]]:
        """Genuine and counterfeit neighbours of an item, itself left out; raises ``BadImage`` if it cannot be read."""
        feature = self._unit(self.features.of(sha256, content)[None])[0]
        with self._lock:
            genuine, counterfeit = (pool.nearest(feature, sha256) for pool in self._pools)
        return genuine, counterfeit

    def confirm(self, item: int, sha256: str) -> None:
        """Let an item stand among the counterfeits from now on, if its features are known."""
        if sha256 not in self.features:
            return
        feature = self._unit(self.features.rows([sha256]))
        with self._lock:
            pool = self._pools[1]
            if ("photo", item, sha256) not in pool.members:
                self._pools[1] = _Pool([*pool.members, ("photo", item, sha256)], np.vstack([pool.features, feature]))

    def withdraw(self, item: int) -> None:
        """Take a confirmed item out again."""
        with self._lock:
            pool = self._pools[1]
            stays = [i for i, (kind, number, _) in enumerate(pool.members) if (kind, number) != ("photo", item)]
            self._pools[1] = _Pool([pool.members[i] for i in stays], pool.features[stays])

    def _unit(self, raw: Floats) -> Floats:
        standard = (raw - self._centre) / self._scale
        unit: Floats = standard / np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-6)
        return unit.astype(np.float32)


def _at_most(known: Sequence[Known]) -> list[int]:
    generator = np.random.default_rng(0)
    chosen: list[int] = []
    for label in (0, 1):
        mine = [i for i, photograph in enumerate(known) if photograph.label == label]
        chosen += generator.permutation(mine)[:MOST].tolist() if len(mine) > MOST else mine
    return sorted(chosen)


def _embed(features: Features, known: Sequence[Known], pictures: Pictures) -> set[str]:
    """Fill the cache; returns the contents that are in it and still readable where they were."""
    readable = {p.sha256 for p in known if p.sha256 in features and (pictures.root / p.path).is_file()}
    missing = [p for p in known if p.sha256 not in readable]
    for start in track(range(0, len(missing), BATCH), "references", transient=True, disable=len(missing) < 8 * BATCH):
        decoded: dict[str, Pixels] = {}
        for photograph in missing[start : start + BATCH]:
            try:
                content = pictures.content(photograph.path, photograph.sha256)
                decoded[photograph.sha256] = decode_image(content, features.size)
            except BadImage:
                continue
        if decoded:
            features.add(list(decoded), np.stack(list(decoded.values())))
            readable |= decoded.keys()
    return readable
