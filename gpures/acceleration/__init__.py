"""The resampling of other packages on gpures, without a change in them."""

from gpures.acceleration.switch import Acceleration, accelerate, restore, used
from gpures.originals import original

__all__ = ["Acceleration", "accelerate", "original", "restore", "used"]
