"""Generate docs/tutorials/notebook.md from examples/from_code_to_card.ipynb and the outputs stored in it.

    python tools/make/make_notebook_page.py [--check]

With --check, nothing is written, and the exit code is 1 if the page is outdated.
"""

import json
from pathlib import Path
from typing import Any

from generated import write_pages

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "from_code_to_card.ipynb"
INTRODUCTION = "This is the notebook `examples/from_code_to_card.ipynb` with the output of its cells."


def main() -> None:
    """Write or check the page."""
    cells = [as_markdown(cell) for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]]
    title, rest = cells[0].split("\n", 1)
    page = "\n\n".join([title, INTRODUCTION, rest.strip(), *cells[1:]])
    write_pages({"tutorials/notebook.md": page}, "python tools/make/make_notebook_page.py")


def as_markdown(cell: dict[str, Any]) -> str:
    """Return a cell as Markdown: text unchanged, code in a fenced block, and its outputs in another."""
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return source
    texts = [
        "".join(output["text"] if "text" in output else output["data"]["text/plain"]) for output in cell["outputs"]
    ]
    printed = "\n".join(text.rstrip() for text in texts if text.strip())
    return f"```python\n{source}\n```" + (f"\n\n```text\n{printed}\n```" if printed else "")


if __name__ == "__main__":
    main()
