"""Make docs/tutorials/notebook.md from examples/from_code_to_card.ipynb, with the results that the notebook keeps.

    python tools/make/make_notebook_page.py [--check]

With --check nothing is written, and the exit code is 1 where the page is not as the notebook is.
"""

import json
from pathlib import Path
from typing import Any

from generated import write_pages

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "from_code_to_card.ipynb"
INTRODUCTION = "This is the notebook `examples/from_code_to_card.ipynb`, with what its cells print."


def main() -> None:
    """Write the page, or compare it."""
    cells = [as_markdown(cell) for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]]
    title, rest = cells[0].split("\n", 1)
    page = "\n\n".join([title, INTRODUCTION, rest.strip(), *cells[1:]])
    write_pages({"tutorials/notebook.md": page}, "python tools/make/make_notebook_page.py")


def as_markdown(cell: dict[str, Any]) -> str:
    """Return a cell as Markdown: text as it is, code in a fence, and its results in another."""
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return source
    texts = ["".join(each["text"] if "text" in each else each["data"]["text/plain"]) for each in cell["outputs"]]
    printed = "\n".join(text.rstrip() for text in texts if text.strip())
    return f"```python\n{source}\n```" + (f"\n\n```text\n{printed}\n```" if printed else "")


if __name__ == "__main__":
    main()
