"""`lrldata explain`."""

from dataclasses import asdict
from typing import Annotated

import typer

from lrldata.cli.options import Cache, Json
from lrldata.cli.run import show_or_dump


def explain_command(
    text: Annotated[str, typer.Argument(help="A text, the path of a file of text, or - for standard input.")],
    lang: Annotated[str, typer.Option(help="The language that it should be in.")],
    lid: Annotated[
        str, typer.Option(help="Language identification: compact | glotlid | lid176 | none | FILE.bin")
    ] = "compact",
    scripts: Annotated[
        str | None, typer.Option(help="Scripts to keep, of those of the language.", show_default="the language's")
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option(
            help="What is a document: page (all of it) | paragraphs | lines",
            show_default="of a file paragraphs, as build",
        ),
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Say line by line what the cleaning of web text would do with a text, and why."""
    from lrldata.cli import tables
    from lrldata.language import find
    from lrldata.web.explain import as_documents, explain, find_text, is_path
    from lrldata.web.scripts import scripts_asked

    language = find(lang)
    cut = as_documents(documents or ("paragraphs" if is_path(text) else "page"))
    asked = scripts_asked(language, lang, scripts)
    told = explain(
        find_text(text), language, lid, cache, scripts=asked, documents=cut, name=text if is_path(text) else "the text"
    )
    show_or_dump(as_json, {"lines": [asdict(line) for line in told]}, *tables.explained(told))
