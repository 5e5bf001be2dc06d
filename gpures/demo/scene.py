"""A field of stars and galaxies, and its light in the pixels of a distorted image.

The scene is a list of elliptical Gaussians on the sky: stars, galaxies, a spiral galaxy of many knots and
close pairs of stars, each convolved with the PSF, which is a sum of Gaussians too. Its light in a pixel is
the integral over that pixel's own outline on the sky; nothing is resampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from astropy.wcs import WCS

from .sky import tangent_offsets, tangent_positions

__all__ = ["Draft", "Scene", "aperture_fraction", "make_scene", "render"]

# FWHM of NIRCam's F277W, 0.092 arcsec or 1.46 pixels (JWST User Documentation, "NIRCam Point Spread
# Functions"); sampling is critical at 2 pixels.  Some of the light is in a faint halo.
PSF_FWHM = 0.092
HALO_FWHM, HALO_FRACTION = 0.35, 0.12
SIGMA_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))

# Nodes per axis of the Gauss-Legendre rule over a pixel.  With 4 the narrowest Gaussian of the scene (sigma
# 0.62 pixel) is integrated to better than 1e-5 of its flux.
NODES = 4
# A component is drawn out to this many sigma; beyond it a Gaussian holds 1e-7 of its flux.
REACH = 5.7


@dataclass
class Scene:
    """Elliptical Gaussians on the sky, PSF included.

    Attributes
    ----------
    ra0, dec0 : float
        Tangent point of the offsets, deg.
    flux : ndarray of float64, shape (n,)
        Flux of each component, MJy.
    xi, eta : ndarray of float64, shape (n,)
        Offsets towards east and north, arcsec.
    cov : ndarray of float64, shape (n, 2, 2)
        Covariance of each component in (xi, eta), arcsec**2.
    standards : ndarray of float64, shape (k, 3)
        ``xi``, ``eta`` (arcsec) and flux (MJy) of stars with no neighbour, for photometry.
    pairs : ndarray of float64, shape (m, 3)
        ``xi``, ``eta`` (arcsec) of the middle of each close pair and its separation (arcsec).
    stars : ndarray of float64, shape (s, 3)
        ``xi``, ``eta`` (arcsec) and flux (MJy) of all stars, standards and pairs among them.
    """

    ra0: float
    dec0: float
    flux: np.ndarray
    xi: np.ndarray
    eta: np.ndarray
    cov: np.ndarray
    standards: np.ndarray
    pairs: np.ndarray
    stars: np.ndarray


@dataclass
class Draft:
    """Components of a scene while it is put together.

    Attributes
    ----------
    rows : list of tuple of float
        Flux (MJy), ``xi``, ``eta`` (arcsec) and the covariances xx, yy, xy (arcsec**2) of each component.
    stars : list of tuple of float
        ``xi``, ``eta`` (arcsec) and flux (MJy) of those that are points.
    """

    rows: list[tuple[float, float, float, float, float, float]] = field(default_factory=list)
    stars: list[tuple[float, float, float]] = field(default_factory=list)

    def add(
        self, xi: float, eta: float, flux: float, major: float = 0.0, ratio: float = 1.0, angle: float = 0.0
    ) -> None:
        """Add a Gaussian of rms ``major`` (arcsec), axis ratio and angle (rad), convolved with the PSF."""
        c, s = math.cos(angle), math.sin(angle)
        minor = major * ratio
        if major == 0.0:
            self.stars.append((xi, eta, flux))
        for fwhm, share in ((PSF_FWHM, 1.0 - HALO_FRACTION), (HALO_FWHM, HALO_FRACTION)):
            psf = (fwhm * SIGMA_PER_FWHM) ** 2
            xx = (major * c) ** 2 + (minor * s) ** 2 + psf
            yy = (major * s) ** 2 + (minor * c) ** 2 + psf
            self.rows.append((flux * share, xi, eta, xx, yy, (major**2 - minor**2) * c * s))

    def galaxy(self, xi: float, eta: float, flux: float, size: float, ratio: float, angle: float) -> None:
        """Add a cuspy disc: three concentric Gaussians, the narrower the brighter in the middle."""
        for share, width in ((0.2, 0.25), (0.45, 0.7), (0.35, 1.4)):
            self.add(xi, eta, share * flux, width * size, ratio, angle)

    def scene(self, ra0: float, dec0: float, standards: np.ndarray, pairs: np.ndarray) -> Scene:
        """Scene of the components about a tangent point (deg), with `Scene`'s ``standards`` and ``pairs``."""
        flux, xi, eta, xx, yy, xy = np.array(self.rows).T
        cov = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
        return Scene(ra0, dec0, flux, xi, eta, cov, standards, pairs, np.array(self.stars).reshape(-1, 3))


def _microjansky(flux: float) -> float:
    """MicroJy to MJy, the unit in which fluxes divided by sr are the data's MJy/sr."""
    return flux * 1e-12


def _spiral(draft: Draft, xi: float, eta: float, rng: np.random.Generator) -> None:
    """Two-armed spiral galaxy: bulge, disc and knots along logarithmic arms seen at an inclination."""
    draft.galaxy(xi, eta, _microjansky(2.0), 0.22, 0.85, 0.5)
    draft.galaxy(xi, eta, _microjansky(6.0), 1.6, 0.6, 0.5)
    for arm in range(2):
        for turn in np.linspace(0.3, 4.6, 85):
            radius = 0.42 * math.exp(0.36 * turn) * (1.0 + 0.05 * rng.standard_normal())
            phase = turn + math.pi * arm + 0.10 * rng.standard_normal()
            # A disc seen at 50 deg is foreshortened by 0.64 across the line of nodes.
            p, q = radius * math.cos(phase), 0.64 * radius * math.sin(phase)
            x, y = p * math.cos(0.5) - q * math.sin(0.5), p * math.sin(0.5) + q * math.cos(0.5)
            flux = 0.06 * rng.lognormal(0.0, 0.6) * math.exp(-radius / 2.0)
            draft.add(xi + x, eta + y, _microjansky(flux), 0.02 + 0.05 * rng.random())


def aperture_fraction(radius: float) -> float:
    """Fraction of the PSF's light within a radius (arcsec)."""
    return sum(
        -share * math.expm1(-0.5 * (radius / (fwhm * SIGMA_PER_FWHM)) ** 2)
        for fwhm, share in ((PSF_FWHM, 1.0 - HALO_FRACTION), (HALO_FWHM, HALO_FRACTION))
    )


def make_scene(ra0: float, dec0: float, half_width: float = 22.0, seed: int = 277) -> Scene:
    """Invent a field of stars and galaxies.

    Parameters
    ----------
    ra0, dec0 : float
        Middle of the field, deg.
    half_width : float, optional
        Half the side of the square that is filled, arcsec.  The default reaches beyond the exposures, so
        that sources are cut by their edges as in real images.
    seed : int, optional
        Seed of the random numbers.

    Returns
    -------
    Scene
        The components.
    """
    rng = np.random.default_rng(seed)
    draft = Draft()
    # Offsets, arcsec, and fluxes, microJy: bright enough for a photometric precision of some thousandths.
    stars = ((-9.0, 8.0, 4.0), (8.0, 10.0, 6.0), (10.0, -4.0, 5.0), (-6.0, -10.0, 3.0), (5.0, -11.0, 8.0))
    standards = np.array([(x, y, _microjansky(flux)) for x, y, flux in stars])
    for x, y, flux in standards:
        draft.add(x, y, flux)
    # Close pairs 1.6 to 3.2 native pixels (0.063 arcsec) apart: from below to above what the PSF lets one
    # separate, each at an angle of its own so that the pixel grid favours none.
    pairs = np.array(
        [
            (0.0, 6.4, 0.10),
            (0.9, 6.4, 0.12),
            (1.8, 6.4, 0.14),
            (0.0, 5.6, 0.16),
            (0.9, 5.6, 0.18),
            (1.8, 5.6, 0.20),
        ]
    )
    for k, (x, y, separation) in enumerate(pairs):
        angle = 0.35 + 0.95 * k
        dx, dy = 0.5 * separation * math.cos(angle), 0.5 * separation * math.sin(angle)
        draft.add(x - dx, y - dy, _microjansky(0.6))
        draft.add(x + dx, y + dy, _microjansky(0.5))
    _spiral(draft, 0.5, 0.8, rng)

    reserved = np.vstack([standards[:, :2], pairs[:, :2], [(0.5, 0.8)]])
    # Distances kept free, arcsec: a standard's aperture and its neighbours' halos, a pair, the spiral.
    keep = np.concatenate([np.full(len(standards), 2.2), np.full(len(pairs), 0.7), [2.6]])

    def somewhere() -> tuple[float, float]:
        while True:
            x, y = rng.uniform(-half_width, half_width, 2)
            if np.all(np.hypot(reserved[:, 0] - x, reserved[:, 1] - y) > keep):
                return x, y

    for _ in range(260):
        # Cumulative counts proportional to flux to the power -0.8, from 0.01 to 20 microJy.
        flux = min(0.01 * rng.random() ** (-1.0 / 0.8), 20.0)
        draft.add(*somewhere(), _microjansky(flux))
    for _ in range(110):
        flux = min(0.06 * rng.random() ** (-1.0 / 0.9), 8.0)
        size = 0.08 * flux**0.3 * rng.lognormal(0.9, 0.35)
        draft.galaxy(*somewhere(), _microjansky(flux), size, rng.uniform(0.25, 1.0), rng.uniform(0, math.pi))

    return draft.scene(ra0, dec0, standards, pairs)


def render(scene: Scene, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Integrate a scene over the pixels of a distorted image.

    Parameters
    ----------
    scene : Scene
        The sky.
    wcs : astropy.wcs.WCS
        The image's WCS, distortion included.
    shape : tuple of int
        ``(Ny, Nx)``, pixels.

    Returns
    -------
    ndarray of float64, shape (Ny, Nx)
        Flux in each pixel, MJy, without sky.
    """
    ny, nx = shape
    image = np.zeros(shape)
    ra, dec = tangent_positions(scene.xi, scene.eta, scene.ra0, scene.dec0)
    x, y = wcs.all_world2pix(ra, dec, 0)

    def offsets(px: np.ndarray, py: np.ndarray) -> np.ndarray:
        ra, dec = wcs.all_pix2world(px, py, 0)
        return np.stack(tangent_offsets(ra, dec, scene.ra0, scene.dec0), -1)

    # The map from pixels to the sky near each source, to first order; its curvature moves light by less than
    # 1e-3 pixel across the stamp of a star.
    jacobian = np.stack([offsets(x + 0.5, y) - offsets(x - 0.5, y), offsets(x, y + 0.5) - offsets(x, y - 0.5)], -1)
    inverse = np.linalg.inv(jacobian)
    cov = inverse @ scene.cov @ np.swapaxes(inverse, -1, -2)
    precision = np.linalg.inv(cov)
    peak = scene.flux / (2.0 * math.pi * np.sqrt(np.linalg.det(cov)))
    reach = REACH * np.sqrt(cov[:, [0, 1], [0, 1]])

    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    nodes, weights = 0.5 * nodes, 0.5 * weights
    for k in range(scene.flux.size):
        x0, x1 = max(math.floor(x[k] - reach[k, 0]), 0), min(math.ceil(x[k] + reach[k, 0]), nx - 1)
        y0, y1 = max(math.floor(y[k] - reach[k, 1]), 0), min(math.ceil(y[k] + reach[k, 1]), ny - 1)
        if x0 > x1 or y0 > y1:
            continue
        u = (np.arange(x0, x1 + 1)[:, None] + nodes - x[k]).ravel()
        v = (np.arange(y0, y1 + 1)[:, None] + nodes - y[k]).ravel()
        p, q, r = precision[k, 0, 0], precision[k, 0, 1], precision[k, 1, 1]
        values = np.exp(-0.5 * p * u**2 - v[:, None] * (q * u + 0.5 * r * v[:, None]))
        values = values.reshape(y1 - y0 + 1, NODES, x1 - x0 + 1, NODES)
        image[y0 : y1 + 1, x0 : x1 + 1] += peak[k] * np.einsum("ajbi,j,i->ab", values, weights, weights)
    return image
