"""The pipeline of `lrldata explain`: what cleaning would do with a text, line by line. IO: reads the text."""

import sys
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Literal, cast

import polars as pl

from lrldata.encoding import undecodable
from lrldata.errors import InputError, UsageError
from lrldata.langid import NO_MODEL, Prediction, load_model
from lrldata.language import Language
from lrldata.ledger import WEB_REASONS
from lrldata.normalize import lowered, normalize
from lrldata.split import content_hash
from lrldata.web import document_filters
from lrldata.web.clean import CleaningContext, clean, rules
from lrldata.web.decontaminate import open_protected
from lrldata.web.inputs import is_packed, type_of
from lrldata.web.plain import LINE, paragraphs
from lrldata.web.scripts import check_known, kin_of, restrict_scripts
from lrldata.web.shards import Columns, Shard

Documents = Literal["page", "paragraphs", "lines"]
STDIN = "-"
LONGEST = 16 << 20  # bytes of a text


@dataclass(frozen=True)
class ExplainedLine:
    """A line as cleaning would write it, why it is dropped (None if it is kept), and its identified language."""

    text: str
    reason: str | None
    why: str
    language: str | None
    probability: float


def as_documents(name: str) -> Documents:
    """Return a value of --documents, checked. Raises UsageError if it is unknown."""
    if name not in ("page", "paragraphs", "lines"):
        raise UsageError(f"--documents {name}: not known.", "Use page, paragraphs or lines.")
    return cast("Documents", name)


def is_path(value: str) -> bool:
    """Return whether `value` is the path of something that exists."""
    try:
        return value != STDIN and bool(value.strip()) and Path(value).exists()
    except (OSError, ValueError):  # too long for a path, or contains a null character
        return False


def find_text(value: str) -> str:
    r"""Return the text that `value` means: standard input (-), the content of the file at this path, or itself.

    In a text that is given directly, `\n` stands for a line end. Raises InputError if the text is empty, not UTF-8 or
    too long, or if the path is not that of a text file.
    """
    if value == STDIN:
        return _decoded(_standard_input(), "standard input")
    path = Path(value)
    if not is_path(value):
        if not value.strip():
            raise InputError("The text is empty.", "Give a text, the path of a file, or - for standard input.")
        if _looks_like_path(value):
            raise InputError(
                f"{value}: no such file.", "Check the path. To explain a text of one word, pipe it in and use -."
            )
        return value.replace("\\n", "\n")
    if not path.is_file():
        raise InputError(f"{path}: not a file.", "Give a plain text file, or a text.")
    if type_of(path.name) not in (None, "text") or is_packed(path.name):
        raise InputError(
            f"{path}: not plain text.", "Give a .txt file, or a text. Only a build reads documents and tables."
        )
    with path.open("rb") as stream:
        return _decoded(stream.read(LONGEST + 1), str(path))


def _looks_like_path(value: str) -> bool:
    """Return whether a text is certainly meant as a path: one word that ends like the name of a readable file."""
    return not any(letter.isspace() for letter in value) and type_of(Path(value).name) is not None


def _standard_input() -> bytes:
    """Read standard input. Raises InputError if it is closed or cannot be read."""
    if sys.stdin is None:
        raise InputError("Standard input is closed.", "Give a text, or the path of a file.")
    try:
        return sys.stdin.buffer.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"Standard input cannot be read ({error}).", "Give a text, or the path of a file.") from error


def _decoded(content: bytes, source: str) -> str:
    if len(content) > LONGEST:
        raise InputError(f"{source}: longer than {LONGEST >> 20} MiB.", "Give a part of it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise undecodable(source, BytesIO(content)) from error
    if not text.strip():
        raise InputError(f"{source}: holds no text.", "Give a text, the path of a file, or - for standard input.")
    return text


def explain(
    text: str,
    language: Language,
    lid: str = "compact",
    cache: Path | None = None,
    *,
    scripts: tuple[str, ...] | None = None,
    documents: Documents = "page",
    name: str = "the text",
) -> list[ExplainedLine]:
    """Say for each line of a text whether it would be kept, and if not, why.

    `scripts` (ISO 15924) are the scripts in which the language is kept, if not all of its own. `documents` says what
    counts as a document: the whole text, like a web page, or each paragraph or each line, as in a text file. `name` is
    what messages call the text. Raises LrlError if the model is invalid or does not know the language.
    """
    model, language = None if lid == NO_MODEL else load_model(lid, cache), restrict_scripts(language, scripts)
    kin = kin_of(language, scripts, model.languages, model.name) if model else frozenset[str]()
    if model:
        check_known(language, model, kin)
    context = CleaningContext(language, model, open_protected(language, []), kin=kin, alone=documents == "lines")
    frame = pl.DataFrame({"text": _documents(normalize(text), documents, name)}, schema={"text": pl.String})
    if not frame["text"].str.contains(r"\S").any():
        raise InputError("The text is empty.", "Give a text, the path of a file, or - for standard input.")
    judged = clean(frame, context).with_row_index("line")
    reasons = _reasons(judged, language, sentences=documents == "lines")
    # Of the beginning of a line, as when its language is judged.
    beginnings = judged["text"].str.head(rules()["identified"]).to_list()
    predictions = model.predict(beginnings) if model else [Prediction((), ())] * len(judged)
    return [
        ExplainedLine(
            line,
            reason,
            WEB_REASONS[reason] if reason else "kept",
            next(iter(prediction.labels), None),
            next(iter(prediction.probabilities), 0.0),
        )
        for line, reason, prediction in zip(judged["text"], reasons, predictions, strict=True)
    ]


def _reasons(judged: pl.DataFrame, language: Language, *, sentences: bool) -> pl.Series:
    """Return why each line is dropped: by itself, as part of pages, with its document, as a duplicate; null if kept.

    As in a build, lines are duplicates only of those in kept documents, and documents without their duplicates are
    judged again. Near-duplicates are not looked for.
    """
    lower = pl.col("text").map_batches(lowered)
    remaining = judged.filter(pl.col("reason").is_null()).select("line", "doc", "text", lower=lower)
    is_repeated = pl.lit(value=False) if sentences else pl.col("doc").n_unique().over("lower") >= rules()["repeated_in"]
    remaining = remaining.with_columns(repeated=pl.when(is_repeated).then(pl.lit("repeated_line")))
    candidates = remaining.filter(pl.col("repeated").is_null())
    reasons = _drop_reasons(candidates, language, sentences=sentences)
    in_kept = candidates.join(reasons, on="doc", how="left", maintain_order="left").filter(pl.col("dropped").is_null())
    documents = in_kept.group_by("doc", maintain_order=True).agg(pl.col("text").str.join("\n"))
    orders = documents.select("doc", order=content_hash(documents["text"]))
    again = (
        in_kept.join(orders, on="doc")
        .sort("order", "line")
        .with_columns(
            again=pl.when(pl.col("lower").is_first_distinct())
            .then(None)
            .when(pl.col("text") == pl.col("text").first().over("lower"))
            .then(pl.lit("exact_duplicate"))
            .otherwise(pl.lit("normalised_duplicate")),
        )
    )
    settled = _drop_reasons(again.filter(pl.col("again").is_null()), language, sentences=sentences)
    tables = ((remaining.select("line", "repeated"), "line"), (reasons, "doc"), (again.select("line", "again"), "line"))
    for table, key in (*tables, (settled.rename({"dropped": "settled"}), "doc")):
        judged = judged.join(table, on=key, how="left", maintain_order="left")
    return judged.select(pl.coalesce("reason", "repeated", "dropped", "again", "settled")).to_series()


def _drop_reasons(lines: pl.DataFrame, language: Language, *, sentences: bool) -> pl.DataFrame:
    """Return why each document with these lines is dropped, as `doc` and `dropped`."""
    if lines.is_empty():
        return pl.DataFrame(schema={"doc": lines.schema["doc"], "dropped": pl.String})
    judged = document_filters.judge(lines.select("doc", "text"), language, sentences=sentences)
    return judged.select("doc", dropped="reason")


def _documents(text: str, documents: Documents, name: str) -> list[str]:
    """Split a text into documents, as a build splits a text file. Raises InputError if it is a table."""
    if documents == "page":
        return [text]
    shard = Shard("text", name, len(text), "", lambda: BytesIO(text.encode()))
    cut = paragraphs(shard, LINE.findall(text), Columns(lines=documents == "lines"))
    return list(chain.from_iterable(cut))
