"""Files for pictures, checked before anything is drawn."""

from __future__ import annotations

from pathlib import Path

__all__ = ["checked_picture"]


def checked_picture(path: Path, name: str) -> Path:
    """File for a picture of a kind that matplotlib can write, a PNG where its name says nothing.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    name : str
        Argument that it is, for errors.

    Raises
    ------
    IsADirectoryError
        It is a folder.
    ValueError
        Its suffix is of no such kind.
    """
    from matplotlib.figure import Figure

    if path.is_dir():
        raise IsADirectoryError(f"'{name}' must be a file, and {path} is a folder.")
    path = path if path.suffix else path.with_suffix(".png")
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise ValueError(f"'{name}' must end in one of .{', .'.join(kinds)}, got {path}.")
    return path
