"""A mosaic made of files or models: what it can be asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from gpures.cleaning.options import Thresholds
from gpures.io import Input
from gpures.mosaicking.build import build
from gpures.mosaicking.made import Mosaic
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.workers import seen_by_workers
from gpures.typing import ModelLike

__all__ = ["mosaic"]

_Exposure: TypeAlias = str | os.PathLike[str] | ModelLike | Input
Exposures: TypeAlias = _Exposure | Iterable[_Exposure]


def mosaic(
    inputs: Exposures,
    output: str | os.PathLike[str] | None = None,
    *,
    output_wcs: Any = None,
    pixel_scale: float | None = None,
    pixel_scale_ratio: float = 1.0,
    rotation: float | None = 0.0,
    crpix: Sequence[float] | None = None,
    crval: Sequence[float] | None = None,
    output_shape: Sequence[int] | None = None,
    align: str = "first",
    add_to: str | os.PathLike[str] | None = None,
    ext: int | str | Sequence[int | str] = (),
    plane: int | None = None,
    mask_ext: int | str | Sequence[int | str] = (),
    weight_ext: int | str | Sequence[int | str] = (),
    masks: str | None = None,
    weights: str | None = None,
    bad_bits: int | str | None = None,
    wcs: str | None = None,
    values: str = "auto",
    flux_scale: str = "auto",
    allow_mixed: bool = False,
    match_sky: str | None = None,
    sky_statistic: str = "median",
    reject_outliers: bool = False,
    outlier_snr: Thresholds | None = None,
    outlier_scale: Thresholds | None = None,
    outlier_backg: float = 0.0,
    outlier_maskpt: float | None = None,
    outlier_kernel_size: int = 3,
    outlier_grow: int = 1,
    save_masks: str | os.PathLike[str] | None = None,
    combine: str | Sequence[str] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    memory_limit: int | str | None = None,
    client: Any = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: bool | Callable[[int, int | None], object] | None = True,
    **options: Any,
) -> Mosaic:
    """Co-add exposures onto one frame: files or models in, a mosaic out.

    Headers are read first and a frame is made from the exposures' footprints: north-up and tangential, unless the
    arguments say otherwise. Then the files are read one after another, ahead of the resampling, so that three of them
    are in memory at a time.

    Parameters
    ----------
    inputs : path, gpures.typing.Model, gpures.io.Input, or iterable of such
        Exposures: paths, patterns such as ``"*_cal.fits"``, URLs that fsspec knows, models as
        `gpures.Resample.add_model` takes them. A generator of models needs ``output_wcs``. Those that do not reach the
        frame are not read.
    output : path, optional
        File for the mosaic: ``.fits``, ``.fits.gz``, ``.asdf`` or ``.zarr``, as `gpures.io.write` has it. It appears
        once it is complete, and never in part.
    output_wcs : gwcs.wcs.WCS, astropy.wcs.WCS, path or dict, optional
        Output WCS, a file that has one, or a dict as `gpures.Resample` takes it. Takes the place of the parameters
        that follow, to ``align``, but for ``output_shape``, which can be given where it has none.
    pixel_scale : float, optional
        Output pixel scale, arcsec. Takes precedence over ``pixel_scale_ratio``.
    pixel_scale_ratio : float, optional
        Output over input pixel scale, as in the pipelines and in `gpures.Resample`. The input's is the root of the mean
        area of the first exposure's pixels.
    rotation : float or None, optional
        Position angle of the output's y axis, degrees from north to east: 0 is north-up. None turns it along the first
        exposure.
    crpix : (float, float), optional
        Pixel of the tangent point, x and y from 0. By default such that the exposures begin in pixel (0, 0), as
        ``align`` has it.
    crval : (float, float), optional
        Tangent point, degrees. By default the middle of all exposures, or that of the first, where its pixels are kept.
    output_shape : (int, int), optional
        Shape as (Nx, Ny), in the pipelines' order. By default up to the last pixel that an exposure reaches into.
    align : {"first", "tangent", "footprint"}, optional
        Where the output's pixels lie. An exposure that is on a tangential grid of the output's scale and rotation
        already keeps its pixels as they are, if it is the first, and so do others of that grid; others make pixels at
        whole multiples of the scale around the tangent point, which "tangent" does in any case. "footprint" begins
        where the exposures do, in the middle of the first pixels, as the pipelines have it.
    add_to : path, optional
        A mosaic that this function wrote, to which the exposures are added as if all had been there at once: it becomes
        a new file, ``output``, or takes the old one's place where that is not given. It has its frame and its options.
    ext : int, str, or sequence of such, optional
        Extensions of FITS files that are exposures: numbers (the primary one is 0), names or patterns of names, or name
        and EXTVER, ``"SCI,2"``. By default all images with a WCS of the sky, but for those that belong to others.
    plane : int, optional
        Of cubes, the number of the plane, from 0.
    mask_ext, weight_ext : int, str, or sequence of such, optional
        Extensions that are masks, and weights or errors, in place of those that are so by their names.
    masks, weights : str, optional
        Files of masks, and of weights or errors: a path in which ``*`` stands for the exposure's name without its
        suffix, such as ``"*.weight.fits"``; beside the exposure if it names no folder. ``"none"`` leaves masks, or
        weights and errors, alone that lie in files beside the exposures.
    bad_bits : int or str, optional
        Which bits of masks and DQ flags make a pixel bad, such as ``"1+16"``. By default all of a mask do, but where
        its header names them (MP_BAD and so on) those with a bad name; ``good_bits`` says which of DQ flags.
    wcs : {"fits", "gwcs"}, optional
        Which WCS is taken of FITS files that have both keywords and a gwcs. By default the gwcs, unless the two differ,
        which is said: then the keywords, which somebody may have mended; but of JWST the gwcs.
    values : {"auto", "per-pixel", "surface-brightness"}, optional
        What values are: per pixel, and then scaled by the ratio of the output's and the exposure's pixel areas, so that
        a star keeps its flux; or surface brightness, as they are. By default what their unit says; values without one
        are averaged as they are, with a warning.
    flux_scale : str, optional
        What brings exposures to one scale, that of the first, of counts per second or of FLXSCALE=1: a keyword of
        their headers; ``"time"``, by which counts are divided by their exposure times; ``"none"`` but their units; or,
        by default, ``"auto"``, what their units and headers ask for.
    allow_mixed : bool, optional
        Whether exposures that can't be brought to one scale, or are of several filters or gains, are averaged all the
        same, with a warning. Else they are an error.
    match_sky : {"match", "global", "global+match", "local"}, optional
        Have the skies of exposures agree where they overlap, as `gpures.match_sky` does, on the scale of the mosaic.
        By default they stay as they are.
    sky_statistic : {"median", "mean", "mode", "midpt"}, optional
        What is taken for the sky.
    reject_outliers : bool, optional
        Leave out cosmic rays and other pixels in which an exposure has what no other one of its place has, as
        `gpures.flag_outliers` finds them in the frame of the mosaic. Each file is read twice then, as with
        ``match_sky``.
    outlier_snr, outlier_scale, outlier_backg, outlier_maskpt, outlier_kernel_size, outlier_grow : optional
        As ``snr`` and so on of `gpures.flag_outliers`. By default those of the exposures' mission: of HST's alone
        AstroDrizzle's and a third one, ``(3.5, 3.0, 3.0)``, and a maskpt of 0.3.
    save_masks : path, optional
        Folder for the masks of the outliers: ``x_mask.fits`` for ``x.fits``, which is taken for its mask if it lies
        beside it. With ``overwrite`` masks that gpures wrote are replaced, and others never.
    combine : {"median", "clipped"} or sequence of such, optional
        Images that the mosaic has beside the weighted mean, under these names: at each pixel the median of the
        exposures, each resampled by itself, or the mean of what lies near it.
    checkpoint : path, optional
        Folder in which the mosaic is saved while it is made, as `gpures.Resample.save` does it. Where it has exposures
        already, because an earlier call of the same arguments was interrupted, only the others are added: exposures are
        known again by their names and by what is in them. It is removed when the mosaic is finished.
    checkpoint_every : int, optional
        After how many exposures it is saved each time.
    memory_limit : int or str, optional
        Memory that may be used: bytes, or a text such as ``"8GB"``; on a GPU of its memory. A mosaic that does not fit
        is made in tiles, each exposure read for those that it reaches, and they are written to ``output``, which is a
        ``.fits`` or ``.zarr`` then, one by one; it is that of one piece to the last bit on the CPU. By default what is
        available.
    client : distributed.Client, optional
        Have the workers of dask make the mosaic, which is written to ``output``, a ``.zarr`` in a folder that all of
        them see: each reads the files that it needs, and tiles are made of parts that are merged. If a worker dies
        another one does what was lost. Equal to the mosaic that one process makes up to rounding.
    skip_bad : bool, optional
        Whether exposures that can't be used are left out, with a warning. Else the first one is an error.
    overwrite : bool, optional
        Whether a file of the name ``output`` may be replaced.
    progress : bool, callable or None, optional
        As in `gpures.Resample.add_models`.
    **options
        Options of `gpures.Resample`. Three of them have other defaults here, which are the pipelines':
        ``fillval="NaN"``, ``compute_err="from_var"``, and ``good_bits``, which forgives all flags but DO_NOT_USE (for
        JWST also NON_SCIENCE) where all exposures are JWST's or all are Roman's.

    Returns
    -------
    Mosaic
        Its ``model`` is the output model, and its ``report`` a table.

    Raises
    ------
    FileNotFoundError, FileExistsError, gpures.io.FileError
        An input or the output can't be used, or exposures can't be brought to one scale; the text names the file.
    TypeError, ValueError, KeyError
        An argument or a model can't be used, or no tangent plane holds the exposures.
    MemoryError
        The frame would not fit in memory; the text names exposures that are far apart.
    DeviceError
        The backend is "cuda", and the GPU can't be used.

    Examples
    --------
    >>> gpures.mosaic("jw*_cal.fits", "mosaic.fits", pixel_scale=0.03, pixfrac=0.8)  # doctest: +SKIP
    """
    inputs, beside = seen_by_workers(client, inputs, {"masks": masks, "weights": weights})
    plan = make_plan(
        inputs,
        output,
        output_wcs=output_wcs,
        pixel_scale=pixel_scale,
        pixel_scale_ratio=pixel_scale_ratio,
        rotation=rotation,
        crpix=crpix,
        crval=crval,
        output_shape=output_shape,
        align=align,
        add_to=add_to,
        ext=ext,
        plane=plane,
        mask_ext=mask_ext,
        weight_ext=weight_ext,
        masks=beside["masks"],
        weights=beside["weights"],
        bad_bits=bad_bits,
        wcs=wcs,
        values=values,
        flux_scale=flux_scale,
        allow_mixed=allow_mixed,
        match_sky=match_sky,
        sky_statistic=sky_statistic,
        reject_outliers=reject_outliers,
        outlier_snr=outlier_snr,
        outlier_scale=outlier_scale,
        outlier_backg=outlier_backg,
        outlier_maskpt=outlier_maskpt,
        outlier_kernel_size=outlier_kernel_size,
        outlier_grow=outlier_grow,
        save_masks=save_masks,
        combine=combine,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        memory_limit=memory_limit,
        skip_bad=skip_bad,
        overwrite=overwrite,
        progress=progress,
        **options,
    )
    return build(plan, progress, client)
