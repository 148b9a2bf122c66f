"""The contents of the local Hub's repositories, as git reports them."""

import subprocess
from pathlib import Path


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository and return its output."""
    result = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=True)
    return result.stdout


def store(root: Path, kind: str, identifier: str) -> Path:
    """Return the folder of a repository; `kind` is `datasets` or `models`."""
    (repository,) = root.glob(f"repos/{kind}/{identifier}.git")
    return repository


def commits(repository: Path) -> int:
    """Count the commits, without the initial commit that the Hub makes."""
    return int(git(repository, "rev-list", "--count", "main")) - 1


def tags(repository: Path) -> dict[str, str]:
    """Return the commit of each tag, by the tag's name."""
    lines = git(repository, "for-each-ref", "--format=%(refname:short) %(objectname) %(*objectname)", "refs/tags")
    return {name: (peeled or [direct])[0] for name, direct, *peeled in map(str.split, lines.splitlines())}


def tree(repository: Path, revision: str) -> dict[str, str]:
    """Return the object id of each file in a revision, by path."""
    lines = git(repository, "ls-tree", "-r", revision).splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in lines}
