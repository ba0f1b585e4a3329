"""The command line with real processes: what it refuses, and that a kill loses nothing acknowledged."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
import uvicorn

from counterfeit.errors import UserError
from counterfeit.review import main
from counterfeit.review.database import Database
from counterfeit.review.decisions import Choice, decide
from counterfeit.review.desk import set_up
from counterfeit.review.fill import Policy
from counterfeit.review.scored import read_scored
from counterfeit.review.server import Place
from counterfeit.review.verify import faults
from tests.review.conftest import write_scores
from tests.review.made_run import make_run
from tests.review.server import PROJECT, Server


def one_error(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "review.example"])
def test_another_address_needs_a_password(tmp_path, capsys, monkeypatch, host):
    monkeypatch.delenv("COUNTERFEIT_REVIEW_PASSWORD", raising=False)
    folder = write_scores(tmp_path, [0.5])
    assert main([str(folder), "--host", host]) == 2
    assert "COUNTERFEIT_REVIEW_PASSWORD" in one_error(capsys)
    assert not (folder / "review.sqlite").exists()
    monkeypatch.setenv("COUNTERFEIT_REVIEW_PASSWORD", "short")
    assert main([str(folder), "--host", host]) == 2
    assert "too short" in one_error(capsys)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "scores.parquet"),
        (["export", "nowhere"], "scores.parquet"),
        (["verify", "nowhere"], "review.sqlite"),
        (["link", "nowhere"], "review.sqlite"),
        (["nowhere", "--prot", "1"], "prot"),
    ],
)
def test_a_mistake_is_one_line(args, said, capsys):
    assert main(args) == 2
    assert said in one_error(capsys)


def test_a_port_in_use_is_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([str(write_scores(tmp_path, [0.5])), "--port", str(taken.getsockname()[1])]) == 2
    assert "--port" in one_error(capsys)


def test_a_link_may_be_opened_as_soon_as_it_is_printed(tmp_path, capsys, monkeypatch):
    opened = []

    def before_it_serves(self, sockets):
        assert "enter?token=" in capsys.readouterr().out
        socket.create_connection(sockets[0].getsockname(), timeout=5).close()
        opened.append(True)

    monkeypatch.setattr(uvicorn.Server, "run", before_it_serves)
    assert main([str(write_scores(tmp_path, [0.5])), "--port", "0"]) == 0
    assert opened == [True]


def test_what_is_no_port_or_host_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COUNTERFEIT_REVIEW_PASSWORD", "long enough for this")
    folder = str(write_scores(tmp_path, [0.5]))
    for options in (["--port", "99999"], ["--port", "-1"], ["--host", "ä" * 99], ["--address", "review.example"]):
        assert main([folder, *options]) == 2
        assert options[0] in one_error(capsys)


def test_a_user_without_a_name_is_asked_for_one(tmp_path, capsys, monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr("counterfeit.review.command.getpass.getuser", nobody)
    assert main([str(write_scores(tmp_path, [0.5]))]) == 2
    assert "--reviewers" in one_error(capsys)


@pytest.mark.parametrize(
    ("place", "link"),
    [
        (Place("127.0.0.1", 0), "http://127.0.0.1:8340"),
        (Place("::1", 0), "http://[::1]:8340"),
        (Place("0.0.0.0", 0, local=False), "http://desk.example:8340"),
        (Place("::", 0, local=False), "http://desk.example:8340"),
        (Place("127.0.0.1", 0, address="https://review.example/"), "https://review.example"),
    ],
)
def test_links_begin_with_an_address_that_others_can_reach(monkeypatch, place, link):
    monkeypatch.setattr("counterfeit.review.server.socket.getfqdn", lambda: "desk.example")
    place.check()
    assert place.link(8340) == link


def test_a_proxy_on_this_machine_is_answered_under_its_name():
    place = Place("127.0.0.1", 0, address="https://Review.example:8443")
    assert place.names() == ["127.0.0.1", "[::1]", "localhost", "review.example"]
    assert Place("0.0.0.0", 0, local=False).names() is None


@pytest.mark.parametrize(
    ("address", "secure"), [("https://a.example", True), ("HTTPS://a.example", True), ("http://a.example", False)]
)
def test_the_cookie_is_for_tls_where_the_address_is(address, secure):
    assert Place("127.0.0.1", 0, address=address).secure() == secure
    assert not Place("127.0.0.1", 0).secure()


@pytest.mark.parametrize(
    "address", ["review.example", "ftp://a.example", "https://a.example/b", "https://", "https://a:x"]
)
def test_an_address_that_no_link_can_begin_with_is_refused(address):
    with pytest.raises(UserError, match="--address"):
        Place("127.0.0.1", 0, address=address).check()


def test_photographs_are_exported_with_those_of_the_run_or_not_at_all(tmp_path, capsys):
    run = make_run(tmp_path / "made")
    folder = write_scores(tmp_path / "s", [0.8, 0.5], run=run)
    desk = set_up(read_scored(folder), Policy(["anna"], double=0, gold=0))
    decide(desk.db, "anna", 1, 0, Choice("counterfeit", "print"))
    known = tmp_path / "made/known"
    (known / "genuine/1.png").unlink()
    (known / "genuine/2.png").write_bytes(b"another")
    assert main(["export", str(folder), "--photographs", str(tmp_path / "more of them")]) == 0
    printed = capsys.readouterr().out
    assert "10 copied" in printed
    assert printed.endswith(f"next: python -m counterfeit.fit --data.root '{tmp_path / 'more of them'}'\n")
    assert "known photographs left out: 2 (1 another file by now, 1 missing)" in printed
    known.rename(tmp_path / "elsewhere")
    assert main(["export", str(folder), "--photographs", str(tmp_path / "again")]) == 2
    assert "--run" in one_error(capsys)
    known.mkdir()
    assert main(["export", str(folder), "--photographs", str(tmp_path / "again")]) == 2
    assert "none of the photographs" in one_error(capsys)
    run.rename(tmp_path / "moved")
    assert main(["export", str(folder), "--photographs", str(tmp_path / "again")]) == 2
    assert "--run" in one_error(capsys)
    assert not (tmp_path / "again").exists()


def test_verify_and_export_say_what_they_found(tmp_path, capsys):
    folder = write_scores(tmp_path, [0.8, 0.5])
    desk = set_up(read_scored(folder), Policy(["anna"], double=0))
    decide(desk.db, "anna", 1, 0, Choice("counterfeit", "print"))
    assert main(["export", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "0 genuine, 1 counterfeit" in printed
    assert f"next: python -m counterfeit.fit --data.root {tmp_path / 'photos'} --data.manifest" in printed
    assert main(["verify", str(folder)]) == 0
    head = re.search(r"sound; last hash (\w{64})", capsys.readouterr().out)[1]
    assert main(["verify", str(folder), "--head_hash", head]) == 0
    desk.db.reading().execute("UPDATE decision SET verdict = 'genuine'")
    assert main(["verify", str(folder)]) == 1
    assert "not what the log says" in capsys.readouterr().err


def keep_deciding(server: Server, items: range, acknowledged: list[int]) -> None:
    """Decide as fast as the server answers, until it is gone."""
    with httpx.Client(base_url=server.base) as client:
        form_token = server.enter(client, "anna")
        for item in items:
            fields = {"form_token": form_token, "version": "0", "choice": "genuine"}
            try:
                answer = client.post(f"/item/{item}/decide", data=fields, follow_redirects=False)
            except httpx.HTTPError:
                return
            assert answer.status_code == 303
            acknowledged.append(item)


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged(tmp_path):
    folder = write_scores(tmp_path, [0.4] * 300)
    acknowledged: list[int] = []
    for _ in range(3):
        server = Server(folder, "--reviewers", "[anna]")
        start = len(acknowledged) + 1
        done = {row[0] for row in Database(folder / "review.sqlite").reading().execute("SELECT item FROM decision")}
        items = range(max(done, default=0) + 1, 301)
        worker = threading.Thread(target=keep_deciding, args=(server, items, acknowledged))
        worker.start()
        while len(acknowledged) < start + 20:
            assert worker.is_alive()
            time.sleep(0.002)
        server.stop()
        worker.join(20)
        db = Database(folder / "review.sqlite").reading()
        kept = {row[0] for row in db.execute("SELECT item FROM decision WHERE NOT undone")}
        assert set(acknowledged) <= kept
        assert len(kept - set(acknowledged)) <= 3  # one on its way at each kill
        assert not faults(db)
    assert len(acknowledged) > 60


PAUSED = """
import sys, time
from pathlib import Path
from counterfeit.review import decisions
from counterfeit.review.database import Database

settle = decisions._settle
def pause(*args):
    settle(*args)
    print("written, not committed", flush=True)
    time.sleep(60)
decisions._settle = pause
decisions.decide(Database(Path(sys.argv[1])), "anna", 1, 0, decisions.Choice("genuine"))
"""


def test_kill_9_between_decision_and_commit_leaves_an_open_item(tmp_path):
    folder = write_scores(tmp_path, [0.4, 0.5])
    desk = set_up(read_scored(folder), Policy(["anna", "ben"], double=0))
    process = subprocess.Popen(
        [sys.executable, "-c", PAUSED, str(desk.db.path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert process.stdout.readline() == "written, not committed\n"
    process.kill()
    process.communicate()
    assert not faults(desk.db.reading())
    assert desk.db.reading().execute("SELECT COUNT(*) FROM event WHERE kind = 'decision'").fetchone()[0] == 0
    decide(desk.db, "ben", 1, 0, Choice("genuine"))
    assert not faults(desk.db.reading())


@pytest.mark.slow
def test_a_link_works_once_and_raw_requests_are_refused_and_logged(tmp_path):
    server = Server(write_scores(tmp_path, [0.4]), "--reviewers", "[anna, ben]")
    try:
        with httpx.Client() as client:
            server.enter(client, "anna")
        assert httpx.get(server.links["anna"]).status_code == 401
        port = int(server.base.rpartition(":")[2])
        for request in (b"GET /photo/../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                        b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                        b"GET /photo/1%00.png HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                        b"GET /photo/\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"):  # fmt: skip
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(request)
                status = raw.recv(4096).split(b" ", 2)[1]
            assert status in (b"400", b"404"), request
        db = Database(tmp_path / "scores/review.sqlite").reading()
        logged = [json.loads(row[0])["status"] for row in db.execute("SELECT detail FROM event WHERE kind = 'refused'")]
        assert logged == [401, 404, 404, 404, 400]
    finally:
        server.stop(signal.SIGINT)
    assert server.process.returncode == 0


@pytest.mark.slow
def test_a_page_behind_tls_links_to_its_address_and_keeps_its_cookie_for_tls(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = "https://review.example"
    options = ["--reviewers", "[anna]", "--address", address, "--port", str(port)]
    server = Server(write_scores(tmp_path, [0.4]), *options)
    try:
        assert server.links["anna"].startswith(f"{address}/enter?token=")
        link = server.links["anna"].replace(address, f"http://127.0.0.1:{port}")
        answer = httpx.get(link, headers={"host": "review.example"})  # as the proxy asks
        assert answer.status_code == 303
        assert "secure" in answer.headers["set-cookie"].lower().split("; ")
    finally:
        server.stop(signal.SIGINT)
