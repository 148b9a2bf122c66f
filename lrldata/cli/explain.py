"""`lrldata explain`."""

from dataclasses import asdict
from typing import Annotated

import typer

from lrldata.cli.options import Cache, Json
from lrldata.cli.run import show_or_dump


def explain_command(
    text: Annotated[str, typer.Argument(help="A text, the path of a text file, or - for standard input.")],
    lang: Annotated[str, typer.Option(help="Language that the text should be in.")],
    lid: Annotated[
        str, typer.Option(help="Language identification: compact | glotlid | lid176 | none | FILE.bin")
    ] = "compact",
    scripts: Annotated[
        str | None, typer.Option(help="Scripts to keep, out of the language's own.", show_default="the language's")
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option(
            help="What a document is: page (the whole text) | paragraphs | lines",
            show_default="page; for a file paragraphs, as in build",
        ),
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Explain, line by line, what the cleaning of web text would do with a text, and why.

    Near-duplicates are not looked for.
    """
    from lrldata.cli import tables
    from lrldata.language import find
    from lrldata.web.explain import as_documents, explain, find_text, is_path
    from lrldata.web.scripts import requested_scripts

    language = find(lang)
    unit = as_documents(documents or ("paragraphs" if is_path(text) else "page"))
    selected = requested_scripts(language, lang, scripts)
    explained = explain(
        find_text(text),
        language,
        lid,
        cache,
        scripts=selected,
        documents=unit,
        name=text if is_path(text) else "the text",
    )
    show_or_dump(as_json, {"lines": [asdict(line) for line in explained]}, *tables.explained(explained))
