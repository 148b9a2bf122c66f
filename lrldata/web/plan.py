"""What a build from documents would read and write, before it does. IO: looks at folders, and at the Hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from lrldata.errors import InputError, NothingError
from lrldata.language import Language, parse
from lrldata.manifest import DATASET, read_manifest
from lrldata.steps import Step
from lrldata.web.config import REPOSITORY, WebConfig
from lrldata.web.inputs import LEFT_OUT, TABLES, find_files, type_of
from lrldata.web.scripts import scripts_asked
from lrldata.web.shards import Shard, find_shards, shards_of
from lrldata.workspace import dataset_path


@dataclass(frozen=True)
class Found:
    """The shards of an input, of which commit of GlotCC-V1; which files cannot be read; and what is left out."""

    shards: list[Shard]
    revision: str | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    of_others: int = 0  # of what is left out, files in the folders of other languages

    def unexpected(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what is left out, unless that is nothing but folders of other languages: of a copy of GlotCC-V1."""
        beside = self.left_out.get("other_folder", {}).get("count") != self.of_others
        return {reason: what for reason, what in self.left_out.items() if reason != "other_folder" or beside}


def plan_web(config: WebConfig) -> list[Step]:
    """Say what `build_web` would read and write, without doing it. Raises LrlError."""
    planned, chosen = [], parse(config.lang)
    for language in chosen:
        scripts_asked(language, config.lang, config.scripts)
        try:
            found = look_for_input(config, language)
        except NothingError as error:
            if len(chosen) == 1:
                raise
            planned.append(Step("skip", language.name, None, error.message))
            continue
        where = f"{REPOSITORY} at {found.revision}" if found.revision else "here"
        planned += [Step("read", shard.name, shard.size, where) for shard in found.shards]
        planned += [Step("skip", name, None, why) for name, why in found.skipped.items()]
        for reason, what in found.left_out.items():
            planned += [Step("leave out", name, None, LEFT_OUT[reason]) for name in what["names"]]
            more = what["count"] - len(what["names"])
            planned += [Step("leave out", f"{more:,} more", None, LEFT_OUT[reason])] if more else []
        folder = folder_of(config, language)
        there = "replaces what is there, unless unchanged" if read_manifest(folder, DATASET) else "new"
        planned.append(Step("write", str(folder), None, there))
    return planned


def folder_of(config: WebConfig, language: Language) -> Path:
    """Return the dataset's folder in the workspace."""
    return config.out / dataset_path(language.code, config.source)


def find_input(config: WebConfig, language: Language) -> tuple[list[Shard], str | None]:
    """Return the shards that are to be read, and the commit of GlotCC-V1 where they are the Hub's. Raises LrlError."""
    found = look_for_input(config, language)
    return found.shards, found.revision


def look_for_input(config: WebConfig, language: Language) -> Found:
    """Return what is to be read, and what is not, and why. Raises LrlError."""
    if config.sample:
        if language.code != "ro":
            raise InputError("The built-in sample is in Romanian (ro).", "Use --lang ro --sample.")
        return Found(find_shards(Path(str(files("lrldata.web").joinpath("sample.jsonl"))), None))
    if config.input is None:
        from lrldata.web.hub import hub_shards  # noqa: PLC0415 -- slow

        shards, revision = hub_shards(language, config.revision)
        return Found(shards, revision)
    inputs = find_files(config.input, language.glotcc)
    if (config.text_column or config.url_column) and TABLES.isdisjoint(type_of(name) for name, _ in inputs.files):
        raise InputError(f"{config.input}: has no table.", "Leave out --text-column and --url-column.")
    shards, skipped = shards_of(inputs, skip_bad=config.skip_bad)
    return Found(shards, None, skipped, inputs.left_out(), inputs.of_others)
