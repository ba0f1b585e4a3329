"""Whether the audit log is whole and the decisions are what it says."""

import json
import sqlite3

from counterfeit.review.audit import broken_links
from counterfeit.review.decisions import standing
from counterfeit.review.outcome import outcome


def faults(db: sqlite3.Connection, head: str | None = None) -> list[str]:
    """What does not hold, one sentence each; empty for a sound review.

    Args:
        db: the review.
        head: a hash noted earlier; the log must contain it, or its end was cut off.
    """
    found = broken_links(db)
    if head is not None and db.execute("SELECT 1 FROM event WHERE hash = ?", (head,)).fetchone() is None:
        found.append(f"no event has the hash {head[:16]}...: the end of the log was cut off, or all of it rewritten")
    return [*found, *_decisions_unlike_the_log(db), *_items_unlike_the_decisions(db)]


def _decisions_unlike_the_log(db: sqlite3.Connection) -> list[str]:
    logged: dict[int, tuple[object, ...]] = {}
    for event in db.execute("SELECT * FROM event WHERE kind IN ('decision', 'undo') ORDER BY id"):
        detail = json.loads(event["detail"])
        if event["kind"] == "decision":
            said = (detail["verdict"], detail["reason"], detail["note"])
            logged[event["id"]] = (event["item"], event["reviewer"], *said)
        else:
            logged.pop(detail["event"], None)
    kept = {
        row["event"]: tuple(row)[1:]
        for row in db.execute("SELECT event, item, reviewer, verdict, reason, note FROM decision WHERE NOT undone")
    }
    different = sorted(event for event in logged.keys() | kept.keys() if logged.get(event) != kept.get(event))
    return [f"the decision of event {event} is not what the log says" for event in different]


def _items_unlike_the_decisions(db: sqlite3.Connection) -> list[str]:
    wrong = []
    for item in db.execute("SELECT id, band, sampled, state, verdict FROM item").fetchall():
        verdicts = [decision["verdict"] for decision in standing(db, item["id"])]
        # Items were settled under the rule of their day: with or without second reviewers.
        allowed = {outcome(verdicts, item["band"], second, bool(item["sampled"])) for second in (False, True)}
        if (item["state"], item["verdict"]) not in allowed:
            wrong.append(f"item {item['id']} is {item['state']}, which its decisions do not say")
    return wrong
