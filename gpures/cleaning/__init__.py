"""Clean mosaics: exposures whose sky is matched, and what only one of them has seen, left out."""
