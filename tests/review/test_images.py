"""Files that are no photographs, or others than were scored: none of them reaches a moderator's browser."""

import hashlib
import io
import json
import os

import pytest
from PIL import Image

from tests.review.conftest import enter


def refusals(desk):
    events = desk.db.reading().execute("SELECT detail FROM event WHERE kind = 'refused' ORDER BY id")
    return [json.loads(event["detail"]) for event in events]


def bomb():
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (bomb(), "more than 40 megapixels"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not an image"),
        (b"GIF89a" + b"\0" * 50, "not an image"),
        (b"", "zero bytes"),
    ],
)
def test_a_file_that_is_no_photograph_is_not_sent(opened, content, why):
    desk = opened([0.8])
    (desk.scored.root / "shop/item-0000.png").write_bytes(content)
    with desk.db.writing() as writing:
        writing.execute("UPDATE item SET sha256 = ?", (hashlib.sha256(content).hexdigest(),))
    anna = enter(desk, "anna")
    assert anna.get("/photo/1/large").status_code == 404
    assert refusals(desk)[-1]["why"] == f"picture {why}"
    assert anna.get("/item/1").status_code == 200


def test_an_oversize_file_is_not_even_read(opened, monkeypatch):
    monkeypatch.setattr("counterfeit.review.pictures.MAX_BYTES", 10)
    desk = opened([0.8])
    assert enter(desk, "anna").get("/photo/1/large").status_code == 404
    assert refusals(desk)[-1]["why"] == "picture more than 50 MB"


def test_a_file_that_is_another_by_now_is_not_shown_as_the_one_scored(opened):
    desk = opened([0.8, 0.7])
    (desk.scored.root / "shop/item-0000.png").write_bytes((desk.scored.root / "shop/item-0001.png").read_bytes())
    answers = [enter(desk, "anna").get(f"/photo/{number}/small").status_code for number in (1, 2)]
    assert sorted(answers) == [200, 404]
    assert refusals(desk)[-1]["why"] == "picture another file by now"


def test_what_is_sent_carries_no_metadata(opened):
    desk = opened([0.8])
    image = Image.new("RGB", (60, 30), "white")
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "where I live", 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"where I live")
    (desk.scored.root / "shop/item-0000.png").write_bytes(buffer.getvalue() + b"<?php hidden() ?>")
    with desk.db.writing() as writing:
        digest = hashlib.sha256(buffer.getvalue() + b"<?php hidden() ?>").hexdigest()
        writing.execute("UPDATE item SET sha256 = ?", (digest,))
    sent = enter(desk, "anna").get("/photo/1/large").content
    assert b"where I live" not in sent
    assert b"php" not in sent
    assert Image.open(io.BytesIO(sent)).size == (30, 60)


def test_a_pipe_is_not_waited_for(opened):
    desk = opened([0.8])
    (desk.scored.root / "shop/item-0000.png").unlink()
    os.mkfifo(desk.scored.root / "shop/item-0000.png")
    assert enter(desk, "anna").get("/photo/1/large").status_code == 404
