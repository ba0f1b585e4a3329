"""The page in a real browser: clicks, keys, undo, two at once, the keyboard alone, axe, desktop and phone."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from counterfeit.review.command import PASSWORD
from counterfeit.review.database import Database
from counterfeit.review.verify import faults
from tests.review.conftest import write_scores
from tests.review.made_run import make_run
from tests.review.server import Server, WarmServer

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian, Ubuntu: apt install chromium)"),
]
SCORES = [0.03 * i for i in range(33)]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SHOTS = os.environ.get("COUNTERFEIT_SCREENSHOTS")  # a folder, to look at what the tests saw
# Functions, as all that is waited for: they are evaluated once. An expression would be evaluated at every look, which
# the page's policy forbids.
LOADED = "() => [...document.querySelectorAll('#compare .pane img')].every((i) => i.naturalWidth > 0)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def review(tmp_path, run):
    folder = write_scores(tmp_path, SCORES, run=run)
    server = WarmServer(folder, "--reviewers", "[anna, ben]", "--gold", "0.1", "--double", "0")
    yield server, Database(folder / "review.sqlite")
    server.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def enter(chromium, server, reviewer, viewport=DESKTOP, **options):
    """A window of its own, entered; whatever the console says fails the test at its end."""
    page = chromium.new_context(viewport=viewport, **options).new_page()
    page.complaints = []
    page.on("console", lambda message: message.type in ("error", "warning") and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(server.links[reviewer])
    return page


def item_of(page):
    page.wait_for_url("**/item/*")
    return int(page.url.rpartition("/")[2])


def decisions(db):
    rows = db.reading().execute("SELECT item, reviewer, verdict, reason, note FROM decision WHERE NOT undone")
    return [tuple(row) for row in rows]


def go_on(page, act):
    """Act, and wait for the item that follows."""
    before = page.url
    act()
    page.wait_for_url(lambda url: url != before and "/item/" in url)
    return item_of(page)


def serious(page):
    """What axe finds that keeps somebody from working."""
    found = axe.Axe().run(page).response["violations"]
    return [violation["id"] for violation in found if violation["impact"] in ("serious", "critical")]


def shoot(page, name):
    if SHOTS:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_clicks_decide_with_a_reason_and_undo(chromium, review):
    server, db = review
    page = enter(chromium, server, "anna")
    first = item_of(page)
    page.get_by_text("Counterfeit", exact=True).click()
    page.get_by_label("Note").fill("halo around the letters")
    go_on(page, lambda: page.get_by_role("button", name="Lettering").click())
    assert decisions(db) == [(first, "anna", "counterfeit", "lettering", "halo around the letters")]
    assert page.get_by_role("status").inner_text().startswith(f"Item {first}: counterfeit, lettering")
    go_on(page, lambda: page.get_by_role("button", name="Undo").click())
    assert item_of(page) == first
    assert decisions(db) == []
    assert page.complaints == []


def test_every_key_does_what_the_help_says(chromium, review):
    server, db = review
    page = enter(chromium, server, "anna")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("g")
    assert decisions(db) == []
    page.keyboard.press("Escape")
    first = item_of(page)
    page.keyboard.press("3")
    assert item_of(page) == first
    page.keyboard.press("f")
    second = go_on(page, lambda: page.keyboard.press("1"))
    third = go_on(page, lambda: page.keyboard.press("g"))
    fourth = go_on(page, lambda: page.keyboard.press("u"))
    go_on(page, lambda: page.keyboard.press("s"))
    assert [row[:4] for row in decisions(db)] == [
        (first, "anna", "counterfeit", "print"),
        (second, "anna", "genuine", ""),
        (third, "anna", "unsure", ""),
    ]
    assert go_on(page, lambda: page.keyboard.press("z")) == fourth
    assert go_on(page, lambda: page.keyboard.press("z")) == third
    assert len(decisions(db)) == 2
    assert not faults(db.reading())
    assert page.complaints == []


def test_letters_in_a_note_are_no_commands(chromium, review):
    server, db = review
    page = enter(chromium, server, "anna")
    first = item_of(page)
    page.get_by_label("Note").press_sequentially("fgusz h?")
    assert item_of(page) == first
    assert decisions(db) == []
    assert not page.locator("#help").is_visible()


def test_the_heat_map_is_off_until_asked_for_and_lies_on_the_photograph(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna")
    asked = []
    page.on("request", lambda request: "/heat/" in request.url and asked.append(request.url))
    page.wait_for_load_state("networkidle")
    assert not page.locator(".heat").is_visible()
    assert asked == []
    with page.expect_response("**/heat/*") as answer:
        page.keyboard.press("h")
    assert answer.value.status == 200
    note = page.locator("[data-heat-note]")
    note.get_by_text("Redder").wait_for()
    page.wait_for_function("() => document.querySelector('.heat').naturalWidth > 0")
    photo, heat = page.locator(".photo").bounding_box(), page.locator(".heat").bounding_box()
    side = min(photo["width"], photo["height"])
    assert abs(heat["width"] - side) < 2
    assert abs(heat["height"] - side) < 2
    shoot(page, "heat")
    page.keyboard.press("h")
    assert not page.locator(".heat").is_visible()
    assert not note.is_visible()


def test_a_heat_map_on_its_way_or_failed_says_so(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna")
    page.wait_for_load_state("networkidle")
    held = []
    page.route("**/heat/*", lambda route: held.append(route))  # a built-in is refused
    with page.expect_request("**/heat/*"):
        page.keyboard.press("h")
    note, toggle = page.locator("[data-heat-note]"), page.locator("[data-heat]")
    note.get_by_text("being computed").wait_for()
    assert toggle.get_attribute("aria-busy") == "true"
    held[0].fulfill(status=404, body="")
    note.get_by_text("There is no heat map").wait_for()
    assert toggle.get_attribute("aria-busy") is None


def test_photograph_and_reference_are_enlarged_together(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna")
    page.get_by_role("link", name="Genuine 2; open to compare").focus()
    page.keyboard.press("Enter")
    panes = page.locator("#compare .pane img")
    page.wait_for_function(LOADED)
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    shapes = [panes.nth(i).evaluate("image => image.style.transform") for i in range(2)]
    assert shapes == ["translate(60px, 0px) scale(1.5)"] * 2
    shoot(page, "compare")
    page.keyboard.press("Escape")
    assert not page.locator("#compare").is_visible()


def open_reference(page, number):
    """Enlarge the photograph beside a genuine reference, and wait for both."""
    page.get_by_role("link", name=f"Genuine {number}; open to compare").click()
    page.wait_for_function(LOADED)


def placed(page):
    """Scale and shift of both enlarged photographs, which are always the same."""
    shapes = page.locator("#compare .pane img").evaluate_all(
        "images => images.map((image) => new DOMMatrix(image.style.transform)).map((m) => [m.a, m.e, m.f])"
    )
    assert shapes[0] == shapes[1]
    return shapes[0]


def test_one_reference_after_the_other_is_compared_under_the_same_zoom(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna")
    count = page.locator(".references a").count()
    open_reference(page, 4)
    page.keyboard.press("+")
    zoomed, beside = placed(page), page.locator("#compare figcaption").last
    assert beside.inner_text() == "Genuine, 4 of 4"
    page.keyboard.press("n")
    assert beside.inner_text() == "Confirmed counterfeit, 1 of 4"
    assert placed(page) == zoomed
    assert page.locator("#compare figcaption").first.inner_text() == page.locator("h1").inner_text()
    for _ in range(count - 1):
        page.get_by_role("button", name="Next").click()
    assert beside.inner_text() == "Genuine, 4 of 4"
    assert page.complaints == []


def test_the_wheel_zooms_where_it_points_and_the_mouse_moves(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna")
    open_reference(page, 1)
    box = page.locator("#compare .pane").last.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle[0] + 100, middle[1] + 50)
    page.mouse.wheel(0, -100)
    page.wait_for_function("() => document.querySelector('#compare .pane img').style.transform.includes('1.2')")
    # What is 100 right of the middle stays there, though all is 1.2 times as far from it.
    assert placed(page) == pytest.approx([1.2, -20, -10], abs=0.6)
    page.mouse.down()
    page.mouse.move(middle[0] + 130, middle[1] + 50)
    page.mouse.up()
    assert placed(page) == pytest.approx([1.2, 10, -10], abs=0.6)
    page.mouse.move(middle[0], middle[1])
    assert placed(page) == pytest.approx([1.2, 10, -10], abs=0.6)


def test_two_fingers_zoom_on_a_phone(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna", PHONE, has_touch=True, is_mobile=True)
    open_reference(page, 1)
    box = page.locator("#compare .pane").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    for kind, apart in (
        ("touchStart", 20),
        ("touchMove", 30),
        ("touchMove", 40),
        ("touchMove", 60),
        ("touchEnd", None),
    ):
        points = [] if apart is None else [{"x": x - apart, "y": y}, {"x": x + apart, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    scale, right, down = placed(page)
    assert scale == pytest.approx(3, rel=0.1)
    assert (right, down) == pytest.approx((0, 0), abs=6)
    assert page.complaints == []


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_reason_other_asks_for_a_note_and_enter_sends_both(chromium, review, size):
    server, db = review
    phone = {"has_touch": True, "is_mobile": True} if size == "phone" else {}
    page = enter(chromium, server, "anna", PHONE if phone else DESKTOP, **phone)
    first, note = item_of(page), page.get_by_label("Note")
    if phone:
        page.locator("summary").tap()
        page.get_by_role("button", name="Other").tap()
    else:
        page.keyboard.press("f")
        page.keyboard.press("8")
    sync_api.expect(note).to_be_focused()
    sync_api.expect(note).to_be_in_viewport()
    shoot(page, f"other-{size}")
    page.keyboard.press("Enter")
    assert item_of(page) == first
    page.keyboard.type("smells of glue")
    go_on(page, lambda: page.keyboard.press("Enter"))
    assert decisions(db) == [(first, "anna", "counterfeit", "other", "smells of glue")]
    # Who did not ask for it gets a new line.
    second = item_of(page)
    note.fill("halo")
    page.keyboard.press("Enter")
    assert item_of(page) == second
    assert note.input_value() == "halo\n"
    assert page.complaints == []


def test_a_row_of_the_queue_opens_its_item_wherever_it_is_clicked(chromium, review):
    server, _ = review
    page = enter(chromium, server, "anna")
    page.goto(f"{server.base}/queue")
    row = page.locator("tbody tr").nth(2)
    number = int(row.locator("a").inner_text())
    row.locator(".chip").click(force=True)  # the link lies over it
    assert item_of(page) == number


def test_of_two_browsers_on_one_item_one_wins_and_the_other_is_told(chromium, review):
    server, db = review
    anna, ben = (enter(chromium, server, name) for name in ("anna", "ben"))
    assert item_of(anna) != item_of(ben)
    ben.goto(anna.url)
    contested = item_of(ben)
    go_on(anna, lambda: anna.keyboard.press("g"))
    ben.keyboard.press("f")
    ben.keyboard.press("1")
    ben.get_by_role("heading", name="Anna decided this item").wait_for()
    assert "Yours was not recorded" in ben.locator("h1").inner_text()
    shoot(ben, "conflict")
    assert [row[:3] for row in decisions(db) if row[0] == contested] == [(contested, "anna", "genuine")]
    ben.get_by_role("link", name="Next item").click()
    assert item_of(ben)


def test_a_moderator_needs_no_mouse(chromium, review):
    server, db = review
    page = enter(chromium, server, "anna")
    first = item_of(page)
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent.trim()")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", focused
        if focused.startswith("Genuine"):
            break
    go_on(page, lambda: page.keyboard.press("Enter"))
    assert decisions(db)[0][:3] == (first, "anna", "genuine")


def test_without_scripts_the_forms_still_work(chromium, review):
    server, db = review
    page = enter(chromium, server, "anna", java_script_enabled=False)
    first = item_of(page)
    page.locator("summary").click()
    go_on(page, lambda: page.get_by_role("button", name="Colour").click())
    assert decisions(db)[0][:4] == (first, "anna", "counterfeit", "colour")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing_serious_and_nothing_overflows(chromium, review, size, scheme):
    server, _ = review
    page = enter(chromium, server, "anna", DESKTOP if size == "desktop" else PHONE, color_scheme=scheme)
    item = page.url
    go_on(page, lambda: page.keyboard.press("g"))
    places = {"item": page.url, "decided": item, "queue": f"{server.base}/queue", "team": f"{server.base}/team"}
    for name, url in places.items():
        page.goto(url)
        if name == "item":
            page.keyboard.press("f")
        assert not serious(page), name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        shoot(page, f"{name}-{size}-{scheme}")
    page.goto(places["item"])
    for dialog, key in (("help", "?"), ("compare", "Enter")):
        page.locator(".photo").focus()
        page.keyboard.press(key)
        assert page.locator(f"#{dialog}").is_visible()
        assert not serious(page), dialog
        page.keyboard.press("Escape")


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_who_is_done_or_late_gets_a_page_that_axe_passes(chromium, tmp_path, size):
    folder = write_scores(tmp_path, [0.5, 0.4, 0.4, None])
    server = WarmServer(folder, "--reviewers", "[anna, ben]", "--double", "0", "--capacity", "12345")
    try:
        page, ben = (enter(chromium, server, who, DESKTOP if size == "desktop" else PHONE) for who in ("anna", "ben"))
        ben.goto(page.url)
        go_on(page, lambda: page.keyboard.press("g"))
        ben.keyboard.press("g")
        ben.get_by_role("heading", name="Anna decided this item").wait_for()
        pages = {"late": ben}
        page.keyboard.press("f")
        page.keyboard.press("2")
        page.get_by_role("heading", name="Nothing waits for you").wait_for()
        assert f"export {folder}" in page.locator("pre").inner_text()
        pages["nothing"] = page
        for show in ("second", "done", "unreadable"):
            pages[show] = page.context.new_page()
            pages[show].goto(f"{server.base}/queue?show={show}")
        assert "lettering" in pages["done"].locator("tbody tr").first.inner_text()
        for name, one in pages.items():
            assert not serious(one), name
            assert one.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            one.bring_to_front()
            shoot(one, f"{name}-{size}")
        ben.bring_to_front()
        go_on(ben, lambda: ben.keyboard.press("Enter"))  # on "Next item", which has the focus
    finally:
        server.stop(signal.SIGINT)


def test_a_password_opens_a_page_that_axe_passes(chromium, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, "correct horse battery")
    folder = write_scores(tmp_path, [0.9, 0.5])
    server = Server(folder, "--reviewers", "[anna]")
    try:
        for size in (DESKTOP, PHONE):
            page = chromium.new_context(viewport=size).new_page()
            assert page.goto(server.base).status == 401
            assert not serious(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill("correct horse battery")
            page.get_by_role("button", name="Enter").click()
            item_of(page)
    finally:
        server.stop(signal.SIGINT)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_who_is_turned_away_gets_a_page_that_axe_passes(chromium, review, size):
    server, _ = review
    page = chromium.new_context(viewport=size).new_page()
    assert page.goto(f"{server.base}/enter?token=wrong").status == 401
    assert not serious(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
