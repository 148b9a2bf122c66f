"""Write the generated pages of the documentation, or check that those in docs/ are up to date."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines)


def cell(text: str) -> str:
    """Escape a text so that it neither ends a table cell nor starts an HTML tag, which it cannot in inline code."""
    pieces = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(piece if number % 2 else piece.replace("<", "&lt;") for number, piece in enumerate(pieces))


def code(text: str) -> str:
    """Format a text as inline code; an empty text stays empty."""
    return f"`{text}`" if text else ""


def write_pages(pages: Mapping[str, str], command: str) -> None:
    """Write pages into docs/; with --check, compare them and exit with 1 if one differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare without writing")
    check = parser.parse_args().check
    stale = False
    for name, text in pages.items():
        title, rest = text.split("\n", 1)
        page = f"{title}\n\n<!-- Made by `{command}`; do not edit. -->\n{rest.rstrip()}\n"
        path = DOCS / name
        if check and (not path.is_file() or path.read_text("utf-8") != page):
            print(f"{path}: outdated. Run `{command}`.", file=sys.stderr)
            stale = True
        elif not check:
            path.write_text(page, "utf-8")
    sys.exit(stale)
