"""Files that appear whole or not at all: all that gpures writes goes through here.

A file is written without a name where the file system has that (``O_TMPFILE``), and else under a name of its own in
the same folder. When it is complete and on the disk, it gets its name in one step. A process that is killed meanwhile
leaves nothing, or a file whose name tells host and process, which the next one that writes to the folder removes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gpures.io.regular import kind_of
from gpures.machine import locks

__all__ = [
    "AT_FDCWD",
    "RENAME_NOREPLACE",
    "Destination",
    "check_space",
    "check_sticky",
    "free_space",
    "part_name",
    "remove_leftovers",
    "sync",
    "sync_folder",
    "written",
]

# What a file system answers that has no hard links; and one that has no files without a name.
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
NO_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS, errno.EPERM}

# What writing answers where there is no more room.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Of Linux: relative to the working folder, and do not replace.
AT_FDCWD, RENAME_NOREPLACE = -100, 1


class Destination:
    """A file that gets its name when it is complete. A context manager: what is not published is discarded.

    Parameters
    ----------
    path : str or path
        Its name. Where that is a symbolic link, ``overwrite`` replaces what the link leads to, not the link.
    overwrite : bool, optional
        Whether a file of that name is replaced, whose mode is kept, and whose owner where that may be. Else there must
        be none now, nor when the file is published: of two processes that write one name, one fails.

    Attributes
    ----------
    path : pathlib.Path
        The name.
    file : binary file
        To be written to.

    Raises
    ------
    FileExistsError
        There is such a file, and ``overwrite`` is false.
    OSError
        No file of that name can be made.
    """

    _part: str | None = None  # a name that it has meanwhile, known before there is a file of it
    file: BinaryIO

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False):
        locks.check_system()
        self.path = Path(path)
        self._overwrite = overwrite
        self._target = _checked_target(self.path, overwrite)
        self._folder = os.path.dirname(self._target) or "."
        self._process = os.getpid()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        remove_leftovers(self._folder)
        descriptor = self._nameless()
        if descriptor is None:
            descriptor = self._named()
        # With a name of a file, for those who look at it: astropy tells the free space of its folder, and refuses to
        # write to a file whose name another one has.
        name = self._part or part_name(self._folder)
        self.file = open(name, "wb", opener=lambda *_: descriptor)  # noqa: SIM115

    def _nameless(self) -> int | None:
        """Descriptor of a file without a name, where one can be made here and be given a name; else None."""
        if not hasattr(os, "O_TMPFILE"):
            return None
        try:
            trial = os.open(self._folder, os.O_TMPFILE | os.O_RDWR, 0o666)
        except OSError as error:
            if error.errno in NO_NAMELESS:
                return None
            raise
        self._part = part_name(self._folder)
        try:
            _name(trial, self._part)
            os.unlink(self._part)
            self._part = None
            return os.open(self._folder, os.O_TMPFILE | os.O_RDWR, 0o666)
        except OSError:
            return None
        finally:
            os.close(trial)

    def _named(self) -> int:
        """Descriptor of a new file, locked for as long as this process has it open."""
        while True:
            self._part = part_name(self._folder)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW
            descriptor = os.open(self._part, flags, _mode_of(self._target))
            with suppress(OSError):
                locks.lock(descriptor)
            if os.fstat(descriptor).st_nlink:  # else another process took it for a leftover before it was locked
                return descriptor
            os.close(descriptor)

    def publish(self) -> None:
        """Give the file its name, now that it is complete.

        Raises
        ------
        FileExistsError
            There is such a file by now, and ``overwrite`` is false.
        OSError
            It can't be written to the disk.
        """
        self.file.flush()
        descriptor = self.file.fileno()
        if self._overwrite:
            _take_after(descriptor, self._target)
        sync(descriptor)
        if not self._overwrite:
            self._publish_new(descriptor)
        else:
            if self._part is None:
                self._part = part_name(self._folder)
                _name(descriptor, self._part)
            os.replace(self._part, self._target)
            self._part = None
        sync_folder(self._folder)

    def _publish_new(self, descriptor: int) -> None:
        try:
            if self._part is None:
                _name(descriptor, self._target)
            else:
                _move_to_new(self._part, self._target)
        except FileExistsError as error:
            # A network's file system may have done what it says it can't.
            if os.path.samestat(os.fstat(descriptor), os.lstat(self._target)):
                return
            raise FileExistsError(
                errno.EEXIST, "there is such a file by now, which somebody else wrote meanwhile", str(self.path)
            ) from error

    def close(self) -> None:
        """Discard what was not published."""
        if self._part is not None and self._process == os.getpid():  # and not one that was forked meanwhile
            with suppress(FileNotFoundError):
                os.unlink(self._part)
            self._part = None
        with suppress(OSError, AttributeError):  # what is left in its buffer matters no more; it may not be open yet
            self.file.close()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Destination:
        return self

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        self.close()
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(self.path)  # which who writes to an open file does not know


@contextmanager
def written(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[BinaryIO]:
    """A file to be written to, which has its name when this ends without an error; arguments as of `Destination`."""
    with Destination(path, overwrite) as destination:
        yield destination.file
        destination.publish()


def check_space(folder: str | os.PathLike[str], size: int) -> None:
    """Refuse to write what a folder has no room for.

    Parameters
    ----------
    folder : str or path
    size : int
        Bytes.

    Raises
    ------
    OSError
        Less than that is free.
    """
    free = free_space(folder)
    if free is not None and free < size:
        raise OSError(errno.ENOSPC, f"needs {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free", str(folder))


def free_space(folder: str | os.PathLike[str]) -> int | None:
    """Bytes that are free where a folder is; None where nobody says."""
    try:
        total, _, free = shutil.disk_usage(folder)
    except OSError:
        return None
    return free if total else None


# ---- before ----------------------------------------------------------------------------------------------------------


def _checked_target(path: Path, overwrite: bool) -> str:
    """Path of the file that will be made or replaced."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}", str(path)) from None
        return str(path)
    if not overwrite:
        what = "a link of that name" if stat.S_ISLNK(there.st_mode) else "such a file"
        raise FileExistsError(errno.EEXIST, f"there is {what}", str(path))
    target = os.path.realpath(path)
    try:
        there = os.stat(path)
    except FileNotFoundError:  # a link that leads nowhere: what it names is made
        return target
    if (kind := kind_of(there.st_mode)) is not None:
        error = IsADirectoryError if stat.S_ISDIR(there.st_mode) else FileExistsError
        raise error(errno.EISDIR if error is IsADirectoryError else errno.EEXIST, f"it is {kind}", str(path))
    check_sticky(path, target, there)
    return target


def check_sticky(path: Path, target: str, there: os.stat_result) -> None:
    """In a folder with the sticky bit, such as /tmp, only owners replace a file.

    Parameters
    ----------
    path : pathlib.Path
        Its name, for the error's words.
    target : str
        Its path, without links.
    there : os.stat_result
        Of the file that is there.

    Raises
    ------
    PermissionError
        It is another user's.
    """
    folder = os.stat(os.path.dirname(target))
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, there.st_uid, folder.st_uid):
        raise PermissionError(
            errno.EPERM, "it is another user's, in a folder where only owners may replace files", str(path)
        )


def _mode_of(target: str) -> int:
    """Mode that the file will have: what the one that it replaces keeps from others is kept meanwhile, too."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode) & 0o666
    except OSError:
        return 0o666


# ---- the name that a file has meanwhile ------------------------------------------------------------------------------

PART = re.compile(r"\.gpures-(?P<host>[A-Za-z0-9._-]*)-(?P<process>\d+)-[0-9a-f]+\.part")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())[:64]


# Such as this process has given: none of them is a leftover, whichever thread looks.
_given: set[str] = set()


def part_name(folder: str) -> str:
    """A name in a folder that tells host and process, for what is not complete yet."""
    name = f".gpures-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part"
    _given.add(name)
    return os.path.join(folder, name)


def remove_leftovers(folder: str) -> None:
    """Remove what processes of this host left in a folder when they were killed: files, and folders of that name."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = PART.fullmatch(entry.name)
            if (
                found
                and entry.name not in _given
                and found["host"] == _host()
                and _is_abandoned(entry.path, int(found["process"]))
            ):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)


def _is_abandoned(path: str, process: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        locks.lock(descriptor)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return not _is_alive(process)
    finally:
        os.close(descriptor)
    return process == os.getpid() or not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# ---- the name that it gets -------------------------------------------------------------------------------------------


def _name(descriptor: int, name: str) -> None:
    """Give a file without a name one that no file has."""
    # With a descriptor Python follows the link, as it does not without; to an absolute path it makes no difference.
    os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor, follow_symlinks=True)


def _move_to_new(part: str, target: str) -> None:
    """Give a file another name that no file has."""
    try:
        os.link(part, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        os.unlink(part)
        return
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        if rename(AT_FDCWD, os.fsencode(part), AT_FDCWD, os.fsencode(target), RENAME_NOREPLACE) == 0:
            return
        if ctypes.get_errno() == errno.EEXIST:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    # Neither is there: the name is taken by an empty file for a moment.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        os.replace(part, target)
    except BaseException:
        os.unlink(target)
        raise


def _take_after(descriptor: int, old: str) -> None:
    """Give a file the owner and the mode of the one that it replaces, as far as that is allowed."""
    try:
        there = os.stat(old)
    except FileNotFoundError:
        return
    mine = os.fstat(descriptor)
    for owner, group in ((-1, there.st_gid), (there.st_uid, -1)):
        if owner not in (-1, mine.st_uid) or group not in (-1, mine.st_gid):
            with suppress(OSError):
                os.fchown(descriptor, owner, group)
    os.fchmod(descriptor, stat.S_IMODE(there.st_mode))


def sync(descriptor: int) -> None:
    """Have what is written to a file on the disk."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # what is no disk
            raise


def sync_folder(folder: str) -> None:
    """Have the name on the disk, too. The file is complete and in place: that this fails is no reason to fail."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
