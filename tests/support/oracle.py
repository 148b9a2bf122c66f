"""Whether the library `adapters` is there, which writes and reads the same files: `make test-adapters` installs it."""

from importlib.metadata import PackageNotFoundError, version


def _is_there() -> bool:
    try:
        version("adapters")
    except PackageNotFoundError:
        return False
    return True


HAS_ADAPTERS = _is_there()
