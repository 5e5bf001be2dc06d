"""``gpures mosaic`` on the command line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from gpures.cli.positions import Position, take_negative
from gpures.cli.words import option_names, printable, said_once, say, tell_error
from gpures.startup import INTERRUPTED

__all__ = ["add_to"]

EPILOG = """\
Many files: gpures mosaic @list.txt -o mosaic.fits reads arguments from list.txt, one a line; empty lines and those that
begin with # are passed over. Patterns in quotes ('*_cal.fits') are expanded here.

Exit status: 0 when the mosaic was made, 1 when that failed on the way, 2 when it could not be begun, 130 after Ctrl-C,
143 after SIGTERM, 129 after SIGHUP. In all cases but the first, no file is written.
"""

FLAGS = {
    ("--overwrite",): "replace OUT if it exists",
    ("--dry-run",): "show what would be done, and do nothing",
    ("--skip-bad",): "go on without exposures that can't be used",
    ("-q", "--quiet"): "no progress and no table",
}

# What is not an argument of `gpures.mosaic` of the same name.
OWN = (
    *("files", "output", "overwrite", "dry_run", "skip_bad", "quiet", "threads", "scheduler"),
    *("sky_cells", "run", "usage_error", "names", "call"),
)

# Exit status.
NOT_FINISHED, NOT_BEGUN = 1, 2


def add_to(commands: Any) -> None:
    """Declare ``gpures mosaic``."""
    parser = commands.add_parser(
        "mosaic",
        help="co-add exposures in files onto one frame",
        description="Co-add exposures of JWST, Roman, HST, or in plain FITS, onto one frame. The frame is made from "
        "the exposures' footprints, north-up, with the pixel scale of the first, unless the options say otherwise.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
        argument_default=argparse.SUPPRESS,  # what is not given has the defaults of `gpures.mosaic`
    )
    parser.convert_arg_line_to_args = _arguments_of
    parser.add_argument("files", nargs="+", metavar="FILE", help="exposure, pattern in quotes, or @list.txt")
    parser.add_argument(
        "-o", "--output", metavar="OUT", default=None, help="file for the mosaic: .fits, .fits.gz, .asdf or .zarr"
    )
    parser.add_argument(
        "--add-to",
        metavar="MOSAIC",
        help="add the exposures to this mosaic, which gpures made, as if all had been there at once; it is replaced, "
        "unless -o gives another name",
    )
    parser.add_argument(
        "--sky-cells",
        metavar="roman|FILE",
        default=None,
        help="make a mosaic for each part of the sky in this table (name, ra, dec, nx, ny, pixel_scale; rotation, "
        "x_tangent and y_tangent if there are such), or in Roman's sky map, as romancal has it or FILE is it; OUT has "
        "{cell} in its name, as 'out/{cell}.fits', and cells whose file is there are passed over",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="save what has been added in this folder now and then, and if it was interrupted, go on with it when the "
        "same command is given again; the folder is removed at the end",
    )
    parser.add_argument(
        "--every", dest="checkpoint_every", type=int, metavar="N", help="after so many exposures (default: 10)"
    )
    for names, words in FLAGS.items():
        parser.add_argument(*names, action="store_true", default=False, help=words)
    _add_reading(parser.add_argument_group("reading"))
    _add_frame(parser.add_argument_group("frame"))
    _add_values(parser.add_argument_group("values"))
    _add_cleaning(parser.add_argument_group("cleaning"))
    _add_resampling(parser.add_argument_group("resampling"))
    _add_planes(parser.add_argument_group("what the mosaic has besides data and weight"))
    _add_machine(parser.add_argument_group("machine"))
    take_negative(parser)
    parser.set_defaults(run=_run, usage_error=parser.error, names=option_names(parser))


def _arguments_of(line: str) -> list[str]:
    """Arguments in a line of a list."""
    line = line.strip()
    return [] if not line or line.startswith("#") else [line]


def _add_reading(group: Any) -> None:
    group.add_argument(
        "--ext",
        action="append",
        metavar="EXT",
        help="extension of FITS files that is an exposure: number (the primary is 0), name or pattern of names, or "
        "name and EXTVER, as SCI,2; repeatable (default: all images with a WCS of the sky that belong to no other)",
    )
    group.add_argument("--plane", type=int, metavar="K", help="plane of cubes, from 0")
    group.add_argument(
        "--mask-ext", action="append", metavar="EXT", help="extension that is a mask (default: by names); repeatable"
    )
    group.add_argument(
        "--weight-ext",
        action="append",
        metavar="EXT",
        help="extension that is a weight, or by its name an error or variance (default: by names); repeatable",
    )
    group.add_argument(
        "--masks",
        metavar="PATTERN",
        help="files that are masks, as '*.mask.fits', where * is the exposure's name without suffix; 'none' leaves "
        "masks beside the exposures alone (default: by names)",
    )
    group.add_argument("--weights", metavar="PATTERN", help="files that are weights or errors, like --masks")
    group.add_argument(
        "--bad-bits",
        metavar="BITS",
        help="bits of masks and DQ flags that make a pixel bad, such as 1+16 (default: any of a mask, those with a bad "
        "name where its header names them; for DQ see --good-bits)",
    )
    group.add_argument(
        "--wcs",
        choices=("fits", "gwcs"),
        help="which WCS is taken of files with both, FITS keywords and a gwcs (default: gwcs; where they differ the "
        "keywords, but of JWST the gwcs)",
    )


def _add_frame(group: Any) -> None:
    group.add_argument(
        "--like",
        dest="output_wcs",
        metavar="FILE",
        help="take the frame of this file: FITS, ASDF, or a FITS header alone, also as text; of the other options of "
        "the frame only --shape goes with it",
    )
    scale = group.add_mutually_exclusive_group()
    scale.add_argument(
        "--scale",
        "--pixel-scale",
        dest="pixel_scale",
        type=float,
        metavar="ARCSEC",
        help="pixel scale (default: that of the first exposure)",
    )
    scale.add_argument(
        "--scale-ratio",
        "--pixel-scale-ratio",
        dest="pixel_scale_ratio",
        type=float,
        metavar="R",
        help="pixel scale over that of the first exposure (default: 1)",
    )
    group.add_argument(
        "--rotation",
        type=_angle,
        metavar="DEG",
        help="position angle of +y, degrees from north to east, or 'first': along the first exposure (default: 0)",
    )
    group.add_argument(
        "--crval",
        action=Position,
        nargs=2,
        metavar=("RA", "DEC"),
        help="tangent point, in the exposures' system of coordinates: degrees, or 10:00:00 +02:00:00, or 10h0m0s "
        "+2d0m0s (default: the middle of the exposures, or that of the first, where its pixels are kept)",
    )
    group.add_argument("--crpix", type=float, nargs=2, metavar=("X", "Y"), help="its pixel, from 0")
    group.add_argument(
        "--shape", dest="output_shape", type=int, nargs=2, metavar=("NX", "NY"), help="pixels in x and y"
    )
    group.add_argument(
        "--align",
        choices=("first", "tangent", "footprint"),
        help="where pixels lie: on those of the first exposure, where it is on a grid of this kind, scale and "
        "rotation, else as with tangent; at whole multiples of the scale around the tangent point; or beginning where "
        "the exposures do, as in the pipelines (default: first)",
    )


def _add_values(group: Any) -> None:
    from gpures.mosaicking.calibration import VALUES

    group.add_argument(
        "--values",
        choices=VALUES,
        help="what values are: per pixel, and scaled by the ratio of the pixels' areas, or surface brightness, and not "
        "(default: what their unit says)",
    )
    group.add_argument(
        "--flux-scale",
        metavar="WHAT",
        help="what brings exposures to one scale: a keyword of their headers, such as FLXSCALE or MAGZPT, 'time' "
        "(counts are divided by exposure times) or 'none' but units (default: auto, what units and headers ask for)",
    )
    group.add_argument(
        "--allow-mixed",
        action="store_true",
        help="average exposures all the same that can't be brought to one scale, or are of several filters or gains",
    )


def _add_cleaning(group: Any) -> None:
    from gpures.cleaning.levels import METHODS
    from gpures.cleaning.statistics import STATISTICS
    from gpures.mosaicking.cleaning_options import COMBINED

    group.add_argument(
        "--match-sky",
        action="store_const",
        const="match",
        help="have the skies of exposures agree where they overlap; files are read twice",
    )
    group.add_argument(
        "--sky-method",
        dest="match_sky",
        choices=METHODS,
        help="match them by the differences in overlaps (match), by the lowest sky of all (global), by both, or by "
        "each exposure's own (local) (default: match)",
    )
    group.add_argument("--sky-statistic", choices=STATISTICS, help="what is taken for the sky (default: median)")
    group.add_argument(
        "--reject-outliers",
        action="store_true",
        help="leave out cosmic rays and the like: what differs from the median of all exposures; files are read twice",
    )
    group.add_argument(
        "--outlier-snr",
        type=float,
        nargs="+",
        metavar="S",
        help="thresholds, times the noise: of a pixel; of one in whose surroundings another is beyond the first; of "
        "one beside what was found (default: 5 4 3.3, of HST 3.5 3 3)",
    )
    group.add_argument(
        "--outlier-scale",
        type=float,
        nargs="+",
        metavar="S",
        help="what is added to them, times the greatest step to a neighbouring pixel (default: 1.2 0.7 0.15)",
    )
    group.add_argument("--outlier-backg", type=float, metavar="B", help="background of the differences (default: 0)")
    group.add_argument(
        "--outlier-maskpt",
        type=float,
        metavar="F",
        help="share of the mean weight below which a pixel is no part of the median (default: 0.7, of HST 0.3)",
    )
    group.add_argument(
        "--outlier-kernel-size", type=int, metavar="N", help="side of a pixel's surroundings (default: 3)"
    )
    group.add_argument(
        "--outlier-grow", type=int, metavar="N", help="side of the square by which outliers are grown (default: 1)"
    )
    group.add_argument(
        "--combine",
        action="append",
        choices=COMBINED,
        help="give the mosaic another image beside the weighted mean: at each pixel the median of the exposures, or "
        "the mean of what lies near it; may be repeated",
    )
    group.add_argument("--save-masks", metavar="DIR", help="folder for masks of the outliers: x_mask.fits for x.fits")


def _add_resampling(group: Any) -> None:
    from gpures.exposure.drops import KERNELS

    group.add_argument("--kernel", choices=KERNELS, help="shape of a drop (default: square)")
    group.add_argument("--pixfrac", type=float, metavar="F", help="size of a drop in input pixels (default: 1)")
    group.add_argument("--fillval", metavar="V", help="value of pixels without data (default: NaN)")
    group.add_argument(
        "--weight-type",
        choices=("ivm", "ivm-sky", "exptime"),
        help="weights: inverse read noise variance, inverse sky variance, or time (default: ivm)",
    )
    group.add_argument(
        "--good-bits",
        type=_or_none,
        metavar="BITS",
        help="DQ flags to be ignored, such as 4, 4+8, ~1 (all but 1) or ~DO_NOT_USE; 'none' ignores all "
        "(default: for JWST ~DO_NOT_USE+NON_SCIENCE, for Roman ~DO_NOT_USE, else 0)",
    )
    group.add_argument(
        "--pixmap-tolerance",
        type=float,
        metavar="T",
        help="largest error of pixels' places, output pixels; 0 evaluates the WCS everywhere (default: 1e-6)",
    )
    group.add_argument(
        "--pixmap-stepsize", type=float, metavar="N", help="evaluate the WCS every N pixels, whatever the error"
    )
    group.add_argument("--pixmap-order", type=int, choices=(1, 3), help="order of the spline between them (default: 1)")
    group.add_argument("--accumulator-dtype", choices=("f4", "f8"), help="type of the sums (default: f4)")
    group.add_argument(
        "--deterministic",
        action="store_true",
        help="on a GPU, the same mosaic to the last bit each time, in more time (on a CPU it is so always)",
    )


def _add_planes(group: Any) -> None:
    from gpures.exposure.options import PRECISIONS, VARIANCE_METHODS

    group.add_argument(
        "--no-context",
        dest="enable_ctx",
        action="store_false",
        help="do not record which exposures a pixel is made of",
    )
    group.add_argument("--no-variances", dest="enable_var", action="store_false", help="leave variances out")
    group.add_argument(
        "--compute-err",
        type=_or_none,
        choices=("from_var", "driz_err", None),
        metavar="{from_var,driz_err,none}",
        help="error from the variances, or by averaging that of the exposures (default: from_var)",
    )
    group.add_argument(
        "--variance-method",
        choices=VARIANCE_METHODS,
        help="variances as stcal makes them, or propagated: those of the mosaic's data (default: stcal)",
    )
    group.add_argument(
        "--covariance",
        nargs="?",
        const=True,
        type=int,
        metavar="LAG",
        help="covariances of the mosaic's pixels, as far as drops reach, or with those up to so many pixels away",
    )
    group.add_argument(
        "--noise-factor",
        action="store_true",
        help="by how much errors of large areas are larger than those of their pixels tell, in each pixel",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of drops and of the sums of an exposure; single is faster (default: double)",
    )
    group.add_argument("--propagate-dq", action="store_true", help="combine the flags of all pixels that contribute")
    group.add_argument(
        "--dq-of-empty", type=int, metavar="FLAGS", help="flags of pixels without data, such as 1; with --propagate-dq"
    )
    group.add_argument(
        "--exptime-map", dest="enable_exptime_map", action="store_true", help="sum of the exposure times in each pixel"
    )
    group.add_argument(
        "--extra",
        dest="extra_array_names",
        action="append",
        metavar="NAME",
        help="average this array of the exposures, too; may be repeated",
    )


def _add_machine(group: Any) -> None:
    group.add_argument(
        "--backend", choices=("auto", "cuda", "cpu", "drizzle"), help="what computes (default: a GPU, else the CPU)"
    )
    group.add_argument(
        "--device",
        type=_devices,
        metavar="N",
        help="number of the GPU, or of several, as '0,1', or 'all'",
    )
    group.add_argument(
        "--scheduler",
        metavar="WHERE",
        default=None,
        help="have the workers of dask make it: the address of a scheduler, such as tcp://host:8786, 'local' for "
        "processes on this machine, or 'cuda' for one for each of its GPUs; OUT is a .zarr then",
    )
    group.add_argument(
        "--memory-limit",
        metavar="SIZE",
        help="memory that may be used, such as 8GB: what does not fit is made in tiles, which go into OUT (.fits or "
        ".zarr) one by one (default: what is available)",
    )
    group.add_argument("--threads", type=int, metavar="N", default=None, help="threads on the CPU (default: all)")


def _devices(text: str) -> str | int | list[int]:
    if text == "all":
        return text
    try:
        numbers = [int(number) for number in text.split(",")]
        return numbers if len(numbers) > 1 else numbers[0]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers of GPUs, as '0' or '0,1', or 'all', got {text!r}") from None


def _angle(text: str) -> float | None:
    if text == "first":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number of degrees, or 'first', got {text!r}") from None


def _or_none(text: str) -> str | None:
    return None if text.lower() == "none" else text


def _run(parsed: argparse.Namespace) -> int:
    """Make a mosaic, or show its plan; the exit status."""
    if parsed.output is None and not parsed.dry_run and "add_to" not in parsed:
        parsed.usage_error("the following arguments are required: -o/--output")
    if parsed.threads is not None:
        if parsed.threads < 1:
            parsed.usage_error(f"argument --threads: must be at least 1, got {parsed.threads}")
        os.environ["GPURES_NUM_THREADS"] = str(parsed.threads)
    status = NOT_BEGUN
    try:
        from gpures.mosaicking.build import build
        from gpures.mosaicking.plan import make_plan
        from gpures.mosaicking.report import plan_text
        from gpures.mosaicking.workers import connected

        if parsed.sky_cells is not None:
            if parsed.dry_run:
                parsed.usage_error("argument --sky-cells: not allowed with --dry-run")
            return _make_cells(parsed)
        with said_once(parsed.names), nullcontext() if parsed.quiet else _progress_lines():
            plan = make_plan(
                parsed.files,
                parsed.output,
                skip_bad=parsed.skip_bad,
                overwrite=parsed.overwrite,
                progress=not parsed.quiet,
                **_options(parsed),
            )
            plan.call = parsed.call
            if parsed.dry_run:
                say(plan_text(plan))
            plan.check_room()
            if parsed.dry_run:
                return 0
            status = NOT_FINISHED
            with nullcontext() if parsed.scheduler is None else connected(parsed.scheduler) as client:
                made = build(plan, progress=not parsed.quiet, client=client)
        if not parsed.quiet:
            with suppress(BrokenPipeError):  # the mosaic is there
                print(printable(made.report, getattr(sys.stdout, "encoding", None)))
    except KeyboardInterrupt:
        there = parsed.output is not None and os.path.exists(parsed.output)
        words = "." if there else "; nothing was written."
        if "checkpoint" in parsed:
            words += " The same command goes on with the checkpoint."
        print(f"gpures mosaic: interrupted{words}", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        tell_error("mosaic", error, parsed.names)
        return status
    return 0


def _make_cells(parsed: argparse.Namespace) -> int:
    """Make the mosaics of a table of sky cells, and tell of each; the exit status."""
    from gpures.mosaicking.sky_cells import mosaic_cells
    from gpures.mosaicking.workers import connected

    with (
        said_once(parsed.names),
        nullcontext() if parsed.scheduler is None else connected(parsed.scheduler) as client,
    ):
        cells = mosaic_cells(
            parsed.files,
            parsed.output,
            parsed.sky_cells,
            overwrite=parsed.overwrite,
            skip_bad=parsed.skip_bad,
            progress=None,
            client=client,
            **_options(parsed),
        )
        for number, cell in enumerate(cells):
            if not parsed.quiet:
                if not number:
                    say(f"{'cell':<24}{'exposures':>9}{'with data':>12}{'seconds':>9}")
                say(cell.line)
    return 0


def _options(parsed: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(parsed).items() if name not in OWN}


@contextmanager
def _progress_lines() -> Iterator[None]:
    """Let lines of progress, which stand for a bar where tqdm is not installed, through to the terminal."""
    logger, handler = logging.getLogger("gpures.reporting.progress"), logging.StreamHandler()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
