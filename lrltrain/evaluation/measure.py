"""The pipeline of `lrltrain eval`: task scores and perplexity, as requested."""

from lrldata.output import note
from lrldata.progress import Progress
from lrltrain.config import EvalConfig
from lrltrain.evaluation.score_tasks import TaskScore, score_tasks
from lrltrain.evaluation.score_text import Score, score_text


def measure(config: EvalConfig, progress: Progress) -> tuple[list[TaskScore], list[Score]]:
    """Measure what `config` asks for; return task scores and perplexities. Raises LrlError."""
    if config.task == "all" and not config.measures_text:
        reason = "has no flores200/devtest, so pseudo-perplexity is left out; measure it with --task pppl"
        note(f"{config.data}: {reason}.")
    texts = score_text(config, progress) if config.measures_text else []
    return score_tasks(config, progress) if config.task != "pppl" else [], texts
