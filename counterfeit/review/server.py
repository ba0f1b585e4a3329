"""The web server around the application, on a socket that is open before the links are printed."""

import logging
import socket
from contextlib import suppress

import uvicorn

from counterfeit.errors import UserError
from counterfeit.review.access import issue_token
from counterfeit.review.app import make_app
from counterfeit.review.database import put
from counterfeit.review.desk import set_up
from counterfeit.review.fill import Policy
from counterfeit.review.scored import Scored


def serve_desk(scored: Scored, policy: Policy, host: str, port: int, password: str | None, local: bool) -> int:
    """Serve the page until interrupted, and return 0.

    Args:
        scored: the scores folder.
        policy: how the review is run.
        host: address to listen on.
        port: 0 takes a free one.
        password: lets reviewers enter by name; ``None`` for one-time links only.
        local: whether the address is this machine's own; then no other host name is answered.
    """
    listening = _listen(host, port)
    desk = set_up(scored, policy)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}"
    with desk.db.writing() as writing:
        put(writing, "address", address)
        put(writing, "reviewers", "\n".join(policy.reviewers))
    if desk.note:
        print(f"note: {desk.note}")
    for reviewer in policy.reviewers:
        print(f"{reviewer}: {address}/enter?token={issue_token(desk.db, reviewer)}", flush=True)
    print("each link works once, within an hour; Ctrl+C ends", flush=True)
    hosts = {name, "localhost", "127.0.0.1", "[::1]"} if local else None
    # Without an access log: it would keep the tokens.
    logging.basicConfig(format="%(asctime)s %(message)s")
    config = uvicorn.Config(
        make_app(desk, password, sorted(hosts) if hosts else None),
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
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}): choose another --port") from error
    return listening
