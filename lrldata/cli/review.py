"""The commands `lrldata review` and `lrldata thresholds`."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.errors import UsageError
from lrldata.output import say

if TYPE_CHECKING:  # slow to import
    from lrldata.review.frame import Frame
    from lrldata.review.suggest import Suggestion

Folder = Annotated[Path, typer.Argument(help="A dataset folder, or a workspace with --lang and --source.")]
Lang = Annotated[str | None, typer.Option(help="Language of the dataset in a workspace.")]
Source = Annotated[str | None, typer.Option(help="Source of the dataset in a workspace.")]
thresholds_app = typer.Typer(help="The thresholds of the rules for web text.", no_args_is_help=True)


def review_command(
    folder: Folder,
    lang: Lang = None,
    source: Source = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to serve on.", show_default="8710")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Write a standalone page to this file instead of serving one.")
    ] = None,
    merge: Annotated[
        list[Path] | None, typer.Option(help="Add the verdicts of a file; may be given several times.")
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(help="Language of the page (en, ro), or FILE.toml with a translation.", show_default="en"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let speakers judge lines in a browser; nothing leaves this machine."""
    from lrldata.language import language_name
    from lrldata.manifest import write_text
    from lrldata.review.frame import frame_of
    from lrldata.review.page import read_words, review_page

    dataset = dataset_folder(folder, lang, source)
    wording = read_words(words)
    if merge:
        _merge(dataset, merge, as_json=as_json)
        return
    frame = frame_of(dataset)
    if file is None:
        _serve(dataset, frame, wording, port)
        return
    if file.resolve().is_relative_to(dataset):
        raise UsageError(f"{file}: this is inside the dataset's folder.", "Choose a file outside it.")
    write_text(file, review_page(frame, wording, language_name(frame.language), alone=True))
    show_or_dump(
        as_json,
        {"path": str(file), "lines": len(frame.lines)},
        f"{file}: {len(frame.lines):,} lines; it works offline in any browser, also on a phone.",
        "Add what it saves with `lrldata review FOLDER --merge FILE`.",
    )


def _serve(dataset: Path, frame: "Frame", words: dict[str, object], port: int | None) -> None:
    from lrldata.language import language_name
    from lrldata.review.server import PORT, Review, application, new_key, serve

    key = new_key()
    app = application(Review(dataset, frame), words, language_name(frame.language), key)

    def tell(address: str) -> None:
        say(f"Open {address} in a browser on this machine. Press Ctrl+C to stop; every verdict is saved at once.")

    with suppress(KeyboardInterrupt):
        asyncio.run(serve(app, PORT if port is None else port, key, tell))


def _merge(dataset: Path, files: list[Path], *, as_json: bool) -> None:
    from lrldata.cli import tables
    from lrldata.language import language_name
    from lrldata.ledger import judged_unit_of
    from lrldata.manifest import DATASET, load_manifest
    from lrldata.review.frame import frame_of
    from lrldata.review.summary import summary_of
    from lrldata.review.verdicts import append, check_same, read_verdicts_at
    from lrldata.review.wording import agreement, headline

    frame = frame_of(dataset)
    lines = {entry.line for entry in frame.lines}
    verdicts_by_file = {path: read_verdicts_at(path) for path in files}
    for path, verdicts in verdicts_by_file.items():
        check_same(verdicts, frame.language, frame.source, str(path))
    counts = {}
    for path, verdicts in verdicts_by_file.items():  # all files are read first: if one is bad, nothing is added
        added = append(dataset, verdicts)
        counts[str(path)] = {
            "verdicts": len(verdicts),
            "added": added,
            "there_before": len(verdicts) - added,
            "lines_unknown": len({entry.line for entry in verdicts} - lines),
        }
    table = tables.table(
        "Merged", "file", "verdicts", "added", "already there", "not on a line of this version", numbers=()
    )
    for name, entry in counts.items():
        table.add_row(name, *(f"{value:,}" for value in entry.values()))
    summary = summary_of(dataset)
    unit = judged_unit_of(load_manifest(dataset, DATASET))
    sentences = [headline(summary, language_name(frame.language), unit), agreement(summary)] if summary else []
    show_or_dump(as_json, {"files": counts, "speakers": summary}, table, *filter(None, sentences))


def dataset_folder(folder: Path, lang: str | None, source: str | None) -> Path:
    """Return the folder of the requested dataset. Raises UsageError unless exactly one matches."""
    from lrldata.layout import finished
    from lrldata.manifest import DATASET, MANIFEST, kind_of
    from lrldata.workspace import requested_codes

    if (folder / MANIFEST).is_file():
        if kind_of(folder) != DATASET:
            raise UsageError(f"{folder}: not a dataset.", "Give a folder below WORKSPACE/datasets.")
        return folder.resolve()
    codes = requested_codes(lang, folder) if lang else None
    matches = [
        path
        for path in finished(folder, DATASET)
        if (codes is None or path.parent.name in codes) and (source is None or path.name == source)
    ]
    if len(matches) == 1:
        return matches[0].resolve()
    if not matches:
        raise UsageError(f"{folder}: no such dataset in this workspace.", "Create it with `lrldata build`.")
    choices = ", ".join(f"--lang {path.parent.name} --source {path.name}" for path in matches[:5])
    raise UsageError(f"{folder}: there are {len(matches)} datasets.", f"Choose one: {choices}.")


@thresholds_app.command("suggest")
def thresholds_suggest(
    folder: Folder,
    lang: Lang = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Suggest thresholds that fit the verdicts of speakers better, and show what they would cost."""
    from lrldata.cli import tables
    from lrldata.review.suggest import suggest

    suggestions = suggest(dataset_folder(folder, lang, source))
    table = tables.table(
        "Thresholds", "rule", "now", "better", "good lines lost", "bad lines kept", "verdicts", numbers=()
    )
    for suggestion in suggestions:
        table.add_row(
            suggestion.rule,
            f"{suggestion.now:g}",
            "unchanged" if suggestion.better == suggestion.now else f"{suggestion.better:g}",
            _change(suggestion.good_lost_now, suggestion.good_lost),
            _change(suggestion.bad_kept_now, suggestion.bad_kept),
            f"{suggestion.verdicts:,}",
        )
    show_or_dump(
        as_json, {"thresholds": [vars(suggestion) for suggestion in suggestions]}, table, *_advice(suggestions)
    )


def _change(now: float, better: float) -> str:
    return f"{now:,.0f}" if round(now) == round(better) else f"{now:,.0f} -> {better:,.0f}"


def _advice(suggestions: list["Suggestion"]) -> list[str]:
    if not suggestions:
        return ["Speakers have judged no lines that a threshold decides. Run `lrldata review` first."]
    return ["Line counts are estimates, weighted by the strata of the judged lines. The rules are in rules.toml."]
