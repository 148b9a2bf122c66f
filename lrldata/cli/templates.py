"""The commands `lrldata templates`: print sets of sentences, and what is wrong with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrldata.cli.run import show_or_dump
from lrldata.errors import InputError
from lrldata.output import say

if TYPE_CHECKING:
    from lrldata.conceptnet.verbalize import TemplateSet

templates_app = typer.Typer(help="The sentences into which facts are put.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@templates_app.command("check")
def templates_check(
    file: Annotated[list[Path] | None, typer.Argument(help="Your own files; none: the built-in sets.")] = None,
    as_json: Json = False,
) -> None:
    """Check template sets: every relation, both slots, the script of the language."""
    from lrldata.cli import tables
    from lrldata.conceptnet.verbalize import all_built_in, built_in, expected_sets, missing, problems, read_templates

    sets = [read_templates(path, path.stem) for path in file] if file else [built_in(name) for name in all_built_in()]
    drawn = tables.table(
        "Templates", "set", "relations", "sentences", "reviewed", "says in English", numbers=("relations", "sentences")
    )
    described = []
    faults = [f"{name}: no such set" for name in expected_sets() if not file and name not in all_built_in()]
    for each in sets:
        absent = missing(each)
        faults += [f"{each.name}: {problem}" for problem in problems(each)]
        if absent and each.language == "en" and not each.as_stored:
            faults.append(f"{each.name}: no sentence for {', '.join(absent)}")
        falls_back = "" if each.language == "en" else ", ".join(absent)
        count = sum(map(len, each.relations.values()))
        described.append(_describe(each, absent))
        drawn.add_row(each.name, str(len(each.relations)), str(count), "yes" if each.reviewed else "no", falls_back)
    show_or_dump(as_json, {"sets": described, "faults": faults}, drawn)
    if faults:
        raise InputError(f"{len(faults)} faults:\n  " + "\n  ".join(faults))
    if not as_json:
        say("No faults.")


def _describe(templates: "TemplateSet", absent: list[str]) -> dict[str, Any]:
    return {
        "name": templates.name,
        "language": templates.language,
        "relations": len(templates.relations),
        "sentences": sum(map(len, templates.relations.values())),
        "reviewed": templates.reviewed,
        "missing": absent,
    }


@templates_app.command("review")
def templates_review(
    lang: Annotated[str, typer.Option(help="Language of the sentences.")],
    file: Annotated[Path | None, typer.Option(help="The page to write.", show_default="templates-LANG.html")] = None,
    facts: Annotated[Path | None, typer.Option(help="A dataset of ConceptNet in the language, for real facts.")] = None,
    templates: Annotated[str, typer.Option(help="native, or FILE.toml to go on with.")] = "native",
    as_json: Json = False,
) -> None:
    """Write a page on which a speaker accepts, corrects or rejects each sentence, and saves the set as TOML."""
    from lrldata.conceptnet.verbalize import phrasebook
    from lrldata.language import find
    from lrldata.manifest import write_text
    from lrldata.review.templates_page import read_facts, templates_page

    language = find(lang)
    chosen = phrasebook(templates, language).chosen
    out = file or Path(f"templates-{language.code}.html")
    write_text(out, templates_page(chosen, language, read_facts(facts, language) if facts else {}))
    told = f"{out}: open it in a browser; it works offline."
    show_or_dump(as_json, {"path": str(out), "relations": len(chosen.relations)}, told)


@templates_app.command("show")
def templates_show(
    name: Annotated[str, typer.Argument(help="english, paper, native/ro, ...")],
    as_json: Json = False,
) -> None:
    """Show the sentences of a built-in set."""
    from lrldata.cli import tables
    from lrldata.conceptnet.verbalize import built_in

    found = built_in(name)
    drawn = tables.table(name, "relation", "sentence")
    for relation, sentences in found.relations.items():
        for sentence in sentences:
            drawn.add_row(relation, sentence)
    show_or_dump(as_json, found.model_dump(mode="json", exclude_none=True), drawn)
