"""The Dockerfile as text: what its image is, and what its steps say. `make test-docker` carries the steps out."""

from __future__ import annotations

import os
import subprocess
import tomllib

import image
import pytest

STEPS = image.instructions()
FIRST = [k for k, (instruction, _) in enumerate(STEPS) if instruction == "FROM"]
LAST_STAGE = STEPS[FIRST[-1] :]


def values(steps, instruction):
    """What follows each of an instruction."""
    return [value for name, value in steps if name == instruction]


def test_stages_share_a_base_image_of_a_given_version():
    """All stages begin with one image, of a Python and a Debian release that are named: the environment fits both."""
    images = {value.split()[0] for value in values(STEPS, "FROM")}
    assert len(FIRST) == 4
    assert images == {"python:${PYTHON}-slim-bookworm"}
    assert values(STEPS[: FIRST[0]], "ARG") == ["PYTHON=3.12"]


def test_image_runs_gpures_without_privileges():
    """What runs is gpures, as a user by number, who is not root."""
    assert values(LAST_STAGE, "USER") == ["1000:1000"]
    assert values(LAST_STAGE, "ENTRYPOINT") == ['["gpures"]']
    assert values(LAST_STAGE, "CMD") == ['["info"]']


def test_the_lab_serves_notebooks():
    """Its own target is a notebook server, of the same environment, and of what the notebooks import."""
    lab = STEPS[FIRST[2] : FIRST[3]]
    assert values(lab, "FROM")[0].endswith(" lab")
    assert values(lab, "ENTRYPOINT")[0].startswith('["jupyter", "lab"')
    assert values(lab, "USER") == ["1000:1000"]
    assert values(lab, "COPY") == ["--from=build-lab /opt/gpures /opt/gpures", "notebooks /notebooks"]
    (step,) = values(STEPS[FIRST[1] : FIRST[2]], "RUN")
    assert all(package in step for package in ("jupyterlab", "matplotlib", "stcal"))


def test_image_asks_for_gpus():
    """The image says of itself what NVIDIA's container toolkit looks for."""
    environment = {}
    for value in values(LAST_STAGE, "ENV"):
        environment |= image.assignments(value)
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def test_nothing_is_built_or_downloaded_in_the_last_stage():
    """The image gets the environment from the stage before, and its own steps install nothing."""
    assert values(LAST_STAGE, "COPY") == ["--from=build /opt/gpures /opt/gpures"]
    assert not any(word in step for step in values(LAST_STAGE, "RUN") for word in ("apt", "pip", "curl", "wget"))


def test_context_is_what_is_copied():
    """Of the build context Docker sees what COPY takes, and no more."""
    allowed = [line[1:] for line in (image.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    own = [value.split() for value in values(STEPS[: FIRST[-1]], "COPY") if "--from" not in value]
    copied = [word for words in own for word in words[:-1]]
    assert sorted(allowed) == sorted(copied)
    assert all((image.ROOT / name).exists() for name in copied)


def installed_by(**arguments):
    """What the step that installs gpures would hand to pip."""
    step = values(STEPS, "RUN")[2].replace("/opt/gpures/bin/python", "echo")
    return subprocess.run(["sh", "-c", step], env=arguments, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("cuda", "extras", "expected"),
    [
        ("13", "", ".[drizzle,cuda13]"),
        ("12", "", ".[drizzle,cuda12]"),
        ("none", "", ".[drizzle]"),
        ("none", ",jwst,roman", ".[drizzle,jwst,roman]"),
    ],
)
def test_build_arguments_choose_extras(cuda, extras, expected):
    """CUDA and EXTRAS become extras that gpures has."""
    done = installed_by(CUDA=cuda, EXTRAS=extras)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"-m pip install --no-cache-dir {expected}"
    known = tomllib.loads((image.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(expected[2:-1].split(",")) <= set(known)


@pytest.mark.parametrize("version", ["", "1.2.3"])
def test_version_of_the_image(version):
    """VERSION is what the build, which has no git, is told."""
    variable = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_GPURES"
    step = values(STEPS, "RUN")[2].replace("/opt/gpures/bin/python", f"printenv {variable} #")
    environment = {"CUDA": "none", "VERSION": version, "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", step], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == version


def test_extras_of_the_image_by_default():
    """Without build arguments the image is for CUDA 13, and reads the files of all missions."""
    assert values(STEPS[: FIRST[1]], "ARG")[-2:] == ["CUDA=13", "EXTRAS=,jwst,roman"]


def test_a_cuda_that_is_none_is_named():
    """A version of CUDA that there are no wheels for ends the build, in words."""
    done = installed_by(CUDA="11", EXTRAS="")
    assert done.returncode != 0
    assert "CUDA must be 13, 12 or none, got '11'" in done.stderr


def test_assignments():
    """ENV, ARG and LABEL assign words and quoted texts, several at a time."""
    assert image.assignments('A=1   B="two words" c.d=') == {"A": "1", "B": "two words", "c.d": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one.txt ./", {"work/one.txt"}),
        ("one.txt folder/three.txt ./", {"work/one.txt", "work/three.txt"}),
        ("folder folder", {"work/folder/three.txt"}),
        ("one.txt /elsewhere/new.txt", {"elsewhere/new.txt"}),
        ("--from=other /there ./", {"work/two.txt"}),
    ],
)
def test_copying(tmp_path, text, expected):
    """COPY puts files into a folder or under a new name, and of a folder what it holds, from here or another stage."""
    for name in ("context/one.txt", "context/folder/three.txt", "other/there/two.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    stage = image.Stage("last", tmp_path / "last", folder_of_work="/work")
    image.copy(text, stage, {"other": image.Stage("other", tmp_path / "other")}, tmp_path / "context")
    found = {str(path.relative_to(stage.folder)) for path in stage.folder.rglob("*") if path.is_file()}
    assert found == expected


def test_other_base_images_are_refused(tmp_path):
    """A base image that nothing stands for is named."""
    with pytest.raises(ValueError, match=r"python:3\.N-slim-RELEASE, got 'alpine:3'"):
        image.base_system(tmp_path, "alpine:3")
