"""Pages to read: the next item, one item, the queue, the team."""

import sqlite3

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from counterfeit.review.audit import head
from counterfeit.review.decisions import last_action, next_item
from counterfeit.review.desk import Desk
from counterfeit.review.guard import Entered
from counterfeit.review.standing import agreements, expected_beyond, progress, reviewers
from counterfeit.review.view import SHOWN, frame, item_page, queue_page

LARGEST = 2**63 - 1  # of a number in the database
router = APIRouter()


def item_or_404(desk: Desk, number: int) -> sqlite3.Row:
    """An item by its number."""
    row: sqlite3.Row | None = None
    if number <= LARGEST:
        row = desk.db.reading().execute("SELECT * FROM item WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise HTTPException(404, "no such item")
    return row


@router.get("/")
def start(request: Request, session: Entered) -> Response:
    """The next item, or that there is none."""
    desk: Desk = request.app.state.desk
    number = next_item(desk.db, session.reviewer)
    if number is not None:
        return RedirectResponse(f"/item/{number}", 303)
    last = last_action(desk.db.reading(), session.reviewer)
    page: Response = request.app.state.render("empty.html", frame(desk, session) | {"last": last})
    return page


@router.get("/item/{number:int}")
def item(request: Request, session: Entered, number: int) -> Response:
    """One item with its references."""
    desk: Desk = request.app.state.desk
    context = item_page(desk, session, item_or_404(desk, number))
    page: Response = request.app.state.render("item.html", context)
    return page


@router.get("/queue")
def queue(request: Request, session: Entered, show: str = "waiting", page: int = 1) -> Response:
    """Items under one heading, or the files that could not be scored."""
    desk: Desk = request.app.state.desk
    if show not in SHOWN or not 1 <= page <= LARGEST:
        raise HTTPException(404, "no such part of the queue")
    headings = {name: heading for name, (heading, _, _) in SHOWN.items()}
    context = {"queue": queue_page(desk, show, page), "show": show, "headings": headings}
    beyond = expected_beyond(desk.db.reading(), progress(desk.db.reading()).left)
    answer: Response = request.app.state.render("queue.html", frame(desk, session) | context | {"beyond": beyond})
    return answer


@router.get("/team")
def team(request: Request, session: Entered) -> Response:
    """Progress, agreement and gold items."""
    desk: Desk = request.app.state.desk
    db = desk.db.reading()
    number, digest = head(db)
    context = {"agreements": agreements(db), "reviewers": reviewers(db), "events": number, "head": digest}
    page: Response = request.app.state.render("team.html", frame(desk, session) | context | {"note": desk.note})
    return page
