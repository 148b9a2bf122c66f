"""No token and no signature is shown, logged or written."""

import logging
import sys
from typing import Any

import pytest

from hub_cards.local_hub import Hub
from lrldata.output import guard, keep_out, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token hf_{'aB3' * 12} is bad", "token [token] is bad"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [token]"),
        ("PUT https://s3.x.org/a/b?X-Amz-Signature=12&x=y failed", "PUT https://s3.x.org/a/b?[redacted] failed"),
        ("'http://127.0.0.1:8/lfs/upload/ab?X-Signature=cd'", "'http://127.0.0.1:8/lfs/upload/ab?[redacted]'"),
        ("in hf_hub_download: https://x.org/a", "in hf_hub_download: https://x.org/a"),
        ("my own word", "my own [token]"),
    ],
)
def test_secrets_are_redacted(text: str, shown: str) -> None:
    assert redact(text, "word", "") == shown


def test_log_records_are_redacted_before_any_handler_sees_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    factory = logging.getLogRecordFactory()
    try:
        keep_out("s3cret")
        guard()
        logging.getLogger("huggingface_hub.any").warning("retrying %s with %s", "https://x.org/a?sig=1", "s3cret")
    finally:
        logging.setLogRecordFactory(factory)
    assert caplog.messages == ["retrying https://x.org/a?[redacted] with [token]"]


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_a_failure_during_an_upload_shows_no_secret(debug: tuple[str, ...], hub: Hub, push: Any) -> None:
    hub.faults({"do": "status", "status": 403, "method": "PUT", "path": "/lfs/upload", "times": 0})
    result = push(*debug, HF_DEBUG="1", HF_HUB_VERBOSITY="debug")
    assert result.returncode == 1
    assert ("Traceback" in result.stderr) == bool(debug)
    assert "403" in result.stderr
    for secret in ("hf_test", "Signature=", "Bearer hf"):
        assert secret not in result.stdout + result.stderr
    if debug:
        assert "?[redacted]" in result.stderr, "the address is there, its signature is not"
