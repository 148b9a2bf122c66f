"""What training takes, by formula: seconds and memory of one fit. Pure.

Training computes 2 products a weight and token forward, as many backward by input, and as many by weight where that
trains (Kaplan et al. 2020, arXiv 2001.08361, section 2.1); validation computes those forward. On a GPU a step takes at
least the time of each layer's small operations, as `tools/gpu_check.py` measured it, alone and in a group of 16.
"""

from dataclasses import dataclass

from lrltrain.config import FitConfig

ALONE, GROUPED = 0.00048, 0.00024  # seconds a layer and step, in the graphs of a fit, of each adapter
ACTIVATIONS = 34  # bytes a token, layer and hidden unit that the backward pass needs
LOGITS = 1_024  # positions whose logits are in memory at once, of a loss and of perplexity


@dataclass(frozen=True)
class Shape:
    """A model's size: `weights` in all, and what the vocabulary's matrix is made of; a `decoder` labels every token."""

    weights: int
    hidden: int
    layers: int
    words: int
    decoder: bool = False

    @property
    def inner(self) -> int:
        """Return the weights outside the vocabulary's matrix."""
        return self.weights - self.hidden * self.words


def fit_seconds(
    config: FitConfig, shape: Shape, tokens: float, *, speed: float, a_layer: float, eval_blocks: float
) -> float:
    """Return the seconds of a fit of `tokens` a step, where `speed` products are done a second.

    `a_layer` is the least time of a layer in a step (ALONE or GROUPED on a GPU, 0 on a CPU); `eval_blocks` blocks are
    validated at each evaluation.
    """
    passes = 6 if config.method == "full" else 4  # forward, gradient by input, gradient by weight: two each
    of_words = shape.weights - shape.inner
    products = passes * (shape.inner * tokens + of_words * _labelled(config, shape, tokens))
    evaluations = 1 + -(-config.steps // config.every)
    as_steps = evaluations * eval_blocks / (config.batch_size * config.accumulate) * 2 / passes
    return (config.steps + as_steps) * max(products / speed, a_layer * shape.layers * config.accumulate)


def step_memory(config: FitConfig, shape: Shape, tokens: float) -> float:
    """Return the bytes that a step keeps of `tokens`, beside the weights.

    In bf16 a layer keeps some 34 bytes a token and dimension for the backward pass (Korthikanti et al. 2022, arXiv
    2205.05198, equation 1, without attention's scores, which are not kept); the loss has the logits of some positions.
    """
    logits = 8 * min(_labelled(config, shape, tokens), LOGITS) * shape.words
    return ACTIVATIONS * tokens * shape.hidden * shape.layers + logits


def _labelled(config: FitConfig, shape: Shape, tokens: float) -> float:
    return tokens if shape.decoder else tokens * config.mask_probability
