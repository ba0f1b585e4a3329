"""All that the page works with, put together from a scores folder and its run."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from counterfeit.data.images import BadImage
from counterfeit.review.database import Database
from counterfeit.review.fill import Policy, open_review
from counterfeit.review.known import Known, known_photographs, photographs_root
from counterfeit.review.pictures import Pictures
from counterfeit.review.scored import Scored

if TYPE_CHECKING:  # they need torch, which a review without its run does without
    from counterfeit.review.heat import HeatMaps
    from counterfeit.review.neighbours import Features, Neighbour, Neighbours

CACHE = "review-cache"


@dataclass(frozen=True)
class Desk:
    """One opened review.

    Attributes:
        scored: the scores folder.
        policy: how the review is run.
        db: its database.
        photographs: the scored ones.
        known: photographs of the run's manifest, by position.
        references: the files of ``known``; ``None`` where they are no longer there.
        neighbours: ``None`` without references.
        heat: ``None`` without the run's detector.
        note: why something is left out; empty if nothing is.
    """

    scored: Scored
    policy: Policy
    db: Database
    photographs: Pictures
    known: Sequence[Known]
    references: Pictures | None
    neighbours: "Neighbours | None"
    heat: "HeatMaps | None"
    note: str

    def content(self, item: sqlite3.Row) -> bytes:
        """The bytes of an item; raises ``BadImage`` where they cannot be had."""
        return self._pictures_of(item).content(item["file"], item["sha256"])

    def jpeg(self, item: sqlite3.Row, size: str) -> bytes:
        """An item as the page shows it; raises ``BadImage`` where it cannot be had."""
        return self._pictures_of(item).jpeg(item["file"], item["sha256"], size)

    def nearest(self, item: sqlite3.Row) -> "tuple[list[Neighbour], list[Neighbour]]":
        """Genuine and counterfeit neighbours; none for an item whose file cannot be read."""
        if self.neighbours is None:
            return [], []
        try:
            return self.neighbours.nearest(item["sha256"], lambda: self.content(item))
        except BadImage:
            return [], []

    def refresh(self, number: int) -> None:
        """Show an item among the confirmed counterfeits, or no longer, as it now stands."""
        item = self.db.reading().execute("SELECT * FROM item WHERE id = ?", (number,)).fetchone()
        if self.neighbours is None or item["origin"] == "gold":
            return
        if item["state"] == "done" and item["verdict"] == "counterfeit":
            self.neighbours.confirm(number, item["sha256"])
        else:
            self.neighbours.withdraw(number)

    def _pictures_of(self, item: sqlite3.Row) -> Pictures:
        if item["origin"] == "gold":
            if self.references is None:
                raise BadImage("missing")
            return self.references
        return self.photographs


def set_up(scored: Scored, policy: Policy) -> Desk:
    """Open the review of a scores folder; computes the references' features once."""
    db = open_review(scored, policy)
    root = photographs_root(scored.run) if scored.run is not None else None
    known = known_photographs(scored.run) if scored.run is not None else []
    references = Pictures(root) if root is not None else None
    neighbours, heat = None, None
    if scored.run is not None and (scored.run / "detector.safetensors").is_file():
        neighbours, heat = _with_detector(scored.run, scored.folder / CACHE, known, references)
    note = _note(scored, neighbours)
    desk = Desk(scored, policy, db, Pictures(scored.root), known, references, neighbours, heat, note)
    for row in db.reading().execute("SELECT id FROM item WHERE state = 'done' AND verdict = 'counterfeit'").fetchall():
        desk.refresh(row["id"])
    return desk


def _with_detector(
    run: Path, cache: Path, known: Sequence[Known], references: Pictures | None
) -> "tuple[Neighbours | None, HeatMaps]":
    from counterfeit.review.heat import HeatMaps
    from counterfeit.review.neighbours import Neighbours

    if references is None:
        return None, HeatMaps(run)
    neighbours = Neighbours(_features(run, cache), known, references)
    return neighbours if neighbours.count else None, HeatMaps(run)


def _features(run: Path, cache: Path) -> "Features":
    from counterfeit.review.neighbours import Features

    settings = json.loads((run / "detector.json").read_text(encoding="utf-8"))["hyperparameters"]
    return Features(str(settings["backbone"]), int(settings["size"]), cache)


def _note(scored: Scored, neighbours: "Neighbours | None") -> str:
    if scored.run is None:
        return (
            "The run folder is not where it was, or holds another detector by now:"
            " no references, no heat map, no gold items. Name it with --run."
        )
    if neighbours is None:
        return "The photographs of the run are no longer there: no references and no gold items."
    return ""
