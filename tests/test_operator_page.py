"""The page on operators: its code runs, one block after another, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scenes

PAGE = Path(__file__).parents[1] / "docs" / "operator.rst"

SHAPE = (40, 50)


@pytest.fixture(scope="module")
def named():
    """The names that the page's code leaves, run on small exposures of the place that it names."""
    at = {"ra": 83.6333, "dec": 22.0144}
    models = [scenes.model_of(scenes.imaging_wcs(SHAPE, rotation=5.0 * k, **at), SHAPE, seed=k) for k in range(2)]
    y, x = np.indices((41, 41)) - 20
    image = 16 * np.exp(-0.5 * (x**2 + y**2) / 36) / (2 * np.pi * 36)
    names = {"models": models, "frame": scenes.frame_around(SHAPE, 0.8, **at), "images": [image] * 2}
    names["aperture"] = np.s_[20:30, 25:35]
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE.read_text())
    assert len(blocks) == 6
    for block in blocks:
        exec("\n".join(line[3:] for line in block.splitlines()), names)
    return names


def test_gradient_of_the_page(named):
    """The gradient, by the adjoint, is that of the loss."""
    model = named["models"][0]["data"].astype(float)
    rest = named["operators"][0], named["mosaic"].ravel(), named["weight"]
    way = np.random.default_rng(0).normal(size=SHAPE)
    up, down = (named["loss_and_gradient"](model + step * way, *rest)[0] for step in (1e-4, -1e-4))
    np.testing.assert_allclose((named["loss_and_gradient"](model, *rest)[1] * way).sum(), (up - down) / 2e-4, rtol=1e-6)


def test_results_of_the_page(named):
    """The PSF is all of a star, and the scatter of apertures is what the covariance says."""
    assert named["made"].data.shape == (41, 41)
    np.testing.assert_allclose(np.nansum(named["made"].data), 1.0, rtol=0.01)
    inside = np.zeros(named["frame"].array_shape, bool)
    inside[named["aperture"]] = True
    part = named["covariance"][inside.ravel()][:, inside.ravel()]
    rnoise = [model["var_rnoise"].mean() for model in named["models"]]
    total = [sum(model[name].mean() for name in ("var_rnoise", "var_poisson", "var_flat")) for model in named["models"]]
    expected = np.sqrt(part.sum() * np.mean(total) / np.mean(rnoise))
    np.testing.assert_allclose(named["error"], expected, rtol=0.15)  # 500 realizations tell it to 3 %
