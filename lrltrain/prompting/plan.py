"""What `lrltrain prompt --dry-run` says: how much would be asked, and what it would about cost. Asks nothing."""

from dataclasses import dataclass
from typing import Any

from lrltrain.prompting.cache import key_of, read_answers
from lrltrain.prompting.config import PromptConfig
from lrltrain.prompting.endpoint import find_endpoint
from lrltrain.prompting.prompt import cost_of, open_asked, requests_of

BYTES_A_TOKEN = 3.0  # of UTF-8, until an answer has told how many it is
TOKENS_AN_ANSWER = 4.0


@dataclass(frozen=True)
class Plan:
    """What is to be done for one test set; of a model on this machine, `calls` is 0."""

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
    """Count the calls that are not in the cache, and estimate their tokens. Raises LrlError."""
    endpoint = find_endpoint(config) if config.endpoint else None
    plans: list[Plan] = []
    for asked in open_asked(config):
        facts = (asked.test.language.code, config.model, asked.test.name, config.shots, len(asked.texts))
        if endpoint is None:
            letters = sum(len(asked.prompts.completion(text).encode()) for text in asked.texts)
            plans.append(Plan(*facts, 0, round(letters / BYTES_A_TOKEN), 0, None))
            continue
        kept = read_answers(asked.answers)
        requests = {
            key_of(endpoint.url, request, config.draw): request for request in requests_of(config, endpoint, asked)
        }
        known = [
            (_bytes(requests[key]), answer.prompt_tokens, answer.completion_tokens)
            for key, answer in kept.items()
            if key in requests and answer.prompt_tokens and answer.completion_tokens is not None
        ]
        ratio = sum(each[0] for each in known) / sum(each[1] for each in known) if known else BYTES_A_TOKEN
        answer = sum(each[2] for each in known) / len(known) if known else TOKENS_AN_ANSWER
        missing = [request for key, request in requests.items() if key not in kept]
        tokens = sum(map(_bytes, missing)) / ratio, len(missing) * answer
        cost = cost_of(config.prices, *tokens) if config.prices else None
        plans.append(Plan(*facts, len(missing), round(tokens[0]), round(tokens[1]), cost))
    return plans


def _bytes(request: dict[str, Any]) -> int:
    said = request.get("prompt") or "".join(message["content"] for message in request["messages"])
    return len(str(said).encode())
