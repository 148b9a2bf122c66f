"""`lrl push-hub`."""

from pathlib import Path
from typing import Annotated

import typer

from hub_cards.cli.needs import libraries
from lrldata.cli.options import Config, Json, Quiet, given
from lrldata.cli.run import show_or_dump
from lrldata.output import say
from lrldata.progress import Progress


def push_command(
    lang: Annotated[str | None, typer.Option(help="Codes or names: ug | ug,mt.")] = None,
    everything: Annotated[bool | None, typer.Option("--all", help="Every language in the workspace.")] = None,
    namespace: Annotated[
        str | None, typer.Option(help="User or organisation.", show_default="the token's user")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="dataset | adapter", show_default="both")] = None,
    source: Annotated[
        str | None, typer.Option(help="Only of these: conceptnet,glotcc,text.", show_default="all")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Only adapters of these: seq_bn,lora.", show_default="all")] = None,
    version: Annotated[
        str | None, typer.Option(help="Version to publish as, e.g. 2.0.0.", show_default="by content")
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option("--license", help="License, where the sources do not say it.", show_default="the sources'"),
    ] = None,
    license_name: Annotated[str | None, typer.Option(help="Name of the licence, with --license other.")] = None,
    license_link: Annotated[str | None, typer.Option(help="Its address, with --license other.")] = None,
    base_id: Annotated[str | None, typer.Option(help="Id on the Hub of a base model that was a folder.")] = None,
    card: Annotated[
        str | None,
        typer.Option(
            help="Where a person has changed the same part of a card: ask (stop) | ours | theirs.", show_default="ask"
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Scores on the cards of adapters: all (also those published before) | here (this workspace's alone).",
            show_default="all",
        ),
    ] = None,
    collection: Annotated[
        bool | None, typer.Option(help="Gather all in a collection.", show_default="--collection")
    ] = None,
    private: Annotated[bool | None, typer.Option("--private", help="Make new repositories private.")] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds to wait for a busy Hub, per repository.", show_default="300")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of the Hub; a settings file may name this machine alone.",
            show_default="HF_ENDPOINT, or the public one",
        ),
    ] = None,
    allow_http: Annotated[
        bool | None, typer.Option("--allow-http", help="Send the token to http:// too, where others may read it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The workspace.", show_default="lrl-workspace")] = None,
    config: Config = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Show the plan, and do nothing.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish datasets, adapters and cards. What is there already and unchanged is left alone.

    The token is that of `hf auth login` or HF_TOKEN. Give the same command again after an interruption.
    """
    flags = given(locals(), lists=("kind", "source", "method"), renamed={"everything": "all", "license_id": "license"})
    progress = Progress(quiet)
    with libraries():
        from hub_cards.api import at_endpoint, push_settings, read_settings
    settings = read_settings(config, flags)
    with at_endpoint(settings), progress.waiting("Loading libraries"), libraries():
        from hub_cards.cli import tables
        from hub_cards.publish.publish import refuse_conflicts
    pushed = push_settings(settings, progress)
    if settings.dry_run:
        show_or_dump(as_json, pushed.as_json(), tables.plan(pushed.prepared))
        refuse_conflicts(pushed.prepared.plans)
        return
    show_or_dump(as_json, pushed.as_json(), tables.published(pushed.repositories, pushed.collections))
    if (
        not as_json
        and not any(each.added for each in pushed.collections)
        and all(each.action == "unchanged" for each in pushed.repositories)
    ):
        say("Unchanged: the Hub holds all of it, so nothing was written.")
