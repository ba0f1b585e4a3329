"""Pictures by number: the only thing that a request can name."""

from collections.abc import Callable

from fastapi import APIRouter, HTTPException, Request, Response

from counterfeit.data.images import BadImage
from counterfeit.review.desk import Desk
from counterfeit.review.guard import Entered
from counterfeit.review.pages import item_or_404
from counterfeit.review.pictures import SIDES

KEPT = {"Cache-Control": "private, max-age=3600"}
router = APIRouter()


@router.get("/photo/{number:int}/{size}")
def photo(request: Request, session: Entered, number: int, size: str) -> Response:
    """The photograph of an item."""
    desk: Desk = request.app.state.desk
    row = item_or_404(desk, number)
    return _sent(lambda: desk.jpeg(row, size), size, "image/jpeg")


@router.get("/reference/{number:int}/{size}")
def reference(request: Request, session: Entered, number: int, size: str) -> Response:
    """A photograph of the run's manifest."""
    desk: Desk = request.app.state.desk
    pictures = desk.references
    if pictures is None or number >= len(desk.known):
        raise HTTPException(404, "no such reference")
    known = desk.known[number]
    return _sent(lambda: pictures.jpeg(known.path, known.sha256, size), size, "image/jpeg")


@router.get("/heat/{number:int}")
def heat(request: Request, session: Entered, number: int) -> Response:
    """The heat map of an item, to be laid over its photograph."""
    desk: Desk = request.app.state.desk
    maps, row = desk.heat, item_or_404(desk, number)
    if maps is None:
        raise HTTPException(404, "no heat maps")
    return _sent(lambda: maps.png(desk.content(row)), "large", "image/png")


def _sent(make: Callable[[], bytes], size: str, kind: str) -> Response:
    if size not in SIDES:
        raise HTTPException(404, "no such size")
    try:
        return Response(make(), media_type=kind, headers=KEPT)
    except BadImage as bad:
        raise HTTPException(404, f"picture {bad.reason}") from bad
