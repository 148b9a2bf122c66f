"""Count the tokens and the cost of an endpoint's answers, and how they end. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from lrltrain.prompting.cache import Answer
from lrltrain.prompting.endpoint import REFUSED

ENDINGS = ("unfinished", "refused", "empty")  # the counts of `count_endings`


def cost_of(prices: Sequence[float], read: float, written: float) -> float:
    """Return the cost of tokens read and written, given the two prices per million."""
    return round((prices[0] * read + prices[1] * written) / 1e6, 6)


def bill(answers: Mapping[str, Answer], prices: Sequence[float] | None) -> dict[str, Any]:
    """Return the total tokens and cost of all answers, each call once; None if the endpoint does not report tokens."""
    read = [answer.prompt_tokens for answer in answers.values()]
    written = [answer.completion_tokens for answer in answers.values()]
    if None in read or None in written:
        return priced(None, prices)
    return priced({"prompt": sum(filter(None, read)), "completion": sum(filter(None, written))}, prices)


def priced(tokens: Mapping[str, int] | None, prices: Sequence[float] | None) -> dict[str, Any]:
    """Return the tokens, their cost and the prices as a run records them; without tokens or prices, no cost."""
    cost = cost_of(prices, tokens["prompt"], tokens["completion"]) if tokens and prices else None
    return {"tokens": tokens, "cost": cost, "prices": prices}


def count_endings(answers: Sequence[Answer]) -> dict[str, Any]:
    """Count the answers that reached the token limit, were refused, or are empty, as from a model that thinks first."""
    return {
        "unfinished": sum(answer.finish == "length" for answer in answers),
        "refused": sum(answer.finish in REFUSED for answer in answers),
        "empty": sum(not answer.text.strip() and answer.finish not in REFUSED for answer in answers),
    }
