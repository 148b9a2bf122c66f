"""Check pages for accessibility violations with axe-core, and take screenshots of `lrldata review`.

    python tools/check_pages.py AXE.js PAGE.html [PAGE.html ...]         check pages, light and dark, in two widths
    python tools/check_pages.py AXE.js --review DATASET --pictures OUT   check a review, and take screenshots of it

AXE.js is axe.min.js from the package axe-core (`npm pack axe-core`). The exit code is 1 if there is a violation.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from aiohttp.test_utils import TestServer
from browser import Page, browser

from lrldata.language import find
from lrldata.review.frame import frame_of
from lrldata.review.page import english
from lrldata.review.server import Review, application

SIZES = {"wide": (1000, 760), "phone": (390, 780)}
RUN_AXE = "axe.run(document, {resultTypes: ['violations']}).then(({violations}) => JSON.stringify(violations))"


async def violations_on(page: Page, axe: str, name: str) -> int:
    """Print the violations on the page as it is shown now, and return their number."""
    await page.tell(f"{axe}; 0")
    violations = json.loads(await page.tell(RUN_AXE))
    for rule in violations:
        selectors = ", ".join(node["target"][0] for node in rule["nodes"][:3])
        print(f"{name}: {rule['impact']}: {rule['id']}: {rule['help']} ({len(rule['nodes'])}: {selectors})")
    return len(violations)


async def check_files(paths: list[Path], axe: str) -> int:
    """Check HTML files, each in two sizes and two color schemes."""
    count = 0
    async with browser() as page:
        for path in paths:
            for size, (width, height) in SIZES.items():
                await page.size(width, height, phone=size == "phone")
                for dark in (False, True):
                    await page.dark(on=dark)
                    await page.open(path.resolve().as_uri())
                    await page.tell("for (const each of document.querySelectorAll('details')) each.open = true")
                    count += await violations_on(page, axe, f"{path.name}, {size}, {'dark' if dark else 'light'}")
            print(f"{path.name}: checked")
    return count


async def check_review(folder: Path, axe: str, pictures: Path) -> int:
    """Judge a few lines of a dataset by keyboard, check each state of the page, and take screenshots."""
    frame = frame_of(folder)
    review = Review(folder, frame)
    app = application(review, english(), find(frame.language).name, "key")
    count = 0
    async with TestServer(app, host="127.0.0.1") as server, browser() as page:
        for size, (width, height) in SIZES.items():
            await page.size(width, height, phone=size == "phone")
            for dark in (False, True):
                variant = f"review-{frame.language}-{size}-{'dark' if dark else 'light'}"
                await page.dark(on=dark)
                await page.open(f"http://127.0.0.1:{server.port}/key/")
                await page.until("document.activeElement.id === 'name'")
                count += await violations_on(page, axe, f"{variant}, start")
                await page.picture(pictures / f"{variant}-start.png")
                await page.press("Enter")
                await page.until("document.activeElement.id === 'line'")
                for _ in range(2):
                    await page.tell("document.getElementById('count').textContent = ''")
                    await page.press("3")
                    await page.until("document.getElementById('count').textContent !== ''")
                await page.press("n")
                count += await violations_on(page, axe, f"{variant}, line with a note")
                await page.press("Escape")
                await page.picture(pictures / f"{variant}-line.png")
                await page.press("?")
                await page.until("document.getElementById('help').open")
                count += await violations_on(page, axe, f"{variant}, help")
                await page.picture(pictures / f"{variant}-help.png")
    print(f"review of {frame.language} from {frame.source}: checked")
    return count


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axe", type=Path)
    parser.add_argument("pages", type=Path, nargs="*")
    parser.add_argument("--review", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("build/pictures"))
    args = parser.parse_args()
    if not (args.pages or args.review):
        parser.error("name a page, or --review DATASET")
    axe = args.axe.read_text("utf-8")
    count = asyncio.run(check_files(args.pages, axe)) if args.pages else 0
    if args.review:
        args.pictures.mkdir(parents=True, exist_ok=True)
        count += asyncio.run(check_review(args.review.resolve(), axe, args.pictures))
    print(f"{count} violations" if count else "No violations.")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
