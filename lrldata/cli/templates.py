"""The commands `lrldata templates`: show template sets, check them, and write a page for reviewing them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.errors import InputError, UsageError
from lrldata.output import say

if TYPE_CHECKING:
    from lrldata.conceptnet.template_sets import TemplateSet

templates_app = typer.Typer(help="The sentence templates for facts.", no_args_is_help=True)


@templates_app.command("check")
def templates_check(
    file: Annotated[
        list[Path] | None, typer.Argument(help="Your own files; the built-in sets if none are given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check template sets: every relation, both slots, the script of the language."""
    from lrldata.cli import tables
    from lrldata.conceptnet.template_sets import (
        all_built_in,
        built_in,
        expected_sets,
        missing,
        problems,
        read_templates,
    )

    sets = [read_templates(path, path.stem) for path in file] if file else [built_in(name) for name in all_built_in()]
    output = tables.table(
        "Templates",
        "set",
        "relations",
        "sentences",
        "reviewed",
        "falls back to English",
        numbers=("relations", "sentences"),
    )
    records = []
    faults = [f"{name}: no such set" for name in expected_sets() if not file and name not in all_built_in()]
    for template_set in sets:
        missing_relations = missing(template_set)
        faults += [f"{template_set.name}: {problem}" for problem in problems(template_set)]
        if missing_relations and template_set.language == "en" and not template_set.as_stored:
            faults.append(f"{template_set.name}: no sentence for {', '.join(missing_relations)}")
        falls_back = "" if template_set.language == "en" else ", ".join(missing_relations)
        count = sum(map(len, template_set.relations.values()))
        records.append(_describe(template_set, missing_relations))
        output.add_row(
            template_set.name,
            str(len(template_set.relations)),
            str(count),
            "yes" if template_set.reviewed else "no",
            falls_back,
        )
    show_or_dump(as_json, {"sets": records, "faults": faults}, output)
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
    facts: Annotated[
        Path | None, typer.Option(help="A ConceptNet dataset in the language, to show real facts.")
    ] = None,
    templates: Annotated[str, typer.Option(help="native, or FILE.toml to continue with.")] = "native",
    as_json: Json = False,
) -> None:
    """Write a page on which a speaker accepts, corrects or rejects each sentence, and saves the set as TOML."""
    from lrldata.conceptnet.template_sets import phrasebook
    from lrldata.language import find
    from lrldata.manifest import write_text
    from lrldata.review.templates_page import read_facts, templates_page

    language = find(lang)
    chosen = phrasebook(templates, language).chosen
    if chosen.language != language.code:
        raise UsageError(f"--templates {templates}: has sentences in English, not in {language.name}.")
    out = file or Path(f"templates-{language.code}.html")
    write_text(out, templates_page(chosen, language, read_facts(facts, language) if facts else {}))
    message = f"{out}: open it in a browser; it works offline."
    show_or_dump(as_json, {"path": str(out), "relations": len(chosen.relations)}, message)


@templates_app.command("show")
def templates_show(
    name: Annotated[str, typer.Argument(help="english, paper, native/ro, ...")],
    as_json: Json = False,
) -> None:
    """Show the sentences of a built-in set."""
    from lrldata.cli import tables
    from lrldata.conceptnet.template_sets import built_in

    template_set = built_in(name)
    output = tables.table(name, "relation", "sentence")
    for relation, sentences in template_set.relations.items():
        for sentence in sentences:
            output.add_row(relation, sentence)
    show_or_dump(as_json, template_set.model_dump(mode="json", exclude_none=True), output)
