"""The application: pages to read, pictures, and actions, all behind the guard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from counterfeit.review import actions, images, pages
from counterfeit.review.access import RateLimit, Session
from counterfeit.review.desk import Desk
from counterfeit.review.guard import stand_guard
from counterfeit.review.view import frame, templates

STATIC = {"review.css": "text/css", "review.js": "text/javascript", "icon.svg": "image/svg+xml"}
ENTRIES = (0.1, 8)  # attempts a second and at once to enter, for one address


def make_app(
    desk: Desk,
    password: str | None = None,
    hosts: Sequence[str] | None = None,
    limit: RateLimit | None = None,
    secure: bool = False,
) -> FastAPI:
    """The application on an opened review.

    Args:
        desk: what it works with.
        password: lets reviewers enter by name as well; ``None`` for one-time links only.
        hosts: names under which it answers; ``None`` for any.
        limit: of all requests of one address; 40 a second unless told.
        secure: whether links begin with https, so that no browser sends the cookie in the clear.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk, app.state.db, app.state.password = desk, desk.db, password
    app.state.entries, app.state.secure = RateLimit(*ENTRIES), secure
    environment = templates()

    def render(name: str, context: dict[str, Any], status: int = 200) -> HTMLResponse:
        return HTMLResponse(environment.get_template(name).render(context), status)

    def message(status: int, sentence: str, session: Session | None, again: str = "/") -> HTMLResponse:
        context = frame(desk, session) if session else {"reviewer": None, "progress": None, "title": "Review"}
        entry = {"status": status, "sentence": sentence, "again": again, "password": password is not None}
        return render("message.html", context | entry, status)

    app.state.render, app.state.message = render, message
    stand_guard(app, desk.db, hosts, limit or RateLimit(rate=40, burst=400))

    for router in (pages.router, images.router, actions.router):
        app.include_router(router)
    folder = Path(__file__).parent / "static"
    for name, kind in STATIC.items():
        app.add_api_route(f"/{name}", _file(folder / name, kind), include_in_schema=False)
    return app


def _file(path: Path, kind: str) -> Any:
    content = path.read_bytes()

    def send() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return send
