"""Whether the `adapters` library, which reads and writes the same files, is installed (by `make test-adapters`)."""

from importlib.metadata import PackageNotFoundError, version


def _is_installed() -> bool:
    try:
        version("adapters")
    except PackageNotFoundError:
        return False
    return True


HAS_ADAPTERS = _is_installed()
