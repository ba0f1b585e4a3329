"""Handing out items and taking decisions: one transaction each, in which one of two reviewers wins."""

import sqlite3
import time
from dataclasses import dataclass
from typing import cast

from counterfeit.review.audit import append, now
from counterfeit.review.database import Database
from counterfeit.review.outcome import Verdict, outcome

HOLD = 600  # seconds that an item is kept from other reviewers once it was handed to one


class Conflict(Exception):  # noqa: N818  (what happened, not an error of the program)
    """Someone else was first, or the item is no longer open to this reviewer; the sentence says so."""


@dataclass(frozen=True)
class Choice:
    """What a reviewer sends: a verdict, its reason (a key of ``REASONS``, empty unless counterfeit) and a note."""

    verdict: Verdict
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class LastAction:
    """A reviewer's latest decision or skip that stands; ``verdict`` is ``skipped`` for a skip.

    It is not ``undoable`` where somebody else has decided on the item since.
    """

    event: int
    item: int
    verdict: str
    reason: str
    undoable: bool


def next_item(db: Database, reviewer: str) -> int | None:
    """The most urgent item that this reviewer may decide and nobody else holds; it is held from now on.

    Skipped items come back once nothing else waits, in the order skipped. A disputed item goes to somebody who has not
    decided on it; where there are two reviewers, to the first, who has not seen what the second said.
    """
    parameters = {"me": reviewer, "now": time.time(), "team": len((db.get("reviewers") or "").split("\n"))}
    mine_to_decide = """i.state != 'done' AND (i.holder IS NULL OR i.holder = :me OR i.held_until < :now)
        AND NOT (i.state = 'second' AND EXISTS (
          SELECT 1 FROM decision d WHERE d.item = i.id AND d.reviewer = :me AND NOT d.undone))
        AND NOT (i.state = 'disputed' AND :team > 1 AND EXISTS (
          SELECT 1 FROM decision d WHERE d.item = i.id AND d.reviewer = :me AND NOT d.undone AND (:team > 2
            OR d.event = (SELECT MAX(event) FROM decision WHERE item = i.id AND NOT undone))))"""
    fresh = f"""SELECT i.id FROM item i WHERE {mine_to_decide}
        AND NOT EXISTS (SELECT 1 FROM skip s WHERE s.item = i.id AND s.reviewer = :me)
        ORDER BY i.priority DESC, i.id LIMIT 1"""
    skipped = f"""SELECT i.id FROM skip s JOIN item i ON i.id = s.item WHERE s.reviewer = :me AND {mine_to_decide}
        ORDER BY s.event LIMIT 1"""
    with db.writing() as writing:
        row = writing.execute(fresh, parameters).fetchone() or writing.execute(skipped, parameters).fetchone()
        if row is None:
            return None
        _hold(writing, row["id"], reviewer)
        return int(row["id"])


def decide(db: Database, reviewer: str, item: int, version: int, choice: Choice) -> None:
    """Record a decision. When this returns, it is on the disk.

    Args:
        db: the review.
        reviewer: who decides.
        item: its number.
        version: that the reviewer saw; another one means that something happened in between.
        choice: the decision.

    Raises:
        Conflict: someone decided first, or this reviewer already did.
    """
    with db.writing() as writing:
        row = _item(writing, item)
        if row["version"] != version or row["state"] == "done":
            raise Conflict(_what_happened(writing, item, reviewer))
        if row["state"] == "second" and reviewer in {d["reviewer"] for d in standing(writing, item)}:
            raise Conflict("You decided this item already; it waits for another reviewer.")
        detail = {"verdict": choice.verdict, "reason": choice.reason, "note": choice.note, "sha256": row["sha256"]}
        event = append(writing, "decision", reviewer, item, detail)
        writing.execute(
            "INSERT INTO decision (event, item, reviewer, verdict, reason, note, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (event, item, reviewer, choice.verdict, choice.reason, choice.note, now()),
        )
        writing.execute("DELETE FROM skip WHERE item = ? AND reviewer = ?", (item, reviewer))
        _settle(writing, row, second_opinions(writing))


def skip(db: Database, reviewer: str, item: int) -> None:
    """Put an item behind all others for this reviewer."""
    with db.writing() as writing:
        _item(writing, item)
        event = append(writing, "skip", reviewer, item, {})
        writing.execute("INSERT OR REPLACE INTO skip VALUES (?, ?, ?)", (item, reviewer, event))
        writing.execute("UPDATE item SET holder = NULL WHERE id = ? AND holder = ?", (item, reviewer))


def last_action(connection: sqlite3.Connection, reviewer: str) -> LastAction | None:
    """What :func:`undo` would take back."""
    decision = connection.execute(
        """SELECT event, item, verdict, reason, NOT EXISTS (
          SELECT 1 FROM decision later WHERE later.item = d.item AND later.event > d.event AND NOT later.undone)
        FROM decision d WHERE reviewer = ? AND NOT undone ORDER BY event DESC LIMIT 1""",
        (reviewer,),
    ).fetchone()
    skipped = connection.execute(
        "SELECT event, item, 'skipped' AS verdict, '', 1 FROM skip WHERE reviewer = ? ORDER BY event DESC",
        (reviewer,),
    ).fetchone()
    found = max((row for row in (decision, skipped) if row is not None), key=lambda row: row["event"], default=None)
    if found is None:
        return None
    event, item, verdict, reason, undoable = found
    return LastAction(event, item, verdict, reason, bool(undoable))


def undo(db: Database, reviewer: str, item: int | None = None) -> int:
    """Take back the reviewer's latest action, or the decision on one item, and return the item's number.

    Raises:
        Conflict: there is nothing to take back, or someone else has decided since.
    """
    with db.writing() as writing:
        last = last_action(writing, reviewer)
        if item is None and last is not None and last.verdict == "skipped":
            append(writing, "undo", reviewer, last.item, {"event": last.event})
            writing.execute("DELETE FROM skip WHERE item = ? AND reviewer = ?", (last.item, reviewer))
            _hold(writing, last.item, reviewer)
            return last.item
        item = item if item is not None else last.item if last else None
        decisions = standing(writing, item) if item is not None else []
        if item is None or reviewer not in {d["reviewer"] for d in decisions}:
            raise Conflict("There is nothing of yours to undo.")
        if decisions[-1]["reviewer"] != reviewer:
            raise Conflict("Someone else has decided on this item since; it can no longer be undone.")
        append(writing, "undo", reviewer, item, {"event": decisions[-1]["event"]})
        writing.execute("UPDATE decision SET undone = 1 WHERE event = ?", (decisions[-1]["event"],))
        _settle(writing, _item(writing, item), second_opinions(writing))
        _hold(writing, item, reviewer)
        return item


def settle_alone(writing: sqlite3.Connection, reviewer: str) -> None:
    """Let decisions stand that waited for a second reviewer, now that this one is alone."""
    waiting = writing.execute(
        """SELECT * FROM item WHERE state = 'second' AND id IN (
          SELECT item FROM decision WHERE reviewer = ? AND NOT undone) ORDER BY id""",
        (reviewer,),
    ).fetchall()
    for item in waiting:
        append(writing, "settled", reviewer, item["id"], {"why": "no second reviewer"})
        _settle(writing, item, second=False)


def standing(connection: sqlite3.Connection, item: int) -> list[sqlite3.Row]:
    """The decisions on an item that were not undone, in their order."""
    return connection.execute("SELECT * FROM decision WHERE item = ? AND NOT undone ORDER BY event", (item,)).fetchall()


def second_opinions(connection: sqlite3.Connection) -> bool:
    """Whether this review asks second reviewers."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'second'").fetchone()
    return row is not None and row["value"] == "1"


def _item(connection: sqlite3.Connection, item: int) -> sqlite3.Row:
    row = connection.execute("SELECT * FROM item WHERE id = ?", (item,)).fetchone()
    if row is None:
        raise Conflict("There is no such item.")
    return cast(sqlite3.Row, row)


def _settle(writing: sqlite3.Connection, item: sqlite3.Row, second: bool) -> None:
    verdicts = [decision["verdict"] for decision in standing(writing, item["id"])]
    state, verdict = outcome(verdicts, item["band"], second, bool(item["sampled"]))
    writing.execute(
        "UPDATE item SET state = ?, verdict = ?, version = version + 1, holder = NULL WHERE id = ?",
        (state, verdict, item["id"]),
    )


def _hold(writing: sqlite3.Connection, item: int, reviewer: str) -> None:
    """Keep one item for a reviewer, and none of those kept before."""
    until = time.time() + HOLD
    writing.execute("UPDATE item SET holder = NULL WHERE holder = ?", (reviewer,))
    writing.execute("UPDATE item SET holder = ?, held_until = ? WHERE id = ?", (reviewer, until, item))


def _what_happened(connection: sqlite3.Connection, item: int, reviewer: str) -> str:
    """Who was first, and not what they said: a second opinion shall be independent."""
    last = connection.execute(
        "SELECT kind, reviewer, at FROM event WHERE item = ? AND kind IN ('decision', 'undo') ORDER BY id DESC LIMIT 1",
        (item,),
    ).fetchone()
    if last is None:
        return "This item has changed since you opened it."
    who = "you, in another window," if last["reviewer"] == reviewer else last["reviewer"]
    did = "decided" if last["kind"] == "decision" else "undid a decision on"
    return f"{who[0].upper()}{who[1:]} {did} this item at {last['at'][11:19]} UTC, before your decision arrived."
