"""Opening a review: the first time its items are laid down, later they are found as they were left."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from counterfeit.errors import UserError
from counterfeit.review.access import admit_only
from counterfeit.review.audit import append
from counterfeit.review.database import Database, put
from counterfeit.review.decisions import settle_alone
from counterfeit.review.known import Known, photographs_root, tested_photographs
from counterfeit.review.outcome import sampled_for_second
from counterfeit.review.queue import choose_gold, priority
from counterfeit.review.scored import Scored

FILE = "review.sqlite"
REFUSALS = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY")  # of the system
MOST = 1_000_000  # decisions a day, above which a capacity is a slip


@dataclass(frozen=True)
class Policy:
    """How a review is run.

    Attributes:
        reviewers: their names; with one alone nobody is asked for a second opinion.
        capacity: decisions that all of them make a day.
        gold: hidden items of known label, as a share of the scored ones.
        double: share of the items that two reviewers see, whatever the first says.
    """

    reviewers: Sequence[str]
    capacity: int = 200
    gold: float = 0.03
    double: float = 0.1

    def check(self) -> None:
        """Raise ``UserError`` for names or shares that cannot be meant."""
        names = list(self.reviewers)
        if not names or len(set(names)) < len(names):
            raise UserError("--reviewers: name at least one reviewer, each once")
        for name in names:
            if not (0 < len(name) <= 40 and name.isprintable() and name == name.strip()):
                raise UserError(f"--reviewers: {name!r} is no name; use up to 40 letters")
        if not 1 <= self.capacity <= MOST:
            raise UserError(f"--capacity {self.capacity}: a day has at least one decision and at most {MOST}")
        for option, share in (("gold", self.gold), ("double", self.double)):
            if not 0 <= share <= 1:
                raise UserError(f"--{option} {share} is no share between 0 and 1")


def open_review(scored: Scored, policy: Policy) -> Database:
    """The database of a scores folder, filled on first opening.

    Raises:
        UserError: nothing could be scored, or the scores are not those that the review began with.
    """
    policy.check()
    items = _distinct(scored)
    if not items:
        raise UserError(f"{scored.folder} has no image that could be scored: nothing to review")
    db = Database(scored.folder / FILE, create=True)
    began = db.get("scores")
    if began is not None and began != scored.identity:
        raise UserError(
            f"{scored.folder / 'scores.parquet'} is not the one this review began with;"
            f" score into a new folder, or move {FILE} away to begin anew"
        )
    with room_on(db.path), db.writing() as writing:
        if began is None:
            _lay_down(writing, scored, policy, items)
        put(writing, "second", str(int(len(policy.reviewers) > 1)))
        put(writing, "capacity", str(policy.capacity))
        put(writing, "reviewers", "\n".join(policy.reviewers))
        admit_only(writing, policy.reviewers)
        append(
            writing,
            "opened",
            None,
            None,
            {
                "scores": scored.identity,
                "detector": scored.card.sha256,
                "reviewers": list(policy.reviewers),
                "capacity": policy.capacity,
            },
        )
        if len(policy.reviewers) == 1:
            settle_alone(writing, policy.reviewers[0])
    return db


@contextmanager
def room_on(path: Path) -> Iterator[None]:
    """What SQLite refuses while a review is opened, as on a full disk, is the user's to mend."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if not getattr(error, "sqlite_errorname", "").startswith(REFUSALS):
            raise
        raise UserError(f"cannot write {path}: {error}; mend that, then give the same command again") from error


def _distinct(scored: Scored) -> dict[str, dict[str, Any]]:
    """The first row of each content."""
    items: dict[str, dict[str, Any]] = {}
    for row in scored.rows:
        if row["status"] == "ok" and row["score"] is not None and row["sha256"] and row["captured"]:
            items.setdefault(row["sha256"], row)
    return items


def _lay_down(writing: Any, scored: Scored, policy: Policy, items: dict[str, dict[str, Any]]) -> None:
    rows = [
        (digest, row["path"], row["path"], "scored", None, row["captured"], row["score"])
        for digest, row in items.items()
    ]
    rows += _gold(scored, policy, items)
    rows.sort()  # by content, so that the numbers tell nothing of where an item came from
    ranks = priority(np.array([row[-1] for row in rows], np.float64))
    writing.executemany(
        """INSERT INTO item (id, sha256, name, file, origin, truth, captured, score, band, priority, sampled)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (number, *row, scored.band(row[-1]), float(rank), int(sampled_for_second(row[0], policy.double)))
            for number, (row, rank) in enumerate(zip(rows, ranks, strict=True), start=1)
        ],
    )
    number_of = {row[0]: number for number, row in enumerate(rows, start=1)}
    good = [row for row in scored.rows if row["sha256"] in items and row["status"] == "ok"]
    listed = dict.fromkeys((number_of[row["sha256"]], row["path"]) for row in good)
    writing.executemany("INSERT INTO listing VALUES (?, ?)", list(listed))
    bad = [
        (f"row {number} of the table" if row["path"] is None else row["path"], row["error"] or row["status"])
        for number, row in enumerate(scored.rows, start=1)
        if row["status"] != "ok"
    ]
    writing.executemany("INSERT INTO unreadable VALUES (?, ?)", bad)
    put(writing, "scores", scored.identity)


def _gold(scored: Scored, policy: Policy, items: dict[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Known test photographs of the run, under names such as the scored ones have."""
    root = photographs_root(scored.run) if scored.run is not None else None
    count = round(policy.gold * len(items))
    if scored.run is None or root is None or not count:
        return []
    candidates = [
        tested
        for tested in tested_photographs(scored.run)
        if tested.photograph.sha256 not in items and (root / tested.photograph.path).is_file()
    ]
    chosen = choose_gold(
        np.array([row["score"] for row in items.values()], np.float64),
        np.array([tested.score for tested in candidates], np.float64),
        np.array([tested.photograph.label for tested in candidates], np.int64),
        count,
    )
    taken = {row["path"] for row in scored.rows if row["path"] is not None}
    return [
        (known.sha256, _alias(known, taken), known.path, "gold", known.label, captured, score)
        for known, score, captured in (candidates[i] for i in chosen)
    ]


def _alias(known: Known, taken: set[str]) -> str:
    """A name beside a scored photograph, like its own; the true one would give the answer away."""
    names = sorted(taken)
    number = int(known.sha256[:12], 16)
    beside = PurePosixPath(names[number % len(names)])
    for attempt in range(number, number + 1000):
        stem = beside.stem
        for place in [i for i, c in enumerate(stem) if c.isdigit()][-3:]:
            stem = f"{stem[:place]}{attempt // 10 ** (len(stem) - place - 1) % 10}{stem[place + 1 :]}"
        alias = str(beside.with_name((stem if stem != beside.stem else f"{stem}_{attempt % 90 + 10}") + beside.suffix))
        if alias not in taken:
            return alias
    return f"{beside}_{number}"
