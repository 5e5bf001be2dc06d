"""The drizzle package's API on the backends of gpures."""

from gpures.drizzle.blot import blot_image
from gpures.drizzle.drizzle import Drizzle

__all__ = ["Drizzle", "blot_image"]
