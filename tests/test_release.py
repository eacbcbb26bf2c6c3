"""What a release is made of: one version, the same dependencies, and builds with the same bits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import fastiou

ROOT = Path(fastiou.__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="this is an installed package"
)


def test_the_version_is_one() -> None:
    version = fastiou.__version__
    assert f"\nversion: {version}\n" in (ROOT / "docs/CITATION.cff").read_text()
    assert f'version = "{version}"' in (ROOT / ".ci/conda/meta.yaml").read_text()


def test_the_conda_recipe_has_the_dependencies_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    block = project[project.index("dependencies = [") :]
    needed = re.findall(r'"(\w+>=[\d.]+)"', block[: block.index("]")])
    needed += re.findall(r'"(\w+>=[\d.]+)"', project[project.index("cli = [") :].partition("]")[0])
    assert len(needed) == 5
    recipe = (ROOT / ".ci/conda/meta.yaml").read_text().replace(" ", "")
    assert [name for name in needed if f"-{name}\n" not in recipe] == []
    oldest = re.search(r'requires-python = "(.*)"', project)
    assert oldest is not None
    assert f"-python{oldest[1]}\n" in recipe


@pytest.mark.thorough
def test_builds_have_the_same_bits(tmp_path: Path) -> None:
    """And hold what they should; `.ci/wheel` does the same before a change lands, and tries it."""
    pytest.importorskip("hatchling", exc_type=ImportError)
    builds = []
    for name in ("first", "second"):
        folder = tmp_path / name
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
            cwd=ROOT,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1577836800"},
            check=True,
            capture_output=True,
        )
        builds.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert builds[0] == builds[1]
    assert len(builds[0]) == 2
    wheel = next((tmp_path / "first").glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert "fastiou/py.typed" in names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "fastiou").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.split("/")[0].removesuffix("-info").rpartition(".")[0] for name in names} <= {
        "",
        f"fastiou-{fastiou.__version__}",
    }
    with tarfile.open(next((tmp_path / "first").glob("*.tar.gz"))) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    assert {"fastiou", "tests", "docs", "bench", "pyproject.toml", "README.md", "LICENSE"} <= tops
