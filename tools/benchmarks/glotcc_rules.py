"""Rules for bench_glotcc.py: what `clean` says of real pages with noise, and what the plain statement says of them."""

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
Judged = list[tuple[str, str | None]]  # lines in their order, each with the reason for which it goes


def compare(data: Path, languages: Sequence[Language], megabytes: float, targets: Targets) -> None:
    """Print on which share of documents the two agree: the same lines, for the same reasons."""
    print(
        "\n## Rules\n\nReal pages with planted noise, judged by the pipeline and by a plain statement of its rules"
        f" for lines\n({', '.join(glotcc_plain.REASONS)}). A document agrees\nwhere all its lines, as repaired and with"
        " personal data replaced, go or stay for the same reasons.\n"
    )
    table = Table(("language", "documents", "lines", "lines that go", "agreeing documents")).begin()
    agreeing = whole = 0
    differences: list[str] = []
    for place, language in enumerate(languages):
        other = languages[place - 1] if len(languages) > 1 else None
        foreign = [
            line
            for page in (pages(data, other, FOREIGN_MB * 1e6) if other else [])
            for line in page["text"].split("\n")
            if line.strip()
        ]
        texts = with_noise(pages(data, language, megabytes * 1e6 / len(languages)), foreign or ["\u4e00" * 30], seed=1)
        fast, plain = _judged_by_pipeline(texts, language), [_judged_plainly(text, language) for text in texts]
        equal = [one == two for one, two in zip(fast, plain, strict=True)]
        for one, two, same in zip(fast, plain, equal, strict=True):
            differences += [] if same else [_difference(one, two)]
        gone = Counter(reason is not None for judged in plain for _, reason in judged)
        table.row(language.code, len(texts), gone.total(), gone[True], f"{sum(equal) / len(equal):.2%}")
        agreeing, whole = agreeing + sum(equal), whole + len(equal)
    for difference in differences[:SHOWN]:
        print(f"\n{difference}")
    targets.at_least("rules: agreeing documents", 100 * agreeing / whole, 99.9, " %")


def _judged_by_pipeline(texts: Sequence[str], language: Language) -> list[Judged]:
    """Return for each text its lines as `clean` judges them; reasons that the plain statement has not count as none."""
    judged = clean(pl.DataFrame({"text": list(texts)}), CleaningContext(language, load_model()))
    found: Mapping[int, Judged] = defaultdict(list)
    for doc, text, reason in judged.select("doc", "text", "reason").iter_rows():
        found[doc].append((text, reason if reason in glotcc_plain.REASONS else None))
    return [found[number] for number in range(len(texts))]


def _judged_plainly(text: str, language: Language) -> Judged:
    repaired = glotcc_plain.repair(text, main_script(language), language.code)
    lines = [glotcc_plain.replace(line, language.code) for each in repaired.split("\n") if (line := each.strip())]
    return [(line, glotcc_plain.line_reason(line, rules(), language.scripts, language.code)) for line in lines]


def _difference(fast: Judged, plain: Judged) -> str:
    """Say where two judgements of a document part."""
    for one, two in zip(fast, plain, strict=False):
        if one != two:
            return f"pipeline: {one[1]}, {one[0][:120]!r}\nplain: {two[1]}, {two[0][:120]!r}"
    return f"pipeline: {len(fast)} lines; plain: {len(plain)} lines"
