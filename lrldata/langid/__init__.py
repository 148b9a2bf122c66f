"""Language identification of documents and lines: which language, how sure, and whether to keep it.

    model = load_model()                                             # or "glotlid", "lid176", a path
    for line, found in zip(lines, model.predict(lines), strict=True):
        verdict = decide(*found, "ro", threshold_of(model.name, "ro"), margins_of("ro"))

A model of our own is in the package; see docs/explanation/identification.md for how it was made and what it can do.
"""

from lrldata.langid.binding import BINDINGS, is_right
from lrldata.langid.decide import Verdict, decide, decide_all, margins_of
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
