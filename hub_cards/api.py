"""The Python API of hub_cards, which `import hub_cards` finds lazily. The commands run the same pipelines."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from hub_cards.cards.lint import is_repository
from hub_cards.config import PushConfig, load_push_config
from lrldata.arguments import call_of, naming_arguments, with_options
from lrldata.engine import variables
from lrldata.errors import UsageError
from lrldata.folder import kept_in_place
from lrldata.forks import refuse_forked
from lrldata.imports import many_imports
from lrldata.language import Language, as_typed
from lrldata.output import keep_out
from lrldata.progress import Progress
from lrldata.settings import Place, as_path
from lrltrain.options import Method

if TYPE_CHECKING:
    from hub_cards.publish.local import Rendered
    from hub_cards.publish.publish import Collected, Prepared, Published

PUBLIC = "https://huggingface.co"


class PushOptions(TypedDict, total=False):
    """The options of `lrl push-hub`, as keyword arguments; what is left out has its default."""

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
    collection: bool | None
    private: bool | None
    patience: float | None
    endpoint: str | None
    allow_http: bool | None
    out: Place | None
    dry_run: bool | None
    config: Place | None
    quiet: bool | None


@dataclass(frozen=True, repr=False)
class Pushed:
    """What was planned, and what was done: nothing, after a dry run."""

    prepared: "Prepared"
    repositories: "tuple[Published, ...]" = ()
    collections: "tuple[Collected, ...]" = ()

    def __repr__(self) -> str:
        """Return a line for each repository: what was done, or would be."""
        done = [f"{each.action} v{each.version} {each.url}" for each in self.repositories]
        planned = [f"{each.action} v{each.version} {each.repository.id}" for each in self.prepared.plans]
        told = done or [f"(dry run) {each}" for each in planned]
        return "Pushed(\n" + "".join(f"  {line}\n" for line in told) + ")"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values: the plan of a dry run, else what was done."""
        if self.repositories:
            done = [asdict(each) for each in self.repositories]
            return {"repositories": done, "collections": [asdict(each) for each in self.collections]}
        plans = [plan.as_json() for plan in self.prepared.plans]
        planned = [{"title": each.title, "items": len(each.items)} for each in self.prepared.collections]
        return {"namespace": self.prepared.namespace, "plan": plans, "collections": planned}


@with_options(PushOptions)
def push(lang: str | Language | Iterable[str | Language] | None = None, **options: Unpack[PushOptions]) -> Pushed:
    """Publish the datasets, adapters and cards of a language. What is on the Hub already, unchanged, is left alone.

    The token is that of `hf auth login` or HF_TOKEN. Called again after an interruption, it goes on.

    Args:
        lang: Code of a language, several between commas or in a list; None with `all=True`.
        **options: The options of `lrl push-hub`. With `dry_run=True` nothing is written. `endpoint` is the address of
            another Hub, such as the one of `lrl serve-hub`.

    Returns:
        `prepared`, the plan of each repository, and `repositories` and `collections`, what was done.

    Raises:
        UsageError: An argument that cannot be meant.
        PublishError: The Hub refuses or cannot be reached, or a card was edited on the Hub.

    """
    refuse_forked()
    named = None if lang is None else as_typed(lang)
    call = call_of(PushOptions, options, lang=named)
    with naming_arguments(PushOptions.__annotations__.keys() | {"lang"}):
        settings = read_settings(call.config, call.flags)
        with at_endpoint(settings):  # of this call, and of no other in the session
            return push_settings(settings, call.progress)


def read_settings(file: Path | None, flags: Mapping[str, Any]) -> PushConfig:
    """Check the settings of a publication. Raises UsageError."""
    address = os.environ.get("HF_ENDPOINT")
    known = {"endpoint": address} if address else {}
    return load_push_config(file, known | dict(flags))


def at_endpoint(settings: PushConfig) -> AbstractContextManager[None]:
    """Set the address that huggingface_hub 0.36 reads when it is imported, in place of what each call names."""
    return variables({"HF_ENDPOINT": settings.endpoint.rstrip("/")} if settings.endpoint else {})


def push_settings(settings: PushConfig, progress: Progress) -> Pushed:
    """Plan what is asked for, and do it unless it is a dry run. Raises LrlError."""
    with many_imports("push"):
        from hub_cards.artifacts import artifacts_of  # noqa: PLC0415 -- imports huggingface_hub
        from hub_cards.publish.hub import Hub, plain_client  # noqa: PLC0415
        from hub_cards.publish.publish import prepare, publish  # noqa: PLC0415

    hub = Hub((settings.endpoint or PUBLIC).rstrip("/"), allow_http=settings.allow_http)
    keep_out(hub.token or "")
    kept = kept_in_place(artifacts_of(settings.out, settings.lang))
    with plain_client(), kept:  # what is planned is what is published
        prepared = prepare(settings, hub, progress)
        if settings.dry_run:
            return Pushed(prepared)
        repositories, collections = publish(prepared, settings, hub, progress)
    return Pushed(prepared, tuple(repositories), tuple(collections))


def render_card(path: Place, *, namespace: str = "my-org", out: Place | None = None) -> "Rendered":
    """Render the card of a dataset's or an adapter's folder here, as Markdown and as a page.

    Args:
        path: The folder, or datasets/LANG of a workspace. The card of a dataset is that of all sources of its language.
        namespace: User or organisation that the card names.
        out: Folder to write to; `cards/` in the workspace by default.

    Returns:
        What was written: `markdown`, `page`, and `faults` by the Hub's rules.

    Raises:
        UsageError: No such folder, or no name of a user.
        StorageError: The folder is unfinished or damaged.

    """
    with many_imports("push"):
        from hub_cards.publish.local import render  # noqa: PLC0415 -- imports the libraries that draw

    with naming_arguments({"namespace", "out"}):
        home = as_path(path, "path")
        check_arguments(home, namespace)
        return render(home, namespace, None if out is None else as_path(out, "out"))


def check_card(path: Place, *, namespace: str = "my-org") -> list[str]:
    """Check a card against the Hub's rules, offline.

    Args:
        path: A README.md, or the folder of a dataset or an adapter.
        namespace: User or organisation that the card of a folder names.

    Returns:
        What is wrong with it; nothing where it keeps the rules.

    Raises:
        UsageError: No such file or folder, or no name of a user.
        InputError: A file that is not UTF-8.

    """
    with many_imports("push"):
        from hub_cards.publish.local import check  # noqa: PLC0415 -- imports the libraries that draw

    with naming_arguments({"namespace"}):
        home = as_path(path, "path")
        check_arguments(home, namespace)
        return check(home, namespace)


def check_arguments(path: Path, namespace: str) -> None:
    """Raise UsageError for a path that is not there, and a name that no user can have."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder.")
    if not isinstance(namespace, str) or "/" in namespace or not is_repository(namespace):
        raise UsageError(f"--namespace: {namespace!r} is no name of a user or an organisation.")
