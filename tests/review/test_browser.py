"""The page in a real browser: clicks, keys, undo, two at once, the keyboard alone, axe, desktop and phone."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from counterfeit.review.database import Database
from counterfeit.review.verify import faults
from tests.review.conftest import write_scores
from tests.review.made_run import make_run
from tests.review.server import Server

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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def review(tmp_path, run):
    folder = write_scores(tmp_path, SCORES, run=run)
    server = Server(folder, "--reviewers", "[anna, ben]", "--gold", "0.1", "--double", "0")
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
    page.wait_for_function("document.querySelector('.heat').naturalWidth > 0")
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
    page.wait_for_function("[...document.querySelectorAll('#compare .pane img')].every((i) => i.naturalWidth > 0)")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    shapes = [panes.nth(i).evaluate("image => image.style.transform") for i in range(2)]
    assert shapes == ["translate(60px, 0px) scale(1.5)"] * 2
    shoot(page, "compare")
    page.keyboard.press("Escape")
    assert not page.locator("#compare").is_visible()


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


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_who_is_turned_away_gets_a_page_that_axe_passes(chromium, review, size):
    server, _ = review
    page = chromium.new_context(viewport=size).new_page()
    assert page.goto(f"{server.base}/enter?token=wrong").status == 401
    assert not serious(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
