"""Many mosaics of one set of exposures: each cell of a table is what one mosaic of its frame is."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import types

import asdf
import numpy as np
import pytest
import scenes
from astropy import units
from astropy.io import fits
from astropy.table import Table

import gpures
from gpures.cli import main
from gpures.errors import FileError, MissingDependencyError
from gpures.mosaicking import SkyCell, mosaic_cells, read_cells
from gpures.mosaicking.roman_cells import SkyMap
from gpures.mosaicking.sky_cells import _Places
from gpures.wcs.footprint import footprint_of
from gpures.wcs.sky_systems import ICRS

SHAPE = (60, 64)
QUIET = {"progress": None, "backend": "cpu"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Exposures along a line."""
    folder = tmp_path_factory.mktemp("exposures")
    found = []
    for k in range(5):
        header = scenes.fits_wcs(SHAPE, rotation=20.0 * k, shift=(60 * k, 0)).to_fits(relax=True)[0].header
        header.update({"EXPTIME": 30.0, "BUNIT": "MJy/sr"})
        data = np.random.default_rng(k).normal(5, 1, SHAPE).astype(np.float32)
        found.append(folder / f"e{k}.fits")
        fits.PrimaryHDU(data, header).writeto(found[-1])
    return found


def cells_along(paths, side=60):
    """Cells of one tangent point that cover the exposures, and a row beyond."""
    ra, dec = map(float, scenes.fits_wcs(SHAPE).wcs.crval)
    plane = SkyCell("plane", ra, dec, 1, 1, scenes.SCALE)
    middles = [image.wcs.pixel_to_world_values(32, 30) for path in paths for image in gpures.io.inputs(path)]
    x, y = np.transpose([plane.wcs.world_to_pixel_values(*middle) for middle in middles])
    cells = []
    for first_y in np.arange(y.min() - 50, y.max() + 130, side):
        for first_x in np.arange(x.min() - 50, x.max() + 50, side):
            where = float(-first_x), float(-first_y)
            cells.append(SkyCell(f"cell{len(cells)}", ra, dec, side, side, scenes.SCALE, 0.0, *where))
    return cells


def table_of(cells):
    return Table(
        {
            "name": [cell.name for cell in cells],
            "ra": [cell.ra for cell in cells],
            "dec": [cell.dec for cell in cells],
            "nx": [cell.nx for cell in cells],
            "ny": [cell.ny for cell in cells],
            "pixel_scale": [cell.pixel_scale for cell in cells],
            "rotation": [cell.rotation for cell in cells],
            "x_tangent": [cell.x for cell in cells],
            "y_tangent": [cell.y for cell in cells],
        }
    )


def test_each_cell_is_one_mosaic(tmp_path, paths):
    """Of the exposures that reach it, to the last bit."""
    cells = cells_along(paths)
    found = {each.name: each for each in mosaic_cells(paths, tmp_path / "m" / "{cell}.fits", cells, **QUIET)}
    assert list(found) == [cell.name for cell in cells]
    made = [cell for cell in cells if found[cell.name].path is not None]
    assert 4 < len(made) < len(cells) - 2
    for cell in made:
        gpures.mosaic(paths, tmp_path / "one.fits", output_wcs=cell.wcs, overwrite=True, **QUIET)
        with fits.open(found[cell.name].path) as got, fits.open(tmp_path / "one.fits") as expected:
            for name in ("SCI", "WHT"):
                np.testing.assert_array_equal(got[name].data, expected[name].data)
            assert found[cell.name].data_pixels == np.count_nonzero(expected["WHT"].data)
            assert found[cell.name].exposures == len(got["INPUTS"].data)
    assert sorted(os.listdir(tmp_path / "m")) == sorted(f"{cell.name}.fits" for cell in made)


@pytest.mark.parametrize("rotation", [0.0, 33.0, -120.0])
def test_frames_of_cells(rotation):
    """The tangent point is at its pixel, +y at the position angle, and pixels have their scale."""
    cell = SkyCell("a", 150.0, -30.0, 200, 100, 0.11, rotation, x=-500.0, y=800.0)
    ra, dec = cell.wcs.pixel_to_world_values(-500.0, 800.0)
    assert (ra, dec) == pytest.approx((150.0, -30.0), abs=1e-12)
    up_ra, up_dec = cell.wcs.pixel_to_world_values(-500.0, 801.0)
    east, north = (up_ra - 150.0) * np.cos(np.radians(30.0)), up_dec + 30.0
    assert np.degrees(np.arctan2(east, north)) == pytest.approx(rotation, abs=1e-4)
    assert np.hypot(east, north) * 3600 == pytest.approx(0.11, rel=1e-6)
    right_ra, right_dec = cell.wcs.pixel_to_world_values(-499.0, 800.0)
    right = (right_ra - 150.0) * np.cos(np.radians(30.0)), right_dec + 30.0
    assert east * right[1] - north * right[0] > 0  # east is to the left of north
    middle = SkyCell("a", 150.0, -30.0, 201, 101, 0.11)
    assert middle.wcs.pixel_to_world_values(100.0, 50.0) == pytest.approx((150.0, -30.0), abs=1e-12)


def test_no_exposure_is_missed(paths):
    """Of exposures that contribute to a frame none is left out because of where it lies."""
    sources = [image for path in paths for image in gpures.io.inputs(path)]
    footprints = [footprint_of(source.name, source.wcs, source.shape, ICRS) for source in sources]
    places = _Places(sources, footprints)
    rng = np.random.default_rng(2)
    touched = 0
    for cell in cells_along(paths, 40):
        turned = float(rng.uniform(0, 360))
        cell = SkyCell("a", cell.ra, cell.dec, 30, 20, scenes.SCALE, turned, cell.x, cell.y)
        near = {source.name for source in places.near(cell)}
        for source in sources:
            resample = gpures.Resample({"wcs": cell.wcs}, enable_var=False, backend="cpu")
            resample.add_model(source.read(["data", "dq"]))
            if resample._accumulators._weight.any():
                touched += 1
                assert source.name in near
    assert touched > 5


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits"])
def test_tables(tmp_path, paths, suffix):
    """Of any form, with names in capitals and other units."""
    cells = cells_along(paths)[:4]
    table = table_of(cells)
    table.write(tmp_path / f"cells.{suffix}")
    assert read_cells(tmp_path / f"cells.{suffix}") == cells
    if suffix != "csv":
        table["pixel_scale"] = (np.asarray(table["pixel_scale"]) / 3600) * units.deg
        table["RA"] = np.radians(np.asarray(table["ra"])) * units.rad
        table.remove_column("ra")
        table.write(tmp_path / f"units.{suffix}")
        got = read_cells(tmp_path / f"units.{suffix}")
        assert [cell.ra for cell in got] == pytest.approx([cell.ra for cell in cells], rel=1e-14)
        assert [cell.pixel_scale for cell in got] == pytest.approx([cell.pixel_scale for cell in cells], rel=1e-14)


def test_pixels_from_one(tmp_path, paths):
    """The tangent point's pixel as FITS counts it."""
    cells = cells_along(paths)[:4]
    table = table_of(cells)
    table["CRPIX1"], table["CRPIX2"] = table["x_tangent"] + 1, table["y_tangent"] + 1
    table.remove_columns(["x_tangent", "y_tangent"])
    table.write(tmp_path / "cells.ecsv")
    got = read_cells(tmp_path / "cells.ecsv")
    assert [cell.x for cell in got] == pytest.approx([cell.x for cell in cells])
    np.testing.assert_allclose(got[1].wcs.wcs.crpix, table[1]["CRPIX1", "CRPIX2"].as_void().tolist(), rtol=1e-12)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"pixel_scale": -0.1}, "'pixel_scale' of a sky cell must be above 0, got -0.1"),
        ({"ra": np.nan}, "'ra' of a sky cell must be a finite number, got nan"),
        ({"nx": 10.5}, "'nx' of a sky cell must be a whole number"),
        ({"x": 3.0}, "both of 'x' and 'y' or none"),
        ({"parity": 0}, "'parity' of a sky cell must be -1 or 1"),
    ],
)
def test_what_is_no_cell(what, words):
    """It is said before anything is made of it."""
    with pytest.raises(ValueError, match=words):
        SkyCell(**{"name": "a", "ra": 1.0, "dec": 2.0, "nx": 10, "ny": 10, "pixel_scale": 0.1, **what})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.remove_column("ra"), "a table of sky cells has a column 'ra'"),
        (lambda table: table.remove_column("x_tangent"), "only one of the columns"),
        (lambda table: table["name"].__setitem__(1, "cell0"), "two cells of the name 'cell0'"),
        (lambda table: table["name"].__setitem__(1, "../a"), "can't be that of a file"),
        (lambda table: table["dec"].__setitem__(1, np.nan), "row 2: 'dec' of a sky cell must be a finite number"),
        (lambda table: table["dec"].__setitem__(1, 91.0), "row 2: 'dec' of a sky cell must be from -90 to 90"),
        (lambda table: table["nx"].__setitem__(1, 0), "row 2: 'nx' of a sky cell must be a whole number of pixels"),
        (lambda table: table["pixel_scale"].__setitem__(1, -1.0), "row 2: 'pixel_scale' of a sky cell must be above 0"),
        (lambda table: table.replace_column("nx", table["nx"] + 0.5), "row 1: 'nx' of a sky cell must be a whole"),
        (lambda table: table.add_column(1.0, name="CRPIX1"), "both of the columns 'x_tangent' and 'crpix1'"),
        (lambda table: table.add_column(1.0, name="CD1_1"), "column 'CD1_1' is not known"),
        (lambda table: table.remove_rows(slice(None)), "has no rows"),
    ],
)
def test_what_is_no_table_of_cells(tmp_path, paths, change, words):
    """The error names file, and column or cell."""
    table = table_of(cells_along(paths)[:3])
    change(table)
    table.write(tmp_path / "cells.ecsv")
    with pytest.raises(FileError, match=rf"cells\.ecsv: .*{words}"):
        read_cells(tmp_path / "cells.ecsv")


def test_files_that_are_no_tables(tmp_path):
    """Nor what is no table at all."""
    (tmp_path / "cells.ecsv").write_text("nothing")
    for name in ("cells.ecsv", "none.ecsv"):
        with pytest.raises(FileError, match=r"can't be read as a table of sky cells"):
            read_cells(tmp_path / name)


def test_cells_gone_on_with(tmp_path, paths, capsys):
    """On the command line: cells whose file is there are passed over, and the others made."""
    cells = cells_along(paths)
    table_of(cells).write(tmp_path / "cells.ecsv")
    out = str(tmp_path / "out-{cell}.fits")
    command = ["mosaic", *map(str, paths), "--sky-cells", str(tmp_path / "cells.ecsv"), "-o", out, "--backend", "cpu"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(cells)
    assert lines[0].split() == ["cell", "exposures", "with", "data", "seconds"]
    assert any("no exposure reaches it" in line for line in lines)
    made = sorted(tmp_path.glob("out-*.fits"))
    before = [path.stat().st_mtime_ns for path in made]
    made[2].unlink()
    assert main(command) == 0
    assert sum("there already" in line for line in capsys.readouterr().out.splitlines()) == len(made) - 1
    assert [path.stat().st_mtime_ns for path in made[:2] + made[3:]] == before[:2] + before[3:]
    assert made[2].exists()
    assert main([*command[:-4], "-o", str(tmp_path / "x.fits")]) in (1, 2)
    assert "{cell}" in capsys.readouterr().err


def test_what_does_not_go_with_cells(tmp_path, paths):
    """It is refused before a file is read."""
    cells = cells_along(paths)[:2]
    with pytest.raises(ValueError, match="'pixel_scale' does not go with sky cells"):
        mosaic_cells(paths, tmp_path / "{cell}.fits", cells, pixel_scale=0.1)
    with pytest.raises(ValueError, match=r"'output' must have \{cell\} in the name"):
        mosaic_cells(paths, tmp_path / "x.fits", cells)
    with pytest.raises(TypeError, match="'cells' must be a path or SkyCells, got"):
        mosaic_cells(paths, tmp_path / "{cell}.fits", ["cell"])
    with pytest.raises(ValueError, match="Models from a generator"):
        mosaic_cells(({} for _ in range(2)), tmp_path / "{cell}.fits", cells)


def test_a_bad_exposure(tmp_path, paths):
    """It is an error that names it, or left out of each cell."""
    bad = tmp_path / "bad.fits"
    bad.write_bytes(paths[1].read_bytes()[:9000])
    cells = cells_along(paths)
    with pytest.raises(FileError, match=r"bad\.fits"):
        list(mosaic_cells([*paths, bad], tmp_path / "{cell}.fits", cells, **QUIET))
    found = list(mosaic_cells([*paths, bad], tmp_path / "{cell}.fits", cells, skip_bad=True, **QUIET))
    assert [each.path is not None for each in found].count(True) >= 3


# ---- Roman's sky map -------------------------------------------------------------------------------------------------


SIDE, SCALE = 60, scenes.SCALE


def sky_map(path, regions, **changed):
    """A file of the type SKYCELLS: of each region a tangent point, an angle, and where that lies from cells."""
    names = ("index", "ra_tangent", "dec_tangent", "orientat", "skycell_start", "skycell_end")
    rows, cells = [], []
    for k, (ra, dec, angle, tangents) in enumerate(regions):
        rows.append((k, ra, dec, angle, len(cells), len(cells) + len(tangents)))
        for x, y in tangents:
            frame = SkyCell("", ra, dec, SIDE, SIDE, SCALE, angle, x, y, parity=1).wcs
            middle = frame.pixel_to_world_values((SIDE - 1) / 2, (SIDE - 1) / 2)
            cells.append((f"r{k}x{len(cells)}", *map(float, middle), x, y))
    tree = {
        "meta": {"nxy_skycell": SIDE, "pixel_scale": SCALE, "reftype": "SKYCELLS"},
        "projection_regions": np.array(rows, list(zip(names, ("i4", "f8", "f8", "f4", "i4", "i4"), strict=True))),
        "skycells": np.array(
            cells,
            [("name", "U16"), ("ra_center", "f8"), ("dec_center", "f8"), ("x_tangent", "f8"), ("y_tangent", "f8")],
        ),
    }
    asdf.AsdfFile({"roman": tree | changed}).write_to(path)
    return path


@pytest.fixture(scope="module")
def map_of_cells(tmp_path_factory):
    """A region around the exposures, and others around their opposite on the sky, and a pole."""
    ra, dec = map(float, scenes.fits_wcs(SHAPE).wcs.crval)
    tangents = [(200.5 - SIDE * i, 170.5 - SIDE * j) for j in range(7) for i in range(10)]
    regions = [
        (ra + 180, -dec, 0.0, tangents[:4]),
        (ra, dec, 25.0, tangents),
        (135.0, 90.0, 0.0, [(29.5, 29.5)]),
    ]
    return sky_map(tmp_path_factory.mktemp("map") / "map.asdf", regions)


@pytest.mark.parametrize(("number", "angle"), [(10, 25.0), (74, 0.0)])
def test_frames_of_a_sky_map(map_of_cells, number, angle):
    """Pixel (x, y) lies as many scales from the tangent point: along x to the east, turned by the region's angle.

    The last one's tangent point is the pole, where east is what it is close by on the meridian of the tangent point.
    """
    cells = read_cells(map_of_cells)
    assert len(cells) == 75
    cell = cells[number]
    assert (cell.nx, cell.ny, cell.name[1:]) == (SIDE, SIDE, f"{1 if number < 74 else 2}x{number}")
    s, c = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    for x, y in ((0.0, 0.0), (59.0, 0.0), (11.0, 42.0)):
        u, v = (math.radians((at - tangent) * SCALE / 3600) for at, tangent in ((x, cell.x), (y, cell.y)))
        east, north = u * c + v * s, v * c - u * s
        ra, dec = math.radians(cell.ra), math.radians(cell.dec)
        below = math.cos(dec) - north * math.sin(dec)
        ra += math.atan2(east, below)
        dec = math.atan2(math.sin(dec) + north * math.cos(dec), math.hypot(below, east))
        got = cell.wcs.pixel_to_world_values(x, y)
        np.testing.assert_allclose(got, [math.degrees(ra) % 360, math.degrees(dec)], rtol=0, atol=1e-9)


def test_cells_of_a_map_that_are_near(map_of_cells, paths):
    """Those that exposures reach are among them, and few others."""
    footprints = [footprint_of("", image.wcs, SHAPE, ICRS) for p in paths for image in gpures.io.inputs(p)]
    centres, radii = np.array([each.centre for each in footprints]), np.array([each.radius for each in footprints])
    near = {cell.name for cell in SkyMap(map_of_cells).cells(centres, radii)}
    reached = set()
    for cell in read_cells(map_of_cells):
        for path in paths:
            with contextlib.suppress(ValueError):
                gpures.mosaic(path, output_wcs=cell.wcs, **QUIET)
                reached.add(cell.name)
    assert reached
    assert reached <= near
    assert {name[:2] for name in near} == {"r1"}
    assert len(near) < 60


@pytest.mark.parametrize("told", ["file", "roman"])
def test_mosaics_of_a_sky_map(tmp_path, map_of_cells, paths, monkeypatch, told):
    """By its file, and as romancal knows it."""
    skymap = types.ModuleType("romancal.skycell.skymap")
    skymap.SKYMAP = types.SimpleNamespace(path=str(map_of_cells), model="there")
    for name in ("romancal", "romancal.skycell"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "romancal.skycell.skymap", skymap)
    cells = map_of_cells if told == "file" else "roman"
    found = {each.name: each for each in mosaic_cells(paths[:2], tmp_path / "{cell}.fits", cells, **QUIET)}
    made = [each for each in found.values() if each.path is not None]
    assert made
    frames = {cell.name: cell.wcs for cell in read_cells(map_of_cells)}
    for each in made[:2]:
        alone = gpures.mosaic(paths[:2], output_wcs=frames[each.name], **QUIET)
        np.testing.assert_array_equal(gpures.io.read_mosaic(each.path)["data"], alone.model["data"])


def test_no_sky_map(tmp_path, paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "romancal", None)
    with pytest.raises(MissingDependencyError, match="romancal knows, which is not installed"):
        mosaic_cells(paths, tmp_path / "{cell}.fits", "roman", **QUIET)
    for number, changed in enumerate(({"skycells": {"a": 1}}, {"meta": {"pixel_scale": 0.05}}, {"meta": 3})):
        path = sky_map(tmp_path / f"{number}.asdf", [(0.0, 0.0, 0.0, [(1.0, 1.0)])], **changed)
        with pytest.raises(FileError, match="is no sky map, of the reference type SKYCELLS"):
            read_cells(path)
    asdf.AsdfFile({"data": np.ones(3)}).write_to(tmp_path / "image.asdf")
    with pytest.raises(FileError, match=r"image.asdf: is no sky map"):
        read_cells(tmp_path / "image.asdf")


def test_a_map_of_the_other_handedness(tmp_path, map_of_cells):
    """Which way its planes lie is what puts cells where the map says; a map that contradicts itself is refused."""
    with asdf.open(map_of_cells) as file:
        regions, cells = (np.array(file.tree["roman"][name]) for name in ("projection_regions", "skycells"))
        meta = dict(file.tree["roman"]["meta"])
    regions["orientat"] = 0.0
    for turn, name in ((1, "one"), (-1, "other")):
        for region in regions:
            for row in cells[region["skycell_start"] : region["skycell_end"]]:
                frame = SkyCell("", *map(float, (region["ra_tangent"], region["dec_tangent"])), SIDE, SIDE, SCALE)
                frame = dataclasses.replace(frame, x=float(row["x_tangent"]), y=float(row["y_tangent"]), parity=turn)
                row["ra_center"], row["dec_center"] = frame.wcs.pixel_to_world_values(29.5, 29.5)
        tree = {"meta": meta, "projection_regions": regions, "skycells": cells}
        asdf.AsdfFile({"roman": tree}).write_to(tmp_path / f"{name}.asdf")
        assert {cell.parity for cell in read_cells(tmp_path / f"{name}.asdf")} == {turn}
    cells["dec_center"] += 1.0
    asdf.AsdfFile({"roman": tree | {"skycells": cells}}).write_to(tmp_path / "wrong.asdf")
    with pytest.raises(FileError, match="elsewhere than its tangent point says"):
        read_cells(tmp_path / "wrong.asdf")


def test_cells_of_one_name(tmp_path, paths):
    cells = [SkyCell("a", 10.0, 0.0, 9, 9, 0.1), SkyCell("a", 20.0, 0.0, 9, 9, 0.1)]
    with pytest.raises(ValueError, match="names of their own"):
        mosaic_cells(paths, tmp_path / "{cell}.fits", cells, **QUIET)


def test_no_exposure_can_be_used(tmp_path):
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"SIMPLE  = nothing")
    cells = [SkyCell("a", 10.0, 0.0, 9, 9, 0.1)]
    with pytest.raises(ValueError, match="None of the exposures can be used"):
        list(mosaic_cells([bad], tmp_path / "{cell}.fits", cells, skip_bad=True, **QUIET))


def test_written_where_the_user_is(tmp_path, paths, monkeypatch):
    """Though the working folder changes meanwhile, as that of a worker may be another one."""
    ra, dec = map(float, scenes.fits_wcs(SHAPE).wcs.crval)
    monkeypatch.chdir(tmp_path)
    found = mosaic_cells(paths, "{cell}.fits", [SkyCell("a", ra, dec, 200, 200, SCALE)], **QUIET)
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    assert next(found).path == tmp_path / "a.fits"
    assert (tmp_path / "a.fits").exists()
