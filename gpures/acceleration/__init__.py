"""The resampling of other packages on gpures, without a change in them."""

from gpures.acceleration.program import run
from gpures.acceleration.switch import Acceleration, accelerate, restore, used
from gpures.errors import ProgramError
from gpures.originals import original

__all__ = ["Acceleration", "ProgramError", "accelerate", "original", "restore", "run", "used"]
