"""Rules part of bench_glotcc.py: compare `clean` on real pages with added noise with a reference implementation."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import glotcc_plain
import polars as pl
from glotcc_inputs import pages, with_noise
from glotcc_table import Table, Targets

from lrldata.langid import load_model
from lrldata.language import Language
from lrldata.web.clean import CleaningContext, clean, rules
from lrldata.web.repair import main_script

FOREIGN_MB = 0.3
SHOWN = 5  # differences
Judged = list[tuple[str, str | None]]  # lines in order, each with the reason for dropping it or None


def compare(data: Path, languages: Sequence[Language], megabytes: float, targets: Targets) -> None:
    """Print the share of documents in which both drop the same lines for the same reasons."""
    print(
        "\n## Rules\n\nReal pages with added noise, judged by the pipeline and by a reference implementation of its"
        f" line rules\n({', '.join(glotcc_plain.REASONS)}). A document agrees\nif both give all its lines, repaired and"
        " with personal data replaced, the same reasons.\n"
    )
    table = Table(("language", "documents", "lines", "dropped lines", "agreeing documents")).begin()
    agreeing_documents = documents = 0
    differences: list[str] = []
    for index, language in enumerate(languages):
        other = languages[index - 1] if len(languages) > 1 else None
        foreign = [
            line
            for page in (pages(data, other, FOREIGN_MB * 1e6) if other else [])
            for line in page["text"].split("\n")
            if line.strip()
        ]
        texts = with_noise(pages(data, language, megabytes * 1e6 / len(languages)), foreign or ["\u4e00" * 30], seed=1)
        pipeline, reference = (
            _judged_by_pipeline(texts, language),
            [_judged_by_reference(text, language) for text in texts],
        )
        equal = [judged == expected for judged, expected in zip(pipeline, reference, strict=True)]
        for judged, expected, agrees in zip(pipeline, reference, equal, strict=True):
            differences += [] if agrees else [_difference(judged, expected)]
        dropped = Counter(reason is not None for document in reference for _, reason in document)
        table.row(language.code, len(texts), dropped.total(), dropped[True], f"{sum(equal) / len(equal):.2%}")
        agreeing_documents, documents = agreeing_documents + sum(equal), documents + len(equal)
    for difference in differences[:SHOWN]:
        print(f"\n{difference}")
    targets.at_least("rules: agreeing documents", 100 * agreeing_documents / documents, 99.9, " %")


def _judged_by_pipeline(texts: Sequence[str], language: Language) -> list[Judged]:
    """Return the lines of each text with `clean`'s reasons; reasons without a reference implementation become None."""
    judged = clean(pl.DataFrame({"text": list(texts)}), CleaningContext(language, load_model()))
    judged_lines: Mapping[int, Judged] = defaultdict(list)
    for doc, text, reason in judged.select("doc", "text", "reason").iter_rows():
        judged_lines[doc].append((text, reason if reason in glotcc_plain.REASONS else None))
    return [judged_lines[number] for number in range(len(texts))]


def _judged_by_reference(text: str, language: Language) -> Judged:
    repaired = glotcc_plain.repair(text, main_script(language), language.code)
    lines = [glotcc_plain.replace(line, language.code) for part in repaired.split("\n") if (line := part.strip())]
    return [(line, glotcc_plain.line_reason(line, rules(), language.scripts, language.code)) for line in lines]


def _difference(pipeline: Judged, reference: Judged) -> str:
    """Describe the first line on which two judgements of a document differ."""
    for judged, expected in zip(pipeline, reference, strict=False):
        if judged != expected:
            return f"pipeline: {judged[1]}, {judged[0][:120]!r}\nreference: {expected[1]}, {expected[0][:120]!r}"
    return f"pipeline: {len(pipeline)} lines; reference: {len(reference)} lines"
