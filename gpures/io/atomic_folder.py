"""Folders that appear whole or not at all, in the manner of the files of `gpures.io.atomic`.

A folder is made beside its target, under a name that tells host and process, and locked for as long as its process
has it. When it is complete and on the disk, it gets its name in one step, or changes places with the one that had it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gpures.io.atomic import (
    AT_FDCWD,
    RENAME_NOREPLACE,
    check_sticky,
    part_name,
    remove_leftovers,
    sync,
    sync_folder,
)
from gpures.machine import locks

__all__ = ["FolderDestination"]

RENAME_EXCHANGE = 2

# What a system or a file system answers that can't move without replacing, or exchange.
NO_FLAGS = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class FolderDestination:
    """A folder that gets its name when it is complete. A context manager: what is not published is discarded.

    Parameters
    ----------
    path : str or path
        Its name. Where that is a symbolic link, ``overwrite`` replaces what the link leads to, not the link.
    overwrite : bool
        Whether a folder of that name is replaced, whose mode is kept. Else there must be none now, nor when this one is
        published.
    why_kept : callable
        Takes the path of a folder that would be removed, and says why it is not to be; None if it may be.

    Attributes
    ----------
    path : pathlib.Path
        The name.
    part : pathlib.Path
        Where the folder is meanwhile, to be written to.

    Raises
    ------
    FileExistsError
        There is something of that name that may not be replaced.
    OSError
        No folder of that name can be made.
    """

    _lock: int | None = None
    part: Path

    def __init__(self, path: str | os.PathLike[str], overwrite: bool, why_kept: Callable[[str], str | None]):
        locks.check_system()
        self.path = Path(os.path.abspath(path))  # workers that write to it may have another working folder
        self._overwrite = overwrite
        self._why_kept = why_kept
        self._process = os.getpid()
        self._target = self._checked_target()
        self._folder = os.path.dirname(self._target) or "."
        remove_leftovers(self._folder)
        while self._lock is None:
            self.part = Path(part_name(self._folder))
            os.mkdir(self.part)
            self._lock = self._locked()
        with suppress(FileNotFoundError):  # what the one that it replaces keeps from others is kept meanwhile, too
            os.chmod(self.part, stat.S_IMODE(os.stat(self._target).st_mode) | stat.S_IRWXU)

    def _checked_target(self) -> str:
        """Path of the folder that will be made or replaced."""
        if not os.path.lexists(self.path):
            if not self.path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, f"there is no folder {self.path.parent}", str(self.path))
            return str(self.path)
        if not self._overwrite:
            raise FileExistsError(errno.EEXIST, "there is something of that name", str(self.path))
        target = os.path.realpath(self.path)
        with suppress(FileNotFoundError):  # a link that leads nowhere: what it names is made
            check_sticky(self.path, target, os.stat(target))
            self._check_replaceable(target)
        return target

    def _check_replaceable(self, folder: str) -> None:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise FileExistsError(errno.EEXIST, "it is a file, which a folder does not replace", str(self.path))
        if (reason := self._why_kept(folder)) is not None:
            raise FileExistsError(errno.EEXIST, f"it is not replaced: {reason}", str(self.path))

    def _locked(self) -> int | None:
        """Descriptor of the new folder, locked; None if it was taken for a leftover before it was."""
        with suppress(FileNotFoundError):
            descriptor = os.open(self.part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            with suppress(OSError):
                locks.lock(descriptor)
            if os.path.exists(self.part):
                return descriptor
            os.close(descriptor)
        return None

    def publish(self) -> None:
        """Give the folder its name, now that it is complete.

        Raises
        ------
        FileExistsError
            There is something of that name by now that may not be replaced.
        OSError
            It can't be written to the disk.
        """
        _sync_all(self.part)
        if self._overwrite and os.path.lexists(self._target):
            self._replace()
        else:
            self._publish_new()
        sync_folder(self._folder)
        self._unlock()

    def _publish_new(self) -> None:
        part, target = str(self.part), self._target
        try:
            if not _renamed(part, target, RENAME_NOREPLACE):
                os.mkdir(target)  # which fails where there is anything; and a folder replaces an empty one
                try:
                    os.rename(part, target)
                except BaseException:
                    os.rmdir(target)
                    raise
        except FileExistsError as error:
            raise FileExistsError(
                errno.EEXIST, "there is something of that name by now, made meanwhile", str(self.path)
            ) from error

    def _replace(self) -> None:
        """Change places with the folder that has the name, and remove that one."""
        part, target = str(self.part), self._target
        self._check_replaceable(target)
        os.chmod(part, stat.S_IMODE(os.stat(target).st_mode))
        if _renamed(part, target, RENAME_EXCHANGE):
            self._check_taken(part, lambda: _renamed(part, target, RENAME_EXCHANGE))
        else:
            # Under a name that nobody takes for a leftover, as long as it is the only one.
            aside = f"{part}.old"
            os.rename(target, aside)
            try:
                self._check_taken(aside, lambda: None)
                os.rename(part, target)
            except BaseException:
                os.rename(aside, target)
                raise
            os.rename(aside, part)
        shutil.rmtree(part, ignore_errors=True)  # the new one is in place; the rest is a leftover like others

    def _check_taken(self, taken: str, undo: Callable[[], object]) -> None:
        """Check what was taken from its place, which may have become something else in the last moment."""
        try:
            self._check_replaceable(taken)
        except BaseException:
            undo()
            raise

    def close(self) -> None:
        """Discard what was not published."""
        if self._lock is not None and self._process == os.getpid():  # and not one that was forked meanwhile
            shutil.rmtree(self.part, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> FolderDestination:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _renamed(old: str, new: str, flags: int) -> bool:
    """Rename with a flag of Linux; false where that is not to be had."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_FLAGS:
        return False
    raise OSError(number, os.strerror(number), new)


def _sync_all(folder: Path) -> None:
    """Have all files in a folder on the disk, and their names."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(parent, name), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(parent)
