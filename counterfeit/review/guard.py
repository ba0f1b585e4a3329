"""What stands before every page: host, rate, size of the body, sessions, form tokens, headers, refusals."""

import logging
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from counterfeit.review.access import COOKIE, Allowance, RateLimit, Session, same, session_of
from counterfeit.review.audit import append
from counterfeit.review.database import Database

MOST_BODY = 8192  # bytes of a form
MOST_REFUSALS = 500  # an hour that are logged of requests without a session
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
SENTENCES = {
    400: "This request could not be understood.",
    401: "You have not entered, or your session is over.",
    403: "This was refused.",
    404: "There is no such page.",
    405: "There is no such page.",
    413: "This is more than a form can hold.",
    415: "Only forms are accepted.",
    429: "Too many requests: wait a moment.",
}
log = logging.getLogger("counterfeit.review")


def client_of(request: Request) -> str:
    """The address a request came from."""
    return request.client.host if request.client else "unknown"


def stand_guard(app: FastAPI, db: Database, hosts: Sequence[str] | None, pages: RateLimit) -> None:
    """Check the host and the rate of every request, add the headers to every answer, log refusals.

    Args:
        app: to be guarded.
        db: whose audit log takes the refusals.
        hosts: names under which the page may be asked for, so that no other name can be bound to it (DNS rebinding);
            ``None`` for any.
        pages: limit of all requests of one address.
    """
    app.state.strangers = Allowance(MOST_REFUSALS)
    told = Allowance(MOST_REFUSALS)

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        if not pages.allows(client_of(request)):
            if told.left() >= 0:
                log.warning("429 too many requests from %s", client_of(request))
            response: Response = Response(f"429 {SENTENCES[429]}\n", 429, media_type="text/plain")
        elif hosts is not None and _name_of(request.headers.get("host", "")) not in hosts:
            response = await _refusal(request, db, 400, "unknown host")
        else:
            response = await proceed(request)
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.exception_handler(StarletteHTTPException)
    async def refuse(request: Request, error: StarletteHTTPException) -> Response:
        return await _refusal(request, db, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def refuse_parameters(request: Request, error: RequestValidationError) -> Response:
        return await _refusal(request, db, 400, "parameters")


def entered(request: Request) -> Session:
    """The session of a request; 401 without one."""
    session = session_of(request.app.state.db, request.cookies.get(COOKIE))
    if session is None:
        raise HTTPException(401, "no session")
    return session


Entered = Annotated[Session, Depends(entered)]


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; 415 for another type, 413 for more than ``MOST_BODY`` bytes, 400 for what is no text."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise HTTPException(415, "not a form")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            raise HTTPException(413, "body too large")
    try:
        return dict(urllib.parse.parse_qsl(body.decode("ascii"), True, errors="strict", max_num_fields=20))
    except ValueError as error:
        raise HTTPException(400, "unreadable form") from error


Form = Annotated[dict[str, str], Depends(form)]


def own_form(session: Entered, fields: Form) -> dict[str, str]:
    """The fields of a form that carries the session's token; 403 for any other (cross-site request forgery)."""
    if not same(fields.get("form_token", ""), session.form_token):
        raise HTTPException(403, "wrong form token")
    return fields


OwnForm = Annotated[dict[str, str], Depends(own_form)]


def _name_of(host: str) -> str:
    return re.sub(r":\d+$", "", host).lower()


async def _refusal(request: Request, db: Database, status: int, why: str) -> Response:
    """A plain status, and an event in the audit log, which strangers cannot fill."""
    detail = {"status": status, "why": why[:200], "method": request.method, "path": request.url.path[:200]}
    session = await run_in_threadpool(session_of, db, request.cookies.get(COOKIE))
    reviewer = session.reviewer if session else None
    left = request.app.state.strangers.left() if session is None else 1

    def record() -> None:
        with db.writing() as writing:
            append(writing, "refused", reviewer, None, {**detail, "from": client_of(request)})
            if not left:
                append(writing, "refused", None, None, {"why": f"{MOST_REFUSALS} in this hour: more are not logged"})

    if left >= 0:
        log.warning("%d %s: %s %r from %s", status, why, request.method, detail["path"], client_of(request))
        await run_in_threadpool(record)
    sentence = SENTENCES.get(status, "This did not work.")
    render = getattr(request.app.state, "message", None)
    if render is None or "text/html" not in request.headers.get("accept", ""):
        return Response(f"{status} {sentence}\n", status, media_type="text/plain")
    page: Response = render(status, sentence, session)
    return page
