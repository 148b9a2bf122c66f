"""The command `lrl push-hub`."""

from pathlib import Path
from typing import Annotated

import typer

from hub_cards.cli.needs import libraries
from lrldata.cli.options import Config, Json, Quiet, typed_options
from lrldata.cli.run import show_or_dump
from lrldata.errors import PublishError
from lrldata.output import say
from lrldata.progress import Progress


def push_command(
    lang: Annotated[str | None, typer.Option(help="Codes or names of languages, e.g. ug or ug,mt.")] = None,
    everything: Annotated[bool | None, typer.Option("--all", help="Every language in the workspace.")] = None,
    namespace: Annotated[
        str | None, typer.Option(help="User or organisation.", show_default="the token's user")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="dataset | adapter", show_default="both")] = None,
    source: Annotated[
        str | None, typer.Option(help="Only these sources, e.g. conceptnet,glotcc,text.", show_default="all")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Only adapters of these methods, e.g. seq_bn,lora.", show_default="all")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version to publish as, e.g. 2.0.0.", show_default="by content")
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option("--license", help="Licence, if the sources do not determine it.", show_default="the sources'"),
    ] = None,
    license_name: Annotated[str | None, typer.Option(help="Name of the licence, with --license other.")] = None,
    license_link: Annotated[str | None, typer.Option(help="Address of the licence, with --license other.")] = None,
    base_id: Annotated[
        str | None, typer.Option(help="Id on the Hub of a base model that was loaded from a folder.")
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(
            help="If someone has edited the same part of a card: ask (stop) | ours | theirs.", show_default="ask"
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Scores, and verdicts of speakers, on cards: all (also those already published) | here (this workspace).",
            show_default="all",
        ),
    ] = None,
    replace_data: Annotated[
        bool | None,
        typer.Option("--replace-data", help="Replace data and weights that others changed or deleted on the Hub."),
    ] = None,
    collection: Annotated[
        bool | None,
        typer.Option(help="Gather all repositories of a language in a collection.", show_default="--collection"),
    ] = None,
    private: Annotated[bool | None, typer.Option("--private", help="Make new repositories private.")] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds to wait for a busy Hub, per repository.", show_default="600")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of the Hub; a settings file may only name this machine.",
            show_default="HF_ENDPOINT, or the public one",
        ),
    ] = None,
    allow_http: Annotated[
        bool | None, typer.Option("--allow-http", help="Also send the token over http://, where others may read it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The workspace.", show_default="lrl-workspace")] = None,
    config: Config = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Show the plan without doing anything.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish datasets, adapters and cards. Artifacts already on the Hub and unchanged are skipped.

    Uses the token of `hf auth login` or HF_TOKEN. After an interruption, run the same command again.
    """
    flags = typed_options(
        locals(), lists=("kind", "source", "method"), renamed={"everything": "all", "license_id": "license"}
    )
    progress = Progress(quiet)
    with libraries():
        from hub_cards.api import push_settings, read_settings
    settings = read_settings(config, flags)
    with progress.waiting("Loading libraries"), libraries():
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
        and not any(item.added for item in pushed.collections)
        and all(item.action == "unchanged" for item in pushed.repositories)
    ):
        say("Unchanged: everything is already on the Hub, so nothing was written.")
    if pushed.failures:
        raise PublishError(
            f"{len(pushed.failures)} of {len(pushed.prepared.collections)} collections could not be updated.",
            "Repeat the command, or use --no-collection.",
        )
