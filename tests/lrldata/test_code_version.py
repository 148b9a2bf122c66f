"""Datasets built by different development versions, which have one number, are told apart."""

import shutil
from pathlib import Path

import pytest

import lrldata
from lrldata.code_version import code_hash, code_version
from lrldata.conceptnet import build as conceptnet
from lrldata.web import build as web


def test_code_and_data_that_shape_rows_change_the_hash(tmp_path: Path) -> None:
    package = shutil.copytree(Path(lrldata.__file__).parent, tmp_path / "lrldata")
    before = code_hash(package)
    assert code_version() == (
        f"{lrldata.__version__}+{before}" if ".dev" in lrldata.__version__ else lrldata.__version__
    )
    for name in ("cli/build.py", "__pycache__/x.pyc", ".DS_Store"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("x", "utf-8")
        assert code_hash(package) == before
    hashes = {before}
    for name in ("web/rules.toml", "conceptnet/verbalize.py", "web/new.py"):
        (package / name).write_text("x", "utf-8")
        hashes.add(code_hash(package))
    (package / "web" / "new.py").rename(package / "web" / "renamed.py")
    assert len(hashes | {code_hash(package)}) == 5


@pytest.mark.parametrize("source", ["conceptnet", "glotcc"])
def test_a_dataset_of_other_code_is_built_again(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> lrldata.Dataset:
        return lrldata.build("ro", source=source, sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)

    assert [build().status, build().status] == ["built", "unchanged"]
    for module in (conceptnet, web):
        monkeypatch.setattr(module, "code_version", lambda: "0.3.0.dev0+00000000")
    again = build()
    assert (again.status, again.version) == ("built", "1.0.0"), "the rows are the same"
    assert again.manifest["made_with"]["lrl"] == "0.3.0.dev0+00000000"
