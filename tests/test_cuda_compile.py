"""The CUDA kernels compile for every GPU, from what the package carries, and spill no registers for nothing."""

from __future__ import annotations

import re

import pytest
from nvrtc import CompileError, compile_cuda, library

from gpures import _cpu
from gpures.backend.cuda import kernels
from gpures.exposure import structs
from gpures.exposure.drops import KERNELS

# One architecture of each generation that a version of CUDA compiles for.
ARCHITECTURES = {
    12: ["sm_70", "sm_75", "sm_80", "sm_90", "sm_120"],
    13: ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"],
}

WHOLE = ["fold_f4", "fold_f8", "fold_counted_f4", "fold_counted_f8", "fold_single_f4", "fold_single_f8"]
WHOLE += ["fill_f4", "fill_f8", "measure_sizes", "full_pixmap"]
WHOLE += ["finish_variance_f4", "finish_variance_f8", "error_image"]
WHOLE += ["merge_f4", "merge_f8", "weight_map", "show_weights", "convert_f4", "convert_f8"]
WHOLE += ["noise_factor_f4", "noise_factor_f8", "covariances_f4", "covariances_f8"]

CLEANING = [
    *(f"median_of_{n}" for n in (4, 8, 16, 32, 96, "any")),
    "leave_out",
    "blot_exposure",
    "make_likely",
    "compare",
]
CLEANING += ["find_outliers", "find_beside", "grow", "clipped_mean"]

# Registers that leave room for two blocks of 256 threads on a multiprocessor, which has 65536.
MOST_REGISTERS = 128


# Those of `make test`: the oldest, and the one that kernels are tuned for, which alone has the splats, as each of them
# takes seconds; of all others, which take minutes, see `make test-long`.
TUNED_FOR = (13, "sm_90")
IN_EVERY_RUN = [(12, "sm_70"), TUNED_FOR]
TARGETS = [(cuda, architecture) for cuda, all_of in ARCHITECTURES.items() for architecture in all_of]


def compiled_for(*values, in_every_run: bool):
    """Parameters of a test, marked unless they are in each run."""
    return pytest.param(*values, marks=[] if in_every_run else pytest.mark.long)


@pytest.fixture(params=[compiled_for(target, in_every_run=target in IN_EVERY_RUN) for target in TARGETS])
def target(request):
    """Version of CUDA and architecture."""
    return checked(request.param)


def checked(target):
    """A target, where its compiler is there."""
    if library(target[0]) is None:
        pytest.skip(f"NVRTC of CUDA {target[0]} is not installed")
    return target


# Square drops take the most registers.
DROPS = [compiled_for(target, kernel, in_every_run=target == TUNED_FOR) for target in TARGETS for kernel in KERNELS]

# The exposure time alone, and the fewest and many planes; with planes weighted with squares.
PLANES = [(0, 0), (1, 0), (2, 1), (9, 0), (9, 3)]
OF_PLANES = [
    compiled_for(kernel, planes, squared, in_every_run=kernel == "turbo" and squared == 1)
    for kernel in KERNELS
    for planes, squared in PLANES
]

# And for four of them; what may spill for that, in bytes of stores and of loads, where it was measured that it pays.
ROOM_FOR_FOUR = 64
WORTH_IT = 1500


@pytest.mark.parametrize(("target", "kernel"), DROPS)
def test_splat_compiles_and_keeps_to_its_registers(target, kernel):
    """Every drop compiles for every architecture, and nothing of a thread spills into memory where it need not."""
    cases = [(4, 0, True)]  # data with three variances
    if kernel == "square":  # and those of pixels without some of their neighbours
        cases += [(4, 0, False)]
    # Whole numbers take more registers: most of them on these.
    if target in [(12, "sm_70"), (13, "sm_120")]:
        cases += [(4, 0, True, "counted")] + [(4, 0, True, "measured")] * (target[0] == 13)
    for case in cases:
        check_splat(checked(target), kernel, *case)


@pytest.mark.parametrize(("kernel", "planes", "squared"), OF_PLANES)
def test_splat_of_other_planes_compiles(kernel, planes, squared):
    """So does it with other numbers of planes."""
    for whole in [True, False] if kernel == "square" else [True]:
        check_splat(checked(TUNED_FOR), kernel, planes, squared, whole)


def check_splat(target, kernel, planes, *case):
    """Compile it, and look at its registers."""
    name = kernels.splat_name(kernel, planes, *case)
    used = compile_cuda(target[0], "splat.cu", target[1], kernels.splat_options(kernel, planes, *case))
    assert list(used) == [name]
    registers, spilled = used[name]
    print(f"CUDA {target[0]}, {target[1]}, {name}: {registers} registers, {spilled} bytes spilled")
    is_measured = kernel == "square" and target[1] == "sm_90" and planes <= 4 and case[1]
    assert spilled <= (WORTH_IT if is_measured else 0)
    if is_measured:
        assert registers <= ROOM_FOR_FOUR
    if planes <= 4 and case[1]:  # few exposures have pixels without neighbours
        assert registers <= MOST_REGISTERS


@pytest.mark.parametrize(("target", "kernel"), DROPS)
def test_splat_in_single_precision(target, kernel):
    """So does every drop in floats: of square ones, but on 10.0, a multiprocessor has room for twice as many blocks."""
    for whole in [True, False] if kernel == "square" else [True]:
        check_single_splat(checked(target), kernel, 4, 0, whole)


@pytest.mark.parametrize(("kernel", "planes", "squared"), OF_PLANES)
def test_splat_of_other_planes_in_single_precision(kernel, planes, squared):
    """So does it with other numbers of planes."""
    for whole in [True, False] if kernel == "square" else [True]:
        check_single_splat(checked(TUNED_FOR), kernel, planes, squared, whole)


def check_single_splat(target, kernel, planes, squared, whole):
    """Compile it in floats, and look at its registers."""
    options = kernels.splat_options(kernel, planes, squared, whole, single=True)
    used = compile_cuda(target[0], "splat.cu", target[1], options)
    ((name, (registers, spilled)),) = used.items()
    print(f"CUDA {target[0]}, {target[1]}, {name}: {registers} registers, {spilled} bytes spilled")
    assert name == kernels.splat_name(kernel, planes, squared, whole, single=True)
    assert spilled == 0
    if whole and planes <= 8:
        has_room = kernel == "point" or (kernel == "square" and target[1] != "sm_100")
        assert registers <= (ROOM_FOR_FOUR if has_room else MOST_REGISTERS)


# Of all targets and kernels it takes minutes: these had the most registers of each generation, and were the largest.
PAIRS = [(12, "sm_70", "square"), (12, "sm_120", "square"), (13, "sm_90", "square"), (13, "sm_90", "lanczos3")]


@pytest.mark.parametrize(("cuda", "architecture", "kernel"), PAIRS)
def test_pairs_compile(cuda, architecture, kernel):
    """So do the pairs of drops; what a thread holds of one lies in memory that its block shares."""
    target = checked((cuda, architecture))
    for whole in [True, False] if kernel == "square" and target == TUNED_FOR else [True]:
        used = compile_cuda(target[0], "pairs.cu", target[1], kernels.pairs_options(kernel, whole), frames=True)
        ((name, (registers, spilled)),) = used.items()
        print(f"CUDA {target[0]}, {target[1]}, {name}: {registers} registers, {spilled} bytes spilled")
        assert name == kernels.pairs_name(kernel, whole)
        assert spilled == 0


def test_whole_images_compile(target):
    """So do the kernels that work on whole images."""
    used = compile_cuda(target[0], "mosaic.cu", target[1])
    for name, (registers, spilled) in used.items():
        print(f"CUDA {target[0]}, {target[1]}, {name}: {registers} registers, {spilled} bytes spilled")
    assert sorted(used) == sorted(WHOLE)
    assert all(spilled == 0 for _, spilled in used.values())


def test_blotting_compiles(target):
    """So does the interpolation of images."""
    used = compile_cuda(target[0], "blot.cu", target[1])
    assert sorted(used) == ["blot_f4", "blot_f8"]
    assert all(spilled == 0 for _, spilled in used.values())


def test_cleaning_compiles(target):
    """So do medians, whose values lie in registers, and the comparison."""
    used = compile_cuda(target[0], "cleaning.cu", target[1], frames=True)
    for name, (registers, spilled) in used.items():
        print(f"CUDA {target[0]}, {target[1]}, {name}: {registers} registers, {spilled} bytes spilled")
    assert sorted(used) == sorted(CLEANING)
    assert all(spilled == 0 for _, spilled in used.values())


def test_operators_compile(target):
    """So does what takes a matrix' entries: of square drops for all, and of every drop for two."""
    drops = KERNELS if target in [(12, "sm_70"), TUNED_FOR] else ["square"]
    for kernel in drops:
        name = kernels.entries_name(kernel)
        used = compile_cuda(target[0], "operator.cu", target[1], kernels.entries_options(kernel))
        print(f"CUDA {target[0]}, {target[1]}, {name}: {used[name][0]} registers, {used[name][1]} bytes spilled")
        assert list(used) == [name]
        assert used[name][1] == 0


def test_rows_and_noise_compile(target):
    """So do the kernels that go over rows, and noise."""
    used = compile_cuda(target[0], "rows.cu", target[1], kernels.UNFUSED)
    assert sorted(used) == ["add_products", "make_noise", "sort_rows", "take_means"]
    assert all(spilled == 0 for _, spilled in used.values())


def test_records_are_the_structs():
    """Each field of Python's records lies where the C++ struct has it, and nothing is left out."""
    found = []
    names = ("VIEW", "PIXMAP", "PLANE", "EXPOSURE", "MOSAIC", "PAIRS", "SCALING", "WINDOW", "MERGED_PLANE", "MERGE")
    names += ("BLOT", "STACK_IMAGE", "STACK", "CLIPPED", "COMPARISON", "OPERATOR")
    for name in names:
        for field, (dtype, offset, *_) in getattr(structs, name).fields.items():
            found.append((f"{name.title().replace('_', '')}.{field}", offset, dtype.itemsize))
    assert found == [tuple(field) for field in _cpu.LAYOUT]


def test_records_of_another_size_do_not_compile(target, monkeypatch):
    """A record that Python packs otherwise than the compiler is found when the kernels are compiled."""
    wrong = tuple(option + "0" if "WINDOW_BYTES" in option else option for option in kernels.options())
    monkeypatch.setattr(kernels, "options", lambda: wrong)
    with pytest.raises(CompileError, match="the record of a window has another size"):
        compile_cuda(target[0], "mosaic.cu", target[1])


def test_interpolants_enumerate_as_in_python():
    """The number of an interpolant is its place in Python's list."""
    text = (kernels.source_folder() / "blot.h").read_text()
    names = re.search(r"enum Interpolation \{([^}]*)\}", text)[1].replace("_", "").lower().split(",")
    assert [name.strip() for name in names] == list(structs.INTERPOLATIONS)


def test_kernels_enumerate_as_in_python():
    """The number of a kernel is its place in Python's list: each compiles to the drop of its name."""
    text = (kernels.source_folder() / "drop.h").read_text()
    enumeration = re.search(r"enum Kernel \{([^}]*)\}", text)[1]
    assert [tuple(item.split(" = ")) for item in enumeration.strip().split(", ")] == [
        (kernel.upper(), str(number)) for number, kernel in enumerate(KERNELS)
    ]
