"""What one seed decides: the split, the folds, the embedded training images and the sources of composites."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from counterfeit.backbone import Embedder, Embeddings, GenuinePlaces, cross_fitting_folds
from counterfeit.data.datamodule import ProductData
from counterfeit.data.transforms import CONDITIONS
from counterfeit.detector import Copies, Remembered, TrainingSet
from counterfeit.detector.evidence import place_scales
from counterfeit.errors import UserError
from counterfeit.gan.transplant import Sources, host_candidates
from counterfeit.synthesis import Drawn

GENUINE_COPIES, COUNTERFEIT_COPIES = 32, 12  # photographs that are copied under each condition of capture


@dataclass
class Seed:
    """The training side of one seed.

    Args:
        number: the seed.
        data: set up and grouped.
        embedder: of the data's size.
        folds: number of cross-fitting folds.

    Attributes:
        known: distances of images, as the embedder sees them, from the genuine training photographs.
        drawn: candidates made last, and what they depend on: banks that differ in the choice alone share them.
    """

    number: int
    data: ProductData
    embedder: Embedder
    folds: int
    known: Remembered = field(default_factory=Remembered, init=False)
    drawn: tuple[tuple[Any, ...], list[Drawn]] | None = field(default=None, init=False)

    @cached_property
    def split(self) -> NDArray[np.str_]:
        """``(N,)``, see :meth:`~counterfeit.data.datamodule.ProductData.split`."""
        return self.data.split(self.number)

    def rows(self, split: str) -> NDArray[np.intp]:
        """Rows of the photographs in a split."""
        return np.flatnonzero(self.split == split)

    @cached_property
    def train(self) -> NDArray[np.intp]:
        """Rows of the training photographs."""
        return self.rows("train")

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """Labels of the training photographs."""
        return self.data.photos.label[self.train]

    @cached_property
    def fold(self) -> NDArray[np.int64]:
        """Cross-fitting folds of the training photographs."""
        group = self.data.photos.group[self.train].tolist()
        return cross_fitting_folds(torch.from_numpy(self.label), group, self.folds, self._generator()).numpy()

    def check(self) -> None:
        """Raise a ``UserError`` where training has too little to learn from."""
        if not (self.label == 1).any():
            raise UserError("training has no counterfeit: raise --data.counterfeits, or add counterfeits")
        if len(set(self.fold[self.label == 0].tolist())) < 2:
            raise UserError(
                f"at seed {self.number} all genuine training images are of one group, so that none is left to compare "
                "them with: add genuine items"
            )

    def embeddings(self, view: int = 0) -> Embeddings:
        """Embeddings of the training photographs."""
        return self.data.embed(self.embedder, self.train, view)

    @cached_property
    def real(self) -> TrainingSet:
        """The training photographs in all their views."""
        views = [self.embeddings(view) for view in range(self.data.views)]
        masks = np.full((len(self.train), *views[0].patches.shape[1:3]), np.nan, np.float32)
        one, folds = np.ones(len(self.train)), np.stack([self.fold] * 2, 1)
        return TrainingSet.concatenate(
            [
                TrainingSet(view, self.label, one, folds, masks, one.astype(bool), np.full(len(one), number == 0))
                for number, view in enumerate(views)
            ]
        )

    @cached_property
    def copies(self) -> Copies:
        """Some training photographs of either label under every condition of capture."""
        generator = np.random.default_rng([self.number, 23])
        drawn = [
            generator.permutation(np.flatnonzero(self.label == label))[:most]
            for label, most in ((0, GENUINE_COPIES), (1, COUNTERFEIT_COPIES))
        ]
        source = np.concatenate(drawn)
        numbers, rows = np.repeat(np.arange(len(CONDITIONS)), len(source)), np.tile(source, len(CONDITIONS))
        names = [CONDITIONS[number] for number in numbers]
        return Copies(self.data.embed_recaptured(self.embedder, self.train[rows], names), rows, numbers)

    @cached_property
    def places(self) -> GenuinePlaces:
        """The genuine training photographs at every place, also without each fold, which no checkpoint carries."""
        genuine = self.label == 0
        patches, fold = (torch.from_numpy(x[genuine]) for x in (self.embeddings().patches, self.fold))
        places = GenuinePlaces(patches.shape[-1], patches.shape[1], self.folds)
        places.fit(patches, fold)
        return places

    @cached_property
    def sources(self) -> Sources:
        """Pixels, evidence maps and possible hosts of the training photographs."""
        embeddings = self.embeddings()
        patches, fold = torch.from_numpy(embeddings.patches), torch.from_numpy(self.fold)
        starts = range(0, len(fold), 128)
        distances = torch.cat([self.places(patches[i : i + 128], fold[i : i + 128]) for i in starts])
        mean, std = place_scales(distances[torch.from_numpy(self.label == 0)])
        hosts = host_candidates(embeddings.pooled, self.label)
        return Sources(self.data.pixels(self.train), self.label, ((distances - mean) / std).numpy(), hosts)

    def release(self) -> None:
        """Forget what is large; it is made again, the same, where it is asked for once more."""
        for name in ("real", "copies", "places", "sources"):
            self.__dict__.pop(name, None)
        self.drawn, self.known = None, Remembered()

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.number)
