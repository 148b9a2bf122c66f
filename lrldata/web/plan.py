"""The plan of a build from documents: what it would read and write. IO: looks at folders and at the Hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from lrldata.errors import InputError, NoDataError
from lrldata.language import Language, parse
from lrldata.layout import dataset_path
from lrldata.manifest import DATASET, read_manifest
from lrldata.steps import Step
from lrldata.web.config import REPOSITORY, WebConfig
from lrldata.web.inputs import LEFT_OUT, TABLES, find_files, type_of
from lrldata.web.scripts import requested_scripts
from lrldata.web.shards import Shard, find_shards, shards_of


@dataclass(frozen=True)
class BuildInput:
    """An input's shards, the GlotCC-V1 commit they come from, the unreadable files, and the files left out."""

    shards: list[Shard]
    revision: str | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    other_language_files: int = 0  # how many files left out are in the folders of other languages

    def unexpected(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what is left out, except for the other languages' folders in a copy of GlotCC-V1."""
        has_other_files = self.left_out.get("other_folder", {}).get("count") != self.other_language_files
        return {reason: entry for reason, entry in self.left_out.items() if reason != "other_folder" or has_other_files}


def plan_web(config: WebConfig) -> list[Step]:
    """List what `build_web` would read and write, without doing it. Raises LrlError."""
    steps, requested = [], parse(config.lang)
    for language in requested:
        requested_scripts(language, config.lang, config.scripts)
        try:
            inputs = resolve_input(config, language)
        except NoDataError as error:
            if len(requested) == 1:
                raise
            steps.append(Step("skip", language.name, None, error.message))
            continue
        source = f"{REPOSITORY} at {inputs.revision}" if inputs.revision else "here"
        steps += [Step("read", shard.name, shard.size, source) for shard in inputs.shards]
        steps += [Step("skip", name, None, reason_text) for name, reason_text in inputs.skipped.items()]
        for reason, entry in inputs.left_out.items():
            steps += [Step("leave out", name, None, LEFT_OUT[reason]) for name in entry["names"]]
            more = entry["count"] - len(entry["names"])
            steps += [Step("leave out", f"{more:,} more", None, LEFT_OUT[reason])] if more else []
        folder = folder_of(config, language)
        effect = "replaces the dataset there unless it is unchanged" if read_manifest(folder, DATASET) else "new"
        steps.append(Step("write", str(folder), None, effect))
    return steps


def folder_of(config: WebConfig, language: Language) -> Path:
    """Return the folder of a language's dataset in the workspace."""
    return config.out / dataset_path(language.code, config.source)


def find_input(config: WebConfig, language: Language) -> tuple[list[Shard], str | None]:
    """Return the shards to read, and the commit of GlotCC-V1 if they are on the Hub. Raises LrlError."""
    inputs = resolve_input(config, language)
    return inputs.shards, inputs.revision


def resolve_input(config: WebConfig, language: Language) -> BuildInput:
    """Return the files to read, and those to leave out, with reasons. Raises LrlError."""
    if config.sample:
        if language.code != "ro":
            raise InputError("The built-in sample is in Romanian (ro).", "Use --lang ro --sample.")
        return BuildInput(find_shards(Path(str(files("lrldata.web").joinpath("sample.jsonl"))), None))
    if config.input is None:
        from lrldata.web.hub import hub_shards  # noqa: PLC0415 -- slow

        shards, revision = hub_shards(language, config.revision)
        return BuildInput(shards, revision)
    inputs = find_files(config.input, language.glotcc, filter(None, (config.cache, config.scratch)))
    if (config.text_column or config.url_column) and TABLES.isdisjoint(type_of(name) for name, _ in inputs.files):
        raise InputError(f"{config.input}: has no table.", "Leave out --text-column and --url-column.")
    shards, skipped = shards_of(inputs, config.cache, skip_bad=config.skip_bad)
    return BuildInput(shards, None, skipped, inputs.left_out(), inputs.other_language_files)
