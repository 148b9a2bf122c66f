"""Estimate the energy that training used, from its duration and the rated power of the device. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Rated power of a whole device in watts, from the manufacturers' data sheets. The first name that matches as a
# whole word is used: an A1000 is not an A100. OTHERS are variants with another rated power, and slices of a device.
RATED = {
    "H200 NVL": 600, "H200": 700, "H100 NVL": 400, "H100 PCIe": 350, "H100": 700, "B200": 1000,
    "A100-PCIE": 250, "A100 80GB PCIe": 300, "A100": 400, "A40": 300, "A10G": 300, "A10": 150,
    "L40S": 350, "L40": 300, "L4": 72, "T4": 70, "V100-PCIE": 250, "V100": 300, "P100-SXM2": 300, "P100": 250,
    "RTX 6000 Ada": 300, "RTX A6000": 300, "RTX 4090": 450, "RTX 4080": 320, "RTX 3090": 350, "RTX 3080": 320,
}  # fmt: skip
OTHERS = re.compile(r"\b(Laptop|Max-Q|Mobile|MIG|SUPER|Ti|D)\b")
WATTS_PER_THREAD = 10  # for processors, whose rated power is about 65 to 350 W for 8 to 64 threads
UNKNOWN_GPU = 300


@dataclass(frozen=True)
class Energy:
    """An amount of energy, the power it was computed from, and the origin of that figure."""

    kwh: float
    watts: int
    basis: str


def estimate(run: Mapping[str, Any]) -> Energy:
    """Return the energy of a run: rated power times number of devices times duration, without cooling."""
    device, number = str(run["device"]), int(run["processes"])
    threads = re.search(r"CPU, (\d+) threads?", device)
    if threads:
        per_device, basis = int(threads[1]) * WATTS_PER_THREAD, f"{WATTS_PER_THREAD} W per processor thread"
    else:
        names = RATED if not OTHERS.search(device) else ()
        rated = next((RATED[name] for name in names if re.search(rf"\b{re.escape(name)}\b", device)), None)
        per_device = rated or UNKNOWN_GPU
        basis = "the rated power of the device" if rated else f"{UNKNOWN_GPU} W per GPU, whose rated power is not known"
    watts = per_device * number
    return Energy(watts * float(run["seconds"]) / 3.6e6, watts, basis)
