"""The commands `lrldata review` and `lrldata thresholds`."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrldata.cli.run import show_or_dump
from lrldata.errors import UsageError
from lrldata.output import say

if TYPE_CHECKING:  # what they need is slow to import
    from lrldata.review.frame import Frame
    from lrldata.review.suggest import Suggestion

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Folder = Annotated[Path, typer.Argument(help="A dataset folder, or a workspace with --lang and --source.")]
Lang = Annotated[str | None, typer.Option(help="Language of the dataset in a workspace.")]
Source = Annotated[str | None, typer.Option(help="Source of the dataset in a workspace.")]
thresholds_app = typer.Typer(help="The numbers of the rules for web text.", no_args_is_help=True)


def review_command(
    folder: Folder,
    lang: Lang = None,
    source: Source = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of this machine.", show_default="8710")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Write a page that works from a file, instead of serving.")] = None,
    merge: Annotated[
        list[Path] | None, typer.Option(help="Add the verdicts of a file; may be repeated for several.")
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Language of the page (en, ro), or FILE.toml with its words.", show_default="en")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let speakers judge lines in a browser; nothing leaves this machine."""
    from lrldata.language import language_name
    from lrldata.manifest import write_text
    from lrldata.review.frame import frame_of
    from lrldata.review.page import read_words, review_page

    home = dataset_folder(folder, lang, source)
    chosen = read_words(words)
    if merge:
        _merge(home, merge, as_json=as_json)
        return
    frame = frame_of(home)
    if file is None:
        _serve(home, frame, chosen, port)
        return
    if file.resolve().is_relative_to(home):
        raise UsageError(f"{file}: lies in the dataset's folder.", "Name a file outside of it.")
    write_text(file, review_page(frame, chosen, language_name(frame.language), alone=True))
    show_or_dump(
        as_json,
        {"path": str(file), "lines": len(frame.lines)},
        f"{file}: {len(frame.lines):,} lines; it works in any browser, also on a phone, without a network.",
        "What it saves is added with `lrldata review FOLDER --merge FILE`.",
    )


def _serve(home: Path, frame: "Frame", words: dict[str, object], port: int | None) -> None:
    from lrldata.language import language_name
    from lrldata.review.server import PORT, Review, application, new_key, serve

    key = new_key()
    app = application(Review(home, frame), words, language_name(frame.language), key)

    def tell(address: str) -> None:
        say(f"Open {address} in a browser on this machine. Ctrl+C ends it; every verdict is saved as it is given.")

    with suppress(KeyboardInterrupt):
        asyncio.run(serve(app, PORT if port is None else port, key, tell))


def _merge(home: Path, files: list[Path], *, as_json: bool) -> None:
    from lrldata.cli import tables
    from lrldata.language import language_name
    from lrldata.review.frame import frame_of
    from lrldata.review.summary import summary_of
    from lrldata.review.verdicts import append, check_same, read_given
    from lrldata.review.wording import agreement, headline

    frame = frame_of(home)
    known = {each.line for each in frame.lines}
    read = {path: read_given(path) for path in files}
    for path, verdicts in read.items():
        check_same(verdicts, frame.language, frame.source, str(path))
    counts = {}
    for path, verdicts in read.items():  # all were read, so that a bad file adds nothing of the others
        added = append(home, verdicts)
        counts[str(path)] = {
            "verdicts": len(verdicts),
            "added": added,
            "there_before": len(verdicts) - added,
            "lines_unknown": len({each.line for each in verdicts} - known),
        }
    table = tables.table(
        "Merged", "file", "verdicts", "added", "there before", "not on a line of this version", numbers=()
    )
    for name, each in counts.items():
        table.add_row(name, *(f"{value:,}" for value in each.values()))
    summary = summary_of(home)
    sentences = [headline(summary, language_name(frame.language)), agreement(summary)] if summary else []
    show_or_dump(as_json, {"files": counts, "speakers": summary}, table, *filter(None, sentences))


def dataset_folder(folder: Path, lang: str | None, source: str | None) -> Path:
    """Return the dataset's folder that is meant. Raises UsageError where it is not one alone."""
    from lrldata.manifest import DATASET, MANIFEST, kind_of
    from lrldata.workspace import codes_asked, finished

    if (folder / MANIFEST).is_file():
        if kind_of(folder) != DATASET:
            raise UsageError(f"{folder}: not a dataset.", "Name a folder below WORKSPACE/datasets.")
        return folder.resolve()
    codes = codes_asked(lang, folder) if lang else None
    found = [
        path
        for path in finished(folder, DATASET)
        if (codes is None or path.parent.name in codes) and (source is None or path.name == source)
    ]
    if len(found) == 1:
        return found[0].resolve()
    if not found:
        raise UsageError(f"{folder}: no such dataset in this workspace.", "`lrldata build` makes one.")
    named = ", ".join(f"--lang {path.parent.name} --source {path.name}" for path in found[:5])
    raise UsageError(f"{folder}: has {len(found)} datasets.", f"Say which: {named}.")


@thresholds_app.command("suggest")
def thresholds_suggest(
    folder: Folder,
    lang: Lang = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Say which thresholds would fit the verdicts of speakers better, and what they would cost."""
    from lrldata.cli import tables
    from lrldata.review.suggest import suggest

    found = suggest(dataset_folder(folder, lang, source))
    table = tables.table(
        "Thresholds", "rule", "now", "better", "good lines lost", "bad lines kept", "verdicts", numbers=()
    )
    for each in found:
        table.add_row(
            each.rule,
            f"{each.now:g}",
            "as it is" if each.better == each.now else f"{each.better:g}",
            _change(each.good_lost_now, each.good_lost),
            _change(each.bad_kept_now, each.bad_kept),
            f"{each.verdicts:,}",
        )
    show_or_dump(as_json, {"thresholds": [vars(each) for each in found]}, table, *_advice(found))


def _change(now: float, then: float) -> str:
    return f"{now:,.0f}" if round(now) == round(then) else f"{now:,.0f} -> {then:,.0f}"


def _advice(found: list["Suggestion"]) -> list[str]:
    if not found:
        return ["No threshold has lines that speakers judged: `lrldata review` first."]
    return [
        "Numbers of lines are estimates, by the strata that the judged lines stand for. The rules are in rules.toml."
    ]
