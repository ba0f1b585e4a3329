"""Photographs as the experiment sees them: checked, decoded once, grouped, split by seed, with augmented views."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytorch_lightning as pl
from numpy.typing import NDArray

from counterfeit.backbone import Embedder, Embeddings
from counterfeit.cache import default_cache_folder, make_cache_folder
from counterfeit.data.groups import near_duplicate_groups
from counterfeit.data.images import Loaded, check_bad_rate, load_pixels
from counterfeit.data.labels import write_labels
from counterfeit.data.manifest import check_splits, read_manifest
from counterfeit.data.place import DRAWN_AT_LEAST, DRAWN_COUNTERFEIT, DRAWN_GENUINE, photographs_folder
from counterfeit.data.split import limit_counterfeits, split_groups
from counterfeit.data.transforms import Preset, augment, recapture
from counterfeit.errors import UserError, naming

DRAWN_HANDFUL = 16  # training counterfeits of the drawn labels: few, as they are in life


@dataclass(frozen=True)
class Photos:
    """The readable photographs, ``N`` of them, in the order of the manifest.

    Attributes:
        path: relative to the root.
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        group: names; images of one group never straddle a split.
        kind: how a counterfeit deviates, empty where unknown.
        split: as the manifest fixed it; ``None`` where the seed decides.
        sha256: of the file's bytes.
    """

    path: NDArray[np.str_]
    label: NDArray[np.int64]
    group: NDArray[np.str_]
    kind: NDArray[np.str_]
    split: NDArray[np.str_] | None
    sha256: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.path)


class ProductData(pl.LightningDataModule):
    """A folder or manifest of photographs, or the drawn labels.

    Args:
        root: folder with genuine/ and counterfeit/, or with a manifest; the manifest's own if only that is given.
            Neither draws labels of invented brands.
        manifest: CSV or Parquet with path, label and optionally group, split, kind; root/manifest.csv if it exists.
        size: side in pixels, a multiple of 32, to which every image is scaled once.
        counterfeits: limit of the training counterfeits; none keeps all, or 16 of the drawn labels'. Validation and
            test keep theirs.
        max_bad_rate: share of unreadable images above which a run refuses to start.
        preset: classic augmentation of the training views.
        flips: whether a mirrored product is still the same product.
        views: views of each training image: itself and views - 1 augmented ones.
        fractions: of train, validation and test.
        num_workers: processes that decode; the results do not depend on it.
        cache: folder of decoded images and embeddings; $COUNTERFEIT_CACHE or ~/.cache/counterfeit if none.
        drawn_genuine: genuine labels to draw where there is no root.
        drawn_counterfeit: counterfeit labels to draw where there is no root.
    """

    def __init__(
        self,
        root: str | None = None,
        manifest: str | None = None,
        size: int = 128,
        counterfeits: int | None = None,
        max_bad_rate: float = 0.05,
        preset: Preset = "light",
        flips: bool = False,
        views: int = 2,
        fractions: tuple[float, float, float] = (0.5, 0.15, 0.35),
        num_workers: int = 0,
        cache: str | None = None,
        drawn_genuine: int = DRAWN_GENUINE,
        drawn_counterfeit: int = DRAWN_COUNTERFEIT,
    ) -> None:
        super().__init__()
        if size % 32 or size < 64:
            raise UserError(f"--data.size {size} is not a multiple of 32 of at least 64 pixels")
        if views < 1:
            raise UserError(f"--data.views {views}: an image has at least one view, itself")
        if not 0 <= max_bad_rate <= 1:
            raise UserError(f"--data.max_bad_rate is a share between 0 and 1, not {max_bad_rate}")
        if min(num_workers, drawn_genuine, drawn_counterfeit) < 0:
            raise UserError("--data.num_workers, drawn_genuine and drawn_counterfeit are not negative")
        self.manifest = Path(manifest).expanduser() if manifest else None
        self.root = str(self.manifest.parent) if root is None and self.manifest else root
        self.size, self.max_bad_rate = size, max_bad_rate
        self.counterfeits = DRAWN_HANDFUL if self.root is None and counterfeits is None else counterfeits
        self.preset, self.flips, self.views, self.fractions = preset, flips, views, fractions
        self.num_workers = num_workers
        self.cache = Path(cache).expanduser() if cache else default_cache_folder()
        self.drawn_genuine, self.drawn_counterfeit = drawn_genuine, drawn_counterfeit
        self.folder = photographs_folder(root, manifest, cache, size, drawn_genuine, drawn_counterfeit)
        self.unseen: NDArray[np.bool_] | None = None
        self.photos: Photos
        self.quarantine: list[tuple[str, str]]
        self._loaded: Loaded

    @property
    def title(self) -> str:
        """The folder's name, or ``labels`` for the drawn ones."""
        return self.folder.resolve().name if self.root else "labels"

    def prepare_data(self) -> None:
        """Draw the labels, once a machine."""
        if self.root is None and not self.folder.exists():
            make_cache_folder(self.cache)
            size = max(self.size, DRAWN_AT_LEAST)
            counts = {"genuine": self.drawn_genuine, "counterfeit": self.drawn_counterfeit}
            with naming(self.folder):
                write_labels(self.folder, **counts, size=size, seed=0)

    def setup(self, stage: str | None = None) -> None:
        """Read, check and decode the photographs; :meth:`group` forms their groups.

        Raises:
            UserError: the manifest is wrong, or too many images cannot be read.
        """
        root = self.folder
        table = read_manifest(root, self.manifest)
        paths = table["path"].to_pylist()
        self._loaded = load_pixels(root, paths, self.size, self.cache, self.num_workers)
        self.quarantine = self._loaded.quarantine
        check_bad_rate(self.quarantine, len(paths), self.max_bad_rate)
        readable = set(self._loaded.paths)
        self.photos = _photos(table.filter(pa.array([path in readable for path in paths])), self._loaded)

    def group(self, embedder: Embedder) -> None:
        """Form near-duplicate groups where the manifest gives none; a copy joins the given group of what it copies."""
        if (self.photos.group != "").all():
            return
        features = self.embed(embedder, np.arange(len(self.photos)), view=0).pooled
        pixels = self.pixels(np.arange(len(self.photos)))
        group = _strings(near_duplicate_groups(pixels, features, self.photos.group.tolist()))
        self.photos = Photos(**{**vars(self.photos), "group": group})

    def with_counterfeits(self, count: int | None) -> "ProductData":
        """The same photographs and splits with another limit of the training counterfeits.

        At one seed the counterfeits of a smaller limit are among those of a larger one.
        """
        view = copy.copy(self)
        view.counterfeits = count
        return view

    def with_unseen(self, chosen: NDArray[np.bool_]) -> "ProductData":
        """The same photographs as if some counterfeits were met in test for the first time, and test held no others.

        The limit of the training counterfeits counts those that are left.

        Args:
            chosen: ``(N,)``, true for the counterfeits that training and validation do without.
        """
        view = copy.copy(self)
        view.unseen = chosen
        return view

    def split(self, seed: int) -> NDArray[np.str_]:
        """The split of each photograph.

        Returns:
            ``(N,)`` of ``train``, ``validation``, ``test``, ``unused`` (training counterfeits over the limit) and
            ``held out`` (see :meth:`with_unseen`).
        """
        photos = self.photos
        split = photos.split
        if split is None:
            split = split_groups(photos.label, photos.group, fractions=self.fractions, seed=seed)
        split = split.astype("U10")
        limit = self.counterfeits
        if self.unseen is not None:
            split[(photos.label == 1) & (self.unseen != (split == "test"))] = "held out"
            limit = None if limit is None else min(limit, int(((split == "train") & (photos.label == 1)).sum()))
        if limit is not None:
            keep = limit_counterfeits(split, photos.label, photos.group, limit, seed)
            split[~keep] = "unused"
        return split

    def pixels(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Decoded images ``(n, size, size, 3)``."""
        return self._loaded.pixels(self.photos.sha256[rows].tolist())

    def embed(self, embedder: Embedder, rows: NDArray[np.intp], view: int) -> Embeddings:
        """Embeddings of one view of some images; view 0 is the image itself."""
        keys = self.photos.sha256[rows].tolist()
        if view:
            keys = [f"{key}-{self.preset}{'-flips' * self.flips}-{view}" for key in keys]
        return embedder.cached(keys, self._view_pixels, f"embedding view {view + 1}")

    def embed_recaptured(self, embedder: Embedder, rows: NDArray[np.intp], conditions: Sequence[str]) -> Embeddings:
        """Embeddings of copies of some images, each as if captured under one of ``CONDITIONS``."""
        keys = [f"{key}-{name}" for key, name in zip(self.photos.sha256[rows].tolist(), conditions, strict=True)]
        return embedder.cached(keys, self._recaptured_pixels, "embedding copies")

    def _recaptured_pixels(self, keys: list[str]) -> NDArray[np.uint8]:
        source, condition = zip(*(key.split("-", 1) for key in keys), strict=True)
        pixels = self._loaded.pixels(list(source))
        return np.stack([recapture(*of) for of in zip(pixels, condition, map(_seed_of, keys), strict=True)])

    def _view_pixels(self, keys: list[str]) -> NDArray[np.uint8]:
        pixels = self._loaded.pixels([key.split("-")[0] for key in keys])
        for i, key in enumerate(keys):
            if "-" in key:
                pixels[i] = augment(pixels[i], self.preset, self.flips, _seed_of(key))
        return pixels


def _photos(table: pa.Table, loaded: Loaded) -> Photos:
    sha256 = dict(zip(loaded.paths, loaded.sha256, strict=True))
    label = np.asarray(table["label"].to_pylist(), np.int64)
    if len(label) and len(np.unique(label)) < 2:
        raise UserError(
            f"only {'counterfeit' if label[0] else 'genuine'} images could be read: both classes are needed"
        )
    if table["split"].null_count == 0:
        check_splits(table)
    return Photos(
        path=_strings(table["path"].to_pylist()),
        label=label,
        group=_strings([group or "" for group in table["group"].to_pylist()]),
        kind=_strings(table["kind"].to_pylist()),
        split=_strings(table["split"].to_pylist()) if table["split"].null_count == 0 else None,
        sha256=_strings([sha256[path] for path in table["path"].to_pylist()]),
    )


def _seed_of(key: str) -> int:
    """A seed that the key of a changed image alone decides."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")


def _strings(values: Sequence[str]) -> NDArray[np.str_]:
    return np.asarray(values, dtype=np.str_)
