"""What surrounds the package: its version, what is published, and what people and machines are told to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
FALLBACK = PYPROJECT["tool"]["setuptools_scm"]["fallback_version"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.rst"))]


# ---- versions --------------------------------------------------------------------------------------------------------


def version_in(folder):
    """The version that a build in a folder would give the package."""
    program = "import setuptools_scm as s; print(s._get_version(s.Configuration.from_file('pyproject.toml')))"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SETUPTOOLS_SCM_"))
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def git(folder, *words):
    """Have git do something, as nobody in particular, without anyone's settings."""
    who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
    command = ["git", *words]
    return subprocess.run(command, cwd=folder, env=who | nobody, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def tree(tmp_path):
    """What the version is made of, in a folder of its own, without git."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("pyproject.toml", ".git_archival.txt", ".gitattributes"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def repository(tree):
    """The same in a repository of one commit."""
    git(tree, "init", "--quiet")
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "Begin")
    return tree


def test_version_is_the_tag(repository):
    """At a tag the version is the tag's; after it, it names the commit; before any, it is on the way to the first."""
    found = Version(version_in(repository))
    assert found.base_version == Version(FALLBACK).base_version
    assert found.is_devrelease
    assert git(repository, "rev-parse", "HEAD").startswith(found.local.removeprefix("g"))
    git(repository, "tag", "v7.1.0")
    assert version_in(repository) == "7.1.0"
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "More")
    assert re.fullmatch(r"7\.1\.1\.dev1\+g[0-9a-f]+", version_in(repository))


def test_version_of_an_archive(repository, tmp_path):
    """An archive of a tagged commit, which has no repository any more, has the tag's version."""
    git(repository, "tag", "v7.1.0")
    git(repository, "archive", "--output", tmp_path / "archive.tar", "HEAD")
    with tarfile.open(tmp_path / "archive.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert version_in(tmp_path / "unpacked") == "7.1.0"


def test_version_where_nothing_tells(tree):
    """A copy without git has the fallback, which is no release, so that nobody takes the copy for one."""
    assert version_in(tree) == FALLBACK
    assert Version(FALLBACK).is_devrelease


def test_releases_are_told_of_alike():
    """CITATION.cff is of the newest section of the change log, and the fallback is not of a release before that."""
    version, date = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["date-released"]) == (version, date)
    assert citation["license"] == PROJECT["license"]
    assert Version(Version(FALLBACK).base_version) >= Version(version)


# ---- what is published -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Names of the files of the source distribution, and the text of its metadata."""
    folder = tmp_path_factory.mktemp("sdist")
    program = "import sys, scikit_build_core.build as b; b.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, check=True)
    (path,) = folder.glob("gpures-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        top = archive.getnames()[0].partition("/")[0]
        return names, archive.extractfile(f"{top}/PKG-INFO").read().decode()


def test_source_distribution_is_whole(sdist):
    """It has all that is built, tested and told: kernels, package, tests, pages, licence; and the version's origin."""
    names, _ = sdist
    folders = (
        "gpures/**/*.py",
        "kernels/**/*.*",
        "tests/**/*.py",
        "docs/*.rst",
        "notebooks/*.ipynb",
        ".github/*/*.yml",
    )
    wanted = {str(path.relative_to(ROOT)) for pattern in folders for path in ROOT.glob(pattern)}
    wanted |= {"LICENSE", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "Makefile", "pyproject.toml"}
    wanted |= {"PKG-INFO", "kernels/CMakeLists.txt", "kernels/cuda/splat.cu", "docs/conf.py", "changes/README.md"}
    assert wanted <= names


def test_source_distribution_has_nothing_that_was_made(sdist):
    """Of builds, environments and runs it has nothing."""
    names, _ = sdist
    made = {"build", "dist", ".git", ".venv", ".venv-lowest", ".venv-newest", "gpures_demo", "__pycache__"}
    assert not [name for name in names if made & set(name.split("/")) or name.endswith((".so", ".pyc", ".o"))]


def test_metadata(sdist):
    """The metadata have a version, the needs that pyproject.toml names, and a licence."""
    _, text = sdist
    fields = dict(re.findall(r"^(Name|Version|License-Expression|Requires-Python): (.*)$", text, re.MULTILINE))
    assert fields["Name"] == "gpures"
    assert str(Version(fields["Version"])) == fields["Version"]
    assert fields["License-Expression"] == PROJECT["license"]
    assert fields["Requires-Python"] == PROJECT["requires-python"]
    needs = {Requirement(need).name for need in re.findall(r"^Requires-Dist: ([^;\n]*)$", text, re.MULTILINE)}
    assert needs == {Requirement(need).name for need in PROJECT["dependencies"]}


def test_nothing_is_built_for_the_building_machine_alone():
    """No option asks the compiler for the processor that it runs on: wheels run on others."""
    for name in ("kernels/CMakeLists.txt", "pyproject.toml", "Makefile", "Dockerfile"):
        assert "native" not in re.findall(r"-m(?:arch|cpu|tune)=(\w+)", (ROOT / name).read_text())


def test_targets_notice_each_file_that_changes():
    """Whatever is installed is installed anew where it has changed, so that no target runs what it was before."""
    text = re.search(r"^SOURCES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    patterns = re.findall(r"[\w./*-]+/[\w.*-]+", text)
    noticed = {path for pattern in patterns for path in ROOT.glob(pattern)}
    files = [path for folder in ("gpures", "kernels") for path in (ROOT / folder).rglob("*") if path.is_file()]
    files = [path for path in files if path.suffix in (".py", ".pyi", ".typed", ".h", ".cpp", ".cu", ".txt")]
    assert len(files) > 250
    assert not set(files) - noticed


def test_wheels_begin_with_the_oldest_python():
    """Wheels are built, and the lowest versions tested, from the oldest Python on that gpures takes."""
    oldest = PROJECT["requires-python"].removeprefix(">=")
    first = PYPROJECT["tool"]["cibuildwheel"]["build"][0]
    assert first == f"cp{oldest.replace('.', '')}-*"
    assert re.search(r"^OLDEST_PYTHON := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1] == f"python{oldest}"


def test_every_need_has_a_lower_bound():
    """What users must have, and what extras bring, has a lower bound, which `make test-lowest` installs."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    needs = [Requirement(need) for list_ in lists for need in list_]
    unbound = {need.name for need in needs if not any(part.operator in (">=", "==") for part in need.specifier)}
    assert unbound == {"gpures", "nvidia-cuda-nvrtc-cu12"}  # the latter's very name is a bound


# ---- what people and machines are told -------------------------------------------------------------------------------


def targets():
    """Targets of the Makefile that one may ask for."""
    return set(re.search(r"^\.PHONY: (demo .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())


def steps(path):
    """Steps of a workflow."""
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]


def test_targets_have_recipes():
    """Each target that the Makefile lists is one that it makes."""
    made = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets() == made


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_targets_that_texts_name_exist(path):
    """What a page tells people to make is a target."""
    code = r"`make ([a-z][\w-]*)|^ *make ([a-z][\w-]*)(?= *$| +#| +[A-Z]+=)"
    named = {first or second for first, second in re.findall(code, path.read_text(), re.MULTILINE)}
    assert named <= targets()


def test_all_targets_are_told_of():
    """No target is known to the Makefile alone."""
    told = set(re.findall(r"make ([a-z][\w-]*)", "".join(path.read_text() for path in TEXTS)))
    assert targets() <= told


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_make_targets_that_exist(path):
    """What a workflow makes is a target."""
    named = {name for step in steps(path) for name in re.findall(r"\bmake (\S+)", step.get("run", ""))}
    assert named <= targets()


def test_workflows_are_found():
    """Tests, wheels and pages have one each, and the tests' runs each of the targets that are for it."""
    assert [path.name for path in WORKFLOWS] == ["docs.yml", "tests.yml", "wheels.yml"]
    named = {name for step in steps(WORKFLOWS[1]) for name in re.findall(r"\bmake (\S+)", step.get("run", ""))}
    elsewhere = {"test-docker", "test-aarch64"}  # which there is Docker for, and an arm64 machine
    assert {"check"} | {name for name in targets() if name.startswith("test")} - elsewhere <= named


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_major_version(path):
    """Actions follow their major version, which dependabot moves, and no branch that may hold anything."""
    for step in steps(path):
        if "uses" in step and not step["uses"].startswith("pypa/"):
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_workflows_may_write_only_where_they_publish():
    """A workflow reads the repository; only its job "publish" may do more."""
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        assert all(name == "publish" or "permissions" not in job for name, job in workflow["jobs"].items())


def test_fragments_are_of_known_kinds():
    """A file in changes/ has a name that the next release finds, and the kinds that its README names are those."""
    kinds = [kind["directory"] for kind in PYPROJECT["tool"]["towncrier"]["type"]]
    readme = (ROOT / "changes" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE) == kinds
    for path in (ROOT / "changes").iterdir():
        if path.name != "README.md":
            assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(kinds)})(\.\d+)?\.md", path.name), path.name
            assert path.read_text().strip()
