"""A card as people see it: rendered here, and checked in a browser."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from pygments.styles import get_style_by_name

from hub_cards.cards.page import CODE_STYLE, card_page
from hub_cards.cards.pictures import KEPT, draw_ledger
from hub_cards.publish import local
from lrldata.drawing import altair_theme
from lrldata.report.html import policy

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
POLICY = re.compile('<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def rendered(sample_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the built-in dataset's card."""
    out = tmp_path_factory.mktemp("card")
    card = local.render(sample_workspace / "datasets" / "ro" / "conceptnet", "my-org", out)
    assert card.faults == ()
    return card.page


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    result = subprocess.run(
        [str(CHROMIUM), *options, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    return result


@browser
@pytest.mark.parametrize("width", [1280, 420])
def test_the_whole_page_is_drawn_with_its_picture(rendered: Path, tmp_path: Path, width: int) -> None:
    picture = tmp_path / "page.png"
    chromium(f"--window-size={width},3600", f"--screenshot={picture}", rendered.as_uri())
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    assert image.size == (width, 3600)
    colours = {colour: count for count, colour in image.getcolors(maxcolors=1 << 24) or []}
    blue = tuple(int(KEPT[place : place + 2], 16) for place in (1, 3, 5))
    assert colours.get(blue, 0) > 300, "the bar of the rows that were kept"
    assert len(colours) > 200, "text, code in colours, a chart"


@browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_is_wider_than_the_window(rendered: Path, tmp_path: Path, width: int) -> None:
    measuring = tmp_path / "measure.html"
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    page = POLICY.sub("", rendered.read_text("utf-8"))  # the policy would block the script
    measuring.write_text(page.replace("</body>", script), encoding="utf-8")
    dom = chromium(f"--window-size={width},900", "--dump-dom", measuring.as_uri()).stdout
    title = re.search(r"<title>(\d+) of (\d+)</title>", dom)
    assert title
    assert int(title[1]) <= int(title[2])


def test_a_page_needs_nothing_but_itself_and_its_links_lead_to_headings(rendered: Path) -> None:
    page = rendered.read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:|https?://|#)', page)
    assert "<script" not in page
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page
    assert "lrl:begin" not in page
    assert "prefers-color-scheme: dark" in page


def test_a_page_may_load_nothing_and_run_nothing(rendered: Path) -> None:
    page = rendered.read_text("utf-8")
    (declared,), (style,) = POLICY.findall(page), re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert html.unescape(declared) == policy(style), "the hash is that of the page's own style"
    assert declared.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "script-src" not in declared
    assert "unsafe" not in declared
    assert page.index(declared) < page.index("<style>")
    assert "style=" not in page, "the policy would block it"
    assert page.count('<td class="right">') > 10
    assert page.count('<img src="data:image/png;base64,') == page.count("<img") == 1
    assert "script-src 'sha256-" in policy(style, "x")


LINKS = (
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java&#x0A;script:alert(1)", "&#106;avascript:alert(1)",
    "\x01javascript:x", "vbscript:x", "data:text/html,x", "data:image/png;base64,xx", "file:///etc/passwd", "blob:x",
)  # fmt: skip


@pytest.mark.parametrize("target", LINKS)
def test_a_link_that_would_run_something_is_text(target: str) -> None:
    forms = f"[a]({target})\n\n[b](<{target}>)\n\n<{target}>\n\n[c]\n\n![d]({target})\n\n[c]: {target}\n"
    page = card_page(f"---\nlanguage: ro\n---\n# T\n\n{forms}", "my-org/x", "dataset", {}, {})
    assert not re.search("<a |<img", page)


def test_web_links_stay_links_and_web_pictures_become_their_alternative_text() -> None:
    links = ("https://x.org/a?b=c:d#e", "http://x.org", "mailto:a@x.org", "#there", "beside/it.png")
    forms = "\n".join(f"[a]({target})" for target in links)
    pictures = "![the bars](a%20b.png) ![far](https://x.org/i.png) ![gone](no.png)\n"
    readme = f"---\nlanguage: ro\n---\n# T\n\n{forms}\n\n{pictures}"
    page = card_page(readme, "my-org/x", "dataset", {"a b.png": b"x"}, {})
    assert re.findall('<a href="([^"]*)"', page) == list(links)
    assert re.findall('<img src="([^"]*)" alt="([^"]*)"', page) == [("data:image/png;base64,eA==", "the bars")]
    assert " far gone</p>" in page


def test_the_contents_of_a_sample_are_shown_and_not_run() -> None:
    readme = "---\nlanguage: [ro]\n---\n# T\n\n<script>alert(1)</script>\n\n- \\<b\\>x\\</b\\>\n\n`<i>`\n"
    page = card_page(readme, "my-org/<x>", "dataset", {}, {"<y>": 1})
    assert "<script>" not in page
    for shown in ("&lt;script&gt;", "&lt;b&gt;", "&lt;i&gt;", "&lt;x&gt;", "&lt;y&gt;"):
        assert shown in page


def test_the_colours_of_code_can_be_read() -> None:
    background = _luminance("f9fafb")
    for _, token in get_style_by_name(CODE_STYLE):
        if token["color"]:
            assert (background + 0.05) / (_luminance(token["color"]) + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_picture_of_a_ledger_does_not_depend_on_the_session_s_theme() -> None:
    ledger = {"in": {"rows": 3}, "kept": {"rows": 2}, "dropped": {"short_line": {"rows": 1}}}
    plain = draw_ledger(ledger, "web")
    with altair_theme("urbaninstitute"):
        assert draw_ledger(ledger, "web") == plain
