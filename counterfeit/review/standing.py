"""How the review stands: progress, capacity, agreement between reviewers, answers on gold items."""

import math
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from sklearn.metrics import cohen_kappa_score

from counterfeit.review.outcome import VERDICTS


@dataclass(frozen=True)
class Progress:
    """Numbers of items, and of today's decisions."""

    total: int
    done: int
    second: int
    disputed: int
    open: int
    today: int
    capacity: int

    @property
    def left(self) -> int:
        """Decisions that are left today."""
        return max(self.capacity - self.today, 0)


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa of two reviewers on the items that both saw; NaN where it is not defined."""

    first: str
    second: str
    n: int
    agreed: int
    kappa: float


@dataclass(frozen=True)
class Reviewer:
    """One reviewer's decisions, and those on gold items: how many, how many right."""

    name: str
    decisions: int
    today: int
    gold: int
    right: int


def progress(db: sqlite3.Connection) -> Progress:
    """Where the review stands; the day is that of this machine."""
    states = dict(db.execute("SELECT state, COUNT(*) FROM item GROUP BY state").fetchall())
    capacity = int(db.execute("SELECT value FROM meta WHERE key = 'capacity'").fetchone()[0])
    today = db.execute("SELECT COUNT(*) FROM decision WHERE at >= ? AND NOT undone", (_midnight(),)).fetchone()[0]
    total, done = sum(states.values()), states.get("done", 0)
    second, disputed = states.get("second", 0), states.get("disputed", 0)
    return Progress(total, done, second, disputed, states.get("open", 0), today, capacity)


def expected_beyond(db: sqlite3.Connection, left: int) -> float:
    """Counterfeits to expect, by their scores, among the waiting items that ``left`` decisions do not reach."""
    beyond = "SELECT score FROM item WHERE state = 'open' ORDER BY priority DESC, id LIMIT -1 OFFSET ?"
    return float(db.execute(f"SELECT TOTAL(score) FROM ({beyond})", (left,)).fetchone()[0])


def agreements(db: sqlite3.Connection) -> list[Agreement]:
    """Kappa of each pair of reviewers on the random share that two see, over counterfeit, genuine and unsure.

    Each one's first decision counts, undone or not: before a later one the other's verdict may have been seen. Items
    that reached a second reviewer because the first disagreed with the detector are left out: they are the hard ones,
    and would make any two reviewers look worse than they are.
    """
    verdicts: dict[int, list[tuple[str, str]]] = defaultdict(list)
    rows = db.execute(
        """SELECT d.item, d.reviewer, d.verdict FROM decision d JOIN item i ON i.id = d.item
        WHERE i.sampled ORDER BY d.event"""
    )
    for item, reviewer, verdict in rows:
        if reviewer not in dict(verdicts[item]):
            verdicts[item].append((reviewer, verdict))
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for decisions in verdicts.values():
        if len(decisions) > 1:
            (one, said), (other, replied) = sorted(decisions[:2])
            pairs[one, other].append((said, replied))
    return [_agreement(one, other, said) for (one, other), said in sorted(pairs.items())]


def reviewers(db: sqlite3.Connection) -> list[Reviewer]:
    """All who decided anything, by name. On a gold item the first decision counts, undone or not."""
    rows = db.execute(
        """WITH first AS (SELECT MIN(event) AS event FROM decision GROUP BY item, reviewer)
        SELECT d.reviewer, SUM(NOT d.undone), SUM(d.at >= ? AND NOT d.undone),
          SUM(i.origin = 'gold' AND first.event NOT NULL AND d.verdict != 'unsure'),
          SUM(i.origin = 'gold' AND first.event NOT NULL
            AND d.verdict = CASE i.truth WHEN 1 THEN 'counterfeit' ELSE 'genuine' END)
        FROM decision d JOIN item i ON i.id = d.item LEFT JOIN first ON first.event = d.event
        GROUP BY d.reviewer ORDER BY d.reviewer""",
        (_midnight(),),
    )
    return [Reviewer(*row) for row in rows]


def _agreement(one: str, other: str, said: list[tuple[str, str]]) -> Agreement:
    first, second = zip(*said, strict=True)
    agreed = sum(a == b for a, b in said)
    # One verdict throughout leaves nothing to agree on beyond chance: kappa is 0 / 0.
    constant = len({*first, *second}) == 1
    kappa = math.nan if constant else float(cohen_kappa_score(first, second, labels=list(VERDICTS)))
    return Agreement(one, other, len(said), agreed, kappa)


def _midnight() -> str:
    start = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(UTC).isoformat(timespec="milliseconds")
