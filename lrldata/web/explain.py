"""The pipeline of `lrldata explain`: what the cleaning of web text would do with a text, line by line. IO: the text."""

import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.encoding import not_utf8
from lrldata.errors import InputError
from lrldata.langid import load_model
from lrldata.language import Language
from lrldata.ledger import WEB_REASONS
from lrldata.normalize import normalize
from lrldata.web import document_filters
from lrldata.web.clean import CleaningContext, clean
from lrldata.web.decontaminate import open_protected
from lrldata.web.inputs import is_packed, type_of
from lrldata.web.scripts import kin_of, written_in

STDIN = "-"
LONGEST = 16 << 20  # bytes of a text


@dataclass(frozen=True)
class Explained:
    """A line as it would come out, why it goes (None where it stays), and what it was taken for."""

    text: str
    reason: str | None
    why: str
    language: str | None
    probability: float


def find_text(given: str) -> str:
    """Return the text that is meant: of standard input (-), of the file of this path, or what is given itself.

    Raises InputError for one that is empty, not UTF-8 or too long, and for a path that is no file of text.
    """
    if given == STDIN:
        return _decoded(_standard_input(), "standard input")
    path = Path(given)
    try:
        is_path = bool(given.strip()) and path.exists()
    except (OSError, ValueError):  # too long for a path, or with a null
        is_path = False
    if not is_path:
        if not given.strip():
            raise InputError("The text is empty.", "Give a text, the path of a file, or - for standard input.")
        return given.replace("\\n", "\n")
    if not path.is_file():
        raise InputError(f"{path}: not a file.", "Name a file of plain text, or give a text.")
    if type_of(path.name) not in (None, "text") or is_packed(path.name):
        raise InputError(f"{path}: not plain text.", "Give a .txt file, or a text itself.")
    with path.open("rb") as stream:
        return _decoded(stream.read(LONGEST + 1), str(path))


def _standard_input() -> bytes:
    """Read standard input. Raises InputError where it is closed, or cannot be read."""
    if sys.stdin is None:
        raise InputError("Standard input is closed.", "Give a text, or the path of a file.")
    try:
        return sys.stdin.buffer.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"Standard input cannot be read ({error}).", "Give a text, or the path of a file.") from error


def _decoded(content: bytes, where: str) -> str:
    if len(content) > LONGEST:
        raise InputError(f"{where}: longer than {LONGEST >> 20} MiB.", "Give a part of it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what, hint = not_utf8(content, line)
        raise InputError(f"{where}: {what}.", hint) from error
    if not text.strip():
        raise InputError(f"{where}: holds no text.", "Give a text, the path of a file, or - for standard input.")
    return text


def explain(
    text: str,
    language: Language,
    lid: str = "compact",
    cache: Path | None = None,
    *,
    scripts: tuple[str, ...] | None = None,
) -> list[Explained]:
    """Say of each line of one document whether it would stay, and why not. Raises LrlError for a model that is none.

    `scripts` (ISO 15924) are those in which the language is kept, where they are not all of its own.
    """
    model, language = load_model(lid, cache), written_in(language, scripts)
    context = CleaningContext(
        language, model, open_protected(language, []), kin=kin_of(language, scripts, model.languages, model.name)
    )
    judged = clean(pl.DataFrame({"text": [normalize(text)]}), context)
    left = judged.filter(pl.col("reason").is_null())
    whole = (
        document_filters.judge(left.select("doc", "text"), language)["reason"]
        if len(left)
        else pl.Series([None], dtype=pl.String)
    )
    stays = pl.col("reason").is_null()
    first, folded = (
        pl.struct(key, stays).is_first_distinct() for key in (pl.col("text"), pl.col("text").str.to_lowercase())
    )
    judged = judged.with_columns(
        reason=pl.when(~stays)
        .then("reason")
        .when(~first)
        .then(pl.lit("exact_duplicate"))
        .when(~folded)
        .then(pl.lit("normalised_duplicate"))
        .otherwise(pl.lit(whole[0], pl.String))
    )
    found = model.predict(judged["text"].to_list())
    return [
        Explained(
            line,
            reason,
            WEB_REASONS[reason] if reason else "stays",
            next(iter(each.labels), None),
            next(iter(each.probabilities), 0.0),
        )
        for line, reason, each in zip(judged["text"], judged["reason"], found, strict=True)
    ]
