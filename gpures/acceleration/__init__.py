"""The resampling of other packages on gpures, without a change in them."""

from gpures.acceleration.program import ProgramError, run
from gpures.acceleration.switch import Acceleration, accelerate, original, restore, used

__all__ = ["Acceleration", "ProgramError", "accelerate", "original", "restore", "run", "used"]
