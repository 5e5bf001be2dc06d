"""gpures on arm64, on a machine that is none: ``python tests/aarch64.py [arguments of pytest]``.

The extension is built by Clang (`compilers.py`) for that processor, Debian's Python for it is unpacked into a folder,
with the packages that pip has for it, and QEMU runs ``gpures selftest`` and some tests of the kernels. Takes Debian
with qemu-user-static, and some ten minutes; nothing is installed on the machine, and root is not needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import compilers
import nanobind

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "aarch64"
SYSTEM = WORK / "system"
SITE = WORK / "site"
QEMU = "qemu-aarch64-static"

TARGET = "aarch64-linux-gnu.2.36"  # Debian 12's C library
DEBIAN = ("python3", "libstdc++6")
PACKAGES = ("numpy>=2", "scipy", "astropy", "gwcs", "pytest", "hypothesis", "shapely")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")

# A test of each kind: all kernels of drops, overlaps, pixels of several types, and the bits of noise.
CHOSEN = ["tests/test_kernels.py", "tests/test_overlap.py", "tests/test_noise.py"]
CHOSEN += ["-k", "overlap or every_machine or cpu and (any_size or seam or definition and 1.375)"]


def run(*command: str | Path, **options: object) -> None:
    """Run a command, and stop where it fails."""
    subprocess.run([str(word) for word in command], check=True, **options)


def unpack_debian() -> None:
    """Debian's Python for arm64, and what it needs."""
    state = WORK / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
        "Dir::State": state / "state",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
    }
    apt = ["apt-get", "-qq", *(word for item in settings.items() for word in ("-o", f"{item[0]}={item[1]}"))]
    run(*apt, "update")
    run(*apt, "install", "--download-only", "--yes", *DEBIAN)
    for package in sorted((state / "cache" / "archives").glob("*.deb")):
        run("dpkg-deb", "--extract", package, SYSTEM)


def install_packages(python: str) -> None:
    """What gpures and its tests need, of that processor."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    options = ["--python-version", python, "--only-binary", ":all:", "--target", SITE, *platforms]
    run(sys.executable, "-m", "pip", "install", "--quiet", *options, *PACKAGES)


def build(extension: Path) -> None:
    """The extension, for that processor."""
    objects = WORK / "objects"
    objects.mkdir(exist_ok=True)
    commands = compilers.commands(TARGET, str(objects))
    of_nanobind = Path(nanobind.source_dir()) / "nb_combined.cpp"
    robin_map = Path(nanobind.include_dir()).parent / "ext" / "robin_map" / "include"
    begin = commands[0][: commands[0].index("-target") + 2]
    include = [word for folder in (nanobind.include_dir(), compilers.PYTHON_HEADERS) for word in ("-isystem", folder)]
    last = str(objects / "nanobind.o")
    commands.append(
        [*begin, "-std=c++17", "-O2", "-fPIC", *include, "-isystem", str(robin_map), "-c", str(of_nanobind)]
    )
    commands[-1] += ["-o", last]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        if bad := "".join(threads.map(compilers.compiled, commands)):
            sys.exit(bad)
    made = [command[-1] for command in commands]
    run(*begin, "-shared", "-lpthread", *made, "-o", extension)


def install_gpures(extension: Path) -> None:
    """gpures, as pip would."""
    package = SITE / "gpures"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "gpures", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "kernels", package / "kernels")
    shutil.copy(extension, package)
    about = SITE / "gpures-0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gpures\nVersion: 0\n")


def main(arguments: list[str]) -> int:
    """Do all of it; the exit status of the tests."""
    if shutil.which(QEMU) is None:
        print(f"{QEMU} is needed: apt-get install qemu-user-static", file=sys.stderr)
        return 2
    python = ".".join(map(str, sys.version_info[:2]))
    if not list(SYSTEM.glob(f"usr/bin/python{python}")):
        unpack_debian()
    binary = SYSTEM / "usr" / "bin" / f"python{python}"
    if not binary.exists():
        print(f"Debian's Python is not {python}, with which this has to be run.", file=sys.stderr)
        return 2
    if not (SITE / "pytest").is_dir():
        install_packages(python)
    extension = WORK / f"_cpu.cpython-{python.replace('.', '')}-aarch64-linux-gnu.so"
    sources = max(path.stat().st_mtime for path in (ROOT / "kernels").rglob("*"))
    if not extension.exists() or extension.stat().st_mtime < sources:
        build(extension)
    install_gpures(extension)
    environment = os.environ | {"PYTHONPATH": f"{SITE}:{ROOT / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
    emulated = [QEMU, "-L", str(SYSTEM), str(binary), "-P"]
    os.chdir(WORK)
    run(*emulated, "-c", "import platform; print('on', platform.machine())", env=environment)
    run(*emulated, "-m", "gpures", "selftest", "--backend", "cpu", env=environment)
    tests = arguments or [str(ROOT / word) if word.startswith("tests/") else word for word in CHOSEN]
    command = [*emulated, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), *tests]
    return subprocess.run(command, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
