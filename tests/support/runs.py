"""One publication in its own process, forked from a process that has already loaded the libraries."""

import gc
import os
import time
from contextlib import suppress
from pathlib import Path

from hub_cards.cards.render import sections
from hub_cards.config import PushConfig
from hub_cards.publish import repository
from hub_cards.publish.hub import Hub
from hub_cards.publish.publish import collect, prepare, publish
from lrldata.errors import LrlError, PublishError
from lrldata.language import find
from lrldata.manifest import SCHEMAS
from lrldata.progress import Progress

DONE, FAILED, KILLED = 0, 7, -9
# These steps take half the time of a publication, so they are done once, before processes are forked from this one.
find("ro")
SCHEMAS["dataset"].model_rebuild(force=True)
with suppress(ValueError):  # there are no values to render, but the template is compiled
    sections("dataset_card")
gc.freeze()
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8  # drawing a real one takes longer than the whole publication


def push(endpoint: str, token: str, workspace: str, pid_file: str) -> None:
    """Publish Romanian, and exit with DONE, or with FAILED after an error with a message. Waits are cut short.

    The process id is written to a file first, so that the server can kill the process. The error message goes to the
    file `said` in the same folder.
    """
    Path(pid_file).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep, real_sleep = (lambda seconds: real_sleep(min(seconds, 0.01))), time.sleep
    repository.draw_ledger = lambda *_: PICTURE
    hub = Hub(endpoint, token)
    config = PushConfig(lang="ro", namespace="my-org", out=Path(workspace), kind=["dataset"])
    quiet = Progress(quiet=True)
    try:
        prepared = prepare(config, hub, quiet)
        _, failures = collect(prepared, publish(prepared, config, hub, quiet), config, hub, quiet)
        if failures:
            raise PublishError(failures[0])
    except LrlError as error:
        Path(pid_file).with_name("said").write_text(str(error), encoding="utf-8")
        os._exit(FAILED)
    os._exit(DONE)
