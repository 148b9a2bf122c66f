"""The documentation is correct: links lead somewhere, commands parse, and snippets use names that exist."""

import ast
import inspect
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import hub_cards
import lrldata
import lrltrain
from hub_cards.cli.app import app as lrl_app
from lrldata.cli.app import app as lrldata_app
from lrltrain.cli.app import app as lrltrain_app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROGRAMS = {"lrldata": get_command(lrldata_app), "lrltrain": get_command(lrltrain_app), "lrl": get_command(lrl_app)}
PACKAGES = {"lrldata": lrldata, "lrltrain": lrltrain, "hub_cards": hub_cards}
FOLDERS = ("docs", "examples", "hub_cards", "lrldata", "lrltrain", "recipes", "tests", "tools")
FOREIGN = {  # options of other programs that the pages mention
    *(
        "--no-deps",
        "--nproc-per-node",
        "--cpus",
        "--nodes",
        "--gpus-per-node",
        "--cpus-per-task",
        "--time",
        "--address",
        "--include_path",
        "--model_args",
        "--tasks",
    ),
    *("--min-nodes", "--constraint", "--full", "--install-completion"),
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fences(text: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def indented(text: str) -> str:
    return "\n".join(line[4:] for line in without_fences(text).splitlines() if line.startswith("    "))


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page, as MkDocs derives them from its headings."""
    anchors = set()
    for heading in re.findall(r"^#+ (.*)$", without_fences(page.read_text("utf-8")), flags=re.MULTILINE):
        plain = unicodedata.normalize("NFKD", heading.replace("`", "")).encode("ascii", "ignore").decode()
        anchors.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = without_fences(page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in slugs(linked), f"{target}: no such heading"


def test_pages_mentioned_in_code_exist() -> None:
    files = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    mentions = {(path, page) for path in files for page in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert len(mentions) > 10
    assert [(name_of(path), page) for path, page in mentions if not (ROOT / page).is_file()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_repository_files_mentioned_in_pages_exist(page: Path) -> None:
    pattern = rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w/.-]*\w\.(?:py|toml|md|npz|ftz|json|jsonl|csv|ipynb)\b"
    for path in re.findall(pattern, page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_the_layout_in_the_contributing_guide_matches_the_repository() -> None:
    layout = (ROOT / "docs" / "contributing.md").read_text("utf-8").split("## Layout")[1].split("\n## ")[0]
    folders: list[tuple[int, Path]] = []
    seen = 0
    for line in layout.splitlines():
        depth = len(line) - len(line.lstrip())
        if depth < 4:
            continue
        folders = [entry for entry in folders if entry[0] < depth]
        parent = folders[-1][1] if folders else ROOT
        for name in re.split(r"\s{2,}", line.strip())[0].split():
            assert (parent / name).exists(), f"{parent / name} does not exist"
            seen += 1
            if name.endswith("/"):
                folders.append((depth, parent / name))
    assert seen > 100


def commands() -> dict[str, Any]:
    """Return all commands, keyed by what a user types to run them."""

    def within(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        for name, subcommand in getattr(command, "commands", {}).items():
            yield from within(f"{path} {name}", subcommand)
        if not hasattr(command, "commands"):
            yield path, command

    return {path: command for name, group in PROGRAMS.items() for path, command in within(name, group)}


COMMANDS = commands()


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each command line in a code block that runs one of our programs."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        match = re.search(r"(?:^|\s|-m )(lrldata|lrltrain|lrl)(?:\.cli)? (?!=)(.*)", line)
        if match and re.fullmatch(r"(?:\$ |[A-Z_]+=\S+ |srun .*|torchrun .*)*(?:.*-m )?", line[: match.start(1)]):
            yield [match[1], *shlex.split(match[2], comments=True)]


def fault(words: list[str]) -> str:
    """Return the program's error message for a command line, or an empty string if it parses."""
    path = next((path for path in (" ".join(words[:3]), " ".join(words[:2])) if path in COMMANDS), None)
    if path is None:
        return "" if words[1] in ("--help", "--install-completion", "--debug") else f"no command {words[1]!r}"
    try:
        COMMANDS[path].make_context(path, [word for word in words[path.count(" ") + 1 :] if word != "..."])
    except Exception as error:  # noqa: BLE001 -- typer's own errors are in a private module
        return str(getattr(error, "message", error)) or type(error).__name__
    return ""


def blocks_of(page: Path) -> str:
    text = page.read_text("utf-8")
    shell = [block for language, block in fences(text) if language in ("", "bash", "sh", "shell", "console")]
    return "\n".join([*shell, indented(text)])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_parse(page: Path) -> None:
    if page.name == "cli.md":
        pytest.skip("generated from the commands")
    for words in command_lines(blocks_of(page)):
        assert not fault(words), " ".join(words)


def test_pages_have_command_lines_and_wrong_ones_are_detected() -> None:
    lines = [words for page in PAGES for words in command_lines(blocks_of(page))]
    assert len(lines) > 60
    assert {words[0] for words in lines} == set(PROGRAMS)
    for wrong in ("lrldata build --langs ro", "lrltrain fit --steps many", "lrl push", "lrldata stats"):
        assert fault(wrong.split()), wrong


def options() -> set[str]:
    defined = {
        name
        for command in COMMANDS.values()
        for param in command.params
        for name in [*param.opts, *param.secondary_opts]
    }
    scripts = (path.read_text("utf-8") for path in (ROOT / "tools").rglob("*.py"))
    return (
        defined | FOREIGN | {"--help", "--debug", "--version"} | set(re.findall(r'"(--[a-z-]+)"', "\n".join(scripts)))
    )


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_options_mentioned_in_pages_exist(page: Path) -> None:
    existing = options()
    for code in re.findall(r"`([^`\n]+)`", without_fences(page.read_text("utf-8"))):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]*", code):
            assert option in existing, f"{option} in `{code}`"


def python_of(page: Path) -> Iterator[ast.Module]:
    text = page.read_text("utf-8")
    for language, block in fences(text):
        if language == "python":
            yield ast.parse(block)
    if blocks := re.findall(r"(?:^    (?:import lrldata|from lrldata).*\n)(?:^    .*\n)*", text, flags=re.MULTILINE):
        yield from (ast.parse(inspect.cleandoc(block)) for block in blocks)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_snippets_use_names_that_exist(page: Path) -> None:
    for tree in python_of(page):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(is_importable(alias.name) for alias in node.names), ast.unparse(node)
            elif isinstance(node, ast.ImportFrom):
                assert all(is_importable(node.module or "", alias.name) for alias in node.names), ast.unparse(node)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in PACKAGES:
                assert node.attr in dir(PACKAGES[node.value.id]), ast.unparse(node)
            if isinstance(node, ast.Call):
                check_keywords(node)


def is_importable(module: str, name: str = "") -> bool:
    """Return whether a module, and a name in it, can be imported; adapters, torch and transformers may be missing."""
    library = module.partition(".")[0]
    if library in ("adapters", "torch", "transformers") and find_spec(library) is None:
        return True
    return find_spec(module) is not None and (not name or name in dir(import_module(module)))


def check_keywords(call: ast.Call) -> None:
    """Check the keyword arguments of a call to our API. `load_adapter` is skipped, as it imports torch."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return
    package = PACKAGES.get(function.value.id)
    if package is None or function.attr == "load_adapter":
        return
    parameters = inspect.signature(getattr(package, function.attr)).parameters
    for keyword in call.keywords:
        assert keyword.arg in parameters, ast.unparse(call)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_snippets_are_valid(page: Path) -> None:
    for language, block in fences(page.read_text("utf-8")):
        if language == "toml":
            assert tomllib.loads(block)


def test_the_api_page_lists_all_public_names() -> None:
    listed = set(re.findall(r"^::: (\S+)", (ROOT / "docs/reference/api.md").read_text("utf-8"), flags=re.MULTILINE))
    public = {f"{name}.{member}" for name, package in PACKAGES.items() for member in package.__all__}
    assert listed == public - {"lrldata.__version__"}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    docs = ROOT / "docs"
    pages = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    assert [page for page in pages if f" {page}\n" not in navigation] == []
