"""The image that the Dockerfile describes, built without Docker: its steps run in a folder that is a system of its own.

    python tests/image.py [--build-arg NAME=VALUE ...] [--target STAGE] [--keep FOLDER]

Each stage is a folder in which `chroot` runs the steps, as Docker would, with nothing of this machine in reach: no
files, no environment. Three things differ. The base image, Python on Debian, is Debian's own Python, which debootstrap
installs; the build context is what git tracks, as `.dockerignore` leaves no more; and what this machine needs to reach
its package registries (name server, certificates) is lent to each stage.

Needs root, debootstrap and a network: some three minutes, and 2 GB of temporary files. The Dockerfile's entry point
runs at the end, as the user that it names.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "Dockerfile"

# What Docker gives a step where the image says nothing else.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MIRROR = "http://deb.debian.org/debian"

# Of the base image: its Python, and the Debian release under it.
BASE = re.compile(r"python:3\.\d+-slim-(?P<release>[a-z]+)")

CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


@dataclass
class Stage:
    """One stage of the build.

    Attributes
    ----------
    name : str
        As the Dockerfile has it.
    folder : Path
        Its file system.
    environment : dict
        What ENV sets, which stays with the image.
    arguments : dict
        What ARG declares, which only the steps see.
    folder_of_work : str
        WORKDIR.
    user : str
        USER.
    entrypoint, command : list of str
        What the image runs.
    """

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    folder_of_work: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def filled(self, text: str) -> str:
        """The text with its variables put in."""
        return Template(text).substitute(self.arguments | self.environment)

    def path(self, text: str) -> Path:
        """Where a path of the stage lies on this machine."""
        return self.folder / os.path.normpath(os.path.join(self.folder_of_work, text)).lstrip("/")

    def run(self, words: Sequence[str], capture: bool = False, **more: str) -> str:
        """Run a program in the stage, as its user, in its folder, with its environment and no other."""
        done = subprocess.run(
            ["chroot", f"--userspec={self.user}", str(self.folder)]
            + ["/usr/bin/env", "-i", f"--chdir={self.folder_of_work}"]
            + [f"{name}={value}" for name, value in (self.environment | more).items()]
            + list(words),
            check=True,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
        )
        return done.stdout if capture else ""


def instructions(path: Path = DOCKERFILE) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile and what follows each, comments left out and continued lines joined."""
    with path.open("rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    return [(step["instruction"], step["value"]) for step in structure if step["instruction"] != "COMMENT"]


def assignments(text: str) -> dict[str, str]:
    """What ENV, ARG and LABEL assign."""
    found = re.findall(r"""([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)""", text)
    return {name: value[1:-1] if value.startswith('"') else value for name, value in found}


def base_system(folder: Path, image: str) -> None:
    """Install what stands for the base image."""
    match = BASE.fullmatch(image)
    if match is None:
        raise ValueError(f"Expected a base image of the form python:3.N-slim-RELEASE, got {image!r}.")
    packages = "ca-certificates,python3,python3-dev,python3-venv"
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", match["release"], str(folder), MIRROR]
    with (folder.parent / "debootstrap.log").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    for name in ("etc/resolv.conf", "etc/hosts", CERTIFICATES):
        if (Path("/") / name).is_file():
            shutil.copyfile(Path("/") / name, folder / name)


def copy(text: str, stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    """Carry out COPY: files go into the last path, of a folder what it holds."""
    words = stage.filled(text).split()
    options, words = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    origin = context
    for option in options:
        name, _, value = option.partition("=")
        if name != "--from":
            raise ValueError(f"COPY's option {name} is not known here.")
        origin = stages[value].folder
    target = stage.path(words[-1])
    for word in words[:-1]:
        source = origin / word.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            file = target / source.name if words[-1].endswith("/") else target
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, file)


def needed(target: str | None) -> list[tuple[str, str]]:
    """Instructions of a stage, the last one if none is named, and of those that it copies from: what Docker takes."""
    stages: dict[str, list[tuple[str, str]]] = {"": []}
    name = ""
    for instruction, value in instructions():
        if instruction == "FROM":
            name = value.split()[2]
            stages[name] = []
        stages[name].append((instruction, value))
    wanted = {target or name}
    if not wanted <= stages.keys():
        raise ValueError(f"There is no stage {target!r}, but {', '.join(filter(None, stages))}.")
    while (
        more := {
            origin
            for stage in wanted
            for instruction, value in stages[stage]
            if instruction == "COPY"
            for origin in re.findall(r"--from=(\S+)", value)
        }
        - wanted
    ):
        wanted |= more
    return [step for stage, steps in stages.items() if stage in wanted | {""} for step in steps]


def build(folder: Path, given: Mapping[str, str], context: Path, target: str | None = None) -> Stage:
    """Build the stages that one needs.

    Parameters
    ----------
    folder : Path
        Where the stages' folders are made.
    given : mapping
        Build arguments.
    context : Path
        What COPY copies from.
    target : str, optional
        The stage; the last one if none is named.

    Returns
    -------
    Stage
        That one.
    """
    before: dict[str, str] = {}  # arguments declared before the first stage, which FROM alone sees
    bases: dict[str, Path] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    lent = {"PIP_CERT": f"/{CERTIFICATES}", "DEBIAN_FRONTEND": "noninteractive"}
    for instruction, value in needed(target):
        print(f"{stage.name if stage else 'image'}: {instruction} {' '.join(value.split())}", flush=True)
        if instruction == "ARG" and stage is None:
            before |= {name: given.get(name, default) for name, default in assignments(value).items()}
        elif instruction == "FROM":
            image, _, name = Template(value).substitute(before).split()
            if image not in bases:
                bases[image] = folder / f"base{len(bases)}"
                base_system(bases[image], image)
            stage = stages[name] = Stage(name, folder / name)
            subprocess.run(["cp", "--archive", bases[image], stage.folder], check=True)
        elif stage is None:
            raise ValueError(f"{instruction} stands before FROM.")
        elif instruction == "ARG":
            stage.arguments |= {name: given.get(name, default) for name, default in assignments(value).items()}
        elif instruction == "ENV":
            stage.environment |= {name: stage.filled(text) for name, text in assignments(value).items()}
        elif instruction == "RUN":
            stage.run(["/bin/sh", "-c", value], **stage.arguments, **lent)
        elif instruction == "COPY":
            copy(value, stage, stages, context)
        elif instruction == "WORKDIR":
            stage.folder_of_work = os.path.join(stage.folder_of_work, stage.filled(value))
            stage.path(".").mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            stage.user = stage.filled(value)
        elif instruction == "ENTRYPOINT":
            stage.entrypoint = json.loads(value)
        elif instruction == "CMD":
            stage.command = json.loads(value)
        elif instruction != "LABEL":
            raise ValueError(f"{instruction} is not known here.")
    assert stage is not None
    return stage


def check(image: Stage) -> None:
    """Run what the image runs, and look for what it should not hold."""
    if image.user.split(":")[0] in ("0", "root"):
        raise ValueError("The image runs as root.")
    if image.name == "lab":
        print("JupyterLab", image.run([*image.entrypoint, "--version"], capture=True), flush=True)
        image.entrypoint, image.command = ["gpures"], ["info"]
    found = json.loads(image.run([*image.entrypoint, *image.command, "--json"], capture=True))
    print(f"backend taken: {found['auto']['backend']}", flush=True)
    if found["auto"]["backend"] != "cpu":
        raise ValueError("There is no GPU here, so the image should take the CPU.")
    image.run([*image.entrypoint, "selftest"])
    exposure = image.run(["python3", "-c", "from gpures.demo import hst; print(hst.find_exposure())"], capture=True)
    image.run([*image.entrypoint, "mosaic", exposure.strip(), "-o", "/tmp/mosaic.fits", "--good-bits", "none"])
    image.run([*image.entrypoint, "run", "-m", "gpures", "info"])
    left = [
        name
        for name in ("usr/bin/g++", "src", "root/.cache", "var/lib/apt/lists/lock")
        if image.path("/").joinpath(name).exists()
    ]
    if left:
        raise ValueError(f"The image still holds {', '.join(left)}.")
    size = subprocess.run(["du", "-sm", image.path("/opt")], check=True, capture_output=True, text=True).stdout.split()[
        0
    ]
    print(f"image: user {image.user}, {size} MB beside the base image", flush=True)


def main() -> int:
    """Build and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as docker build's")
    parser.add_argument("--target", metavar="STAGE", help="as docker build's")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="build there, and leave it")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("tests/image.py needs root and debootstrap (apt-get install debootstrap).", file=sys.stderr)
        return 2
    given = dict(pair.split("=", 1) for pair in arguments.build_arg)
    with tempfile.TemporaryDirectory() as temporary:
        context = Path(temporary, "context")
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", context], check=True)
        folder = arguments.keep or Path(temporary, "stages")
        folder.mkdir(parents=True, exist_ok=True)
        check(build(folder, given, context, arguments.target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
