"""A card as people see it: rendered here, and looked at in a browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from hub_cards import local
from hub_cards.page import card_page
from hub_cards.pictures import KEPT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def rendered(sample_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the built-in dataset's card."""
    out = tmp_path_factory.mktemp("card")
    made = local.render(sample_workspace / "datasets" / "ro" / "conceptnet", "my-org", out)
    assert made.faults == ()
    return made.page


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    done = subprocess.run(
        [str(CHROMIUM), *options, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done


@browser
@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_is_drawn_whole_with_its_picture(rendered: Path, tmp_path: Path, width: int) -> None:
    picture = tmp_path / "page.png"
    chromium(f"--window-size={width},3600", f"--screenshot={picture}", rendered.as_uri())
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    assert image.size == (width, 3600)
    colours = {colour: count for count, colour in image.getcolors(maxcolors=1 << 24) or []}
    blue = tuple(int(KEPT[place : place + 2], 16) for place in (1, 3, 5))
    assert colours.get(blue, 0) > 300, "the bar of what was kept"
    assert len(colours) > 200, "text, code in colours, a chart"


@browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_is_wider_than_the_window(rendered: Path, tmp_path: Path, width: int) -> None:
    measuring = tmp_path / "measure.html"
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    measuring.write_text(rendered.read_text("utf-8").replace("</body>", script), encoding="utf-8")
    told = chromium(f"--window-size={width},900", "--dump-dom", measuring.as_uri()).stdout
    found = re.search(r"<title>(\d+) of (\d+)</title>", told)
    assert found
    assert int(found[1]) <= int(found[2])


def test_a_page_needs_nothing_but_itself_and_its_links_lead_to_headings(rendered: Path) -> None:
    html = rendered.read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:|https?://|#)', html)
    assert "<script" not in html
    for anchor in re.findall(r'href="#([^"]+)"', html):
        assert f'id="{anchor}"' in html
    assert "lrl:begin" not in html
    assert "prefers-color-scheme: dark" in html


def test_what_a_sample_holds_is_shown_and_not_run() -> None:
    readme = "---\nlanguage: [ro]\n---\n# T\n\n<script>alert(1)</script>\n\n- \\<b\\>x\\</b\\>\n\n`<i>`\n"
    html = card_page(readme, "my-org/<x>", "dataset", {}, {"<y>": 1})
    assert "<script>" not in html
    for shown in ("&lt;script&gt;", "&lt;b&gt;", "&lt;i&gt;", "&lt;x&gt;", "&lt;y&gt;"):
        assert shown in html
