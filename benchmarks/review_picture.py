"""The picture of the moderators' page: the most urgent item of a scores folder, in a real browser.

    python benchmarks/review_picture.py scores/ --out docs/review.png

The review itself is left alone: a copy of the scores is opened.
"""

import argparse
import io
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

SIZE = {"width": 1280, "height": 800}  # pixels


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, help="folder that python -m counterfeit.predict wrote")
    parser.add_argument("--skip", type=int, default=0, help="items to skip before")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/review.png"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("scores.parquet", "scores.json"):
            shutil.copy(args.scores / name, folder)
        command = [
            sys.executable,
            "-u",
            "-m",
            "counterfeit.review",
            folder,
            "--port",
            "0",
            "--reviewers",
            "[anna, ben]",
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            picture = photograph(first_link(server), args.skip, args.dark)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1024:.0f} KB")


def first_link(server: "subprocess.Popen[str]") -> str:
    """The first link that the server prints."""
    assert server.stdout is not None
    for line in server.stdout:
        if "enter?token=" in line:
            return line.partition(": ")[2].strip()
    raise SystemExit("the page did not open; see above")


def photograph(link: str, skip: int, dark: bool) -> Image.Image:
    """The item's page after one decision, with the reasons open."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="dark" if dark else "light")
        page.goto(link)
        press(page, "f1")
        for _ in range(skip):
            press(page, "s")
        page.keyboard.press("f")
        page.wait_for_load_state("networkidle")
        picture = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    return picture


def press(page: Page, keys: str) -> None:
    """Press keys one after the other, and wait for the item that follows."""
    before = page.url
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_url(lambda url: url != before and "/item/" in url)


if __name__ == "__main__":
    main()
