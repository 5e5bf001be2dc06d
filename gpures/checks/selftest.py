"""Check of the backends on the machine at hand; ``gpures selftest`` runs it.

What a backend gives is compared with what is known exactly, with the definition and with another backend. Bounds follow
from the precision of float32 and float64 and the number of contributions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial

from gpures.backend.choice import why_unavailable
from gpures.checks import exact, mosaics
from gpures.checks.comparison import Backend, Comparison
from gpures.checks.info import BACKENDS
from gpures.exposure.drops import KERNELS
from gpures.reporting.tables import row

__all__ = ["CHECKS", "run"]

CHECKS: dict[str, Callable[[Backend, Comparison], None]] = {
    "whole-pixel shifts copy the image": exact.check_copy,
    "fractional shifts mix neighbours": exact.check_mixture,
    "a pixel on its corner is an octagon": exact.check_octagon,
    "flux and weights are conserved": exact.check_flux,
    "variances of a weighted mean": exact.check_variances,
    "variances of the data": exact.check_propagated,
    "context and DQ bits": exact.check_bits,
    "a constant stays constant": mosaics.check_constant,
    **{f"definition, {kernel}": partial(mosaics.check_definition, kernel) for kernel in KERNELS},
    "Resample, from WCS to error": exact.check_resample,
}


def run(backend: str = "all", device: int | None = None) -> bool:
    """Check one backend, or all that can be used here, and print a table.

    Parameters
    ----------
    backend : {"all", "cuda", "cpu", "drizzle"}, optional
        Which.
    device : int, optional
        The GPU; by default the current one.

    Returns
    -------
    bool
        Whether all was right.
    """
    asked = BACKENDS if backend == "all" else (backend,)
    reasons = {name: why_unavailable(name, device) for name in BACKENDS}
    usable = [name for name in asked if reasons[name] is None]
    verdicts = []
    if usable:
        print(row(("backend", "check", "deviation / bound"), ("<9", "<38", ">17")))
    for name in usable:
        checks = dict(CHECKS)
        if name in mosaics.PARTNER and reasons[mosaics.PARTNER[name]] is None:
            checks[f"agreement with {mosaics.PARTNER[name]}"] = mosaics.check_partner
        for title, check in checks.items():
            compare = _outcome(check, Backend(name, device))
            verdicts.append(compare.worst <= 1)
            verdict = "ok" if verdicts[-1] else f"FAILED  {compare.words}"
            print(row((name, title, compare.worst, f"  {verdict}"), ("<9", "<38", ">17.2g", "")), flush=True)
    for name in asked:
        if reasons[name] is not None:
            print(row((name, f"not checked: {reasons[name]}"), ("<9", "")))
    # What was asked for by name, or by the number of a GPU, must be there.
    missing = [name for name in asked if reasons[name] and (name == backend or (name == "cuda" and device is not None))]
    if all(verdicts) and not missing:
        print(f"gpures selftest passed: {len(verdicts)} checks of {', '.join(usable)}.")
        return True
    absent = f" Can't be checked: {', '.join(missing)}." if missing else ""
    print(f"gpures selftest FAILED: {verdicts.count(False)} of {len(verdicts)} checks.{absent}")
    return False


def _outcome(check: Callable[[Backend, Comparison], None], backend: Backend) -> Comparison:
    """What comes of a check; an exception is a deviation without bound."""
    compare = Comparison()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reference's, of kernels that do not conserve flux
            check(backend, compare)
    except Exception as error:
        compare.worst, compare.words = math.inf, f"{type(error).__name__}: {' '.join(str(error).split())}"
    return compare
