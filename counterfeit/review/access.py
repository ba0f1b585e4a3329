"""Who may enter: one-time tokens and passwords for sessions, form tokens, and a limit on how often."""

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from counterfeit.review.audit import append
from counterfeit.review.database import Database

TOKEN_LIFE = 3600  # seconds
SESSION_LIFE = 12 * 3600  # seconds
COOKIE = "review_session"


@dataclass(frozen=True)
class Session:
    """Who sent a request, and the token that every form of theirs carries."""

    reviewer: str
    form_token: str


def issue_token(db: Database, reviewer: str) -> str:
    """A token that opens one session of a reviewer, once, within the next hour; only its hash is kept."""
    token = secrets.token_urlsafe(32)
    with db.writing() as writing:
        writing.execute("DELETE FROM token WHERE until < ?", (time.time(),))
        writing.execute("INSERT INTO token VALUES (?, ?, ?)", (_hash(token), reviewer, time.time() + TOKEN_LIFE))
        append(writing, "token", reviewer, None, {})
    return token


def exchange_token(db: Database, token: str) -> str | None:
    """The cookie of a new session, or ``None`` for a token that is unknown, used or too old."""
    with db.writing() as writing:
        row = writing.execute(
            "DELETE FROM token WHERE hash = ? AND until >= ? RETURNING reviewer", (_hash(token), time.time())
        ).fetchone()
    return None if row is None else begin_session(db, str(row["reviewer"]), "token")


def begin_session(db: Database, reviewer: str, by: str) -> str:
    """The cookie of a new session; only its hash is kept."""
    cookie = secrets.token_urlsafe(32)
    with db.writing() as writing:
        writing.execute("DELETE FROM session WHERE until < ?", (time.time(),))
        values = (_hash(cookie), reviewer, secrets.token_urlsafe(32), time.time() + SESSION_LIFE)
        writing.execute("INSERT INTO session VALUES (?, ?, ?, ?)", values)
        append(writing, "entered", reviewer, None, {"by": by})
    return cookie


def end_session(db: Database, cookie: str) -> None:
    """Make a cookie worthless."""
    with db.writing() as writing:
        writing.execute("DELETE FROM session WHERE hash = ?", (_hash(cookie),))


def admit_only(writing: sqlite3.Connection, reviewers: Sequence[str]) -> None:
    """Make sessions and tokens of everybody else worthless, within the transaction of the caller."""
    others = f"reviewer NOT IN ({', '.join('?' for _ in reviewers)})"
    for table in ("session", "token"):
        writing.execute(f"DELETE FROM {table} WHERE {others}", tuple(reviewers))


def session_of(db: Database, cookie: str | None) -> Session | None:
    """The session of a cookie, unless it is unknown or over."""
    if not cookie:
        return None
    row = (
        db.reading()
        .execute("SELECT reviewer, form_token FROM session WHERE hash = ? AND until >= ?", (_hash(cookie), time.time()))
        .fetchone()
    )
    return None if row is None else Session(row["reviewer"], row["form_token"])


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(_hash(one), _hash(other))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Allowance:
    """So many an hour, of something that strangers can cause."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._hour, self._used = -1, 0

    def left(self) -> int:
        """Take one, and return how many are left in this hour: 0 after the last one, below 0 after those beyond."""
        hour = int(time.time() // 3600)
        if hour != self._hour:
            self._hour, self._used = hour, 0
        self._used += 1
        return self.most - self._used


class RateLimit:
    """A bucket of tokens for each client: ``burst`` requests at once, ``rate`` a second in the long run."""

    def __init__(self, rate: float, burst: int, clients: int = 10_000) -> None:
        self.rate, self.burst, self.clients = rate, burst, clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Take a token out of the client's bucket, if there is one."""
        moment = time.monotonic()
        left, before = self._buckets.pop(client, (float(self.burst), moment))
        left = min(float(self.burst), left + (moment - before) * self.rate)
        self._buckets[client] = (left - 1 if left >= 1 else left, moment)
        while len(self._buckets) > self.clients:
            self._buckets.popitem(last=False)
        return left >= 1
