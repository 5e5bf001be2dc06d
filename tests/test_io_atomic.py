"""Files appear whole or not at all, replace what they may, and leave nothing behind."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from gpures.io import atomic
from gpures.io.atomic import Destination, check_space, written

OLD, NEW = b"old", b"new" * 1000


def without_links(*_, **__):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["nameless", "named", "without links", "without links and renameat2"])
def way(request, monkeypatch):
    """Each way to make a file: what Linux has, and what is left where file systems or systems lack it."""
    if request.param == "nameless" and not hasattr(os, "O_TMPFILE"):
        pytest.skip("files without a name are a matter of Linux")
    if request.param != "nameless":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if "links" in request.param:
        monkeypatch.setattr(os, "link", without_links)
    if "renameat2" in request.param:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    return request.param


def write(path, overwrite=False, then=lambda: None):
    """Write a file, and do something before it is published."""
    with written(path, overwrite) as file:
        file.write(NEW)
        then()


def fill(path):
    """Write more than a small disk holds."""
    with written(path) as file:
        file.write(bytes(10_000_000))


def fail(error):
    raise error


def names(folder):
    return sorted(os.listdir(folder))


class TestPublishing:
    def test_new(self, way, tmp_path):
        """A file has its name when it is complete, and not before; its mode is what the process's mask leaves."""
        mask = os.umask(0o027)
        try:
            with written(tmp_path / "a") as file:
                file.write(NEW)
                assert not (tmp_path / "a").exists()
                assert names(tmp_path) == [] or way != "nameless"
        finally:
            os.umask(mask)
        assert (tmp_path / "a").read_bytes() == NEW
        assert names(tmp_path) == ["a"]
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640

    def test_one_that_appears_meanwhile_stays(self, way, tmp_path):
        """Without overwrite, a file that somebody else wrote meanwhile is not replaced."""
        with pytest.raises(FileExistsError, match="there is such a file by now"):
            write(tmp_path / "a", then=lambda: (tmp_path / "a").write_bytes(OLD))
        assert (tmp_path / "a").read_bytes() == OLD
        assert names(tmp_path) == ["a"]

    def test_a_link_that_appears_meanwhile_stays(self, way, tmp_path):
        """Nor is anything written through a link that appeared."""
        with pytest.raises(FileExistsError):
            write(tmp_path / "a", then=lambda: (tmp_path / "a").symlink_to(tmp_path / "elsewhere"))
        assert names(tmp_path) == ["a"]

    def test_overwriting(self, way, tmp_path):
        """A file is replaced in one step, and the new one has its mode and owner."""
        old = tmp_path / "a"
        old.write_bytes(OLD)
        old.chmod(0o604)
        if os.geteuid() == 0:
            os.chown(old, 12345, 54321)
        before = old.stat()
        with written(old, overwrite=True) as file:
            file.write(NEW)
            assert old.read_bytes() == OLD
            for part in tmp_path.glob(".gpures-*"):  # not for others to read meanwhile
                assert stat.S_IMODE(part.stat().st_mode) & 0o077 == 0o004
        after = old.stat()
        assert old.read_bytes() == NEW
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
        assert after.st_ino != before.st_ino
        assert names(tmp_path) == ["a"]

    def test_of_a_link_the_target_is_replaced(self, way, tmp_path):
        """With overwrite, what a link leads to is replaced, in its folder, and the link stays."""
        (tmp_path / "there").mkdir()
        target, link = tmp_path / "there" / "target", tmp_path / "link"
        target.write_bytes(OLD)
        link.symlink_to("there/target")
        with written(link, overwrite=True) as file:
            file.write(NEW)
        assert link.is_symlink()
        assert target.read_bytes() == NEW
        target.unlink()
        with written(link, overwrite=True) as file:  # a link that leads nowhere
            file.write(OLD)
        assert link.is_symlink()
        assert target.read_bytes() == OLD
        assert names(tmp_path / "there") == ["target"]

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(143)])
    def test_what_fails_leaves_nothing(self, way, tmp_path, error):
        """A file that is not completed is gone, and the one before as it was."""
        (tmp_path / "a").write_bytes(OLD)
        for overwrite, name in ((True, "a"), (False, "b")):
            with pytest.raises(type(error)):
                write(tmp_path / name, overwrite, then=lambda: fail(error))
        assert names(tmp_path) == ["a"]
        assert (tmp_path / "a").read_bytes() == OLD

    def test_it_is_on_the_disk_first(self, way, tmp_path, monkeypatch):
        """The file is synchronised before it gets its name, and the folder after that."""
        done = []
        real = os.fsync

        def fsync(descriptor):
            done.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "a").exists()))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        with written(tmp_path / "a") as file:
            file.write(NEW)
        assert done == [(False, False), (True, True)]

    def test_a_disk_that_fails(self, way, tmp_path, monkeypatch):
        """What can't be synchronised is an error, and no file."""

        def fsync(descriptor):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="Input/output error"):
            write(tmp_path / "a")
        assert names(tmp_path) == []

    def test_without_proc(self, tmp_path, monkeypatch):
        """Where a file without a name can't be given one, it has one from the beginning."""
        real = os.link

        def link(source, *arguments, **others):
            if str(source).startswith("/proc"):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            real(source, *arguments, **others)

        monkeypatch.setattr(os, "link", link)
        with written(tmp_path / "a") as file:
            file.write(NEW)
            assert names(tmp_path)
        assert names(tmp_path) == ["a"]


class TestRefused:
    """What can't be written is refused when the file is opened, before any work."""

    def test_there_is_one(self, tmp_path):
        """A file of the name, or a link, even one that leads nowhere."""
        (tmp_path / "a").write_bytes(OLD)
        (tmp_path / "b").symlink_to("nowhere")
        with pytest.raises(FileExistsError, match="there is such a file"):
            Destination(tmp_path / "a")
        with pytest.raises(FileExistsError, match="there is a link of that name"):
            Destination(tmp_path / "b")

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_names(self, tmp_path, overwrite):
        """Names that are too long, and folders that are none; one of 255 bytes is written."""
        with pytest.raises(OSError, match="name too long"):
            Destination(tmp_path / ("n" * 256), overwrite)
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            Destination(tmp_path / "nowhere" / "a", overwrite)
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            Destination(tmp_path / "file" / "a", overwrite)
        with written(tmp_path / ("ü" * 127 + "n"), overwrite):
            pass

    def test_kinds(self, tmp_path):
        """Only a regular file is replaced."""
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            Destination(tmp_path / "folder", overwrite=True)
        with pytest.raises(FileExistsError, match="it is a FIFO"):
            Destination(tmp_path / "fifo", overwrite=True)
        with pytest.raises(FileExistsError, match="it is a device"):
            Destination("/dev/null", overwrite=True)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
    def test_folders(self, tmp_path_factory):
        """Folders that may not be written to, and another user's file in a sticky one."""
        folder = tmp_path_factory.mktemp("shared")
        for name, mode in (("closed", 0o755), ("sticky", 0o1777)):
            (folder / name).mkdir()
            (folder / name / "theirs").write_bytes(OLD)
            (folder / name).chmod(mode)
        for parent in (folder, *folder.parents):
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o001)
        assert harness(OTHER_USER, folder, 0, 1, 0, "x") == [
            "closed/new PermissionError",
            "sticky/theirs PermissionError",
            "sticky/new fine",
        ]

    def test_a_file_system_that_is_read(self, mounted):
        """A file system that may only be read."""
        folder = mounted("ro")
        with pytest.raises(OSError, match="Read-only file system"):
            Destination(folder / "a")

    def test_space(self, tmp_path, mounted):
        """More than there is room for is refused, with both figures; and what a file system does not tell is not."""
        check_space(tmp_path, 1000)
        with pytest.raises(OSError, match=r"needs 1000000000000\.0 MB, and [\d.]+ MB are free") as caught:
            check_space(tmp_path, 10**18)
        assert caught.value.errno == errno.ENOSPC
        check_space("/proc", 10**18)
        check_space(tmp_path / "nowhere", 10**18)
        with pytest.raises(OSError, match=r"needs 3\.0 MB, and 2\.1 MB are free"):
            check_space(mounted("size=2m"), 3_000_000)

    def test_a_full_disk(self, way, mounted):
        """A disk that runs full leaves nothing."""
        folder = mounted("size=1m")
        with pytest.raises(OSError, match=f"No space left on device: '{folder / 'a'}'"):
            fill(folder / "a")
        assert names(folder) == []
        with written(folder / "a") as file:
            file.write(bytes(900_000))
        assert names(folder) == ["a"]


@pytest.fixture
def mounted(tmp_path):
    """Folder of a small file system of its own."""
    folders = []

    def mount(options):
        folder = tmp_path / f"mounted{len(folders)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("file systems can't be mounted here")
        folders.append(folder)
        return folder

    if sys.platform != "linux":
        pytest.skip("a matter of Linux")
    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


class TestLeftovers:
    @pytest.fixture(autouse=True)
    def named(self, monkeypatch):
        """Where files without a name can't be had."""
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)

    def test_of_processes_that_are_gone(self, tmp_path):
        """What a killed process left is removed by the next that writes to the folder."""
        (child,) = harness(ABANDON, tmp_path, 0, 0, 1, "x")
        (left,) = names(tmp_path)
        assert f"-{child}-" in left
        assert socket.gethostname()[:20] in left
        with written(tmp_path / "b"):
            pass
        assert names(tmp_path) == ["b"]

    def test_of_others_stay(self, tmp_path):
        """What somebody still writes, on this host or another, stays, and so do files that are nobody's."""
        mine = Destination(tmp_path / "a")
        host = atomic._host()
        others = [f".gpures-elsewhere-{2**22 + 1}-00.part", f".gpures-{host}-1-00.part", f".gpures-{host}-x.part", "c"]
        for name in others:
            (tmp_path / name).touch()
        with written(tmp_path / "b"):
            pass
        assert names(tmp_path) == sorted([*others, "b", os.path.basename(mine.file.name)])
        mine.publish()
        mine.close()
        assert (tmp_path / "a").exists()

    def test_of_a_parent(self, tmp_path):
        """A process that is forked meanwhile removes nothing when it ends."""
        assert harness(FORKED, tmp_path, 0, 0, 1, "x") == ["True"]
        assert names(tmp_path) == ["a"]

    def test_of_a_number_that_was_given_again(self, tmp_path):
        """A leftover whose process has the number of this one, as in a container, is removed; a locked one is not."""
        left = tmp_path / f".gpures-{atomic._host()}-{os.getpid()}-00.part"
        left.touch()
        with written(tmp_path / "b"):
            pass
        assert names(tmp_path) == ["b"]


# A parent that has imported everything forks writers, so that many are tried in a second.
HARNESS = """
    import os, random, signal, sys, time
    from gpures.io.atomic import written
    folder, number, overwrite, named = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4] == "1"
    if named:
        del os.O_TMPFILE
    rng = random.Random(sys.argv[5])

    def write():
        def end(*_):
            raise SystemExit(143)
        signal.signal(signal.SIGTERM, end)
        with written(folder + "/out", overwrite) as file:
            for k in range(20):
                file.write(bytes([65 + k]) * 50_000)
                file.flush()
                time.sleep(0.001)
"""

OTHER_USER = """
    from gpures.io.atomic import Destination
    os.setgid(65534)
    os.setuid(65534)
    for name in ("closed/new", "sticky/theirs", "sticky/new"):
        try:
            Destination(folder + "/" + name, overwrite=True).close()
            print(name, "fine")
        except OSError as error:
            print(name, type(error).__name__)
"""

ABANDON = """
    from gpures.io.atomic import Destination
    child = os.fork()
    if child == 0:
        destination = Destination(folder + "/a")
        destination.file.write(bytes(3000))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    print(child)
"""

FORKED = """
    from gpures.io.atomic import Destination
    destination = Destination(folder + "/a")
    child = os.fork()
    if child == 0:
        sys.exit()
    os.waitpid(child, 0)
    print(os.path.exists(destination.file.name))
    destination.publish()
"""

KILLED = """
    for k in range(number):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                write()
                status = 0
            except SystemExit:
                status = 143
            except KeyboardInterrupt:
                status = 130
            finally:
                os._exit(status)
        time.sleep(rng.uniform(0.0, 0.04))
        kind = rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        os.kill(child, kind)
        _, status = os.waitpid(child, 0)
        found = open(folder + "/out", "rb").read()
        print(kind.name, found[:3] == b"old" and len(found) == 3, len(found) == 1_000_000 and found[-1] == 84,
              len(os.listdir(folder)), flush=True)
        for name in os.listdir(folder):
            if name != "out":
                os.unlink(folder + "/" + name)
"""

TOGETHER = """
    begin = time.time() + 0.1
    children = []
    for k in range(number):
        child = os.fork()
        if child == 0:
            time.sleep(max(0, begin - time.time()))
            status = 3
            try:
                write()
                status = 0
            except FileExistsError:
                status = 1
            finally:
                os._exit(status)
        children.append(child)
    print(*sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def harness(program, *arguments):
    code = textwrap.dedent(HARNESS) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="a matter of Linux")
class TestProcesses:
    @pytest.mark.parametrize("named", [0, 1])
    def test_killed(self, tmp_path, named):
        """Whenever a process is killed, there is the old file or the new one, whole, and at most one leftover."""
        (tmp_path / "out").write_bytes(OLD)
        for line in harness(KILLED, tmp_path, 20, 1, named, "1"):
            kind, is_old, is_new, count = line.split()
            assert "True" in (is_old, is_new), line
            assert int(count) <= (2 if kind == "SIGKILL" else 1), line  # a leftover, even for the moment of its naming
        with written(tmp_path / "out", overwrite=True):
            pass
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("named", [0, 1])
    def test_two_to_one_name(self, tmp_path, named):
        """Of processes that write one name at a time, exactly one does, and the others say so."""
        assert harness(TOGETHER, tmp_path, 8, 0, named, "x") == ["0 1 1 1 1 1 1 1"]
        assert (tmp_path / "out").stat().st_size == 1_000_000
        assert names(tmp_path) == ["out"]


def test_threads_leave_each_others_files(tmp_path):
    """What one of them is about to put in place is no leftover to another."""

    def write(k):
        for _ in range(60):
            with written(tmp_path / f"{k}.txt", overwrite=True) as file:
                file.write(b"there")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert sorted(os.listdir(tmp_path)) == [f"{k}.txt" for k in range(4)]
