"""Prediction, not a measurement: seconds that an exposure takes on GPUs, of what its kernels are counted to do.

    python benchmarks/gpu_model.py [--out benchmarks/results/gpu_model.json]

The counts are those of benchmarks/results/gpu_counts.json, of the code that CUDA's compiler makes. Each kind of work of
a kernel takes the time that the card's specifications give it; the kernel takes as long as the one that takes longest,
as if all others went on beside it. So these are the least times: a device that takes twice as long has something that
is not counted here, such as waiting. An exposure takes as long as its upload or its kernels, which go on beside each
other. What the makers do not tell is assumed, in `ASSUMED`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
COUNTS, OUT = RESULTS / "gpu_counts.json", RESULTS / "gpu_model.json"

SIDE = 2048  # of an exposure, pixels
SECTOR = 32  # bytes


@dataclass(frozen=True)
class Card:
    """A GPU as its maker specifies it.

    Attributes
    ----------
    multiprocessors : int
        Of them.
    ghz : float
        Clock (boost), GHz.
    fp64, fp32, integer : int
        Lanes of a multiprocessor: operations of a kind that it begins in a clock.
    memory : float
        Bytes per second of its memory.
    bus : float
        Bytes per second from the host, in theory.
    source : str
        Where the numbers are from.
    """

    multiprocessors: int
    ghz: float
    fp64: int
    fp32: int
    integer: int
    memory: float
    bus: float
    source: str


GEN4X8, GEN4, GEN5 = 15.8e9, 31.5e9, 63.0e9  # PCI Express, 16 lanes where not said
AMPERE = "NVIDIA Ampere GA102 GPU Architecture whitepaper"
CARDS = {
    "H100 SXM": Card(132, 1.98, 64, 128, 64, 3.35e12, GEN5, "NVIDIA H100 Tensor Core GPU Architecture whitepaper"),
    "H200 SXM": Card(132, 1.98, 64, 128, 64, 4.8e12, GEN5, "NVIDIA H200 datasheet; processor as H100"),
    "A100 SXM": Card(108, 1.41, 32, 64, 64, 2.039e12, GEN4, "NVIDIA A100 Tensor Core GPU Architecture whitepaper"),
    "RTX A6000": Card(84, 1.80, 2, 128, 64, 768e9, GEN4, f"NVIDIA RTX A6000 datasheet; {AMPERE}"),
    "RTX 4090": Card(128, 2.52, 2, 128, 64, 1008e9, GEN4, "NVIDIA Ada GPU Architecture whitepaper"),
    "RTX 5090": Card(170, 2.41, 2, 128, 128, 1792e9, GEN5, "NVIDIA RTX Blackwell GPU Architecture whitepaper"),
    "RTX 4060 Laptop": Card(24, 2.37, 2, 128, 64, 256e9, GEN4X8, "NVIDIA GeForce laptops comparison; Ada whitepaper"),
}

# Of every card: value, unit, why.
ASSUMED = {
    "issued": (128.0, "lanes of a multiprocessor and clock", "four schedulers that begin a warp's instruction each"),
    "accesses": (32.0, "lanes of a multiprocessor and clock", "loads and stores of at most 4 bytes; of 8 it takes two"),
    "conversions": (16.0, "lanes of a multiprocessor and clock", "to and from float64, where that is fast; else as it"),
    "atomics": (0.5, "sectors for each multiprocessor and clock", "float64 additions in the cache of all of them"),
    "bus": (0.85, "of the theoretical rate", "what copies from pinned memory reach"),
}


def loads(kernel: dict[str, float], card: Card) -> Iterator[tuple[str, float]]:
    """Kinds of work of a kernel, and the seconds that each takes for one input pixel."""
    clocks = card.multiprocessors * card.ghz * 1e9

    def count(*names: str) -> float:
        return sum(kernel.get(name, 0.0) for name in names)

    def assumed(name: str) -> float:
        return ASSUMED[name][0]

    shared = count("loads shared", "stores shared", "atomics shared")
    accesses = count("loads global", "stores global", "atomics global")
    others = count("fp64", "conversions", "fp32", "integer", "branches", "barriers")
    sectors = count("sectors of loads global", "sectors of stores global") + 2 * count("sectors of atomics global")
    yield "float64", count("fp64") / card.fp64 / clocks
    yield "conversions", count("conversions") / min(assumed("conversions"), card.fp64) / clocks
    yield "float32", count("fp32") / card.fp32 / clocks
    yield "integers", count("integer") / card.integer / clocks
    yield "instructions", (others + shared + accesses) / assumed("issued") / clocks
    yield "accesses", 2 * (shared + accesses) / assumed("accesses") / clocks
    yield "atomics", count("sectors of atomics global") / assumed("atomics") / clocks
    yield "memory", SECTOR * sectors / card.memory


def kernel_of(counts: dict[str, float], card: Card, pixels: int) -> dict[str, Any]:
    """Prediction for a kernel."""
    seconds = {name: each * pixels for name, each in loads(counts, card)}
    limit = max(seconds, key=lambda name: seconds[name])
    return {"seconds": seconds[limit], "limited_by": limit, "of_each": seconds}


def least_of(counts: dict[str, float], card: Card) -> dict[str, Any]:
    """Prediction for a kernel over an image, in short."""
    found = kernel_of(counts, card, SIDE * SIDE)
    return {"seconds": found["seconds"], "limited_by": found["limited_by"]}


def exposure_of(rotation: dict[str, dict[str, float]], card: Card, pixels: int = SIDE * SIDE) -> dict[str, Any]:
    """Prediction for an exposure of so many pixels, of its counts at a rotation."""
    kernels = {name: kernel_of(counts, card, pixels) for name, counts in rotation.items() if name != "upload"}
    in_kernels = sum(kernel["seconds"] for kernel in kernels.values())
    upload = rotation["upload"]["bytes"] * pixels / (card.bus * ASSUMED["bus"][0])
    longest = max(kernels.values(), key=lambda kernel: kernel["seconds"])
    return {
        "kernels": kernels,
        "kernels_s": in_kernels,
        "upload_s": upload,
        "seconds": max(upload, in_kernels),
        "limited_by": "bus" if upload >= in_kernels else longest["limited_by"],
    }


def card_named(name: str) -> str | None:
    """The card that a device's name says; None if it is none of these."""
    if "PCIE" in name.upper() or "NVL" in name.upper():  # slower ones of the same processors
        return None
    words = {card: card.removesuffix(" SXM").removesuffix(" Laptop") for card in CARDS}
    fitting = [card for card, word in words.items() if word in name and ("Laptop" in card) == ("Laptop" in name)]
    return fitting[0] if len(fitting) == 1 else None


def beside(device: str | None, figures: dict[str, Any], counts: dict[str, Any] | None = None) -> list[str]:
    """Lines that have predictions beside what was measured on a device, of square drops without a rotation.

    Parameters
    ----------
    device : str or None
        Its name.
    figures : dict
        Of benchmarks/gpu_figures.py: names of cases, such as "square_2048", to their parts.
    counts : dict, optional
        Contents of gpu_counts.json, instead of those that are kept.
    """
    card = card_named(device or "")
    if card is None:
        return []
    rotation = (counts or json.loads(COUNTS.read_text()))["rotations"]["0"]
    lines = []
    for case, parts in figures.items():
        kernel, _, side = case.partition("_")
        measured = parts.get("kernels") if isinstance(parts, dict) else None
        if kernel != "square" or not side.isdigit() or not measured:
            continue
        predicted = exposure_of(rotation, CARDS[card], int(side) ** 2)
        for name, of_kernel in predicted["kernels"].items():
            step = name.partition("_")[0]
            if (seconds := measured.get(f"{step}_s")) is not None:
                ratio, limit = seconds / of_kernel["seconds"], of_kernel["limited_by"]
                lines.append(
                    f"{case:<16}{step:<10}measured {seconds * 1e3:.3g} ms, predicted for {card} "
                    f"{of_kernel['seconds'] * 1e3:.3g} ms ({limit}): {ratio:.2f} times"
                )
    return lines


def report() -> dict[str, Any]:
    """Predictions for all cards and rotations."""
    from gpures.bench.machine import commit  # not above, as gpures need not be there to compare

    counts = json.loads(COUNTS.read_text())
    return {
        "predicted": {"date": dt.datetime.now(dt.UTC).date().isoformat(), "commit": commit() or "unknown"},
        "counted": {name: counts[name] for name in ("date", "commit", "compiler", "exposure")},
        "side": SIDE,
        "assumed": {name: list(assumed) for name, assumed in ASSUMED.items()},
        "cards": {
            name: {
                "source": card.source,
                **{
                    way: {angle: exposure_of(rotation, card) for angle, rotation in counts[way].items()}
                    for way in ("rotations", "deterministic", "single")
                },
                "others": {name: least_of(each, card) for name, each in counts["others"].items()},
            }
            for name, card in CARDS.items()
        },
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="where the predictions go (default: %(default)s)")
    arguments = parser.parse_args()
    content = report()
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    for name, card in content["cards"].items():
        for angle, found in card["rotations"].items():
            kernels = ", ".join(
                f"{kernel} {each['seconds'] * 1e3:.3g} ms ({each['limited_by']})"
                for kernel, each in found["kernels"].items()
            )
            print(
                f"{name:<16}{angle:>3} degrees: {found['seconds'] * 1e3:.3g} ms by {found['limited_by']}; "
                f"upload {found['upload_s'] * 1e3:.3g} ms, {kernels}"
            )
        others = [f"{kernel} {each['seconds'] * 1e3:.3g} ms" for kernel, each in card["others"].items()]
        print(f"{name:<16}images of {SIDE} x {SIDE} pixels: {', '.join(others)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
