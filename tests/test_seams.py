"""Output frames of the whole sky: periods, seams, and what crosses them."""

from __future__ import annotations

import gwcs
import numpy as np
import oracle
import pytest
import scenes
import tolerances as tol
from astropy import coordinates, units
from astropy.modeling import models
from astropy.wcs import WCS
from gwcs import coordinate_frames

import gpures
from gpures.exposure.drops import KERNELS
from gpures.exposure.pixmap import calc_pixmap
from gpures.wcs import seams

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]


def sky(projection, shape=(180, 360), at=(0.0, 0.0), scale=1.0, reference=None, axes=("RA---", "DEC--"), turn=0.0):
    """FITS WCS of a projection with pixels of `scale` degrees; its reference pixel is the middle of the frame."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [axis + projection for axis in axes]
    wcs.wcs.crval = at
    wcs.wcs.cdelt = (-scale, scale)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.pc = [[c, -s], [s, c]]
    wcs.wcs.crpix = reference or ((shape[1] + 1) / 2, (shape[0] + 1) / 2)
    wcs.array_shape = shape
    wcs.wcs.set()
    return wcs


def gwcs_sky(projection, shape=(180, 360), at=(0.0, 0.0), scale=1.0):
    """The same as a gwcs, with the poles of the sky where those of the projection are."""
    assert at[1] == 0.0
    transform = models.Shift(-(shape[1] - 1) / 2) & models.Shift(-(shape[0] - 1) / 2)
    transform |= models.Scale(-scale) & models.Scale(scale)
    transform |= getattr(models, f"Pix2Sky_{projection}")() | models.RotateNative2Celestial(at[0], 90.0, 180.0)
    frame = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    celestial = coordinate_frames.CelestialFrame(
        reference_frame=coordinates.ICRS(), name="icrs", unit=(units.deg, units.deg)
    )
    wcs = gwcs.WCS([(frame, transform), (celestial, None)])
    wcs.array_shape = shape
    return wcs


def exposure_at(at, side=30, scale=0.3, turn=20.0, seed=3):
    """Model of a gnomonic exposure on a smooth sky, and its WCS."""
    shape = (side, side + 3)
    y, x = np.indices(shape)
    data = (2.0 + 0.02 * x - 0.03 * y + 0.0005 * x * y).astype("f4")
    return scenes.model_of(
        sky("TAN", shape, at, scale, turn=turn), shape, seed=seed, data=data, dq=np.zeros(shape, int)
    )


def mosaic(model, wcs, backend="cpu", **options):
    """Output model of one exposure on a frame."""
    options = {"fillval": "NaN", "weight_type": "exptime", "compute_err": "from_var"} | options
    resample = gpures.Resample(
        {"wcs": wcs, "pixel_scale": 3600.0, "pixel_scale_ratio": 3.0}, backend=backend, **options
    )
    resample.add_model(model)
    resample.finalize()
    return resample.output_model


# ---- periods -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wcs", "period"),
    [
        pytest.param(sky("CAR"), (360.0, 0.0), id="CAR"),
        pytest.param(sky("CEA"), (360.0, 0.0), id="CEA"),
        pytest.param(sky("MER"), (360.0, 0.0), id="MER"),
        pytest.param(sky("CAR", at=(30.0, 40.0)), (360.0, 0.0), id="oblique"),
        pytest.param(sky("CAR", axes=("GLON-", "GLAT-")), (360.0, 0.0), id="galactic"),
        pytest.param(sky("CAR", (360, 180), turn=90.0), (0.0, 360.0), id="upright"),
        pytest.param(sky("CAR", (360, 180), axes=("DEC--", "RA---")), (0.0, 360.0), id="latitude-first"),
        pytest.param(sky("CAR", (80, 100), scale=0.01, reference=(-17900.5, -200.5)), (36000.0, 0.0), id="cut-out"),
        pytest.param(sky("CAR", (80, 100), scale=0.01, reference=(50.5, -8900.5)), (36000.0, 0.0), id="polar-cut-out"),
        pytest.param(sky("CAR", (50, 50), scale=0.03 / 3600, reference=(1e6, 2e5)), (43200000.0, 0.0), id="fine"),
        pytest.param(sky("CAR", (90, 181), scale=1.997), (360 / 1.997, 0.0), id="broken"),
        pytest.param(gwcs_sky("CAR"), (360.0, 0.0), id="gwcs-CAR"),
        pytest.param(gwcs_sky("CEA"), (360.0, 0.0), id="gwcs-CEA"),
        pytest.param(sky("CAR", turn=30.0), (0.0, 0.0), id="turned"),
        pytest.param(sky("TAN", (500, 500), scale=1e-5), (0.0, 0.0), id="TAN"),
        pytest.param(sky("TAN", (500, 500), scale=0.1), (0.0, 0.0), id="wide-TAN"),
        pytest.param(sky("AIT"), (0.0, 0.0), id="AIT"),
        pytest.param(sky("MOL"), (0.0, 0.0), id="MOL"),
        pytest.param(sky("SFL"), (0.0, 0.0), id="SFL"),
        pytest.param(sky("ZEA"), (0.0, 0.0), id="ZEA"),
        pytest.param(gwcs_sky("AIT"), (0.0, 0.0), id="gwcs-AIT"),
        pytest.param(scenes.imaging_wcs((300, 300), distortion=3.0), (0.0, 0.0), id="gwcs-distorted"),
        pytest.param(scenes.spectral_wcs((30, 40)), (0.0, 0.0), id="spectral"),
    ],
)
def test_period_of(wcs, period):
    """Cylindrical projections have a period along the axis of longitude, wherever the frame lies; others have none."""
    np.testing.assert_allclose(seams.period_of(wcs), period, rtol=1e-9)


# ---- mosaics -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latitude", [0.0, 47.0, -75.0, 89.6, -89.6])
@pytest.mark.parametrize("projection", ["CAR", "CEA"])
def test_the_seam_of_a_cylinder_is_as_good_as_any_place(backend, projection, latitude):
    """An exposure across the seam gives, column by column, what it gives in a frame that begins elsewhere."""
    exposure = exposure_at((180.0, latitude))
    frame, turned = sky(projection), sky(projection, at=(180.0, 0.0))
    across = mosaic(exposure, frame, backend)
    # The drizzle package by itself, which a plain frame is left to, loses pixels of exposures around this far south.
    middle = mosaic(exposure, turned, "cpu" if backend == "drizzle" else backend)
    for name in ("con", "data", "wht", "var_rnoise", "err"):
        rolled = np.roll(middle[name], 180, axis=-1)
        if name == "con":
            # Coordinates are rounded anew.
            tol.assert_same_bits(across[name], rolled, name, 1e-4)
            continue
        solid = middle["wht"] > 1e-5
        rolled, solid = np.roll(middle[name], 180, axis=-1), np.roll(solid, 180, axis=-1)
        np.testing.assert_allclose(across[name][solid], rolled[solid], rtol=3e-5, err_msg=name)
    np.testing.assert_allclose(across["wht"].sum(dtype=float), middle["wht"].sum(dtype=float), rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("pixfrac", [0.3, 1.0])
def test_every_kernel_crosses_the_seam(kernel, pixfrac):
    """So it is with every kernel and pixfrac, and with a gwcs."""
    pixfrac = 1.0 if kernel.startswith("lanczos") else pixfrac
    exposure = exposure_at((180.0, 20.0))
    for make in (sky, gwcs_sky):
        across = mosaic(exposure, make("CAR"), kernel=kernel, pixfrac=pixfrac)
        middle = mosaic(exposure, make("CAR", at=(180.0, 0.0)), kernel=kernel, pixfrac=pixfrac)
        rolled = np.roll(middle["wht"], 180, axis=-1)
        np.testing.assert_allclose(across["wht"], rolled, rtol=1e-4, atol=1e-5 * np.abs(rolled).max())


@pytest.mark.parametrize("projection", ["AIT", "MOL"])
@pytest.mark.parametrize("latitude", [0.0, -30.0, 65.0, 80.0, 89.7])
def test_a_seam_that_leads_nowhere(backend, projection, latitude):
    """On a frame with a curved seam all weight arrives, and no drop is stretched from one side to the other."""
    exposure = exposure_at((180.0, latitude))
    wcs = sky(projection)
    made = mosaic(exposure, wcs, backend)
    np.testing.assert_allclose(
        made["wht"].sum(dtype=float), exposure["data"].size * exposure["measurement_time"], rtol=1e-5
    )
    # The centres of the pixels, and around each as much as pixels are apart, or twice that at the edge of the sky.
    y, x = np.indices(exposure["data"].shape)
    at = np.stack(wcs.world_to_pixel_values(*exposure["wcs"].pixel_to_world_values(x, y)), axis=-1).reshape(-1, 2)
    reached = np.argwhere(made["wht"] > 1e-6 * made["wht"].max())[:, ::-1]
    nearest = np.array([np.abs(at - place).max(axis=1).min() for place in reached])
    assert nearest.max() < 3.0
    seam = np.abs(np.diff(at[:, 0].reshape(y.shape), axis=1)).max()
    assert seam > 10.0


def test_reference_stretches_drops_over_a_seam():
    """Without the jump the same map fills all columns: what the tests above would find."""
    exposure = exposure_at((180.0, 20.0))
    pixmap = calc_pixmap(exposure["wcs"], sky("CAR"), exposure["data"].shape, 0)
    columns = []
    for jump in (np.inf, 180.0):
        pixmap.jump = jump
        drizzled = oracle.exposure(exposure["data"], pixmap.array())
        drizzled.pixmap.jump = jump
        columns.append(oracle.run("cpu", oracle.MosaicLayout((180, 360)), [drizzled])["wht"].any(axis=0).sum())
    assert columns[0] == 360
    assert columns[1] < 20


@pytest.mark.parametrize(("reference", "shape"), [((230.5, 20.5), (60, 100)), ((-129.5, 20.5), (60, 100))], ids=str)
def test_cut_outs_of_a_map_of_the_whole_sky(backend, reference, shape):
    """A frame that is part of an all-sky map, with the seam in it, gets both sides of an exposure."""
    exposure = exposure_at((180.0, 5.0))
    cut, middle = sky("CAR", shape, reference=reference), sky("CAR", at=(180.0, 0.0))
    got, whole = mosaic(exposure, cut, backend), mosaic(exposure, middle)
    np.testing.assert_allclose(got["wht"].sum(dtype=float), whole["wht"].sum(dtype=float), rtol=1e-5)
    columns, rows = (np.flatnonzero(got["wht"].any(axis=axis)) for axis in (0, 1))
    assert np.ptp(columns) < 14
    assert np.ptp(rows) < 14


def test_drizzle_without_a_wcs(own_backend):
    """`Drizzle` knows of no WCS: a drop on the seam stays on its own side, and keeps its size."""
    exposure = exposure_at((180.0, 20.0))
    shape = exposure["data"].shape
    pixmap = calc_pixmap(exposure["wcs"], sky("CAR"), shape, 0).array()
    driz = gpures.Drizzle(out_shape=(180, 360), backend=own_backend)
    driz.add_image(exposure["data"], 1.0, pixmap)
    columns = np.flatnonzero(driz.out_wht.any(axis=0))
    assert ((columns < 10) | (columns > 350)).all()
    assert driz.out_wht.sum(dtype=float) == pytest.approx(exposure["data"].size, rel=0.02)


def test_hooks_resample_variances_across_the_seam():
    """A subclass that resamples the variances by itself gets those of the pass over everything."""

    class Own(gpures.Resample):
        def resample_variance_arrays(self, **arguments):
            super().resample_variance_arrays(**arguments)

    exposure = exposure_at((180.0, 20.0))
    for projection in ("CAR", "AIT"):
        made = []
        for resample in (gpures.Resample, Own):
            own = resample({"wcs": sky(projection), "pixel_scale": 3600.0, "pixel_scale_ratio": 3.0}, backend="cpu")
            own.add_model(exposure)
            own.finalize()
            made.append(own.output_model["var_rnoise"])
        np.testing.assert_allclose(made[1], made[0], rtol=1e-6)


# ---- jumps in a pixel map ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0.003, 0.2, 0.49, 0.7, 0.985])
@pytest.mark.parametrize("settings", [{"tolerance": 1e-6}, {"stepsize": 12, "order": 3}, {"stepsize": 12}], ids=str)
@pytest.mark.parametrize("projection", ["CAR", "AIT"])
def test_splines_give_way_to_seams(projection, settings, where):
    """Wherever a seam crosses an exposure, every pixel of it is evaluated, whichever grid was asked for."""
    shape = (140, 150)
    # Turned so that the seam runs obliquely, and moved so that it passes that part of the width.
    wcs = sky("TAN", shape, (180.0, 30.0), 0.05, reference=(where * shape[1] + 1, 70.0), turn=3.0)
    output = sky(projection, scale=0.1, shape=(1800, 3600))
    pixmap = calc_pixmap(wcs, output, shape, period=seams.period_of(output), **settings)
    assert pixmap.full is not None
    expected = calc_pixmap(wcs, output, shape, 0).array()
    np.testing.assert_array_equal(pixmap.array(), expected)


@pytest.mark.parametrize("latitude", [10.0, 75.0, -88.0])
def test_jump_of(latitude):
    """The jumps of a map are found, and are longer than what is given; a period leaves none."""
    exposure = exposure_at((180.0, latitude), side=60, scale=0.02, turn=77.0)
    shape = exposure["data"].shape
    pixmap = calc_pixmap(exposure["wcs"], sky("AIT"), shape, 0)
    steps = np.abs(np.diff(pixmap.array(), axis=1)).max(axis=2), np.abs(np.diff(pixmap.array(), axis=0)).max(axis=2)
    longest = max(step.max() for step in steps)
    assert 0 < pixmap.jump < longest
    lengths = np.sort(np.concatenate([step.ravel() for step in steps]))
    ordinary = lengths[lengths < pixmap.jump].max()
    assert ordinary < pixmap.jump < lengths[lengths > pixmap.jump].min()
    assert calc_pixmap(exposure["wcs"], sky("CAR"), shape, 0).jump < np.inf
    assert calc_pixmap(exposure["wcs"], sky("CAR"), shape, 0, period=(360.0, 0.0)).jump == np.inf


def test_steep_places_are_no_jumps():
    """A map that is continuous has no jump, however steep it is somewhere."""

    def steep(x, y):
        return x + 400 * np.tanh((x - 20.37) * 3.0), y

    places = np.stack(steep(*np.meshgrid(np.arange(40.0), np.arange(30.0))), axis=-1)
    assert seams.has_long_steps(places, (0.0, 0.0))
    assert seams.jump_of(places, (0, 0), steep, (0.0, 0.0)) == np.inf

    def broken(x, y):
        return x + 400 * np.sign(x - 20.37), y

    places = np.stack(broken(*np.meshgrid(np.arange(40.0), np.arange(30.0))), axis=-1)
    assert 1.0 < seams.jump_of(places, (0, 0), broken, (0.0, 0.0)) < 800.0
