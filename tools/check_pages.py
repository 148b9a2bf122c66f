"""Look for accessibility faults in pages with axe-core, and take pictures of the page of `lrldata review`.

    python tools/check_pages.py AXE.js PAGE.html [PAGE.html ...]         faults of pages, light and dark, of two widths
    python tools/check_pages.py AXE.js --review DATASET --pictures OUT   the same of a review, with pictures of it

AXE.js is axe.min.js of the package axe-core (`npm pack axe-core`). Exit code 1 where there is a fault.
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
RUN = "axe.run(document, {resultTypes: ['violations']}).then(({violations}) => JSON.stringify(violations))"


async def faults_of(page: Page, axe: str, name: str) -> int:
    """Print the faults of what the page shows now, and return how many there are."""
    await page.tell(f"{axe}; 0")
    found = json.loads(await page.tell(RUN))
    for each in found:
        where = ", ".join(node["target"][0] for node in each["nodes"][:3])
        print(f"{name}: {each['impact']}: {each['id']}: {each['help']} ({len(each['nodes'])}: {where})")
    return len(found)


async def check_files(paths: list[Path], axe: str) -> int:
    """Check pages from files, each of four ways."""
    count = 0
    async with browser() as page:
        for path in paths:
            for size, (width, height) in SIZES.items():
                await page.size(width, height, phone=size == "phone")
                for dark in (False, True):
                    await page.dark(on=dark)
                    await page.open(path.resolve().as_uri())
                    await page.tell("for (const each of document.querySelectorAll('details')) each.open = true")
                    count += await faults_of(page, axe, f"{path.name}, {size}, {'dark' if dark else 'light'}")
            print(f"{path.name}: checked")
    return count


async def check_review(folder: Path, axe: str, pictures: Path) -> int:
    """Judge a few lines of a dataset by keys, check each state of the page, and take pictures."""
    frame = frame_of(folder)
    review = Review(folder, frame)
    served = application(review, english(), find(frame.language).name, "key")
    count = 0
    async with TestServer(served, host="127.0.0.1") as server, browser() as page:
        for size, (width, height) in SIZES.items():
            await page.size(width, height, phone=size == "phone")
            for dark in (False, True):
                look = f"{frame.language}-{size}-{'dark' if dark else 'light'}"
                await page.dark(on=dark)
                await page.open(f"http://127.0.0.1:{server.port}/key/")
                await page.until("document.activeElement.id === 'name'")
                count += await faults_of(page, axe, f"{look}, start")
                await page.picture(pictures / f"{look}-start.png")
                await page.press("Enter")
                await page.until("document.activeElement.id === 'line'")
                for _ in range(2):
                    await page.tell("document.getElementById('count').textContent = ''")
                    await page.press("3")
                    await page.until("document.getElementById('count').textContent !== ''")
                await page.press("n")
                count += await faults_of(page, axe, f"{look}, line with a note")
                await page.press("Escape")
                await page.picture(pictures / f"{look}-line.png")
                await page.press("?")
                await page.until("document.getElementById('help').open")
                count += await faults_of(page, axe, f"{look}, help")
                await page.picture(pictures / f"{look}-help.png")
    print(f"review of {frame.language} from {frame.source}: checked")
    return count


def main() -> None:
    """Check what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axe", type=Path)
    parser.add_argument("pages", type=Path, nargs="*")
    parser.add_argument("--review", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("build/pictures"))
    given = parser.parse_args()
    axe = given.axe.read_text("utf-8")
    count = asyncio.run(check_files(given.pages, axe)) if given.pages else 0
    if given.review:
        given.pictures.mkdir(parents=True, exist_ok=True)
        count += asyncio.run(check_review(given.review.resolve(), axe, given.pictures))
    print(f"{count} faults" if count else "No faults.")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
