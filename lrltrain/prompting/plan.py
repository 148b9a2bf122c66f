"""Plan for `lrltrain prompt --dry-run`: estimate the calls, tokens and cost without sending a request."""

from dataclasses import dataclass
from typing import Any

from lrltrain.prompting.bill import cost_of
from lrltrain.prompting.cache import key_of, read_answers
from lrltrain.prompting.config import PromptConfig
from lrltrain.prompting.endpoint import find_endpoint
from lrltrain.prompting.prompt import has_answers, open_jobs, requests_of

BYTES_PER_TOKEN = 3.0  # of UTF-8; an assumption until stored answers allow an estimate
TOKENS_PER_ANSWER = 4.0


@dataclass(frozen=True)
class Plan:
    """The estimate for one test set; `calls` is 0 for a local model."""

    language: str
    model: str
    data: str
    shots: int
    items: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


def plan(config: PromptConfig) -> list[Plan]:
    """Count the calls whose answers are neither in a run nor in the cache; estimate their tokens. Raises LrlError."""
    endpoint = find_endpoint(config) if config.endpoint else None
    plans: list[Plan] = []
    for job in open_jobs(config):
        facts = (job.test.language.code, config.model, job.test.name, config.shots, len(job.texts))
        if endpoint is None:
            size = sum(len(job.prompts.completion(text).encode()) for text in job.texts)
            plans.append(Plan(*facts, 0, round(size / BYTES_PER_TOKEN), 0, None))
            continue
        stored = read_answers(job.answers)
        requests = {
            key_of(endpoint.url, request, config.draw): request for request in requests_of(config, endpoint, job)
        }
        measured = [
            (_bytes(requests[key]), answer.prompt_tokens, answer.completion_tokens)
            for key, answer in stored.items()
            if key in requests and answer.prompt_tokens and answer.completion_tokens is not None
        ]
        ratio = sum(call[0] for call in measured) / sum(call[1] for call in measured) if measured else BYTES_PER_TOKEN
        answer = sum(call[2] for call in measured) / len(measured) if measured else TOKENS_PER_ANSWER
        is_answered = has_answers(config, endpoint, job)
        missing = [] if is_answered else [request for key, request in requests.items() if key not in stored]
        tokens = sum(map(_bytes, missing)) / ratio, len(missing) * answer
        cost = cost_of(config.prices, *tokens) if config.prices else None
        plans.append(Plan(*facts, len(missing), round(tokens[0]), round(tokens[1]), cost))
    return plans


def _bytes(request: dict[str, Any]) -> int:
    text = request.get("prompt") or "".join(message["content"] for message in request["messages"])
    return len(str(text).encode())
