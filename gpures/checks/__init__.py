"""The checks that `gpures selftest` makes."""
