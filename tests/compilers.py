"""Whether the newest Clang compiles the kernels for all systems: ``python tests/compilers.py [TARGET ...]``.

Clang comes with Zig (``pip install ziglang``), and the headers of these systems with it. What is compiled for each
instruction set is compiled for all of them. Warnings are errors. Nothing is linked, and nothing is run; module.cpp,
which needs the headers of Python for that system, is compiled for Linux alone. Of clang-cl, whose headers are
Microsoft's, there is the target ``clang-cl``: whether it understands all options.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).parents[1] / "kernels"

# As Zig calls them.
TARGETS = (
    *("x86_64-linux-gnu", "x86_64-linux-musl", "aarch64-linux-gnu", "aarch64-linux-musl"),
    *("aarch64-macos", "x86_64-macos", "x86_64-windows-gnu", "aarch64-windows-gnu"),
)
CLANG_CL = "clang-cl"
NEEDS_PYTHON = "cpu/module.cpp"
PYTHON_HEADERS = sysconfig.get_path("include")


def settings(clang: str = "") -> dict[str, Any]:
    """Sources and options, as kernels/CMakeLists.txt has them; ``clang`` is what it has before options of Clang's."""
    text = re.sub(r"#.*", "", (KERNELS / "CMakeLists.txt").read_text()).replace("${clang}", clang)

    def found(pattern: str) -> str:
        (values,) = re.findall(pattern, text)
        return values

    def options(name: str) -> list[str]:
        return found(rf'set\({name} "\$<\$\{{gnu_like\}}:([^>]*)>"').split(";")

    by_source = re.findall(
        r'set_source_files_properties\((\S+) PROPERTIES COMPILE_OPTIONS "\$<\$\{gnu_like\}:([^>]*)>"\)', text
    )
    walk = found(r"set\(walk ([^)]*)\)").split()
    single = found(r"set\(single_walk ([^)]*)\)").split()
    listed = found(r"nanobind_add_module\(([^)]*)\)").split()
    return {
        "walk": walk,
        "single": single,
        "once": [name for name in listed if name.endswith(".cpp")],
        "all": [*options("fast"), *options("warnings")],
        "avx2": found(r"set\(options_avx2 ([^)]*)\)").split(),
        "avx512": found(r"set\(options_avx512 ([^)]*)\)").split(),
        "by_source": {name: values.split(";") for name, values in by_source},
    }


def commands(target: str, folder: str) -> list[list[str]]:
    """What compiles all that there is for a target."""
    is_of = settings()
    begin = [sys.executable, "-m", "ziglang", "c++", "-target", target, "-std=c++17", "-fPIC", *is_of["all"], "-Werror"]
    begin += ['-DGPURES_KERNELS="none"']
    if "linux" in target:
        import nanobind

        begin += ["-isystem", PYTHON_HEADERS, "-isystem", nanobind.include_dir()]
    if target.startswith("x86_64"):
        begin.append("-DGPURES_X86")
    names = is_of["walk"] + [name for name in is_of["once"] if name != NEEDS_PYTHON or "linux" in target]
    jobs = [(name, is_of["by_source"].get(name, [])) for name in names]
    jobs += [(name, ["-DGPURES_ISA=baseline_single", "-DGPURES_SINGLE"]) for name in is_of["single"]]
    if target.startswith("x86_64"):
        jobs += [(name, [f"-DGPURES_ISA={isa}", *is_of[isa]]) for isa in ("avx512", "avx2") for name in is_of["walk"]]
        jobs += [
            (name, [f"-DGPURES_ISA={isa}_single", "-DGPURES_SINGLE", *is_of[isa]])
            for isa in ("avx512", "avx2")
            for name in is_of["single"]
        ]
    return [
        [*begin, *options, "-c", str(KERNELS / name), "-o", os.path.join(folder, f"{number}.o")]
        for number, (name, options) in enumerate(jobs)
    ]


def commands_of_clang_cl(folder: str) -> list[list[str]]:
    """What compiles a line, with the options of each kind of source."""
    is_of = settings("/clang:")
    source = Path(folder) / "line.cpp"
    source.write_text("static_assert(sizeof(void*) == 8);\n")
    begin = [sys.executable, "-m", "ziglang", "clang", "--driver-mode=cl", "--target=x86_64-pc-windows-msvc"]
    begin += ["/std:c++17", "/WX", *is_of["all"]]
    kinds = [[], is_of["avx2"], is_of["avx512"], *is_of["by_source"].values()]
    return [[*begin, *kind, "/c", str(source), "/o", f"{source}.obj"] for kind in kinds]


def compiled(command: list[str]) -> str:
    """What the compiler has against a source; nothing where it compiles."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{' '.join(command)}\n{done.stderr or done.stdout}\n"


def main(targets: list[str]) -> int:
    """Compile; 0 where all of it does."""
    known = (*TARGETS, CLANG_CL)
    if unknown := set(targets) - set(known):
        print(f"no such targets: {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = False
    for target in targets or known:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
            todo = commands_of_clang_cl(folder) if target == CLANG_CL else commands(target, folder)
            found = list(threads.map(compiled, todo))
        bad = "".join(found)
        print(f"{target}:", f"FAILED\n{bad}" if bad else f"{len(found)} compiled", flush=True)
        failed |= bool(bad)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
