"""What the parts of a corpus add up to: counts, samples, and the effect of each threshold. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lrldata.ledger import Ledger, Tally, reasons_of
from lrldata.web import pii, samples
from lrldata.web.restore import RestoredRows


@dataclass
class Totals:
    """Sums over the summaries of parts. A summary holds up to a thousand samples, so only one should be in memory."""

    came_in: Tally = field(default_factory=Tally)
    kept: Tally = field(default_factory=Tally)
    dropped: dict[str, Tally] = field(default_factory=dict)
    replaced: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)  # documents per text column
    private: int = 0  # rows with private-use characters
    with_text: set[str] = field(default_factory=set)  # names of files
    dropped_samples: dict[str, list[samples.Sample]] = field(default_factory=dict)
    kept_samples: list[samples.Sample] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_judged(self, summary: Mapping[str, Any]) -> None:
        """Add what `stages.judge` and `stages.describe` counted."""
        self.came_in += Tally(**summary["in"])
        self.columns.update(summary["columns"])
        self.with_text.update(summary["files"])
        samples.add_measured(self.measured, summary["measured"] | summary.get("documents", {}))
        self._add_dropped(summary)

    def add_written(self, summary: Mapping[str, Any]) -> None:
        """Add what `stages.write` counted."""
        self.kept += Tally(**summary["kept"])
        self.replaced.update(summary["replaced"])
        self.private += summary["private"]
        self.kept_samples = samples.merge([{"": self.kept_samples}, {"": summary["shown"]}], samples.KEPT)[""]
        self._add_dropped(summary)

    def _add_dropped(self, summary: Mapping[str, Any]) -> None:
        for reason, tally in summary["dropped"].items():
            self.dropped[reason] = self.dropped.get(reason, Tally()) + Tally(**tally)
        self.dropped_samples = samples.merge([self.dropped_samples, summary["samples"]], samples.DROPPED)

    def ledger(self, restored: RestoredRows) -> Ledger:
        """Return the counts, with the restored rows among the kept ones."""
        dropped = restored.less(self.dropped)
        ordered = {reason: dropped[reason] for reason in reasons_of("web") if reason in dropped}
        return Ledger(self.came_in, self.kept + restored.tally, ordered, {}, judged_right=restored.tally)

    def replacements(self, restored: RestoredRows) -> dict[str, int]:
        """Return how often each kind of personal data was replaced."""
        return dict(sorted((self.replaced + Counter(pii.count(restored.rows["text"]))).items()))

    def sample_report(self, ledger: Ledger, restored: RestoredRows) -> dict[str, Any]:
        """Return the contents of samples.json."""
        return {
            "thresholds": samples.thresholds(self.measured),
            "dropped": {
                reason: [
                    samples.shown(sample)
                    for sample in self.dropped_samples[reason]
                    if sample["text"] not in restored.texts
                ]
                for reason in ledger.dropped
            },
            "kept": [samples.shown(sample) for sample in self.kept_samples],
        }
