"""The page in a real browser: axe finds nothing, nothing is fetched, nothing is cut off on a phone."""

import shutil

import pytest

from counterfeit.report.html import write_report

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs Chromium: apt install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, in the extra test")
axe_library = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(full_run):
    return write_report(full_run)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(browser, report, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe_library.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_the_verdict_is_on_the_first_screen(browser, report, width, height):
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(report.as_uri())
    for text in ("VERDICT: HELPS", "By how much?", "How sure is that?", "difference:"):
        box = page.get_by_text(text).first.bounding_box()
        assert box["y"] + box["height"] < height, text
    page.close()


@pytest.mark.slow
def test_prints_with_all_details(browser, report):
    page = browser.new_page()
    page.goto(report.as_uri())
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF")
    assert len(content) > 20_000
    page.close()
