"""What the pictures of gpures.plot show, and what they leave alone."""

import subprocess
import sys
import tracemalloc

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
import scenes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gpures import Resample, cli, io, plot
from gpures.demo.sky import fits_wcs, tan_sip_gwcs
from gpures.extras import install
from gpures.plot import axes as plot_axes
from gpures.plot import pixels as plot_pixels

SHAPE = (50, 60)


def drawn_part(coord, name):
    """What astropy draws of a coordinate; it is public to astropy 6 and not later on."""
    return getattr(coord, f"_{name}", None) or getattr(coord, name)


SCALE = 0.1  # arcsec
KEYWORDS = {
    "CRPIX1": 20.0,
    "CRPIX2": 30.0,
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CD1_1": -SCALE / 3600,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": SCALE / 3600,
}


@pytest.fixture(autouse=True)
def no_window():
    """Figures of pyplot's are drawn without a display, and closed."""
    import matplotlib.pyplot as plt

    with mpl.rc_context({"backend": "Agg"}):
        yield
    plt.close("all")


@pytest.fixture(params=["gwcs", "fits"])
def wcs(request):
    return {"gwcs": tan_sip_gwcs, "fits": fits_wcs}[request.param](KEYWORDS, SHAPE)


def make_model(wcs=None, seed=1):
    """An output model whose lower five rows are empty."""
    rng = np.random.default_rng(seed)
    data = rng.normal(1.0, 0.1, SHAPE).astype(np.float32)
    weight = rng.uniform(1.0, 2.0, SHAPE).astype(np.float32)
    con = rng.integers(-(2**31), 2**31, (3, *SHAPE)).astype(np.int32)
    data[:5], weight[:5], con[:, :5] = -1e9, 0.0, 0
    return {
        "data": data,
        "wht": weight,
        "con": con,
        "err": np.full(SHAPE, 0.1, np.float32),
        "dq": np.zeros(SHAPE, np.uint32),
        "wcs": tan_sip_gwcs(KEYWORDS, SHAPE) if wcs is None else wcs,
        "pixelarea_arcsecsq": SCALE**2,
        "pointings": 7,
        "kernel": "square",
        "pixfrac": 0.8,
        "weight_type": "ivm",
    }


@pytest.fixture
def model():
    return make_model()


def drawn(figure):
    """Draw a figure, which settles its axes and raises what a picture would."""
    FigureCanvasAgg(figure).draw()
    return figure


def test_a_position_on_the_sky_lies_at_its_pixel(wcs):
    """A point given in right ascension and declination is drawn over the pixel that the WCS gives."""
    axes = plot.mosaic(make_model(wcs))
    drawn(axes.figure)
    # One pixel to the east is one pixel to the left, and north is up.
    for sky, pixel in (((150.0, 2.0), (19.0, 29.0)), ((150.0, 2.0 + 10 * SCALE / 3600), (19.0, 39.0))):
        got = axes.get_transform("icrs").transform(sky)
        np.testing.assert_allclose(got, axes.transData.transform(pixel), atol=0.01)
    assert axes.coords[0].get_axislabel() == "Right ascension (ICRS)"
    assert axes.coords[1].get_axislabel() == "Declination (ICRS)"


@pytest.mark.parametrize("how", ["fits", "axes_order", "axes_names"])
def test_right_ascension_is_below(how):
    """Where a WCS has the latitude first, the sky is where it is, and its axes stay below and to the left."""
    wcs = scenes.fits_wcs(SHAPE) if how == "fits" else scenes.imaging_wcs(SHAPE)
    wcs = scenes.latitude_first(wcs, how)
    axes = plot.mosaic(make_model(wcs))
    drawn(axes.figure)
    world = {"longitude": scenes.RA, "latitude": scenes.DEC}
    middle = axes.wcs.world_to_pixel_values(*(world[coord.coord_type] for coord in axes.coords))
    np.testing.assert_allclose(middle, [(n - 1) / 2 for n in SHAPE[::-1]], atol=1e-4)
    labels = {drawn_part(coord, "axislabels").get_visible_axes()[0]: coord.get_axislabel() for coord in axes.coords}
    assert labels == {"b": "Right ascension (ICRS)", "l": "Declination (ICRS)"}
    part = plot.mosaic(make_model(wcs), around=(scenes.RA, scenes.DEC), size=0.5)
    np.testing.assert_allclose(np.mean(part.get_xlim()), (SHAPE[1] - 1) / 2, atol=1e-4)


def test_each_pixel_is_drawn_at_its_place(model):
    """The image holds the data, from the outer edge of the first pixel to that of the last."""
    axes = plot.mosaic(model)
    image = axes.images[0]
    assert tuple(image.get_extent()) == (-0.5, 59.5, -0.5, 49.5)
    np.testing.assert_array_equal(image.get_array()[5:], model["data"][5:])


@pytest.mark.parametrize("draw", [plot.mosaic, plot.weight, plot.error])
def test_limits_and_image_leave_out_pixels_without_weight(model, draw):
    """Neither the fill value nor a NaN has a say in the limits, and both have the colour of nothing."""
    model["data"][20, 20] = model["err"][20, 20] = np.nan
    model["err"][:5] = 1e9
    image = draw(model).images[0]
    assert np.ma.getmaskarray(image.get_array())[:5].all()
    assert not np.ma.getmaskarray(image.get_array())[6:].sum() - (draw is not plot.weight)
    assert -1.0 < image.norm.vmin < image.norm.vmax < 3.0


def test_the_brightest_and_faintest_pixels_are_beyond_the_limits(model):
    """A few outliers do not set the stretch."""
    model["data"][10, 10:12] = 1e6, -1e6
    norm = plot.mosaic(model).images[0].norm
    assert 0.5 < norm.vmin < 1.0 < norm.vmax < 2.0


def test_depth_counts_the_bits_of_all_planes(model):
    """The depth is the number of exposures, the 32nd bit and the third plane included, and no depth is empty."""
    axes = plot.depth(model)
    expected = [[sum(int(c).bit_count() for c in column) for column in row] for row in _unsigned(model["con"])]
    got = axes.images[0].get_array()
    np.testing.assert_array_equal(got.filled(0), expected)
    np.testing.assert_array_equal(np.ma.getmaskarray(got), np.equal(expected, 0))
    # Each number has a colour of its own.
    norm = axes.images[0].norm
    numbers = np.unique(got.compressed())
    assert len(set(norm(numbers))) == len(numbers)


def _unsigned(con):
    return np.moveaxis(con.view(np.uint32), 0, -1)


def test_blocks_of_a_large_mosaic_are_means_of_good_pixels():
    """A block is the mean of those of its pixels that are good, also at the edge, where it is cut off."""
    rng = np.random.default_rng(2)
    image = rng.normal(size=(23, 17)).astype(np.float32)
    good = rng.random(image.shape) > 0.3
    good[5:10, 10:15] = False
    got = plot_pixels.means(image, good, 5)
    assert got.shape == (5, 4)
    for j, i in np.ndindex(got.shape):
        block = (slice(5 * j, 5 * j + 5), slice(5 * i, 5 * i + 5))
        if good[block].any():
            assert got[j, i] == pytest.approx(image[block][good[block]].astype(float).mean(), rel=1e-12)
        else:
            assert got[j, i] is np.ma.masked
    assert got.mask.sum() == 1


def test_a_large_mosaic_is_drawn_in_blocks_at_its_place(monkeypatch, model):
    """Blocks cover the pixels that they stand for, and counts are those of one of them."""
    monkeypatch.setattr(plot_pixels, "MOST", 20)
    image = plot.mosaic(model).images[0]
    assert image.get_array().shape == (17, 20)
    assert tuple(image.get_extent()) == (-0.5, 59.5, -0.5, 50.5)
    assert image.axes.get_ylim() == (-0.5, 49.5)
    depth = plot.depth(model).images[0].get_array()
    expected = np.bitwise_count(model["con"].view(np.uint32)).sum(axis=0)[1::3, 1::3]
    np.testing.assert_array_equal(depth.filled(0), expected)


def test_a_large_mosaic_takes_little_memory():
    """What is made on the way to the blocks is small beside the image."""
    model = {key: np.ones((3000, 3000), np.float32) for key in ("data", "wht")}
    flags = np.ones((3000, 3000), np.uint32)
    part = plot_pixels.part_of(model)
    tracemalloc.start()
    plot_pixels.means(model["data"], np.broadcast_to(True, (3000, 3000)), 4)
    plot_pixels.flag_pixels(model | {"dq": flags}, part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The masked means in float64, 5 MB; the sample in float32, 9 MB; and strips.
    assert peak < 20e6 < model["data"].nbytes


def test_a_part_is_that_around_a_position(wcs):
    """The part has its position in the middle, its size, and the limits of its own pixels."""
    model = make_model(wcs)
    model["data"][40:] = 1e6
    from astropy.coordinates import SkyCoord

    for around in ((150.0, 2.0), SkyCoord(150.0, 2.0, unit="deg")):
        axes = plot.mosaic(model, around=around, size=(1.0, 2.0))
        np.testing.assert_allclose(axes.get_xlim(), (14.0, 24.0), atol=1e-4)
        np.testing.assert_allclose(axes.get_ylim(), (19.0, 39.0), atol=1e-4)
        assert axes.images[0].get_array().max() < 2.0
        assert axes.images[0].norm.vmax < 2.0


def test_a_part_may_reach_beyond_the_frame(wcs):
    """Beyond the edge of the frame, and of a WCS's bounding box, nothing is drawn, and numbers go on."""
    axes = plot.mosaic(make_model(wcs), around=(150.0, 2.0 - 29 * SCALE / 3600), size=2.0)
    drawn(axes.figure)
    np.testing.assert_allclose(axes.get_ylim(), (-10.0, 10.0), atol=1e-4)
    assert axes.images[0].get_extent()[2] == -0.5
    assert len(drawn_part(axes.coords[1], "ticklabels").text["l"]) > 2
    assert len(drawn_part(axes.coords[0], "ticklabels").text["b"]) > 1


def test_parts_that_cannot_be_drawn_are_refused(model):
    """Errors name the argument."""
    with pytest.raises(ValueError, match="'size' needs 'around'"):
        plot.mosaic(model, size=1.0)
    with pytest.raises(ValueError, match=r"'size' must be one or two positive numbers of arcsec, got -1"):
        plot.mosaic(model, around=(150.0, 2.0), size=-1)
    with pytest.raises(ValueError, match=r"No pixel of the frame, of 60 x 50 pixels, lies around \(151"):
        plot.mosaic(model, around=(151.0, 2.0), size=1)


@pytest.mark.parametrize(
    ("draw", "key", "hint"),
    [(plot.depth, "con", "enable_ctx=True"), (plot.error, "err", "compute_err="), (plot.dq, "dq", "propagate_dq=True")],
)
def test_a_missing_image_is_named(model, draw, key, hint):
    """What is missing is named, with what makes it."""
    model[key] = None
    with pytest.raises(ValueError, match=f"no image '{key}': resample with {hint}"):
        draw(model)


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_uniform_and_empty_mosaics_can_be_drawn(model, value, weight):
    """An image without variety, or without a pixel, is drawn all the same."""
    model["data"][:], model["err"][:], model["wht"][:], model["con"][:] = value, value, weight, int(weight)
    model["wcs"] = None  # axes in pixels take less time
    drawn(plot.overview(model))


def test_the_title_says_what_was_done(model):
    """Exposures, kernel, pixfrac and scale stand in the title; a title that is given replaces it."""
    assert plot.mosaic(model).get_title() == "Mosaic\n7 exposures, square kernel, pixfrac 0.8, 0.1″ pixels"
    assert plot.mosaic(model, title="Mine").get_title() == "Mine"


@pytest.mark.parametrize(
    ("unit", "power", "text"),
    [
        (None, 1, ""),
        ("MJy/sr", 1, r" ($\mathrm{MJy\,sr^{-1}}$)"),
        ("MJy/sr", -2, r" ($\mathrm{sr^{2}\,MJy^{-2}}$)"),
        ("furlongs", 2, " ((furlongs)$^{2}$)"),
    ],
)
def test_units_are_written_as_formulae(unit, power, text):
    """A plane's unit is the power of the data's; an unknown one is written as it is."""
    assert plot_axes.unit_text(unit, power) == text


def test_the_unit_stands_at_the_colour_bar(model):
    """The unit is the one given, or else the model's; that of weights from times is the second."""
    model["bunit_data"] = "Jy"
    assert bar_label(plot.mosaic(model)) == r"Data ($\mathrm{Jy}$)"
    assert bar_label(plot.mosaic(model, unit="DN/s")) == r"Data ($\mathrm{DN\,s^{-1}}$)"
    assert bar_label(plot.weight(model)) == r"Weight ($\mathrm{Jy^{-2}}$)"
    model["weight_type"] = "exptime"
    assert bar_label(plot.weight(model)) == r"Weight ($\mathrm{s}$)"


def bar_label(axes):
    return axes.child_axes[0].get_ylabel()


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.11, 5.0), (2.2e-5, 2.4e-5), (-300.0, -1.0), (999.0, 1001.0)])
def test_a_stretched_colour_bar_has_round_numbers_all_along(low, high):
    """There is one number in each part of the bar, in order, and none has more digits than it takes."""
    from astropy.visualization import AsinhStretch, ImageNormalize

    norm = ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(0.02), clip=False)
    numbers = plot_axes.round_numbers(norm, 6)
    places = np.asarray(norm(np.array(numbers)))
    np.testing.assert_array_equal(np.floor(places * len(numbers)), np.arange(len(numbers)))
    assert plot_axes.round_numbers(ImageNormalize(vmin=-1.0, vmax=1.0, stretch=AsinhStretch(0.5)), 3)[1] == 0.0


def test_flags_are_counted(model):
    """The share of a flag is that of the pixels with weight; the most frequent flags are drawn if none is named."""
    model["dq"][5:14] = 4
    model["dq"][:5] = 1024
    model["dq"][10, :30] |= 2**31
    texts = [text.get_text() for text in plot.dq(model).get_legend().get_texts()]
    assert texts == ["no data", "no flag", "4 (20.0%)", f"{2**31} (1.1%)"]
    axes = plot.dq(model, flags={4: "jump"})
    assert axes.get_legend().get_texts()[-1].get_text() == "4: jump (20.0%)"
    classes = axes.images[0].get_array()
    np.testing.assert_array_equal(classes[:, 0], [0] * 5 + [2] * 9 + [1] * 36)
    with pytest.raises(ValueError, match="at most 4 flags"):
        plot.dq(model, flags={1 << k: "" for k in range(5)})


def test_an_overview_has_a_panel_for_each_image(model):
    """All planes are drawn, or those that are named."""
    model["var_rnoise"] = model["var_flat"] = model["err"]
    figure = drawn(plot.overview(model))
    titles = ["Mosaic", "Weight", "Depth", "Error", "Read-noise variance", "Flat-field variance", "Data quality"]
    assert [axes.get_title() for axes in figure.axes] == titles
    few = plot.overview(model, Figure(), planes=["con", "data"])
    assert [axes.get_title() for axes in few.axes] == ["Depth", "Mosaic"]
    with pytest.raises(ValueError, match="no image 'exptime_map': resample with enable_exptime_map=True"):
        plot.overview(model, planes=["exptime_map"])


def test_nothing_of_the_callers_is_changed(model):
    """Settings, backend, pyplot's figures, and the model are as they were, when axes and figures are given."""
    import matplotlib.pyplot as plt

    settings, backend = dict(mpl.rcParams), mpl.get_backend()
    before = {key: np.copy(value) for key, value in model.items() if isinstance(value, np.ndarray)}
    figure = Figure()
    for k, draw in enumerate((plot.mosaic, plot.weight, plot.depth, plot.error)):
        axes = figure.add_subplot(2, 2, k + 1, projection=model["wcs"])
        assert draw(model, axes) is axes
    drawn(figure)
    drawn(plot.overview(model, Figure()))
    assert dict(mpl.rcParams) == settings
    assert mpl.get_backend() == backend
    assert not plt.get_fignums()
    for key, value in before.items():
        np.testing.assert_array_equal(model[key], value)


def test_without_axes_there_is_a_new_figure(model):
    """Pyplot knows the figure, so that plt.show() shows it."""
    import matplotlib.pyplot as plt

    axes = plot.weight(model)
    assert [plt.figure(n) for n in plt.get_fignums()] == [axes.figure]


def test_plain_axes_are_numbered_in_pixels(model):
    """Axes without a WCS will do."""
    axes = Figure().add_subplot()
    plot.mosaic(model, axes)
    assert axes.get_xlabel() == "x (pixels)"
    model["wcs"] = None
    assert plot.mosaic(model).get_ylabel() == "y (pixels)"


# Exposures and comparisons


@pytest.fixture
def exposure():
    """An exposure turned by 30 degrees, of pixels twice as large, with a sky level of 5."""
    c, s = 2 * np.cos(np.pi / 6) * SCALE / 3600, 2 * np.sin(np.pi / 6) * SCALE / 3600
    keywords = KEYWORDS | {"CRPIX1": 60.0, "CRPIX2": 70.0, "CD1_1": -c, "CD1_2": s, "CD2_1": s, "CD2_2": c}
    data = np.full((150, 160), 5.0, np.float32)
    data[70, 58] = 8.0
    data[69, 59] = np.nan
    return {"data": data, "wcs": tan_sip_gwcs(keywords, data.shape), "level": 5.0, "subtracted": False}


def test_an_exposures_pixels_lie_where_they_see(model, exposure):
    """Each pixel has its value less the sky, at its place in the frame; those that cannot be seen are left out."""
    axes = plot.exposure(exposure, model, around=(150.0, 2.0), size=2.0)
    (mesh,) = axes.collections
    values, corners = mesh.get_array(), mesh.get_coordinates()
    assert values.shape < (40, 40)
    (found,) = np.argwhere(values.filled(0) == 3.0)
    j, i = found
    middle = corners[j : j + 2, i : i + 2].mean(axis=(0, 1))
    sky = exposure["wcs"](58.0, 70.0)
    np.testing.assert_allclose(middle, model["wcs"].invert(*sky), atol=1e-6)
    assert values[j - 1, i + 1] is np.ma.masked
    assert values.count() == values.size - 1
    # All of the part is covered: the nearest corners lie beyond its edges.
    assert np.all(corners.min(axis=(0, 1)) < (axes.get_xlim()[0], axes.get_ylim()[0]))
    assert np.all(corners.max(axis=(0, 1)) > (axes.get_xlim()[1], axes.get_ylim()[1]))
    np.testing.assert_allclose(axes.get_xlim(), (9.0, 29.0), atol=1e-4)


def test_an_exposure_elsewhere_leaves_its_panel_empty(model, exposure):
    """An exposure that does not reach the part is no error."""
    exposure["wcs"] = tan_sip_gwcs(KEYWORDS | {"CRVAL1": 150.1}, exposure["data"].shape)
    assert not plot.exposure(exposure, model).collections


def test_before_and_after_show_one_sky_in_one_stretch(model, exposure):
    """Both panels have the same limits and the same norm, the second's title says what was done."""
    figure = drawn(plot.before_after(exposure, model, Figure(), around=(150.0, 2.0), size=(3.0, 2.0)))
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert left.collections[0].norm is right.images[0].norm
    assert "7 exposures" in right.get_title()


def test_mosaics_side_by_side_have_one_stretch(model):
    """The limits suit all of them, the titles are theirs, and other frames are refused."""
    bright = make_model(model["wcs"], seed=4)
    bright["data"][5:] += 5.0
    figure = drawn(plot.side_by_side({"faint": model, "bright": bright}, Figure(), around=(150.0, 2.0), size=2.0))
    assert [axes.get_title() for axes in figure.axes] == ["faint", "bright"]
    norms = [axes.images[0].norm for axes in figure.axes]
    assert norms[0] is norms[1]
    assert norms[0].vmin < 1.2 < 5.8 < norms[0].vmax
    with pytest.raises(ValueError, match="at least one mosaic"):
        plot.side_by_side({})
    with pytest.raises(ValueError, match="lie 1 pixels apart"):
        plot.side_by_side({"a": model, "b": make_model(tan_sip_gwcs(KEYWORDS | {"CRPIX1": 21.0}, SHAPE))})


def test_a_differences_numbers(model):
    """Largest difference, root mean square and the fraction above the threshold are those of the pixels of both."""
    other = make_model(model["wcs"])
    other["data"][7, :30] += np.float32(0.25)
    other["data"][8, 0] = np.nan
    other["wht"][9, 0] = 0.0
    found = plot.difference(model, other, threshold=2.0)
    assert found.pixels == 45 * 60 - 2
    assert found.alone == 2
    # The error is 0.1; float32 rounds the sums.
    assert found.largest == pytest.approx(2.5, rel=1e-5)
    assert found.rms == pytest.approx(2.5 * np.sqrt(30 / found.pixels), rel=1e-5)
    assert found.above == pytest.approx(30 / found.pixels)
    assert found.values[7, 3] == pytest.approx(-2.5, rel=1e-5)
    assert str(found) == "max 2.5 sigma, rms 0.26 sigma, 1.11% above 2 sigma; 2698 pixels compared, 2 in one only"
    assert plot.difference(model, other, scale="data").largest == pytest.approx(0.25, rel=1e-6)
    relative = plot.difference(model, other, scale="value")
    assert relative.largest == pytest.approx(np.max(0.25 / other["data"][7, :30]), rel=1e-5)


def test_a_residual_is_drawn_and_summed_up(model, capsys):
    """Limits are symmetric, the summary is printed or handed over, and equal mosaics have no residual."""
    other = make_model(model["wcs"], seed=3)
    axes = plot.residual(model, other)
    assert capsys.readouterr().out == f"{plot.difference(model, other)}\n"
    norm = axes.images[0].norm
    assert norm.vmin == -norm.vmax
    assert bar_label(axes) == "Difference / error"
    lines = []
    drawn(plot.residual(model, model, echo=lines.append).figure)
    assert lines == ["max 0 sigma, rms 0 sigma, 0.00% above 1 sigma; 2700 pixels compared, 0 in one only"]


def test_mosaics_that_cannot_be_compared_are_refused(model):
    """Frames must be the same, and an error is needed to divide by one."""
    moved = make_model(tan_sip_gwcs(KEYWORDS | {"CRPIX1": 21.0}, SHAPE))
    with pytest.raises(ValueError, match="lie 1 pixels apart at a corner: resample both onto one frame"):
        plot.difference(model, moved)
    smaller = {**model, "data": model["data"][1:]}
    with pytest.raises(ValueError, match=r"the shapes \(50, 60\) and \(49, 60\)"):
        plot.difference(model, smaller)
    bare = {key: value for key, value in model.items() if key != "err"}
    with pytest.raises(ValueError, match="Neither mosaic has an error"):
        plot.difference(bare, bare, scale="error")
    assert plot.difference(bare, bare).scale == "value"
    with pytest.raises(ValueError, match="'scale' must be 'error', 'value', or 'data', got 'sigma'"):
        plot.difference(model, model, scale="sigma")


def test_a_mosaic_of_resample_can_be_drawn(model, exposure):
    """What Resample gives is what the pictures take, finished or not."""
    shape = exposure["data"].shape
    times = dict.fromkeys(("exposure_time", "measurement_time", "duration", "start_time", "end_time"), 1.0)
    variances = {name: np.ones(shape, np.float32) for name in ("var_rnoise", "var_poisson", "var_flat")}
    names = {"filename": "a", "group_id": "a", "pixelarea_steradians": None, "dq": np.zeros(shape, np.uint32)}
    resample = Resample({"wcs": model["wcs"]}, compute_err="from_var", propagate_dq=True, pixfrac=0.5, backend="cpu")
    resample.add_model(exposure | times | variances | names)
    assert plot.mosaic(resample.output_model).images
    resample.finalize()
    figure = drawn(plot.overview(resample.output_model))
    assert figure.texts[0].get_text() == "1 exposure, square kernel, pixfrac 0.5, 0.1″ pixels"
    assert len(figure.axes) == 8


def test_without_matplotlib_the_error_says_what_to_install():
    """Gpures can be imported without matplotlib, and gpures.plot says what it lacks."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import gpures\n"
        "try:\n    gpures.plot\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert install("plot") in done.stdout


def test_importing_gpures_imports_no_matplotlib():
    """What is slow to import waits until a picture is drawn."""
    code = (
        "import sys, gpures; print('matplotlib' in sys.modules); gpures.plot.mosaic; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# Files


@pytest.mark.parametrize("name", ["mosaic.fits", "mosaic.asdf"])
def test_a_mosaic_is_read_back_as_the_model_that_it_was(tmp_path, name):
    """Images, WCS, unit and how it was made come back from the file, in this machine's byte order."""
    model = make_model()
    io.write(tmp_path / name, model, unit="MJy/sr", exposures=["a", "b"])
    got = io.read_mosaic(tmp_path / name)
    for key in ("data", "wht", "con", "err", "dq"):
        np.testing.assert_array_equal(got[key], model[key])
        assert got[key].dtype.isnative
    for key in ("kernel", "pixfrac", "pointings", "weight_type", "pixelarea_arcsecsq"):
        assert got[key] == model[key]
    assert got["bunit_data"] == "MJy/sr"
    np.testing.assert_allclose(got["wcs"](10.0, 20.0), model["wcs"](10.0, 20.0), rtol=0, atol=1e-11)
    # The pictures take the file as they take the model.
    assert plot.depth(str(tmp_path / name)).get_title() == plot.depth(model).get_title()
    assert plot.difference(tmp_path / name, model).largest == 0.0


def test_a_mosaics_file_is_drawn_on_the_command_line(tmp_path, capsys):
    """The picture is as large as its panels ask for; what can't be drawn is an error with status 2."""
    io.write(tmp_path / "mosaic.fits", make_model(), unit="MJy/sr")
    path, picture = str(tmp_path / "mosaic.fits"), tmp_path / "mosaic.png"
    part = ["--around", "150", "2", "--size", "2"]
    assert cli.main(["plot", path, "-o", str(picture), "--plane", "data", "--plane", "con", "--dpi", "40", *part]) == 0
    assert mpl.image.imread(picture).shape[1] > mpl.image.imread(picture).shape[0]
    drawn = picture.read_bytes()
    assert cli.main(["plot", path, "-o", str(picture), "--plane", "var_flat"]) == 2
    assert "no image 'var_flat'" in capsys.readouterr().err
    assert cli.main(["plot", str(tmp_path / "none.fits"), "-o", str(picture)]) == 2
    assert "none.fits" in capsys.readouterr().err
    assert cli.main(["plot", path, "-o", str(picture.with_suffix(".docx"))]) == 2
    assert "docx" in capsys.readouterr().err
    assert picture.read_bytes() == drawn
    assert not picture.with_suffix(".docx").exists()
