"""Language identification of documents and lines: which language, how certain, and whether to keep it.

    model = load_model()                                             # or "glotlid", "lid176", a path
    for line, prediction in zip(lines, model.predict(lines), strict=True):
        verdict = decide(*prediction, "ro", threshold_of(model.name, "ro"), margins_of("ro"))

The package contains a model of its own; docs/explanation/identification.md says how it was made and how good it is.
"""

from lrldata.langid.binding import BINDINGS, is_right
from lrldata.langid.decide import Verdict, alike, decide, decide_all, margins_of
from lrldata.langid.labels import codes_of
from lrldata.langid.model import LanguageModel, Prediction
from lrldata.langid.named import COMPACT, GLOTLID, LID176, NAMES, NO_MODEL, load_model
from lrldata.langid.text import has_letters, prepare
from lrldata.langid.thresholds import threshold_of

__all__ = [
    "BINDINGS",
    "COMPACT",
    "GLOTLID",
    "LID176",
    "NAMES",
    "NO_MODEL",
    "LanguageModel",
    "Prediction",
    "Verdict",
    "alike",
    "codes_of",
    "decide",
    "decide_all",
    "has_letters",
    "is_right",
    "load_model",
    "margins_of",
    "prepare",
    "threshold_of",
]
