"""Prompt templates: read, validate and fill them in."""

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

_ALLOWED = {"instruction": {"language", "labels"}, "question": {"language", "labels", "text"}, "answer": {"label"}}
_REQUIRED = {"instruction": set(), "question": {"text"}, "answer": {"label"}}
BETWEEN = "\n\n"  # between instruction and examples


class Template(BaseModel):
    """Texts with placeholders, and the words for each label; the first word is the one in prompts.

    Reports treat templates with the same `name` as the same prompt, written in different languages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    name: str = ""
    instruction: str
    question: str
    answer: str
    labels: dict[str, list[str]]

    @cached_property
    def words(self) -> dict[str, str]:
        """Return the word for each label in prompts, in the order of the template."""
        return {label: words[0] for label, words in self.labels.items()}

    def as_json(self) -> dict[str, Any]:
        """Return what identifies the template. Hashes of JSON ignore the order of labels, which prompts depend on."""
        order = list(self.labels)
        built_in = list(open_template(None, self.task).labels)
        return self.model_dump(exclude_defaults=True) | ({} if order == built_in else {"label_order": order})

    def for_labels(self, own: Sequence[str], *, given: bool) -> "Template":
        """Return the template for data with the labels `own`.

        Other labels are left out. If the built-in template lacks words for any of them, every label stands for itself.
        Raises UsageError if a template from the user (`given`) lacks words for a label, or if labels differ only in
        case.
        """
        missing = [label for label in own if label not in self.labels]
        if missing and given:
            raise UsageError(
                f"--template: its labels lack {', '.join(missing)}.", "It must have all labels of the data."
            )
        if not missing:
            words = {label: words for label, words in self.labels.items() if label in own}
            return self if words == self.labels else Template(**self.model_dump() | {"labels": words})
        words = {label: [label] for label in own}
        _check_labels("--labels data", words, None)
        return Template(**self.model_dump() | {"labels": words})


def open_template(file: Path | None, task: str, *, own_labels: bool = False) -> Template:
    """Read and check a template, by default the built-in one. Raises UsageError with the place and the problem.

    With `own_labels`, the template may have labels that the task does not have.
    """
    path = file or Path(str(files("lrltrain").joinpath("prompting", "templates", f"{task}.toml")))
    source, values = str(file) if file else path.name, read_toml(path)
    missing = [name for name, field in Template.model_fields.items() if field.is_required() and name not in values]
    if missing:
        unknown = [name for name in values if name not in Template.model_fields]
        hint = f"Unknown keys: {', '.join(unknown)}." if unknown else ""
        raise UsageError(f"{source}: missing keys: {', '.join(missing)}.", hint)
    template = check(Template, values, {}, path)
    if template.task != task:
        raise UsageError(f"{source}: is a template for {template.task!r}.", f"Use --task {template.task}.")
    for name, allowed in _ALLOWED.items():
        _check_placeholders(f"{source}: {name}", getattr(template, name), allowed, _REQUIRED[name])
    _check_labels(f"{source}: labels", template.labels, None if own_labels else LABELS[task])
    return template


def _check_placeholders(place: str, text: str, allowed: set[str], required: set[str]) -> None:
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise UsageError(f"{place}: {error}.", "Double a literal brace: {{ or }}.") from error
    for _, name, form, conversion in fields:
        if name not in allowed or form or conversion:
            placeholders = ", ".join(f"{{{placeholder}}}" for placeholder in sorted(allowed))
            raise UsageError(
                f"{place}: {{{name}}} is not a placeholder here.", f"Known: {placeholders}. Double a literal brace."
            )
    for name in sorted(required - {name for _, name, _, _ in fields if name}):
        raise UsageError(f"{place}: lacks the placeholder {{{name}}}.")


def _check_labels(place: str, labels: Mapping[str, Sequence[str]], expected: Sequence[str] | None) -> None:
    if expected is not None and set(labels) != set(expected):
        difference = ", ".join(sorted(set(labels) ^ set(expected)))
        hint = f"The task has {', '.join(expected)}. With --labels data a template may have others."
        raise UsageError(f"{place}: missing or unknown: {difference}.", hint)
    owner: dict[str, str] = {}
    for label, words in labels.items():
        if not words or not all(word.strip() for word in words):
            raise UsageError(f"{place}: {label}: no word, or an empty one.")
        for word in words:
            if owner.setdefault(word.strip().casefold(), label) != label:
                raise UsageError(f"{place}: {word!r} stands for {owner[word.strip().casefold()]} and for {label}.")


@dataclass(frozen=True)
class Prompts:
    """A template with its language and examples."""

    template: Template
    language: str
    shots: tuple[Example, ...] = ()

    def completion(self, text: str) -> str:
        """Return the text that a model should continue with an answer."""
        examples = [self._question(example.text) + self.answer(example.label) for example in self.shots]
        return BETWEEN.join(filter(None, (self._instruction, *examples, self._question(text))))

    def chat(self, text: str) -> list[dict[str, str]]:
        """Return the messages of a chat.

        The instruction is part of the first user message, since not every model accepts a system message.
        """
        turns: list[dict[str, str]] = []
        for example in self.shots:
            turns.append({"role": "user", "content": self._question(example.text)})
            turns.append({"role": "assistant", "content": self.answer(example.label).strip()})
        turns.append({"role": "user", "content": self._question(text)})
        turns[0]["content"] = BETWEEN.join(filter(None, (self._instruction, turns[0]["content"])))
        return turns

    def answer(self, label: str) -> str:
        """Return the answer text for a label."""
        return self.template.answer.format(label=self.template.words[label])

    @cached_property
    def _instruction(self) -> str:
        return self.template.instruction.format(**self._common)

    def _question(self, text: str) -> str:
        return self.template.question.format(text=text, **self._common)

    @cached_property
    def _common(self) -> dict[str, Any]:
        return {"language": self.language, "labels": ", ".join(self.template.words.values())}
