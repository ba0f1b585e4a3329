"""The page as a browser and as an attacker meet it. What is refused gets a plain status and an event in the log."""

import html
import json
import re
import time

import pytest
from starlette.testclient import TestClient

from counterfeit.review.access import RateLimit, issue_token
from counterfeit.review.export import decided, harmless
from counterfeit.review.verify import faults
from tests.review.conftest import enter, newcomer

NAMES = [
    "shop/<script>alert(1)</script>.png",
    "shop/=cmd(1).png",
    "shop/%2e%2e%2fescape.png",
    "shop/line\nbreak.png",
    "shop/" + "n" * 240 + ".png",
    "shop/gnp.\u202etxt.png",
]


def refusals(desk):
    events = desk.db.reading().execute("SELECT detail FROM event WHERE kind = 'refused' ORDER BY id")
    return [json.loads(event["detail"]) for event in events]


def test_a_moderator_decides_undoes_and_decides_again(opened):
    desk = opened([0.8, 0.2])
    anna = enter(desk, "anna")
    page = anna.get("/")
    assert page.url.path == "/item/1" or page.url.path == "/item/2"
    number = page.url.path.rpartition("/")[2]
    assert "about 70 were counterfeit" in page.text
    assert "risk score, not proof" in page.text
    done = anna.post(f"/item/{number}/decide", version="0", choice="counterfeit/print", note="halo")
    assert done.status_code == 303
    assert f'Item <a href="/item/{number}">{number}</a>: counterfeit, print quality' in anna.get("/").text
    assert anna.post("/undo").headers["location"] == f"/item/{number}"
    assert anna.post(f"/item/{number}/decide", version="2", choice="genuine").status_code == 303
    assert not faults(desk.db.reading())


@pytest.mark.parametrize("captured", ["as in training", "blurred"])
def test_a_moderator_is_told_of_a_photograph_that_was_captured_otherwise(opened, captured):
    page = enter(opened([0.8], captured=captured), "anna").get("/")
    assert ("captured otherwise" in page.text) == (captured == "blurred") == ("<b>blurred</b>" in page.text)


@pytest.mark.parametrize("choice", ["counterfeit", "counterfeit/", "counterfeit/taste", "genuine/print", "fake", ""])
def test_a_counterfeit_needs_a_known_reason(opened, choice):
    desk = opened([0.8])
    anna = enter(desk, "anna")
    assert anna.post("/item/1/decide", version="0", choice=choice).status_code == 400
    assert desk.db.reading().execute("SELECT COUNT(*) FROM decision").fetchone()[0] == 0


def test_the_reason_other_needs_a_note(opened):
    anna = enter(opened([0.8]), "anna")
    asked = anna.post("/item/1/decide", version="0", choice="counterfeit/other", note="  ")
    assert asked.status_code == 422
    assert "Say in the note" in asked.text
    assert anna.post("/item/1/decide", version="0", choice="counterfeit/other", note="smell").status_code == 303


def test_the_second_to_decide_is_told_and_not_recorded(opened):
    desk = opened([0.8])
    anna, ben = enter(desk, "anna"), enter(desk, "ben")
    assert anna.post("/item/1/decide", version="0", choice="counterfeit/print").status_code == 303
    told = ben.post("/item/1/decide", version="0", choice="genuine")
    assert told.status_code == 409
    assert "Anna decided this item" in told.text
    assert "not recorded" in told.text
    assert desk.db.reading().execute("SELECT COUNT(*) FROM decision").fetchone()[0] == 1


def test_a_second_opinion_is_asked_blind(opened):
    desk = opened([0.9])
    anna, ben = enter(desk, "anna"), enter(desk, "ben")
    anna.post("/item/1/decide", version="0", choice="genuine", note="weave is right")
    seen = ben.get("/item/1").text
    assert "weave is right" not in seen
    assert "second reviewer" in seen
    ben.post("/item/1/decide", version="1", choice="counterfeit/print")
    assert "weave is right" in ben.get("/item/1").text


def test_names_are_shown_as_text_and_nothing_else(opened):
    desk = opened([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], NAMES)
    anna = enter(desk, "anna")
    pages = [anna.get("/queue").text, *(anna.get(f"/item/{number}").text for number in range(1, 7))]
    for page in pages:
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "line\nbreak" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages[0]
    assert "line\\u000abreak" in pages[0]
    assert "n" * 241 not in "".join(pages)
    assert all(anna.get(f"/photo/{number}/large").status_code == 200 for number in range(1, 7))


def test_what_is_decided_is_listed_with_its_reason_the_latest_first(opened):
    desk = opened([0.9, 0.8, 0.1])
    anna = enter(desk, "anna")
    for number, choice in ((2, "genuine"), (3, "counterfeit/lettering"), (1, "counterfeit/print")):
        desk.db.reading().execute("UPDATE item SET band = 'unclear'")  # nobody else is asked
        assert anna.post(f"/item/{number}/decide", version="0", choice=choice).status_code == 303
    page = anna.get("/queue?show=done").text
    rows = re.findall(r'<tr>.*?href="/item/(\d)".*?chip (\w+)">(.*?)</tr>', page, re.DOTALL)
    assert [(number, verdict) for number, verdict, _ in rows] == [
        ("1", "counterfeit"),
        ("3", "counterfeit"),
        ("2", "genuine"),
    ]
    assert ["print quality" in rest for *_, rest in rows] == [True, False, False]
    assert ["lettering" in rest for *_, rest in rows] == [False, True, False]
    assert "Every item has been decided on" in anna.get("/queue").text


def test_everything_that_was_not_scored_is_listed(opened):
    desk = opened([0.8, *[None] * 120])
    anna = enter(desk, "anna")
    seen = [
        re.findall(r"item-\d{4}\.png(?=</td>)", anna.get(f"/queue?show=unreadable&page={n}").text) for n in (1, 2, 3)
    ]
    assert [len(names) for names in seen] == [50, 50, 20]
    assert len({name for names in seen for name in names}) == 120


def test_an_undo_that_would_be_refused_is_not_offered(opened):
    desk = opened([0.9, 0.8])
    anna, ben = enter(desk, "anna"), enter(desk, "ben")
    anna.post("/item/1/decide", version="0", choice="genuine")
    assert 'data-key="z"' in anna.get("/item/2").text
    ben.post("/item/1/decide", version="1", choice="genuine")
    page = anna.get("/item/2").text
    assert 'Item <a href="/item/1">' in page
    assert 'data-key="z"' not in page


def test_names_and_reasons_of_what_was_not_scored_are_text(opened):
    names = [*NAMES, "nul\0.png", "x" * 300]  # which no file can have, but a row of a table can
    desk = opened([0.8, *[None] * len(names)], ["shop/one.png", *names])
    page = enter(desk, "anna").get("/queue?show=unreadable").text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "\0" not in page
    assert "nul\\u0000.png" in page
    assert "xxx…xxx" in page and "x" * 100 not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "%2e%2e%2fescape.png" in page


@pytest.mark.parametrize(
    "note", ["<script>alert(1)</script>", "=cmd()", "../../etc/passwd", "%2e%2e", "a\0b", "x" * 300]
)
def test_a_note_is_shown_as_text_and_exported_harmless(opened, note):
    desk = opened([0.8])
    anna = enter(desk, "anna")
    assert anna.post("/item/1/decide", version="0", choice="counterfeit/other", note=note).status_code == 303
    page = anna.get("/item/1").text
    assert "<script>alert" not in page
    assert "\0" not in page
    assert html.escape(note.replace("\0", "")) in page
    (row,) = decided(desk.db.reading())
    assert not harmless(row["note"]).startswith("=")


@pytest.mark.parametrize(
    "name", ["<script>.png", "../../x.png", "%2e%2e/x.png", "a\0.png", "a\n.png", "n" * 300, "=cmd()"]
)
def test_uploads_are_refused_and_logged(opened, name):
    desk = opened([0.8])
    anna = enter(desk, "anna")
    before = sorted(path.name for path in desk.scored.folder.iterdir())
    for path in ("/item/1/decide", "/login", "/undo"):
        answer = anna.client.post(path, files={"note": (name, b"\x89PNG" + b"0" * 100_000, "image/png")})
        assert answer.status_code == 415
        assert "<script>" not in answer.text
        assert refusals(desk)[-1]["why"] == "not a form"
    assert anna.client.post("/upload", files={"file": (name, b"0")}).status_code in (404, 405)
    assert sorted(path.name for path in desk.scored.folder.iterdir()) == before
    assert not faults(desk.db.reading())


@pytest.mark.parametrize("name", ["../outside.png", "../../etc/passwd", "/etc/passwd", "shop/nul\0.png", "link.png"])
def test_a_path_in_the_scores_leads_nowhere_out_of_the_root(opened, tmp_path, name):
    desk = opened([0.8])
    content = (desk.scored.root / "shop/item-0000.png").read_bytes()
    (tmp_path / "outside.png").write_bytes(content)
    (desk.scored.root / "link.png").symlink_to(tmp_path / "outside.png")
    with desk.db.writing() as writing:
        writing.execute("UPDATE item SET file = ?, name = ?", (name, name))
    anna = enter(desk, "anna")
    assert anna.get("/item/1").status_code == 200
    assert anna.get("/photo/1/large").status_code == 404
    assert refusals(desk)[-1]["why"] in ("picture symlink out of root", "picture unreadable", "picture missing")


@pytest.mark.parametrize(
    "path",
    [
        "/photo/../../etc/passwd/large",
        "/photo/%2e%2e%2f%2e%2e%2fetc%2fpasswd/large",
        "/photo/1%00/large",
        "/photo/1/..%2f..%2fscores.json",
        "/photo/-1/large",
        "/photo/99999999999999999999999999/large",
        "/photo/1/huge",
        "/reference/0/large",
        "/heat/1",
        "/item/1e9",
        "/item/" + "9" * 300,
        "/review.sqlite",
        "/templates/item.html",
        "/<script>alert(1)</script>",
        "/" + "a" * 300,
        "/queue?show=../x",
        "/queue?show=%3Cscript%3Ealert(1)%3C/script%3E",
        "/queue?show=%00",
        "/queue?show=open%0a",
        "/queue?show=" + "a" * 300,
        "/item/=cmd()",
        "/photo/%2e%2e/large",
        "/queue?page=0",
        "/docs",
        "/openapi.json",
    ],
)
def test_a_request_names_numbers_and_nothing_else(opened, path):
    desk = opened([0.8])
    answer = enter(desk, "anna").get(path)
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    assert "root:" not in answer.text
    assert refusals(desk)[-1]["status"] == 404
    assert not faults(desk.db.reading())


def test_a_number_that_is_none_is_refused(opened):
    desk = opened([0.8])
    assert enter(desk, "anna").get("/queue?page=x").status_code == 400
    assert refusals(desk)[-1]["status"] == 400


@pytest.mark.parametrize("path", ["/", "/item/1", "/queue", "/team", "/photo/1/large", "/heat/1", "/reference/0/small"])
def test_nobody_sees_anything_without_a_session(opened, path):
    desk = opened([0.8])
    answer = newcomer(desk).get(path)
    assert answer.status_code == 401
    assert "item" not in answer.url.path or "Photograph" not in answer.text
    assert refusals(desk)[-1]["status"] == 401


def test_wrong_and_replayed_tokens_are_refused_and_logged(opened):
    desk = opened([0.8])
    token = issue_token(desk.db, "anna")
    assert newcomer(desk).get(f"/enter?token={token}").status_code == 200
    for attempt in (token, "wrong", "", "%00", "x" * 5000):
        assert newcomer(desk).get(f"/enter?token={attempt}").status_code == 401
    assert [event["status"] for event in refusals(desk)] == [401] * 5
    assert token not in json.dumps(refusals(desk))


def test_guessing_is_slowed_down(opened):
    client = newcomer(opened([0.8]))
    assert [client.get("/enter?token=x").status_code for _ in range(12)][-4:] == [429] * 4


@pytest.mark.parametrize("token", ["", "wrong", None])
@pytest.mark.parametrize("path", ["/item/1/decide", "/item/1/skip", "/undo", "/leave"])
def test_a_form_from_elsewhere_does_nothing(opened, path, token):
    desk = opened([0.8])
    anna = enter(desk, "anna")
    fields = {"version": "0", "choice": "genuine"} | ({} if token is None else {"form_token": token})
    assert anna.client.post(path, data=fields, follow_redirects=False).status_code == 403
    assert desk.db.reading().execute("SELECT COUNT(*) FROM event WHERE kind IN ('decision', 'skip')").fetchone()[0] == 0
    assert refusals(desk)[-1]["why"] == "wrong form token"


def test_another_moderators_form_token_does_not_do(opened):
    desk = opened([0.8])
    anna, ben = enter(desk, "anna"), enter(desk, "ben")
    anna.form_token = ben.form_token
    assert anna.post("/item/1/decide", version="0", choice="genuine").status_code == 403


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"choice=" + b"x" * 100_000, "application/x-www-form-urlencoded", 413),
        (b'{"choice": "genuine"}', "application/json", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"choice=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded", 400),
    ],
)
def test_only_small_forms_are_read(opened, content, kind, status):
    desk = opened([0.8])
    anna = enter(desk, "anna")
    answer = anna.client.post("/item/1/decide", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert refusals(desk)[-1]["status"] == status


@pytest.mark.parametrize("version", ["", "-1", "1e3", "9" * 30, "\u0663"])
def test_a_version_is_a_number(opened, version):
    anna = enter(opened([0.8]), "anna")
    assert anna.post("/item/1/decide", version=version, choice="genuine").status_code == 400


def test_a_host_by_another_name_is_not_answered(opened):
    desk = opened([0.8])
    client = newcomer(desk, hosts=["127.0.0.1", "localhost"])
    assert client.get("/", headers={"host": "evil.example:8340"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:8340"}).status_code == 401
    assert refusals(desk)[0]["why"] == "unknown host"


def test_too_many_requests_are_refused(opened):
    client = newcomer(opened([0.8]), limit=RateLimit(rate=0.001, burst=5))
    assert [client.get("/review.css").status_code for _ in range(7)] == [200] * 5 + [429] * 2


def test_strangers_cannot_fill_the_log(opened, monkeypatch):
    monkeypatch.setattr("counterfeit.review.guard.MOST_REFUSALS", 3)
    desk = opened([0.8])
    anna = enter(desk, "anna")
    stranger = TestClient(anna.client.app)
    assert [stranger.get("/queue").status_code for _ in range(10)] == [401] * 10
    assert [event["why"] for event in refusals(desk)] == ["no session"] * 3 + ["3 in this hour: more are not logged"]
    assert anna.get("/nowhere").status_code == 404
    assert refusals(desk)[-1]["status"] == 404
    later = time.time() + 3600
    monkeypatch.setattr("counterfeit.review.access.time.time", lambda: later)
    stranger.get("/queue")
    assert len(refusals(desk)) == 6
    assert not faults(desk.db.reading())


def test_every_answer_carries_the_policy(opened):
    desk = opened([0.8])
    anna = enter(desk, "anna")
    for path in ("/item/1", "/queue", "/photo/1/small", "/nowhere", "/review.js"):
        headers = anna.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "cache-control" in headers


def test_pages_hold_nothing_that_the_policy_forbids(opened):
    anna = enter(opened([0.8, None]), "anna")
    for path in ("/item/1", "/queue", "/queue?show=unreadable", "/team", "/nowhere"):
        page = anna.get(path).text
        assert " style=" not in page
        assert " onclick=" not in page
        assert "<script>" not in page


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(opened):
    desk = opened([0.8])
    answer = newcomer(desk).get(f"/enter?token={issue_token(desk.db, 'anna')}", follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie  # "strict" would shut out who clicks the link in a web mail


@pytest.mark.parametrize(
    ("secure", "said", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (False, {"x-forwarded-proto": "https"}, True),
        (False, {"x-forwarded-proto": "HTTPS, http"}, True),
        (False, {"x-forwarded-proto": "http"}, False),
        (True, {"x-forwarded-proto": "http"}, True),
    ],
)
def test_behind_tls_no_cookie_is_sent_in_the_clear(opened, secure, said, expected):
    desk = opened([0.8])
    client = newcomer(desk, secure=secure, password="correct horse battery")
    path = f"/enter?token={issue_token(desk.db, 'anna')}"
    by_link = client.get(path, headers=said, follow_redirects=False).headers["set-cookie"]
    fields = {"reviewer": "anna", "password": "correct horse battery"}
    by_name = client.post("/login", data=fields, headers=said, follow_redirects=False).headers["set-cookie"]
    for cookie in (by_link, by_name):
        assert ("secure" in cookie.lower().split("; ")) == expected


def test_leaving_ends_the_session(opened):
    anna = enter(opened([0.8]), "anna")
    assert anna.post("/leave").status_code == 200
    assert anna.get("/").status_code == 401


def test_a_password_opens_a_session_for_a_known_name_only(opened):
    desk = opened([0.8])
    client = newcomer(desk, password="correct horse battery")
    wrong = [("anna", "wrong"), ("carl", "correct horse battery"), ("", "")]
    for reviewer, password in wrong:
        answer = client.post("/login", data={"reviewer": reviewer, "password": password})
        assert answer.status_code == 401
    answer = client.post("/login", data={"reviewer": "anna", "password": "correct horse battery"})
    assert answer.status_code == 200
    assert answer.url.path == "/item/1"
    assert len(refusals(desk)) == 3


def test_without_a_password_nobody_logs_in(opened):
    client = newcomer(opened([0.8]))
    for password in ("", "None", "x"):
        assert client.post("/login", data={"reviewer": "anna", "password": password}).status_code == 401
