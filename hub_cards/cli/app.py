"""The command `lrl`: parse, call the recipe, print."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lrldata import __version__
from lrldata.cli.run import DEBUG_HELP, run, show_or_dump
from lrldata.errors import InputError, UsageError
from lrldata.folder import kept_in_place
from lrldata.output import keep_out, note, say
from lrldata.progress import Progress

app = typer.Typer(
    help="Cards, and publication to the Hugging Face Hub.", no_args_is_help=True, pretty_exceptions_enable=False
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    if version:
        say(f"lrl {__version__}")
        raise typer.Exit
    _ = debug  # read from the arguments by `main`, so that it holds for usage errors too


@app.command("push-hub")
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
        str | None, typer.Option(help="Version to publish as, as 2.0.0.", show_default="by content")
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option("--license", help="Licence, where the sources do not say it.", show_default="the sources'"),
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
    collection: Annotated[
        bool | None, typer.Option(help="Gather all in a collection.", show_default="--collection")
    ] = None,
    private: Annotated[bool | None, typer.Option("--private", help="Make new repositories private.")] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds to wait for a busy Hub, a repository.", show_default="300")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Address of the Hub.", show_default="HF_ENDPOINT, or the public one")
    ] = None,
    allow_http: Annotated[
        bool | None, typer.Option("--allow-http", help="Send the token to http:// too, where others may read it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The workspace.", show_default="lrl-workspace")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings in TOML, by the names of these options; flags stand above it.")
    ] = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Show the plan, and do nothing.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Publish datasets, adapters and cards. What is there already and unchanged is left alone.

    The token is that of `hf auth login` or HF_TOKEN. Give the same command again after an interruption.
    """
    options = locals() | {}
    renamed = {"everything": "all", "license_id": "license"}
    flags: dict[str, Any] = {
        renamed.get(key, key): value
        for key, value in options.items()
        if key not in ("config", "as_json", "quiet") and value is not None
    }
    for listed in ("kind", "source", "method"):
        if listed in flags:
            flags[listed] = [part for part in flags[listed].split(",") if part]
            if not flags[listed]:
                raise UsageError(f"--{listed}: nothing is named.")
    if "HF_ENDPOINT" in os.environ:
        flags.setdefault("endpoint", os.environ["HF_ENDPOINT"])
    with _libraries():
        from hub_cards.config import load_push_config
    settings = load_push_config(config, flags)
    endpoint = settings.endpoint and settings.endpoint.rstrip("/")
    if endpoint:
        os.environ["HF_ENDPOINT"] = endpoint  # which huggingface_hub reads when it is imported
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # so that every version of it speaks the one protocol
    progress = Progress(quiet)
    with progress.waiting("Loading libraries"), _libraries():
        from hub_cards.cli import tables
        from hub_cards.publish.artifacts import artifacts_of
        from hub_cards.publish.hub import Hub
        from hub_cards.publish.publish import prepare, publish, refuse_conflicts
    hub = Hub(endpoint, allow_http=settings.allow_http)
    keep_out(hub.token or "")
    with kept_in_place(artifacts_of(settings.out, settings.lang)):  # what is planned is what is published
        prepared = prepare(settings, hub, progress)
        if settings.dry_run:
            plans = [plan.as_json() for plan in prepared.plans]
            collections = [{"title": wanted.title, "items": len(wanted.items)} for wanted in prepared.collections]
            planned = {"namespace": prepared.namespace, "plan": plans, "collections": collections}
            show_or_dump(as_json, planned, tables.plan(prepared))
            refuse_conflicts(prepared.plans)
            return
        results, collected = publish(prepared, settings, hub, progress)
    told = {"repositories": [asdict(each) for each in results], "collections": [asdict(each) for each in collected]}
    show_or_dump(as_json, told, tables.published(results, collected))
    if (
        not as_json
        and not any(each.added for each in collected)
        and all(each.action == "unchanged" for each in results)
    ):
        say("Unchanged: the Hub holds all of it, so nothing was written.")


@app.command("card")
def card_command(
    path: Annotated[Path, typer.Argument(help="Folder of a dataset or an adapter; with --check also a README.md.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only check the card against the Hub's rules, offline.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="User or organisation that the card names.")] = "my-org",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.", show_default="cards/ in the workspace")
    ] = None,
    as_json: Json = False,
) -> None:
    """Render the card of a dataset or an adapter here, as Markdown and as a page; or check it."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder.")
    with _libraries():
        from hub_cards.cards import local
        from hub_cards.cards.lint import is_repository
    if "/" in namespace or not is_repository(namespace):
        raise UsageError(f"--namespace: {namespace!r} is no name of a user or an organisation.")
    if check:
        faults = local.check(path, namespace)
        if as_json:
            show_or_dump(True, {"faults": faults}, "")
        elif not faults:
            say(f"{path}: the card keeps the Hub's rules.")
        if faults:
            raise InputError(f"{path}: {len(faults)} faults:\n  " + "\n  ".join(faults))
        return
    made = local.render(path, namespace, out)
    show_or_dump(as_json, made.as_json(), f"{made.markdown}\n{made.page}")
    for fault in made.faults:
        note(f"note: {fault}")


@contextmanager
def _libraries() -> Iterator[None]:
    """Import what a data-only installation may lack, and say what to install where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs {error.name}.", "Use `pip install 'lrl[push]'`.") from error


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrl")
