"""World coordinates: pixels to the sky and back, whatever the WCS; areas, seams, and the sphere."""

from gpures.errors import UnsupportedWCSError
from gpures.wcs.transforms import (
    Transform,
    celestial_frame,
    compute_mean_pixel_area,
    pixel_to_world,
    world_axes,
    world_to_pixel,
)

__all__ = [
    "Transform",
    "UnsupportedWCSError",
    "celestial_frame",
    "compute_mean_pixel_area",
    "pixel_to_world",
    "world_axes",
    "world_to_pixel",
]
