"""Files for the tests, made by the missions' own libraries and by astropy; all are small."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import scenes
from astropy.io import fits
from astropy.time import Time

SHAPE = (40, 50)

OBSERVATION = {
    "program_number": "01234",
    "observation_number": "007",
    "visit_number": "001",
    "visit_group": "02",
    "sequence_id": "1",
    "activity_id": "01",
    "exposure_number": "00003",
}


def made_once(make):
    """Make each file once: what takes half a second is asked for again and again, of the same name and arguments."""
    made = {}

    @functools.wraps(make)
    def copy_of(path, **kwargs):
        path = Path(path)
        told = path.name, repr(sorted(kwargs.items()))
        if told not in made:
            make(path, **kwargs)
            made[told] = path.read_bytes()
        path.write_bytes(made[told])
        return path

    return copy_of


def noise(shape=SHAPE, seed=0, low=0.5, high=1.5):
    """Positive float32 values, different in each pixel."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def flags(shape=SHAPE, seed=0, choice=(1, 2, 4, 512)):
    """Flags at one pixel in 20."""
    rng = np.random.default_rng([seed, 1, *shape])
    return np.where(rng.random(shape) < 0.05, rng.choice(choice, shape), 0)


def jwst_model(shape=SHAPE, seed=0, **scene):
    """An ImageModel as calwebb_image2 leaves it: MJy/sr, three variances, a sky level, NaN at bad pixels."""
    from stdatamodels.jwst import datamodels

    model = datamodels.ImageModel()
    model.data = noise(shape, seed, 4, 6)
    model.err = noise(shape, seed + 1)
    model.dq = flags(shape, seed).astype(np.uint32)
    for k, name in enumerate(("var_rnoise", "var_poisson", "var_flat")):
        setattr(model, name, noise(shape, seed + 2 + k))
    model.data[3, 4] = np.nan  # of these two pixels no flag tells
    model.var_flat[5, 6] = np.nan
    model.meta.wcs = scenes.imaging_wcs(shape, distortion=0.4, seed=seed + 1, **scene)
    model.meta.telescope, model.meta.instrument.name, model.meta.exposure.type = "JWST", "NIRCAM", "NRC_IMAGE"
    model.meta.bunit_data, model.meta.bunit_err = "MJy/sr", "MJy/sr"
    for key, value in OBSERVATION.items():
        setattr(model.meta.observation, key, value)
    model.meta.exposure.exposure_time, model.meta.exposure.measurement_time = 100.0 + seed, 90.0 + seed
    model.meta.exposure.duration = 110.0 + seed
    model.meta.exposure.start_time, model.meta.exposure.end_time = 60000.25, 60000.26
    model.meta.photometry.pixelarea_steradians = (scenes.SCALE / 3600 * np.pi / 180) ** 2
    model.meta.background.level, model.meta.background.subtracted = 0.75, False
    return model


@made_once
def jwst_file(path, **kwargs):
    """A JWST file of `jwst_model`."""
    with jwst_model(**kwargs) as model:
        model.save(path)
    return path


def roman_model(shape=SHAPE, seed=0, has_rnoise=False, **scene):
    """An ImageModel of Roman, with read noise left out as its pipeline may do."""
    from roman_datamodels import datamodels

    model = datamodels.ImageModel.create_fake_data(shape=shape)
    model.data = noise(shape, seed, 4, 6)
    model.dq = flags(shape, seed).astype(np.uint32)
    model.err = noise(shape, seed + 1, 2, 3).astype(np.float16)
    model.var_poisson = noise(shape, seed + 2).astype(np.float16)
    model["var_flat"] = noise(shape, seed + 3).astype(np.float16)
    if has_rnoise:
        model["var_rnoise"] = noise(shape, seed + 4).astype(np.float16)
    elif "var_rnoise" in model:
        del model["var_rnoise"]
    model.meta.wcs = scenes.imaging_wcs(shape, distortion=0.4, seed=seed + 1, **scene)
    model.meta.exposure.exposure_time, model.meta.exposure.effective_exposure_time = 107.0, 95.0
    model.meta.exposure.start_time = Time("2027-01-01T00:00:00")
    model.meta.exposure.end_time = Time("2027-01-01T00:01:47")
    model.meta.photometry.pixel_area = (scenes.SCALE / 3600 * np.pi / 180) ** 2
    model.meta["background"] = {"level": 0.5, "method": "local", "subtracted": False}
    model.meta.observation.observation_id = "0000101001001001001"
    return model


@made_once
def roman_file(path, **kwargs):
    """A Roman file of `roman_model`."""
    roman_model(**kwargs).save(path)
    return path


def lookup_cards(header, axis, keyword, version):
    """Cards that refer to a lookup table: of NPOL (keyword DP) or D2IM."""
    kind = "CPDIS" if keyword == "DP" else "D2IMDIS"
    header[f"{kind}{axis}"] = "LOOKUP"
    header[f"{'CPERR' if keyword == 'DP' else 'D2IMERR'}{axis}"] = 0.5
    for field in (f"EXTVER: {version}", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2"):
        header.append((f"{keyword}{axis}", field), end=True)


def table(name, version, shape, size, seed):
    """A lookup table of HST, some tenths of a pixel, over an image of `shape`."""
    hdu = fits.ImageHDU(size * (noise((5, 6), seed) - 1.0), name=name, ver=version)
    for axis, (n, count) in enumerate(zip(shape[::-1], (6, 5), strict=True), start=1):
        hdu.header[f"CRPIX{axis}"], hdu.header[f"CRVAL{axis}"] = 0.0, 0.0
        hdu.header[f"CDELT{axis}"] = (n - 1) / (count - 1)
    return hdu


def hst_hdus(shape=SHAPE, seed=0, unit="ELECTRONS", time=250.0, chips=2, tables=True):
    """An exposure of HST: chips with SIP, NPOL and D2IM, ERR, and DQ of 16 bits."""
    primary = fits.PrimaryHDU()
    facts = {"TELESCOP": "HST", "INSTRUME": "ACS", "ROOTNAME": f"j8bt0{seed}nyq", "EXPTIME": time}
    primary.header.update(facts | {"EXPSTART": 52377.5 + seed, "EXPEND": 52377.5 + seed + time / 86400})
    hdus = fits.HDUList([primary])
    lookups = []
    for chip in range(1, chips + 1):
        number = seed + 10 * chip
        wcs = scenes.fits_wcs(shape, sip=0.5, shift=(0.0, (chip - 1) * (shape[0] + 2.0)))
        science = fits.ImageHDU(time * noise(shape, number, 4, 6), wcs.to_fits(relax=True)[0].header, name="SCI")
        science.header["BUNIT"], science.header["MDRIZSKY"] = unit, 300.0 + chip
        if tables:
            for axis in (1, 2):
                version = 2 * (chip - 1) + axis
                lookup_cards(science.header, axis, "DP", version)
                lookup_cards(science.header, axis, "D2IM", version)
                lookups.append(table("WCSDVARR", version, shape, 0.3, number + axis))
                lookups.append(table("D2IMARR", version, shape, 0.1, number + axis + 5))
        dq = flags(shape, number, (1, 16, 64, -(2**15))).astype(np.int16)
        for hdu in (science, fits.ImageHDU(time * noise(shape, number + 1), name="ERR"), fits.ImageHDU(dq, name="DQ")):
            hdu.ver = chip
            hdus.append(hdu)
    hdus.extend(lookups)
    return hdus


@made_once
def hst_file(path, **kwargs):
    """An HST file of `hst_hdus`."""
    hst_hdus(**kwargs).writeto(path)
    return path


def plain_file(path, data=None, extensions=None, primary=True, keywords=None, shape=SHAPE):
    """A FITS image with a WCS, in the primary HDU or as SCI, and further extensions by name."""
    data = noise(shape, 5, 4, 6) if data is None else data
    header = scenes.fits_wcs(shape, sip=0.5).to_fits(relax=True)[0].header
    header.update({"EXPTIME": 30.0, "BUNIT": "ct/s"} if keywords is None else keywords)
    image = fits.PrimaryHDU(data, header) if primary else fits.ImageHDU(data, header, name="SCI")
    hdus = [image] if primary else [fits.PrimaryHDU(), image]
    hdus += [fits.ImageHDU(array, name=name) for name, array in (extensions or {}).items()]
    fits.HDUList(hdus).writeto(path)
    return path
