"""Files: exposures of JWST, Roman and HST and other FITS images are read, mosaics are written.

>>> from gpures import Resample, io
>>> from gpures.demo.hst import find_exposure
>>> images = io.inputs(find_exposure())  # headers and WCS, one for each chip; no pixels
>>> resample = Resample({"wcs": images[0].wcs}, good_bits=None)
>>> resample.add_models(image.read() for image in images)
1
>>> resample.finalize()
>>> io.write("mosaic.fits", resample.output_model, unit=io.check_units(images))

How each kind of file is understood stands in its reader: `gpures.io.jwst`, `gpures.io.roman`, `gpures.io.hst`,
`gpures.io.fits`, `gpures.io.asdf`.
"""

from gpures.errors import FileError, MissingFileError, NoExposureError
from gpures.io.beside import belongs_to
from gpures.io.detection import inputs, read, read_wcs
from gpures.io.input import Input, check_units
from gpures.io.mosaic_reader import open_mosaic, read_mosaic
from gpures.io.reading import Reading
from gpures.io.writer import write
from gpures.io.zarr_writer import ZarrMosaic

__all__ = [
    "FileError",
    "Input",
    "MissingFileError",
    "NoExposureError",
    "Reading",
    "ZarrMosaic",
    "belongs_to",
    "check_units",
    "inputs",
    "open_mosaic",
    "read",
    "read_mosaic",
    "read_wcs",
    "write",
]
