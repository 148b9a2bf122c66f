"""What is in the local Hub's repositories, by git itself."""

import subprocess
from pathlib import Path


def git(repository: Path, *arguments: str) -> str:
    """Return what git says in a repository."""
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout


def store(root: Path, kind: str, identifier: str) -> Path:
    """Return the folder of a repository; `kind` is `datasets` or `models`."""
    (found,) = root.glob(f"repos/{kind}/{identifier}.git")
    return found


def commits(repository: Path) -> int:
    """Count the commits besides the one with which the Hub begins a repository."""
    return int(git(repository, "rev-list", "--count", "main")) - 1


def tags(repository: Path) -> dict[str, str]:
    """Return the tags with the commits they are set on."""
    lines = git(repository, "for-each-ref", "--format=%(refname:short) %(objectname) %(*objectname)", "refs/tags")
    return {name: (peeled or [direct])[0] for name, direct, *peeled in map(str.split, lines.splitlines())}


def tree(repository: Path, revision: str) -> dict[str, str]:
    """Return the files of a revision by the names of their objects."""
    lines = git(repository, "ls-tree", "-r", revision).splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in lines}
