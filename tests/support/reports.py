"""Datasets to report on: a small web dataset with samples, and helpers that look at a page in a browser."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from manifests import change

from lrldata.dataset import SAMPLES
from lrldata.manifest import MANIFEST, write_json
from lrldata.progress import Progress
from lrldata.web.build import build_web
from lrldata.web.config import load_web_config

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROMANIAN = (
    "Satul nostru se află la marginea unei păduri mari de fag.",
    "Bunica povestea seara despre vremurile de demult, când nu erau drumuri.",
    "În fiecare primăvară, râul iese din matcă și udă livezile din vale.",
    "Copiii merg pe jos la școala din satul vecin, care are patru clase.",
    "Toamna se culeg merele, iar oamenii fac dulceață pentru iarnă.",
    "Pe deal a rămas o moară veche de lemn, pe care nimeni nu o mai folosește.",
)
NOISE = (
    "*** 12 ***",
    "Acasă | Despre noi | Contact | Hartă",
    "The village council will meet next Thursday to talk about the new bridge over the river.",
    "Vezi",
)
SCRIPT = "<script>window.ran = 1</script>"
IMAGE = '"><img src=x onerror="window.ran = 1">'
HOSTILE = (
    {"text": SCRIPT, "doc": IMAGE, "url": "javascript:window.ran=1", "language": IMAGE, "probability": 0.5, "rows": 1},
    {"text": IMAGE, "doc": "a#1", "url": f"https://example.org/{IMAGE}", "language": None, "probability": None},
    {"text": "</li></ol></details>{{ 7 * 7 }}<!--", "doc": "a#2", "url": "data:text/html,x", "language": "zxx_Latn"},
    {"text": "bell \u0007, override \u202etxet\u202c", "doc": "a#3", "url": "https://[", "language": "ro"},
)


def build_dataset(root: Path) -> Path:
    """Build a web dataset and return its folder."""
    pages = root / "pages.jsonl"
    texts = ["\n".join((*ROMANIAN[index:], *ROMANIAN[:index], *NOISE)) for index in range(3)]
    rows = [
        {"text": text.replace("satul", f"satul {index}"), "url": f"https://s{index}.example.org/"}
        for index, text in enumerate(texts)
    ]
    pages.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    flags = {"lang": "ro", "source": "web", "input": pages, "out": root / "ws"}
    return build_web(load_web_config(None, flags), Progress(quiet=True))[0].path


def lines(*texts: str) -> list[dict[str, Any]]:
    """Return samples with these texts."""
    return [
        {"text": text, "doc": f"pages.jsonl#{index}", "url": "https://example.org/a?b=1&c=2", "language": "ro",
         "probability": 0.91, "rows": 1}
        for index, text in enumerate(texts)
    ]  # fmt: skip


def samples() -> dict[str, Any]:
    """Return the contents of a samples.json, with hostile lines in it."""
    letters = {
        "rule": "least_letters", "reason": "few_letters", "what": "share of letters in a line",
        "value": 0.5, "side": "below", "edges": [0.0, 0.25, 0.5, 0.75, 1.0], "rows": [10, 30, 400, 1560],
        "bytes": [100, 900, 24000, 175000], "near": lines("Aproape 12/13"),
    }  # fmt: skip
    length = {**letters, "rule": "longest", "reason": "menu", "what": "letters", "value": 15.0}
    length |= {"side": "above", "edges": [0, 10, 20, 1000]} | {name: [1, 10, 100] for name in ("rows", "bytes")}
    dropped = {"menu": lines(*NOISE[1:2]), "other_language": lines(*NOISE[2:3]), "few_letters": list(HOSTILE)}
    return {"thresholds": [letters, length], "dropped": dropped, "kept": lines(*ROMANIAN)}


def put_samples(folder: Path, value: object) -> None:
    """Write a dataset folder's samples.json, and update the manifest if it lists that file."""
    path = folder / SAMPLES
    write_json(path, value)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    if any(entry["path"] == SAMPLES for entry in manifest["outputs"]):
        change(folder)


def chromium(profile: Path, *arguments: str) -> str:
    """Run the browser, assert that it logs nothing to the console, and return its output."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += ["--enable-logging=stderr", f"--user-data-dir={profile}"]
    command = [str(CHROMIUM), *options, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    return result.stdout


def run_in_page(page: Path, scratch: Path, script: str, before: str = "") -> Any:
    """Run a script in a copy of a page, after the page's own script, and return the value that it reports.

    The script can call `press(key, element)` and must call `tell(value)`. `before` runs before the page's own script.
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    helpers = """const tell = (value) => { document.title = JSON.stringify(value); };
      const press = (key, element) => (element ?? document.activeElement).dispatchEvent(
        new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));"""
    copy = scratch / "copy.html"
    copy.write_text(
        text.replace("<body", f"<script>{before}</script><body", 1).replace(
            "</body>", f"<script>{helpers}\n(async () => {{ {script} }})();</script></body>"
        ),
        encoding="utf-8",
    )
    dom = chromium(scratch / "profile", "--virtual-time-budget=5000", "--dump-dom", copy.as_uri())
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    return json.loads(html.unescape(title[1]))


def assert_fits(page: Path, scratch: Path, width: int) -> None:
    """Assert that nothing on a page, with all details open, is wider than a window of this width in pixels."""
    script = """
      for (const details of document.querySelectorAll("details")) details.open = true;
      const inside = document.documentElement.scrollWidth <= innerWidth;
      parent.postMessage(`${inside ? "fits" : document.documentElement.scrollWidth} ${innerWidth}`, "*");
      tell(0);"""
    run_in_page(page, scratch, script)
    frame = scratch / "frame.html"  # the window of a headless browser cannot be this narrow
    frame.write_text(
        f'<!doctype html><title></title><iframe src="copy.html" width="{width}" height="900" frameborder="0"></iframe>'
        "<script>onmessage = ({ data }) => { document.title = data; };</script>",
        encoding="utf-8",
    )
    dom = chromium(scratch / "profile", "--virtual-time-budget=5000", "--dump-dom", frame.as_uri())
    assert f"<title>fits {width}</title>" in dom
