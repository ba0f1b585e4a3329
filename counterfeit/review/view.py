"""What the templates are given: rows of the database in the words of the page."""

import shlex
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from counterfeit.review.access import Session
from counterfeit.review.decisions import last_action, standing
from counterfeit.review.desk import Desk
from counterfeit.review.outcome import REASONS
from counterfeit.review.standing import progress

PAGE = 50  # items on a page of the queue
LONGEST = 90  # characters of a name
LATEST = "(SELECT MAX(event) FROM decision WHERE decision.item = item.id AND NOT undone) DESC"
SHOWN = {  # heading, rows, order
    "waiting": ("Waiting", "item WHERE state = 'open'", "priority DESC, id"),
    "second": ("Second opinion", "item WHERE state = 'second'", "priority DESC, id"),
    "disputed": ("Disputed", "item WHERE state = 'disputed'", "priority DESC, id"),
    "done": ("Decided", "item WHERE state = 'done'", LATEST),
    "unreadable": ("Not scored", "unreadable", "rowid"),
}


@dataclass(frozen=True)
class Queue:
    """A page of the queue: rows, which page of how many, how many rows each heading has, reasons by item."""

    rows: list[sqlite3.Row]
    page: int
    pages: int
    counts: dict[str, int]
    reasons: dict[int, str]


def templates() -> Environment:
    """The templates; everything put into them is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = shown_name
    environment.globals["reasons"] = REASONS
    return environment


def shown_name(name: str) -> str:
    """A file name that cannot pass for another: invisible characters are spelled out, long names lose their middle."""
    plain = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in name)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 31]}…{plain[-30:]}"


def frame(desk: Desk, session: Session) -> dict[str, Any]:
    """What every page shows around its content."""
    return {
        "reviewer": session.reviewer,
        "form_token": session.form_token,
        "progress": progress(desk.db.reading()),
        "title": desk.scored.folder.resolve().name,
        "folder": shlex.quote(str(desk.scored.folder)),
    }


def item_page(desk: Desk, session: Session, item: sqlite3.Row, error: str = "") -> dict[str, Any]:
    """Everything of an item but what the reviewer must not see yet: earlier decisions, before a second opinion."""
    db = desk.db.reading()
    decisions = standing(db, item["id"])
    mine = any(decision["reviewer"] == session.reviewer for decision in decisions)
    genuine, counterfeit = desk.nearest(item)
    last = last_action(db, session.reviewer)
    scored = desk.scored
    return frame(desk, session) | {
        "item": item,
        "error": error,
        "meaning": scored.meaning(item["score"]),
        "bands": (100 * scored.card.bands["genuine_below"], 100 * scored.card.bands["counterfeit_from"]),
        "validation": (sum(b.counterfeits for b in scored.bins), sum(b.n for b in scored.bins)),
        "otherwise": item["captured"] != scored.card.captures[0],
        "flagged": item["score"] >= scored.card.threshold,
        "rule": scored.card.operating_point["rule"],
        "copies": [row["path"] for row in db.execute("SELECT path FROM listing WHERE item = ?", (item["id"],))][1:],
        "neighbours": (("Nearest genuine", genuine), ("Confirmed counterfeits", counterfeit)),
        "note": desk.note,
        "heat": desk.heat is not None,
        "decisions": decisions if item["state"] in ("done", "disputed") or mine else [],
        "open": item["state"] in ("open", "disputed") or (item["state"] == "second" and not mine),
        "undoable": bool(decisions) and decisions[-1]["reviewer"] == session.reviewer,
        "last": last,
        "last_reason": REASONS.get(last.reason, "") if last else "",
    }


def queue_page(desk: Desk, show: str, page: int) -> Queue:
    """A page of what stands under one heading: the most urgent first, of decided items the latest."""
    db = desk.db.reading()
    counts = {name: db.execute(f"SELECT COUNT(*) FROM {rows}").fetchone()[0] for name, (_, rows, _) in SHOWN.items()}
    pages = max(1, -(-counts[show] // PAGE))
    page = min(page, pages)
    _, where, order = SHOWN[show]
    rows = db.execute(f"SELECT * FROM {where} ORDER BY {order} LIMIT ? OFFSET ?", (PAGE, (page - 1) * PAGE)).fetchall()
    items = [row["id"] for row in rows] if show == "done" else []
    marks = ", ".join("?" for _ in items)
    said = f"SELECT item, reason FROM decision WHERE item IN ({marks}) AND reason != '' AND NOT undone ORDER BY event"
    return Queue(rows, page, pages, counts, {row["item"]: REASONS[row["reason"]] for row in db.execute(said, items)})
