"""What is installed: the kernels' source, one for both compilers and the one compiled, and a light package."""

import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import docstrings
import pytest

from gpures import _cpu
from gpures.backend.cuda.kernels import digest_of, source_folder
from gpures.extras import install


def test_extension_is_of_the_installed_source():
    """The compiled extension was made of the very source that the package carries for other compilers."""
    assert digest_of(source_folder()) == _cpu.KERNELS


def test_import_takes_nothing_that_is_slow_or_needs_a_gpu(tmp_path):
    """Importing gpures imports no cupy, no reference, and none of the modules that take longer than itself."""
    program = "import sys, gpures; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "gpures.resample" in modules
    slow = {"cupy", "stcal", "drizzle", "gwcs", "scipy", "astropy.wcs", "astropy.nddata", "astropy.units", "matplotlib"}
    assert not modules & slow


def test_a_source_tree_finds_the_installed_extension():
    """Python started in the source tree, whose package has no extension of its own, takes the installed one."""
    program = "import gpures; print(gpures._cpu.KERNELS)"
    tree = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=tree, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == _cpu.KERNELS


def test_types_are_told_to_strangers():
    """The installed package says that it has types, without which checkers take all of it for Any."""
    assert resources.files("gpures").joinpath("py.typed").is_file()


def test_typed_program_uses_all_that_is_public():
    """The program whose types `make check` looks over names all that is public, so that no name is forgotten there."""
    program = set(re.findall(r"\w+", (Path(__file__).parent / "typed_use.py").read_text()))
    assert {"add_model", "mosaic"} <= program
    assert not {name.rpartition(".")[2] for name, _ in docstrings.public()} - program


TREE = Path(__file__).parents[1]


def texts_for_users():
    """Texts of messages, pages and notebooks, by their paths."""
    paths = [*TREE.glob("gpures/**/*.py"), *TREE.glob("docs/*.rst"), *TREE.glob("notebooks/*"), TREE / "README.md"]
    return {path.relative_to(TREE): path.read_text() for path in paths if path.is_file()}


def test_extras_that_texts_name_exist():
    """Whatever a message, a page or a notebook says to install is an extra of the package."""
    known = set(tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = {
        extra
        for text in texts_for_users().values()
        for found in re.findall(r"'\.\[([\w,-]+)\]", text)
        for extra in found.split(",")
    }
    assert {"cuda12", "cuda13", "drizzle"} <= named
    assert named <= known


def test_texts_say_what_can_be_had():
    """Nothing is on an index yet, so that extras are those of a clone, `'.[plot]'`, or packages by their own names.

    (``gpures/extras.py`` says of both why.)
    """
    texts = texts_for_users()
    own = Path("gpures/extras.py")
    assert "gpures[" in texts.pop(own)
    assert not [str(path) for path, text in texts.items() if re.search(r"gpures\[\w|pip install '?gpures\b", text)]


def test_messages_say_what_can_be_installed():
    """They name packages, those of other extras that an extra names included, and no extra that there is not."""
    own = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert install("plot") == f"pip install '{own['plot'][0]}'"
    for of_zarr in ("zarr", "xarray", "dask[array]"):
        assert f"'{of_zarr}>=" in install("dask")
    assert install("dask").count("'distributed>=") == 1
    assert "gpures" not in install("demo")
    with pytest.raises(ValueError, match="got \\['nonsense'\\]"):
        install("nonsense")


WITHOUT_POSIX = """
import mmap, os, sys
sys.modules["fcntl"] = None  # as on Windows
for name in ("MAP_PRIVATE", "MAP_ANONYMOUS", "MADV_NOHUGEPAGE"):
    delattr(mmap, name)
for name in ("sched_getaffinity", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY"):
    delattr(os, name)
import gpures
from gpures import io
from gpures.backend import cpu
from gpures.demo.hst import find_exposure
cpu.SMALL_PAGES_FROM = 1
made = gpures.mosaic(io.read(find_exposure()), good_bits=None, backend="cpu", progress=False)
print(bool((made.data > 0).any()))
try:
    io.write("mosaic.fits", made.model)
except OSError as error:
    print(error.strerror, os.listdir())
"""


def test_what_windows_has_not(tmp_path):
    """Without POSIX gpures reads and resamples; files it refuses to write, rather than write them in another way."""
    command = [sys.executable, "-P", "-c", WITHOUT_POSIX]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "True\ngpures writes files on Linux and macOS; on Windows it does not yet []\n"


# What is no code: comments, texts, and the C++ number type that has 64 bits everywhere.
NO_CODE = re.compile(r'//.*|"(?:\\.|[^"\\])*"|\blong\s+long\b')


def of_32_bits_on_windows(source):
    """Lines of C++ with a ``long``, or a literal that is one."""
    return [line for line in source.splitlines() if re.search(r"\blong\b|\b\d+[uU]?[lL]\b", NO_CODE.sub("", line))]


def test_no_number_is_narrower_on_windows():
    """The kernels have no `long`, which would count pixels and bytes to 2e9 there; and what looks for it finds it."""
    one_of_each = [
        "unsigned long n = 0;",
        "const auto n = static_cast<long>(bytes);",
        "auto n = 8L * width;",
        "long n; // long long",
    ]
    assert of_32_bits_on_windows("\n".join(one_of_each)) == one_of_each
    assert not of_32_bits_on_windows(
        'unsigned long long n = 8LL; // as long as "n"\nthrow error("too long, \\"long\\"");'
    )
    sources = [path for path in source_folder().rglob("*") if path.suffix in {".h", ".cpp", ".cu"}]
    assert len(sources) > 50
    assert not {path.name: found for path in sources if (found := of_32_bits_on_windows(path.read_text()))}
