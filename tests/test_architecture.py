"""The structure of the packages: imports run in one direction and without cycles, and files stay short."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("lrldata", "lrltrain", "hub_cards")  # each may import itself and those before it
LONGEST = 320  # lines
RETIRED = ("lrldata/glotcc", "lrltrain/results", "lrltrain/evaluate", "lrltrain/commands", "tools/local_hub")
FILES = sorted(path for package in ORDER for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


@cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Return the import statements of a file, including those inside functions."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of this project that a file imports."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif node.module in MODULES:
            for alias in node.names:
                full_name = f"{node.module}.{alias.name}"
                yield full_name if full_name in MODULES else node.module


def test_packages_import_only_themselves_and_earlier_packages() -> None:
    for path in FILES:
        package = path.relative_to(ROOT).parts[0]
        allowed = ORDER[: ORDER.index(package) + 1]
        for name in imported(path):
            assert name.split(".")[0] in allowed, f"{module_of(path)} imports {name}"


def test_there_are_no_import_cycles_between_modules() -> None:
    graph = {module_of(path): set(imported(path)) - {module_of(path)} for path in FILES}
    lazy = {name for name in graph if name in ORDER}  # each package's __init__.py lists its API and imports it lazily
    graph = {name: needs - lazy for name, needs in graph.items() if name not in lazy}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", ["lrltrain", "hub_cards"])
def test_there_are_no_import_cycles_between_folders_of_a_package(package: str) -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        first, part, *_ = [*module_of(path).split("."), ""]
        if first != package or not part:
            continue
        needs = {name.split(".")[1] for name in imported(path) if name.startswith(f"{package}.")}
        graph.setdefault(part, set()).update(needs - {part})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_lrldata_never_imports_torch() -> None:
    for path in (ROOT / "lrldata").rglob("*.py"):
        for node in import_statements(path):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {"torch", "transformers"} & {name.split(".")[0] for name in names}, path


@pytest.mark.parametrize(
    ("loaded", "without"),
    [
        *((f"{package}.cli.app", {"pydantic", "polars", "httpx", "huggingface_hub", "torch"}) for package in ORDER),
        ("lrldata.web.corpus", {"httpx", "huggingface_hub.hf_api", "httpx2", "fsspec"}),  # each worker process loads it
    ],
)
def test_slow_libraries_are_not_imported_before_they_are_needed(loaded: str, without: set[str]) -> None:
    """Help is shown, and worker processes start, without libraries that take most of a second to import."""
    code = f"import sys, {loaded}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not without & set(result.stdout.split())


@pytest.mark.parametrize("folder", [*ORDER, "tools", "tests"])
def test_no_file_is_too_long(folder: str) -> None:
    longest = 1_000 if folder == "tests" else LONGEST
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := path.read_text("utf-8").count("\n")) > longest
    }
    assert long == {}


def test_retired_modules_do_not_come_back() -> None:
    assert not [name for name in RETIRED if (ROOT / name).exists()]
    assert not list(ROOT.glob("lrl*/**/utils.py"))
