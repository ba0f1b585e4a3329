from counterfeit.review.access import (
    Allowance,
    RateLimit,
    begin_session,
    end_session,
    exchange_token,
    issue_token,
    session_of,
)
from counterfeit.review.fill import Policy, open_review
from counterfeit.review.scored import read_scored
from tests.review.conftest import write_scores


def test_a_token_opens_one_session_once(opened):
    db = opened([0.5]).db
    token = issue_token(db, "anna")
    cookie = exchange_token(db, token)
    assert session_of(db, cookie).reviewer == "anna"
    assert exchange_token(db, token) is None
    assert exchange_token(db, "guess") is None


def test_tokens_and_sessions_end(opened, monkeypatch):
    db = opened([0.5]).db
    token, cookie = issue_token(db, "anna"), begin_session(db, "anna", "password")
    end_session(db, begin_session(db, "anna", "password"))
    assert session_of(db, cookie).reviewer == "anna"
    monkeypatch.setattr("counterfeit.review.access.time.time", lambda: 4e9)
    assert exchange_token(db, token) is None
    assert session_of(db, cookie) is None


def test_neither_tokens_nor_cookies_are_stored(opened):
    db = opened([0.5]).db
    token, cookie = issue_token(db, "anna"), begin_session(db, "anna", "password")
    kept = b"".join(path.read_bytes() for path in db.path.parent.glob("review.sqlite*"))
    assert token.encode() not in kept
    assert cookie.encode() not in kept


def test_a_client_may_burst_and_then_has_to_wait(monkeypatch):
    moment = [100.0]
    monkeypatch.setattr("counterfeit.review.access.time.monotonic", lambda: moment[0])
    limit = RateLimit(rate=2, burst=3)
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    moment[0] += 0.5
    assert [limit.allows("a") for _ in range(2)] == [True, False]
    moment[0] += 1000
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]


def test_an_allowance_is_used_up_until_the_next_hour(monkeypatch):
    moment = [7200.0]
    monkeypatch.setattr("counterfeit.review.access.time.time", lambda: moment[0])
    allowance = Allowance(2)
    assert [allowance.left() for _ in range(4)] == [1, 0, -1, -2]
    moment[0] += 3600
    assert allowance.left() == 1


def test_who_is_no_longer_named_is_out(tmp_path):
    scored = read_scored(write_scores(tmp_path, [0.5]))
    db = open_review(scored, Policy(["anna", "ben"]))
    cookies = {name: begin_session(db, name, "password") for name in ("anna", "ben")}
    token = issue_token(db, "ben")
    open_review(scored, Policy(["anna"]))
    assert session_of(db, cookies["anna"]).reviewer == "anna"
    assert session_of(db, cookies["ben"]) is None
    assert exchange_token(db, token) is None
