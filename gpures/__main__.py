"""``python -m gpures``."""

import sys

from gpures.cli import main

sys.exit(main())
