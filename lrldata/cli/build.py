"""`lrldata build`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrldata.cli.completion import complete_from, complete_languages
from lrldata.cli.options import Cache, Json, Quiet, typed_options
from lrldata.cli.run import show_or_dump
from lrldata.output import note, say
from lrldata.progress import Progress

if TYPE_CHECKING:
    from lrldata.conceptnet.config import BuildConfig
    from lrldata.web.config import WebConfig
    from lrldata.workspace import Dataset


def build_command(
    lang: Annotated[
        str | None,
        typer.Option(
            help="Codes or names: ro | ro,mt,ug | paper (its 30) | all (in ConceptNet) | every (plus GlotCC-V1).",
            metavar="LANG,LANG",
            autocompletion=complete_languages,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="conceptnet | glotcc | web (your own documents).",
            show_default="conceptnet",
            autocompletion=complete_from("conceptnet", "glotcc", "web"),
        ),
    ] = None,
    given_input: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Documents: a folder or file of text (.txt, .docx, .odt, .epub, .html, .srt, .vtt, .usfm) or tables (.parquet, .jsonl, .json, .csv, .tsv).",
            show_default="GlotCC-V1 on the Hub",
        ),
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option(
            help="What a document is in a text file: paragraphs | lines (for lists of sentences).",
            show_default="paragraphs",
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Revision of GlotCC-V1: commit, tag or branch.", show_default="main")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column with the text.", show_default="content, text or sentence")
    ] = None,
    url_column: Annotated[
        str | None, typer.Option(help="Column with the address.", show_default="warc-target-uri, else url")
    ] = None,
    lid: Annotated[
        str | None,
        typer.Option(
            help="Language identification: compact | glotlid | lid176 | FILE.bin | none", show_default="compact"
        ),
    ] = None,
    protect: Annotated[
        str | None,
        typer.Option(
            metavar="FILE,FILE", help="Files of benchmark text, one sentence per line: lines that match are dropped."
        ),
    ] = None,
    benchmarks: Annotated[
        bool | None,
        typer.Option(help="Remove text of FLORES-200 and SIB-200 (35 languages).", show_default="benchmarks"),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What a row of web text is: sentences | lines | documents.", show_default="lines")
    ] = None,
    handles: Annotated[
        bool | None, typer.Option("--handles", help="Replace handles in web text (@name) with <handle>.")
    ] = None,
    skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad", help="Skip document files that cannot be read.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that clean web text.", show_default="one per core")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(help="Bytes of memory for comparing the lines of web text.", show_default="500 MB")
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for intermediate files of web text.", show_default="in the cache")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Maximum bytes of web text per language.", show_default="1 GB")
    ] = None,
    dump: Annotated[
        str | None,
        typer.Option(help="Dump of ConceptNet 5.7: path or URL, .csv.gz or .csv.", show_default="the official address"),
    ] = None,
    dump_sha256: Annotated[str | None, typer.Option(help="Refuse the dump unless it has this SHA-256.")] = None,
    conceptnet_db: Annotated[Path | None, typer.Option(help="Read a conceptnet-lite database instead.")] = None,
    index: Annotated[Path | None, typer.Option(help="Read an existing index folder instead.")] = None,
    sample: Annotated[
        bool | None,
        typer.Option(
            "--sample",
            help="Read the built-in sample instead: Romanian; for conceptnet also bg and mt; glotcc is too small to train on.",
        ),
    ] = None,
    templates: Annotated[
        str | None, typer.Option(help="english | native | paper | FILE.toml", show_default="english")
    ] = None,
    edges: Annotated[
        str | None,
        typer.Option(
            help="Ends of an edge that must be in the language: any | start | target (both).",
            show_default="any; native and FILE.toml in the language: target; paper: start",
        ),
    ] = None,
    min_weight: Annotated[float | None, typer.Option(help="Drop edges below this weight.", show_default="0")] = None,
    scripts: Annotated[
        str | None,
        typer.Option(
            help="Scripts to keep, e.g. Latn,Cyrl. ConceptNet also takes any; web text takes only those listed for the language.",
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
    verdicts: Annotated[
        Path | None, typer.Option(help="File or folder with verdicts of speakers, by which lines are kept or dropped.")
    ] = None,
    max_rejected: Annotated[
        float | None, typer.Option(help="Share of bad lines at which to stop.", show_default="0.001")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The workspace: a folder, or s3://BUCKET/FOLDER.", show_default="lrl-workspace")
    ] = None,
    cache: Cache = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with settings named like these options, which override it.")
    ] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Show what would be read, downloaded and written.")
    ] = None,
    force: Annotated[
        bool | None, typer.Option("--force", "--overwrite", help="Build again even if nothing changed.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a dataset for each language, ready for `load_dataset`."""  # fmt: skip
    flags = typed_options(locals(), lists=("protect",), renamed={"given_input": "input"})
    from lrldata.api import build_datasets, load_settings
    from lrldata.errors import IncompleteError

    began = time.perf_counter()
    settings = load_settings(config, flags)
    if settings.dry_run:
        _show_plan(settings, as_json)
        return
    failure = None
    try:
        built = build_datasets(settings, out, Progress(quiet))
    except IncompleteError as error:
        built, failure = error.built, error
    _show_built(built, as_json, began)
    if failure:
        raise failure


def _show_plan(settings: "BuildConfig | WebConfig", as_json: bool) -> None:
    """Print the steps that a build would take."""
    from lrldata.cli import tables
    from lrldata.web.config import WebConfig

    if isinstance(settings, WebConfig):
        from lrldata.web.plan import plan_web

        steps = plan_web(settings)
    else:
        from lrldata.conceptnet.plan import plan

        steps = plan(settings)
    show_or_dump(as_json, {"plan": [vars(step) for step in steps]}, tables.plan(steps))


def _show_built(results: "list[Dataset]", as_json: bool, began: float) -> None:
    """Print the results of a build."""
    from lrldata.cli import tables

    records = [result.as_json() for result in results]
    seconds = round(time.perf_counter() - began, 3)
    single = records[0] | {"seconds": seconds} if records else {}
    if results:
        several = {"datasets": records, "seconds": seconds}
        show_or_dump(as_json, single if len(records) == 1 else several, tables.built(results))
    if not as_json:
        _note_inputs(results)
    if not as_json and results and all(result.status == "unchanged" for result in results):
        say("Unchanged: the same input and settings give the same bytes, so nothing was done.")


def _note_inputs(results: "list[Dataset]") -> None:
    """Print which files were skipped, and from which columns the text comes if there are several."""
    from lrldata.cli import tables

    for result in results:
        for name, reason in result.notes.get("skipped", {}).items():
            note(f"skipped: {name}: {reason}")
        if columns := result.notes.get("text_column"):
            note(tables.text_columns(columns))
