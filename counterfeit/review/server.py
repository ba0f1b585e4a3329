"""The web server around the application, on a socket that is open before the links are printed."""

import ipaddress
import logging
import socket
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from counterfeit.errors import UserError
from counterfeit.review.access import issue_token
from counterfeit.review.app import make_app
from counterfeit.review.database import put
from counterfeit.review.desk import set_up
from counterfeit.review.fill import Policy
from counterfeit.review.scored import Scored


@dataclass(frozen=True)
class Place:
    """Where the page is.

    Attributes:
        host: address to listen on.
        port: 0 takes a free one.
        local: whether the host is this machine's own; then the page is answered under no other name.
        address: what stands before the page, such as ``https://review.example``; ``None`` if nothing does.
    """

    host: str
    port: int
    local: bool = True
    address: str | None = None

    def check(self) -> None:
        """Raise ``UserError`` for an address that no link can begin with."""
        if self.address is None:
            return
        try:
            parts = urllib.parse.urlsplit(self.address)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is none
            good = False
        if not good or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise UserError(f"--address {self.address}: give a scheme and a name alone, such as https://review.example")

    def link(self, port: int) -> str:
        """What links begin with.

        Args:
            port: that is listened on.
        """
        if self.address is not None:
            return self.address.rstrip("/")
        return f"http://{_bracketed(socket.getfqdn() if _is_unspecified(self.host) else self.host)}:{port}"

    def secure(self) -> bool:
        """Whether reviewers reach the page by TLS only, through what stands before it."""
        return urllib.parse.urlsplit(self.address or "").scheme == "https"

    def names(self) -> list[str] | None:
        """Names under which the page is answered; ``None`` for any."""
        if not self.local:
            return None
        before = urllib.parse.urlsplit(self.address or "").hostname
        return sorted({_bracketed(name) for name in (self.host, "localhost", "127.0.0.1", "::1", before) if name})


def serve_desk(scored: Scored, policy: Policy, place: Place, password: str | None) -> int:
    """Serve the page until interrupted, and return 0.

    Args:
        scored: the scores folder.
        policy: how the review is run.
        place: where.
        password: lets reviewers enter by name; ``None`` for one-time links only.
    """
    place.check()
    listening = _listen(place.host, place.port)
    desk = set_up(scored, policy)
    address = place.link(listening.getsockname()[1])
    with desk.db.writing() as writing:
        put(writing, "address", address)
    if desk.note:
        print(f"note: {desk.note}")
    for reviewer in policy.reviewers:
        print(f"{reviewer}: {address}/enter?token={issue_token(desk.db, reviewer)}", flush=True)
    print("each link works once, within an hour; Ctrl+C ends", flush=True)
    # Without an access log: it would keep the tokens.
    logging.basicConfig(format="%(asctime)s %(message)s")
    config = uvicorn.Config(
        make_app(desk, password, place.names(), secure=place.secure()),
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=32_768,
    )
    with suppress(KeyboardInterrupt):  # uvicorn has closed everything by then
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on, which delays every answer by 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # or whoever opens a link before uvicorn has started is refused
    except (OSError, TypeError) as error:  # the latter where the host is no name that can be encoded
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host}:{port} ({why}): choose another --port or --host") from error
    return listening


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_unspecified(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
