"""Actions: enter and leave, decide, skip, undo. Every form carries the session's token."""

import secrets

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from counterfeit.review.access import COOKIE, SESSION_LIFE, begin_session, end_session, exchange_token, same
from counterfeit.review.decisions import Choice, Conflict, decide, next_item, skip, undo
from counterfeit.review.desk import Desk
from counterfeit.review.guard import Entered, Form, OwnForm, client_of
from counterfeit.review.outcome import REASONS, VERDICTS
from counterfeit.review.pages import item_or_404
from counterfeit.review.view import item_page

LONGEST_NOTE = 500  # characters
router = APIRouter()


@router.get("/enter")
def enter(request: Request, token: str = "") -> Response:
    """Exchange a one-time token for a session."""
    _limit(request)
    cookie = exchange_token(request.app.state.db, token) if token else None
    if cookie is None:
        raise HTTPException(401, "unknown or used token" if token else "no token")
    return _welcome(request, cookie)


@router.post("/login")
def login(request: Request, fields: Form) -> Response:
    """Enter by name and password, where the review has one."""
    _limit(request)
    password: str | None = request.app.state.password
    desk: Desk = request.app.state.desk
    # Both are compared, so that the time tells nothing of which was wrong.
    right = same(fields.get("password", ""), password or secrets.token_hex())
    name = next((name for name in desk.policy.reviewers if same(name, fields.get("reviewer", ""))), None)
    if not right or name is None:
        raise HTTPException(401, "wrong name or password")
    return _welcome(request, begin_session(desk.db, name, "password"))


@router.post("/leave")
def leave(request: Request, fields: OwnForm) -> Response:
    """End the session."""
    end_session(request.app.state.db, request.cookies[COOKIE])
    answer: Response = request.app.state.message(200, "You have left.", None)
    answer.delete_cookie(COOKIE, secure=_by_tls(request), httponly=True, samesite="lax")
    return answer


@router.post("/item/{number:int}/decide")
async def decide_item(request: Request, session: Entered, fields: OwnForm, number: int) -> Response:
    """Record a decision and go on to the next item."""
    return await run_in_threadpool(_decide, request, session, fields, number)


@router.post("/item/{number:int}/skip")
def skip_item(request: Request, session: Entered, fields: OwnForm, number: int) -> Response:
    """Put an item behind the others."""
    desk: Desk = request.app.state.desk
    item_or_404(desk, number)
    skip(desk.db, session.reviewer, number)
    return _next(desk, session.reviewer)


@router.post("/undo")
def undo_last(request: Request, session: Entered, fields: OwnForm) -> Response:
    """Take back the last action, or the decision on the item named."""
    desk: Desk = request.app.state.desk
    named = fields.get("item", "")
    if named and not (named.isascii() and named.isdigit() and len(named) < 19):
        raise HTTPException(400, "item is no number")
    try:
        number = undo(desk.db, session.reviewer, int(named) if named else None)
    except Conflict as conflict:
        answer: Response = request.app.state.message(409, str(conflict), session)
        return answer
    desk.refresh(number)
    return RedirectResponse(f"/item/{number}", 303)


def _decide(request: Request, session: Entered, fields: dict[str, str], number: int) -> Response:
    desk: Desk = request.app.state.desk
    row = item_or_404(desk, number)
    choice, version = _choice(fields), fields.get("version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 19):
        raise HTTPException(400, "version is no number")
    if choice.reason == "other" and not choice.note:
        context = item_page(desk, session, row, "Say in the note what is counterfeit about it.")
        page: Response = request.app.state.render("item.html", context, 422)
        return page
    try:
        decide(desk.db, session.reviewer, number, int(version), choice)
    except Conflict as conflict:
        told: Response = request.app.state.message(409, f"{conflict} Yours was not recorded.", session)
        return told
    desk.refresh(number)
    return _next(desk, session.reviewer)


def _choice(fields: dict[str, str]) -> Choice:
    """``counterfeit/<reason>``, ``genuine`` or ``unsure``, with the note; 400 for anything else."""
    said, _, reason = fields.get("choice", "").partition("/")
    verdict = next((verdict for verdict in VERDICTS if verdict == said), None)
    if verdict is None or (verdict == "counterfeit") != (reason in REASONS) or (reason and reason not in REASONS):
        raise HTTPException(400, "a decision is genuine, unsure, or counterfeit with a reason")
    note = "".join(c for c in fields.get("note", "").strip() if c.isprintable() or c == "\n")
    if len(note) > LONGEST_NOTE:
        raise HTTPException(413, "note too long")
    return Choice(verdict, reason, note)


def _next(desk: Desk, reviewer: str) -> Response:
    number = next_item(desk.db, reviewer)
    return RedirectResponse("/" if number is None else f"/item/{number}", 303)


def _welcome(request: Request, cookie: str) -> Response:
    answer = RedirectResponse("/", 303)
    # Not "strict": a link clicked in a web mail would then lead to a page without the cookie. Every form has a token.
    answer.set_cookie(COOKIE, cookie, max_age=SESSION_LIFE, secure=_by_tls(request), httponly=True, samesite="lax")
    return answer


def _by_tls(request: Request) -> bool:
    """Whether the browser speaks TLS: to the address that links begin with, or to a proxy that says so."""
    # Who sends this header without a proxy makes their own cookie stricter, and nothing else.
    nearest = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return bool(request.app.state.secure) or nearest == "https"


def _limit(request: Request) -> None:
    if not request.app.state.entries.allows(client_of(request)):
        raise HTTPException(429, "too many attempts to enter")
