"""The page on which speakers judge lines, for the server or as a standalone file. Pure, apart from its templates."""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from lrldata.errors import UsageError
from lrldata.report.html import STYLE, asset, environment, policy
from lrldata.review.frame import Frame
from lrldata.review.sampling import OpenStratum, Queue

HOME = "lrldata.review"
Words = dict[str, Any]


@cache
def english() -> Words:
    """Return the words of the page in English."""
    return tomllib.loads(files(HOME).joinpath("words/en.toml").read_text("utf-8"))


def translations() -> list[str]:
    """Return the names of the languages that the page is available in."""
    return sorted(file.name.removesuffix(".toml") for file in files(HOME).joinpath("words").iterdir())


def read_words(named: str | None) -> Words:
    """Return the words of the page, of a built-in language or from a file. Raises UsageError.

    Words that a file lacks stay English. Names that the page does not have are errors, because they would be ignored.
    """
    if named is None:
        return english()
    file = Path(named) if named.endswith(".toml") else files(HOME).joinpath("words", f"{named}.toml")
    if not file.is_file() or (not named.endswith(".toml") and named not in translations()):
        raise UsageError(f"--words {named}: no such file or language.", f"Built in: {', '.join(translations())}.")
    try:
        values = tomllib.loads(file.read_text("utf-8-sig"))
        checked = _model()(**values)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{named}: not a TOML file: {error}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(
            f"{named}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}.", "words/en.toml lists the valid names."
        ) from error
    return checked.model_dump()


@cache
def _model() -> type[BaseModel]:
    """Return a model of the words that has the English ones as defaults."""
    strict = ConfigDict(extra="forbid", strict=True)
    letters = english()["letters"]
    keys: dict[str, Any] = {name: (str, letter) for name, letter in letters.items()}
    inner: Any = create_model("Letters", __config__=strict, **keys)
    fields: dict[str, Any] = {name: (str, word) for name, word in english().items() if name != "letters"}
    return create_model("Words", __config__=strict, letters=(inner, inner()), **fields)


def review_page(
    frame: Frame, words: Words, language: str, *, reviewers: Sequence[str] = (), alone: bool = False
) -> str:
    """Return the page. If `alone`, it contains the lines and saves a file; otherwise it asks the server it comes from.

    The page does not contain what the program decided about the lines.
    """
    filled = {name: word.replace("{language}", language) for name, word in words.items() if isinstance(word, str)} | {
        "letters": words["letters"]
    }
    style, script = asset(STYLE) + asset("review.css", HOME), asset("review.js", HOME)
    connect = "" if alone else "; connect-src 'self'"
    about = {
        "format": "lrl-verdict-1",
        "language": frame.language,
        "source": frame.source,
        "version": frame.version,
        "recipe": frame.recipe,
    }
    texts = {offered.line: offered.text for offered in frame.lines}
    return (
        environment(HOME)
        .get_template("review.html.jinja")
        .render(
            words=filled,
            kind=frame.kind,
            language=language,
            code=frame.language.replace("_", "-"),
            reviewers=reviewers,
            alone=alone,
            data={
                "words": filled,
                "about": about,
                "lines": [[line, texts[line]] for line in order(frame)] if alone else None,
            },
            style=style,
            script=script,
            policy=policy(style, script) + connect,
        )
    )


def queue_of(frame: Frame) -> Queue:
    """Return the queue of a frame, without verdicts."""
    return Queue(
        OpenStratum(about.group, about.size, [offered.line for offered in frame.lines if offered.stratum == number])
        for number, about in enumerate(frame.strata)
    )


def order(frame: Frame) -> list[str]:
    """Return the lines in the order in which they are asked about if the verdicts are not known."""
    queue = queue_of(frame)
    ordered: list[str] = []
    while (line := queue.next("")) is not None:
        queue.put(line, "", len(ordered) % 2 == 0)
        ordered.append(line)
    return ordered
