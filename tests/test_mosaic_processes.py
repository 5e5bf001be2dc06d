"""``gpures mosaic`` beside other processes: signals, two to one name, readers that block, few handles, full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import files
import pytest

from gpures import cli
from gpures.cli import mosaic as command

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

# One process imports everything, and forks those that are to be tried: each takes a tenth of a second. It is sent
# programs as lines of JSON, and answers each with a line of what was told. What a child prints goes to a file.
HARNESS = """
    import json, os, random, resource, signal, sys, tempfile, threading, time
    from gpures.cli import main
    from gpures import io
    signal.signal(signal.SIGINT, signal.default_int_handler)
    inputs = sys.argv[1:]
    with tempfile.TemporaryDirectory() as other:
        main(["mosaic", *inputs, "-o", other + "/warm.fits", "-q", "--backend", "cpu"])

    def start(*arguments, before=lambda: None):
        log = tempfile.TemporaryFile()
        child = os.fork()
        if child == 0:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            status = 99
            try:
                before()
                status = main(["mosaic", *inputs, "-o", OUT, "-q", "--backend", "cpu", *arguments])
            except SystemExit as error:
                status = error.code
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        return child, log

    def end(child, log, seconds=30):
        begin = time.monotonic()
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() - begin > seconds:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.seek(0)
        return {"status": status, "said": log.read().decode(), "seconds": time.monotonic() - begin}

    def tell(**facts):
        facts_told.append(facts)

    for line in sys.stdin:
        folder, program = json.loads(line)
        OUT, facts_told = folder + "/out.fits", []
        exec(program)
        print(json.dumps(facts_told), flush=True)
"""


@pytest.fixture(scope="module")
def process(inputs):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HARNESS), *map(str, inputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"GPURES_NUM_THREADS": "1"},
    )
    yield process
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    process.stdout.close()


@pytest.fixture
def harness(process, tmp_path):
    """Runs a program, and gives what it tells; a run that does not end is killed by it after half a minute."""

    def run(program):
        print(json.dumps([str(tmp_path), textwrap.dedent(program)]), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    return run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return [files.plain_file(folder / f"p{k}.fits", extensions={"ERR": files.noise(seed=k)}) for k in range(3)]


def test_signals_at_many_moments(harness, tmp_path):
    """Whenever a run is ended, the old file or the new one is there, whole, and nothing else."""
    (tmp_path / "out.fits").write_bytes(b"old")
    program = """
        whole = end(*start("--overwrite"))
        assert whole["status"] == 0, whole
        size = os.path.getsize(OUT)
        rng = random.Random(1)
        for k in range(18):
            kind = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[k % 3]
            open(OUT, "wb").write(b"old")
            run = start("--overwrite")
            time.sleep(rng.uniform(0.01, 1.1 * whole["seconds"]))
            os.kill(run[0], kind)
            found = end(*run)
            tell(kind=kind.name, names=os.listdir(folder), new=os.path.getsize(OUT) == size,
                 old=os.path.getsize(OUT) == 3, **found)
    """
    statuses = {"SIGINT": (130, 0), "SIGTERM": (143, 0), "SIGKILL": (-9, 0)}
    for found in harness(program):
        assert found["names"] == ["out.fits"], found
        assert found["old"] or found["new"], found
        # After the last moment a signal finds a process that is done; one in the first has no handler yet.
        assert found["status"] in (*statuses[found["kind"]], -2, -15), found
        assert found["new"] or found["status"] != 0, found
        assert "Traceback" not in found["said"], found
        assert found["seconds"] < 5, found


def test_two_runs_to_one_name(harness):
    """Of runs to one name at a time, exactly one succeeds; with --overwrite all do, one after another."""
    program = """
        for option in ([], ["--overwrite"]):
            runs = [start(*option) for _ in range(4)]
            tell(runs=[end(*run) for run in runs], names=os.listdir(folder))
            os.unlink(OUT)
    """
    once, replaced = harness(program)
    assert sorted(run["status"] == 0 for run in once["runs"]) == [False, False, False, True]
    assert all(
        run["status"] == 0 or "there is such a file" in run["said"] or "exists" in run["said"] for run in once["runs"]
    )
    assert [run["status"] for run in replaced["runs"]] == [0] * 4
    assert once["names"] == replaced["names"] == ["out.fits"]


def test_a_reader_that_blocks(harness):
    """Ctrl-C and SIGTERM end a run within a second though a reader never returns, and leave nothing."""
    # As of a dead network disk: nothing ends the read of a pipe into which nobody writes.
    program = """
        told, tells = os.pipe()

        def block(*_, **__):
            os.write(tells, b"x")
            os.read(os.pipe()[0], 1)

        def in_headers():
            io.inputs = block

        def in_frame():
            io.read_wcs = block

        def in_first():
            io.Input.read = block

        def in_third():
            read, count = io.Input.read, []

            def third(*arguments):
                count.append(1)
                return block() if len(count) == 3 else read(*arguments)

            io.Input.read = third

        for before in (in_headers, in_frame, in_first, in_third):
            for kind in (signal.SIGINT, signal.SIGTERM):
                run = start(*["--like", inputs[0]] if before is in_frame else [], before=before)
                os.read(told, 1)
                time.sleep(0.1)
                os.kill(run[0], kind)
                tell(where=before.__name__, kind=kind.name, names=os.listdir(folder), **end(*run, seconds=10))
    """
    found = harness(program)
    assert len(found) == 8
    for run in found:
        assert run["status"] == {"SIGINT": command.INTERRUPTED, "SIGTERM": 143}[run["kind"]], run
        assert run["seconds"] < 1.5, run
        assert run["names"] == [], run


def test_python_goes_down_beside_a_blocked_reader(inputs, tmp_path):
    """A whole process, from its start to its end, is gone a second after Ctrl-C though a reader blocks."""
    program = """
        import os, sys, threading, time, signal
        from gpures import io
        from gpures.cli import main
        io.Input.read = lambda *_: os.read(os.pipe()[0], 1)
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        begin = time.monotonic()
        import atexit
        atexit.register(lambda: print(time.monotonic() - begin))
        sys.exit(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), "mosaic", *map(str, inputs), "-o", str(tmp_path / "o.fits")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == command.INTERRUPTED, done.stderr
    assert float(done.stdout) < 3.5
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_limits_of_a_process(harness):
    """With few file handles, or a limit of a file's size, a run fails with a word and without a file, or is whole."""
    program = """
        for free in range(9):
            def before():
                if free == 8:
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
                    return
                taken = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]  # the last one was the folder's
                for number in set(range(taken[-1])) - set(taken):  # as the limit is one of numbers
                    os.dup2(taken[0], number)
                limit = taken[-1] + 1 + free
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            tell(**end(*start(before=before)), names=os.listdir(folder))
            if os.path.exists(OUT):
                os.unlink(OUT)
    """
    *handles, size = harness(program)
    for run in handles:
        assert run["names"] == (["out.fits"] if run["status"] == 0 else []), run
        assert run["status"] == 0 or "Too many open files" in run["said"], run
        assert "Traceback" not in run["said"], run
    assert {run["status"] == 0 for run in handles} == {False, True}
    assert (size["status"], size["names"]) == (command.NOT_FINISHED, [])
    assert "Traceback" not in size["said"]


# Refused in the plan


@pytest.fixture
def unread(monkeypatch):
    """No pixel may be read."""
    from gpures.io import Input

    monkeypatch.setattr(Input, "read", None)


def refused(capsys, words, inputs, output, *arguments):
    status = cli.main(["mosaic", *map(str, inputs), "-o", str(output), "-q", "--backend", "cpu", *arguments])
    assert status == command.NOT_BEGUN
    assert words in capsys.readouterr().err


def test_names_that_cannot_be_written(inputs, tmp_path, unread, capsys):
    """A name that can't be written is refused before any pixel is read, and nothing is left."""
    (tmp_path / "link.fits").symlink_to(tmp_path / "nowhere.fits")
    os.mkfifo(tmp_path / "fifo.fits")
    (tmp_path / "folder.fits").mkdir()
    (tmp_path / "file").touch()
    before = sorted(os.listdir(tmp_path))
    refused(capsys, "File name too long", inputs, tmp_path / ("n" * 260 + ".fits"))
    refused(capsys, "there is no folder", inputs, tmp_path / "nowhere" / "o.fits")
    refused(capsys, "there is no folder", inputs, tmp_path / "file" / "o.fits")
    refused(capsys, "which exists", inputs, tmp_path / "link.fits")
    refused(capsys, "it is a FIFO", inputs, tmp_path / "fifo.fits", "--overwrite")
    refused(capsys, "is a folder", inputs, tmp_path / "folder.fits", "--overwrite")
    assert sorted(os.listdir(tmp_path)) == before


def test_what_cannot_be_written(inputs, tmp_path, unread, capsys, monkeypatch):
    """So are units that a header can't hold, a frame that asdf can't write, and more than the disk has room for."""
    import shutil

    from gpures.io import writer

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (10**6, 10**6 - 1000, 1000))
    for name in ("o.fits", "o.asdf"):
        refused(capsys, "and 0.0 MB are free", inputs, tmp_path / name)
    monkeypatch.undo()

    def unwritable(*_, **__):
        raise TypeError("Object of type 'Mine' is not serializable")

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_content", unwritable)
        refused(capsys, "not serializable", inputs, tmp_path / "o.asdf")
    assert os.listdir(tmp_path) == []
