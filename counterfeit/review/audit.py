"""The audit log: events that are only ever added, each bound to the one before by its hash."""

import hashlib
import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

START = "0" * 64


def now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def append(db: sqlite3.Connection, kind: str, reviewer: str | None, item: int | None, detail: dict[str, Any]) -> int:
    """Add an event within the transaction of the caller, and return its number.

    Args:
        db: in a transaction that holds the write lock, so that no two events share a predecessor.
        kind: what happened, such as ``decision``.
        reviewer: who did it; ``None`` where nobody had entered.
        item: which item it is about.
        detail: anything else, as JSON.
    """
    last = db.execute("SELECT id, hash FROM event ORDER BY id DESC LIMIT 1").fetchone()
    number, previous = (last["id"] + 1, last["hash"]) if last else (1, START)
    values = (number, now(), kind, reviewer, item, json.dumps(detail, sort_keys=True))
    db.execute(
        "INSERT INTO event (id, at, kind, reviewer, item, detail, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, previous, chained(previous, values)),
    )
    return number


def chained(previous: str, values: tuple[Any, ...]) -> str:
    """SHA-256 of an event and the hash before it."""
    return hashlib.sha256(json.dumps([previous, *values], separators=(",", ":")).encode()).hexdigest()


def broken_links(db: sqlite3.Connection) -> list[str]:
    """What is wrong with the chain, in the words of a report; empty if every event is as it was written."""
    faults: list[str] = []
    previous = START
    events = db.execute("SELECT id, at, kind, reviewer, item, detail, previous, hash FROM event ORDER BY id")
    for expected, event in enumerate(events, start=1):
        *values, said_previous, said_hash = tuple(event)
        if event["id"] != expected:
            return [*faults, f"event {expected} is missing"]
        if said_previous != previous or said_hash != chained(said_previous, tuple(values)):
            faults.append(f"event {expected} ({event['kind']}, {event['at']}) was changed, or the one before it")
        previous = said_hash
    return faults


def head(db: sqlite3.Connection) -> tuple[int, str]:
    """Number of events and hash of the last: written down elsewhere, it proves later that no event was cut off."""
    last = db.execute("SELECT id, hash FROM event ORDER BY id DESC LIMIT 1").fetchone()
    return (last["id"], last["hash"]) if last else (0, START)
