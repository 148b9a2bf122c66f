"""The Python API of hub_cards, which `import hub_cards` loads lazily. The commands run the same pipelines."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from hub_cards.cards.lint import is_repository
from hub_cards.config import PushConfig, load_push_config
from lrldata.arguments import call_of, naming_arguments, with_options
from lrldata.errors import UsageError
from lrldata.folder import prevent_exchange
from lrldata.forks import refuse_forked
from lrldata.imports import many_imports
from lrldata.language import Language, as_typed
from lrldata.output import keep_out, warn
from lrldata.progress import Progress
from lrldata.settings import AnyPath, as_path
from lrltrain.config import Method

if TYPE_CHECKING:
    from hub_cards.publish.local import RenderedCard
    from hub_cards.publish.publish import Prepared, Published, UpdatedCollection

PUBLIC = "https://huggingface.co"


class PushOptions(TypedDict, total=False):
    """The options of `lrl push-hub` as keyword arguments. Options that are not given have their defaults."""

    all: bool | None
    namespace: str | None
    kind: Literal["dataset", "adapter"] | Sequence[Literal["dataset", "adapter"]] | None
    source: Sequence[str] | None
    method: Method | Sequence[Method] | None
    version: str | None
    license: str | None
    license_name: str | None
    license_link: str | None
    base_id: str | None
    card: Literal["ask", "ours", "theirs"] | None
    scores: Literal["all", "here"] | None
    replace_data: bool | None
    collection: bool | None
    private: bool | None
    patience: float | None
    endpoint: str | None
    allow_http: bool | None
    out: AnyPath | None
    dry_run: bool | None
    config: AnyPath | None
    quiet: bool | None


@dataclass(frozen=True, repr=False)
class Pushed:
    """The plan of a publication, and its results, which are empty after a dry run.

    `failures` says which collections could not be updated, and why.
    """

    prepared: "Prepared"
    repositories: "tuple[Published, ...]" = ()
    collections: "tuple[UpdatedCollection, ...]" = ()
    failures: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line per repository, with the action taken or, after a dry run, planned."""
        done = [f"{item.action} v{item.version} {item.url}" for item in self.repositories]
        planned = [f"{item.action} v{item.version} {item.repository.id}" for item in self.prepared.plans]
        lines = done or [f"(dry run) {line}" for line in planned]
        return "Pushed(\n" + "".join(f"  {line}\n" for line in lines) + ")"

    def as_json(self) -> dict[str, Any]:
        """Return the results, or after a dry run the plan, as JSON-like values."""
        if self.repositories:
            done = [asdict(item) for item in self.repositories]
            collected = [asdict(item) for item in self.collections]
            failures = {"failures": list(self.failures)} if self.failures else {}
            return {"repositories": done, "collections": collected, **failures}
        plans = [plan.as_json() for plan in self.prepared.plans]
        planned = [{"title": item.title, "items": len(item.items)} for item in self.prepared.collections]
        return {"namespace": self.prepared.namespace, "plan": plans, "collections": planned}


@with_options(PushOptions)
def push(lang: str | Language | Iterable[str | Language] | None = None, **options: Unpack[PushOptions]) -> Pushed:
    """Publish the datasets, adapters and cards of a language. Artifacts already on the Hub and unchanged are skipped.

    Uses the token of `hf auth login` or HF_TOKEN. After an interruption, call it again to resume.

    Args:
        lang: A language code, or several, separated by commas or in a list; None with `all=True`.
        **options: The options of `lrl push-hub`. With `dry_run=True`, nothing is written. `endpoint` is the address of
            another Hub, such as one started with `lrl serve-hub`.

    Returns:
        The plan of each repository as `prepared`, and the results as `repositories` and `collections`.

    Raises:
        UsageError: If an argument is not valid.
        PublishError: If the Hub refuses a request or cannot be reached, or a card was edited on the Hub.

    """
    refuse_forked()
    languages = None if lang is None else as_typed(lang)
    call = call_of(PushOptions, options, lang=languages)
    with naming_arguments(PushOptions.__annotations__.keys() | {"lang"}):
        return push_settings(read_settings(call.config, call.flags), call.progress)


def read_settings(file: Path | None, flags: Mapping[str, Any]) -> PushConfig:
    """Read and check the settings of a publication. Raises UsageError."""
    address = os.environ.get("HF_ENDPOINT")
    defaults = {"endpoint": address} if address else {}
    return load_push_config(file, defaults | dict(flags))


def push_settings(settings: PushConfig, progress: Progress) -> Pushed:
    """Plan the publication, and carry it out unless it is a dry run. Raises LrlError."""
    with many_imports("push"):
        from hub_cards.artifacts import artifacts_of  # noqa: PLC0415 -- imports huggingface_hub
        from hub_cards.publish.hub import Hub, plain_client  # noqa: PLC0415
        from hub_cards.publish.publish import collect, prepare, publish  # noqa: PLC0415

    endpoint = (settings.endpoint or PUBLIC).rstrip("/")
    hub = Hub(endpoint, allow_http=settings.allow_http)
    keep_out(hub.token or "")
    folders = prevent_exchange(artifacts_of(settings.out, settings.lang))
    with plain_client(endpoint), folders:  # publish exactly what was planned
        prepared = prepare(settings, hub, progress)
        if settings.dry_run:
            return Pushed(prepared)
        repositories = publish(prepared, settings, hub, progress)
        collections, failures = collect(prepared, repositories, settings, hub, progress)
    for failure in failures:
        warn(f"everything is published, but {failure}")
    return Pushed(prepared, tuple(repositories), tuple(collections), tuple(failures))


def render_card(path: AnyPath, *, namespace: str = "my-org", out: AnyPath | None = None) -> "RenderedCard":
    """Render the card of a local dataset or adapter as Markdown and as an HTML page.

    Args:
        path: The folder, or datasets/LANG of a workspace. A dataset's card covers all sources of its language.
        namespace: User or organisation that the card names as the owner.
        out: Folder to write to; `cards/` in the workspace by default.

    Returns:
        The written files, `markdown` and `page`, and the violations of the Hub's rules, `faults`.

    Raises:
        UsageError: If the folder does not exist or the namespace is not valid.
        StorageError: If the folder is unfinished or damaged.

    """
    refuse_forked()
    with many_imports("push"):
        from hub_cards.publish.local import render  # noqa: PLC0415 -- imports the plotting libraries

    with naming_arguments({"namespace", "out"}):
        folder = as_path(path, "path")
        check_arguments(folder, namespace)
        return render(folder, namespace, None if out is None else as_path(out, "out"))


def check_card(path: AnyPath, *, namespace: str = "my-org") -> list[str]:
    """Check a card against the Hub's rules, offline.

    Args:
        path: A README.md, or the folder of a dataset or an adapter.
        namespace: User or organisation that the card of a folder names as the owner.

    Returns:
        The violations of the rules; an empty list if there are none.

    Raises:
        UsageError: If the file or folder does not exist or the namespace is not valid.
        InputError: If the file is not valid UTF-8.

    """
    refuse_forked()
    with many_imports("push"):
        from hub_cards.publish.local import check  # noqa: PLC0415 -- imports the plotting libraries

    with naming_arguments({"namespace"}):
        location = as_path(path, "path")
        check_arguments(location, namespace)
        return check(location, namespace)


def check_arguments(path: Path, namespace: str) -> None:
    """Raise UsageError if a path does not exist or a namespace cannot be the name of a user or an organisation."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder.")
    if not isinstance(namespace, str) or "/" in namespace or not is_repository(namespace):
        raise UsageError(f"--namespace: {namespace!r} is not a valid name of a user or an organisation.")
