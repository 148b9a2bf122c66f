"""The command `lrldata`: parse, call the recipe, print."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lrldata import __version__
from lrldata.cli import tables
from lrldata.cli.run import DEBUG_HELP, run, show_or_dump
from lrldata.cli.templates import templates_app
from lrldata.conceptnet.build import Built, IncompleteError, build
from lrldata.conceptnet.config import BuildConfig, load_config
from lrldata.conceptnet.plan import Step, plan
from lrldata.conceptnet.source import find_index
from lrldata.dataset import open_dataset
from lrldata.errors import UsageError
from lrldata.language import find, languages, parse
from lrldata.ledger import from_json
from lrldata.output import note, say
from lrldata.output import show as draw
from lrldata.progress import Progress
from lrldata.remote import as_folder, is_remote, opened
from lrldata.web.config import WebConfig, is_web, load_web_config

app = typer.Typer(
    help="Clean, versioned datasets for low-resource languages.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(templates_app, name="templates")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Cache = Annotated[Path | None, typer.Option(help="Where dumps and indexes are kept.", show_default="the user's cache")]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    if version:
        say(f"lrldata {__version__}")
        raise typer.Exit
    _ = debug  # read from the arguments by `main`, so that it holds for usage errors too


@app.command("build")
def build_command(
    lang: Annotated[
        str | None, typer.Option(help="Codes or names: ro | ro,mt,ug | paper (its 30) | all (in ConceptNet) | every.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="conceptnet | glotcc | web (documents of your own).", show_default="conceptnet")
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Documents: a folder or file of .parquet, .jsonl, .json, .csv, .tsv or .txt.",
            show_default="GlotCC-V1 on the Hub",
        ),
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option(help="A document of a text file: paragraphs | lines.", show_default="paragraphs"),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Revision of GlotCC-V1: commit, tag or branch.", show_default="main")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text.", show_default="content, else text")
    ] = None,
    url_column: Annotated[
        str | None, typer.Option(help="Column of the address.", show_default="warc-target-uri, else url")
    ] = None,
    lid: Annotated[
        str | None,
        typer.Option(help="Language identification: compact | glotlid | lid176 | FILE.bin", show_default="compact"),
    ] = None,
    protect: Annotated[
        str | None, typer.Option(help="FILE,FILE of benchmarks' text, a sentence a line: lines that have it go.")
    ] = None,
    benchmarks: Annotated[
        bool | None,
        typer.Option(help="Take out text of FLORES-200 and SIB-200 (35 languages).", show_default="benchmarks"),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="A row of web text: sentences | lines | documents.", show_default="lines")
    ] = None,
    skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad", help="Leave out files of documents that cannot be read.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that clean web text.", show_default="one a core")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(help="Bytes of memory to compare the lines of web text in.", show_default="500 MB")
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for what is between web text and dataset.", show_default="in the cache")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Most bytes of web text a language.", show_default="1 GB")
    ] = None,
    dump: Annotated[
        str | None,
        typer.Option(help="Dump of ConceptNet 5.7: path or URL, .csv.gz or .csv.", show_default="the official address"),
    ] = None,
    dump_sha256: Annotated[str | None, typer.Option(help="Refuse a dump with another SHA-256.")] = None,
    conceptnet_db: Annotated[Path | None, typer.Option(help="Read a conceptnet-lite database instead.")] = None,
    index: Annotated[Path | None, typer.Option(help="Read an index folder made before instead.")] = None,
    sample: Annotated[
        bool | None,
        typer.Option("--sample", help="Read the built-in sample instead: Romanian; conceptnet has bg and mt too."),
    ] = None,
    templates: Annotated[
        str | None, typer.Option(help="english | native | paper | FILE.toml", show_default="english")
    ] = None,
    edges: Annotated[
        str | None, typer.Option(help="Ends in the language: any | start | target (both).", show_default="any")
    ] = None,
    min_weight: Annotated[float | None, typer.Option(help="Drop edges below this weight.", show_default="0")] = None,
    scripts: Annotated[
        str | None,
        typer.Option(
            help="Scripts to keep: Latn,Cyrl, or for conceptnet any; of web text those of the language table.",
            show_default="the language's",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="80/10/10 by hash of the pair of terms, or random as in the paper: pair | random.", show_default="pair"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random split.", show_default="42")] = None,
    max_rejected: Annotated[
        float | None, typer.Option(help="Share of bad lines at which to stop.", show_default="0.001")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The workspace: a folder, or s3://BUCKET/FOLDER.", show_default="lrl-workspace")
    ] = None,
    cache: Cache = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings in TOML, by the names of these options; flags stand above it.")
    ] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Say what would be read, downloaded and written.")
    ] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Build again even if nothing changed.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Build a dataset of sentences for each language, ready for `load_dataset`."""  # fmt: skip
    options = locals() | {}
    flags = {
        "input" if name == "given" else name: value
        for name, value in options.items()
        if name not in ("config", "as_json", "quiet", "out") and value is not None
    }
    if protect:
        flags["protect"] = [part for part in protect.split(",") if part]
    if out is not None and not is_remote(out):
        flags["out"] = as_folder(out)
    began = time.perf_counter()
    web = is_web(config, flags)
    if not web and (foreign := sorted(flags.keys() - BuildConfig.model_fields.keys())):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
        raise UsageError(f"{named}: not for --source conceptnet.", "`lrldata build --help` says what is.")
    asked: BuildConfig | WebConfig = (load_web_config if web else load_config)(config, flags)
    makes = [f"datasets/{language.code}/{asked.source}" for language in parse(asked.lang)]
    with opened(out, makes, [] if asked.dry_run else makes, asked.cache) as folder:
        wanted = asked.model_copy(update={"out": folder}) if out and is_remote(out) else asked
        _build(wanted, as_json, quiet, began)


def _build(wanted: BuildConfig | WebConfig, as_json: bool, quiet: bool, began: float) -> None:
    if isinstance(wanted, WebConfig):
        from lrldata.web.build import build_web, plan_web

        if wanted.dry_run:
            _show_plan(plan_web(wanted), as_json)
        else:
            _show_built(build_web(wanted, Progress(quiet)), as_json, began)
        return
    if wanted.dry_run:
        _show_plan(plan(wanted), as_json)
        return
    failure = None
    try:
        results = build(wanted, Progress(quiet))
    except IncompleteError as error:
        results, failure = error.built, error
    _show_built(results, as_json, began)
    if failure:
        raise failure


def _show_plan(steps: list[Step], as_json: bool) -> None:
    """Print what a build would do."""
    show_or_dump(as_json, {"plan": [vars(step) for step in steps]}, tables.plan(steps))


def _show_built(results: list[Built], as_json: bool, began: float) -> None:
    """Print what a build made."""
    objects = [result.as_json() for result in results]
    seconds = round(time.perf_counter() - began, 3)
    single = objects[0] | {"seconds": seconds} if objects else {}
    if results:
        several = {"datasets": objects, "seconds": seconds}
        show_or_dump(as_json, single if len(objects) == 1 else several, tables.built(results))
    if not as_json:
        _note_inputs(results)
    if not as_json and results and all(result.status == "unchanged" for result in results):
        say("Unchanged: the same input and settings give the same bytes, so nothing was done.")


def _note_inputs(results: list[Built]) -> None:
    """Say which files were skipped, and where the text of documents is from several columns."""
    for result in results:
        for name, why in result.notes.get("skipped", {}).items():
            note(f"note: skipped: {name}: {why}")
        if columns := result.notes.get("text_column"):
            note(f"note: {tables.text_columns(columns)}")


@app.command("index")
def index_command(
    dump: Annotated[str, typer.Option(help="Dump (path or URL) or conceptnet-lite database.")],
    cache: Cache = None,
    max_rejected: Annotated[float, typer.Option(help="Share of bad lines at which to stop.")] = 0.001,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Make the index of a dump, which every build shares, and print its folder."""
    flags = {"lang": "all", "dump": dump, "max_rejected": max_rejected} | ({"cache": cache} if cache else {})
    made = find_index(load_config(None, flags), Progress(quiet))
    show_or_dump(as_json, {"path": str(made.folder), **made.manifest}, str(made.folder))


@app.command("stats")
def stats_command(
    folder: Annotated[Path, typer.Argument(help="A dataset folder, e.g. lrl-workspace/datasets/ro/conceptnet.")],
    samples: Annotated[int, typer.Option(min=0, help="Sentences to show.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the ledger, relations, lengths and samples of a dataset."""
    manifest, rows = open_dataset(folder)
    counted = tables.statistics(manifest, rows)
    examples = rows.select("text").head(samples).collect()["text"].to_list()
    if as_json:
        show_or_dump(True, counted | {"samples": examples}, "")
    else:
        draw(tables.dataset(counted, from_json(manifest["ledger"]), examples))


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="A dataset folder, e.g. lrl-workspace/datasets/mt/glotcc.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.", show_default="FOLDER.report.html")] = None,
    as_json: Json = False,
) -> None:
    """Write a page that shows what was kept, what was thrown away and why, for a speaker to judge."""
    from lrldata.report.page import write_report

    page = write_report(folder, out)
    show_or_dump(as_json, {"path": str(page)}, f"{page}: open it in a browser; it asks for nothing from the network.")


@app.command("explain")
def explain_command(
    text: Annotated[str, typer.Argument(help="A text, the path of a file of text, or - for standard input.")],
    lang: Annotated[str, typer.Option(help="The language that it should be in.")],
    lid: Annotated[
        str, typer.Option(help="Language identification: compact | glotlid | lid176 | FILE.bin")
    ] = "compact",
    scripts: Annotated[
        str | None, typer.Option(help="Scripts to keep, of those of the language.", show_default="the language's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say line by line what the cleaning of web text would do with a text, and why."""
    from lrldata.web.explain import explain, find_text
    from lrldata.web.scripts import scripts_asked

    language = find(lang)
    told = explain(find_text(text), language, lid, scripts=scripts_asked(language, lang, scripts))
    show_or_dump(as_json, {"lines": [asdict(line) for line in told]}, tables.explained(told))


@app.command("langs")
def langs_command(
    names: Annotated[list[str] | None, typer.Argument(help="Codes or names; none: all.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Only the paper's 30.")] = False,
    as_json: Json = False,
) -> None:
    """List languages: codes in every system, scripts, sizes in the paper, and which sources hold them."""
    rows = [find(name) for name in names] if names else [row for row in languages() if row.paper or not paper]
    described = [row.model_dump(exclude_none=True, mode="json") | {"sources": row.sources} for row in rows]
    show_or_dump(as_json, {"languages": described}, tables.languages(rows))
    if not as_json and names:
        for row in rows:
            if row.note:
                say(f"{row.name} ({row.code}): {row.note}")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrldata")
