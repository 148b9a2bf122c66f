"""What a model is told: templates as data, checked, and filled in."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lrldata.errors import UsageError
from lrldata.settings import check, read_toml
from lrltrain.evaluation.items import LABELS
from lrltrain.prompting.examples import Example

_MAY = {"instruction": {"language", "labels"}, "question": {"language", "labels", "text"}, "answer": {"label"}}
_MUST = {"instruction": set(), "question": {"text"}, "answer": {"label"}}
BETWEEN = "\n\n"  # of instruction and examples


class Template(BaseModel):
    """Texts with placeholders, and the words for each label: first the one that is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    instruction: str
    question: str
    answer: str
    labels: dict[str, list[str]]

    @cached_property
    def words(self) -> dict[str, str]:
        """Return the word that is asked for, by label, in the order in which they are named."""
        return {label: words[0] for label, words in self.labels.items()}

    def for_labels(self, own: Sequence[str], *, given: bool) -> "Template":
        """Return the template for data with labels of its own; words for them are those of a template that is `given`.

        Raises UsageError where that lacks one.
        """
        lacking = [label for label in own if label not in self.labels]
        if lacking and given:
            raise UsageError(f"--template: its labels lack {', '.join(lacking)}.", "Those of the data are wanted.")
        return Template(**self.model_dump() | {"labels": {label: [label] for label in own}}) if lacking else self


def open_template(file: Path | None, task: str, *, own_labels: bool = False) -> Template:
    """Read a template, ours where no file is given. Raises UsageError that says what is wrong and where.

    With `own_labels` it may have others than the task has.
    """
    path = file or Path(str(files("lrltrain").joinpath("prompting", "templates", f"{task}.toml")))
    where, values = str(file) if file else path.name, read_toml(path)
    lacking = [name for name in Template.model_fields if name not in values]
    if lacking:
        unknown = [name for name in values if name not in Template.model_fields]
        hint = f"Not known: {', '.join(unknown)}." if unknown else ""
        raise UsageError(f"{where}: lacks {', '.join(lacking)}.", hint)
    template = check(Template, values, {}, path)
    if template.task != task:
        raise UsageError(f"{where}: is a template for {template.task!r}.", f"Use --task {template.task}.")
    for name, may in _MAY.items():
        _check_placeholders(f"{where}: {name}", getattr(template, name), may, _MUST[name])
    _check_labels(f"{where}: labels", template.labels, None if own_labels else LABELS[task])
    return template


def _check_placeholders(where: str, text: str, may: set[str], must: set[str]) -> None:
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise UsageError(f"{where}: {error}.", "Write a brace that is no placeholder twice: {{ or }}.") from error
    for _, name, form, conversion in fields:
        if name not in may or form or conversion:
            known = ", ".join(f"{{{each}}}" for each in sorted(may))
            raise UsageError(
                f"{where}: {{{name}}} is no placeholder here.", f"Known: {known}; a brace itself is written twice."
            )
    for name in sorted(must - {name for _, name, _, _ in fields if name}):
        raise UsageError(f"{where}: lacks the placeholder {{{name}}}.")


def _check_labels(where: str, labels: Mapping[str, Sequence[str]], wanted: Sequence[str] | None) -> None:
    if wanted is not None and set(labels) != set(wanted):
        odd = ", ".join(sorted(set(labels) ^ set(wanted)))
        hint = f"The task has {', '.join(wanted)}. With --labels data a template may have others."
        raise UsageError(f"{where}: missing or unknown: {odd}.", hint)
    owner: dict[str, str] = {}
    for label, words in labels.items():
        if not words or not all(word.strip() for word in words):
            raise UsageError(f"{where}: {label}: lacks a word.")
        for word in words:
            if owner.setdefault(word.strip().casefold(), label) != label:
                raise UsageError(f"{where}: {word!r} stands for {owner[word.strip().casefold()]} and for {label}.")


@dataclass(frozen=True)
class Prompts:
    """A template with language and examples filled in."""

    template: Template
    language: str
    shots: tuple[Example, ...] = ()

    def completion(self, text: str) -> str:
        """Return the text that a model is to continue with `answer`."""
        shown = [self._question(example.text) + self.answer(example.label) for example in self.shots]
        return BETWEEN.join(filter(None, (self._instruction, *shown, self._question(text))))

    def chat(self, text: str) -> list[dict[str, str]]:
        """Return the messages of a chat.

        The instruction is in the first of the user's, since not every model takes one of the system's.
        """
        turns: list[dict[str, str]] = []
        for example in self.shots:
            turns.append({"role": "user", "content": self._question(example.text)})
            turns.append({"role": "assistant", "content": self.answer(example.label).strip()})
        turns.append({"role": "user", "content": self._question(text)})
        turns[0]["content"] = BETWEEN.join(filter(None, (self._instruction, turns[0]["content"])))
        return turns

    def answer(self, label: str) -> str:
        """Return the answer that says a label."""
        return self.template.answer.format(label=self.template.words[label])

    @cached_property
    def _instruction(self) -> str:
        return self.template.instruction.format(**self._common)

    def _question(self, text: str) -> str:
        return self.template.question.format(text=text, **self._common)

    @cached_property
    def _common(self) -> dict[str, Any]:
        return {"language": self.language, "labels": ", ".join(self.template.words.values())}
