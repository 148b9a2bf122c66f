"""The page on which a speaker accepts, corrects or rejects the sentences of a template set, and saves it as TOML."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.conceptnet.relations import relations
from lrldata.conceptnet.template_sets import SLOTS, Case, Phrasebook, TemplateSet, built_in
from lrldata.conceptnet.verbalize import verbalize
from lrldata.dataset import open_dataset
from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.report.html import STYLE, asset, environment, policy

HOME = "lrldata.review"
FACTS = 3  # facts shown with each sentence
Fact = tuple[str, str]


def read_facts(folder: Path, language: Language) -> dict[str, list[Fact]]:
    """Return a few facts per relation of a ConceptNet dataset: those within the language first, then by weight.

    Raises InputError if the dataset is of another source or language.
    """
    manifest, rows = open_dataset(folder)
    if (manifest["source"], manifest["language"]["code"]) != ("conceptnet", language.code):
        raise InputError(
            f"{folder}: not a dataset of {language.name} from conceptnet.", "Use the dataset of this language."
        )
    both = pl.col("start_lang") == pl.col("end_lang")
    frame = rows.select("relation", "start", "end", "weight", both=both).unique(["relation", "start", "end"]).collect()
    chosen = frame.sort("both", "weight", "start", "end", descending=[True, True, False, False])
    facts: dict[str, list[Fact]] = {}
    for relation, start, end, *_ in chosen.group_by("relation", maintain_order=True).head(FACTS).iter_rows():
        facts.setdefault(relation, []).append((start, end))
    return facts


def templates_page(templates: TemplateSet, language: Language, facts: Mapping[str, Sequence[Fact]]) -> str:
    """Return the page: for each relation its sentences, filled with facts, and their meaning in English. Pure."""
    style, script = asset(STYLE) + asset("templates.css", HOME), asset("templates.js", HOME)
    english = built_in("english")
    questions = []
    for relation, about in relations().items():
        examples = list(facts.get(relation, [])) or [about.example]
        questions.append(
            {
                "relation": relation,
                "sentences": list(_sentences(templates, relation, examples)),
                "english": _fill(english, relation, english.relations[relation][0], examples),
                "means": about.direction,
                "real": bool(facts.get(relation)),
            }
        )
    reviewable = {"name", "relations", "start_is", "end_is", "reviewed", "reviewed_by", "reviewed_relations"}
    settings = templates.model_dump(mode="json", exclude=reviewable)
    reviewed = sorted(templates.relations) if templates.reviewed else templates.reviewed_relations
    data = {
        "header": {key: value for key, value in settings.items() if value not in (None, False)},
        "earlier": {"by": templates.reviewed_by, "relations": reviewed},
    }
    return (
        environment(HOME)
        .get_template("templates.html.jinja")
        .render(
            questions=questions, language=language, data=data, style=style, script=script, policy=policy(style, script)
        )
    )  # fmt: skip


def _sentences(templates: TemplateSet, relation: str, facts: Sequence[Fact]) -> Iterator[dict[str, Any]]:
    """Yield the sentences of a relation, and those for parts of speech, each with its table in the file."""
    tables: dict[str, tuple[Case | None, Mapping[str, tuple[str, ...]]]] = {"relations": (None, templates.relations)}
    tables |= {f"{slot}_is.{part}": ((slot, part), table) for (slot, part), table in templates.variants.items()}
    for name, (when, table) in tables.items():
        for sentence in table.get(relation, ()):
            yield {
                "table": name,
                "when": when,
                "text": sentence,
                "filled": _fill(templates, relation, sentence, facts),
                "direction": _direction(sentence),
            }


def _direction(sentence: str) -> str:
    """Return the direction of a sentence; its slots say nothing, although a browser would read their Latin letters."""
    words = SLOTS.sub(" ", sentence)
    return "rtl" if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in words) else "auto"


def _fill(templates: TemplateSet, relation: str, sentence: str, facts: Sequence[Fact]) -> list[str]:
    single = templates.model_copy(update={"relations": {relation: (sentence,)}, "start_is": {}, "end_is": {}})
    rows: list[dict[str, Any]] = [
        {
            "relation": relation,
            "start": start,
            "end": end,
            "pair_hash": 0,
            "start_node": "",
            "end_node": "",
            "turned": False,
        }
        for start, end in facts
    ]
    frame = pl.DataFrame(rows, schema_overrides={"pair_hash": pl.UInt64})
    return verbalize(frame, Phrasebook(single))["text"].to_list()
