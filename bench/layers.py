"""From an environment to layers, on both architectures, and a large one to layers and a bundle:
sizes, and how long it takes.

Run it with: python bench/layers.py [--write]. It downloads some hundreds of MB of wheels the first
time.
"""

from __future__ import annotations

import time

import results
from dolambda.environment.layer import MB, Platform, build, table

CASES = {
    "numpy + pandas + scikit-learn": ["numpy>=2", "pandas>=2", "scikit-learn>=1.5"],
    "the same + pyarrow": ["numpy>=2", "pandas>=2", "scikit-learn>=1.5", "pyarrow>=18"],
}


def measure() -> list[str]:
    columns = [
        "what",
        "architecture",
        "unzipped",
        "stripped",
        "layers, zipped",
        "bundle, zipped",
        "storage",
        "s to a name",
        "s to zips",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    details: list[str] = []
    for what, requires in CASES.items():
        for architecture in ("x86_64", "aarch64"):
            begun = time.perf_counter()
            contents = build(requires, Platform("3.13", f"{architecture}-manylinux_2_34"))
            archives = [*contents.layers, *([contents.bundle] if contents.bundle else [])]
            assert all(archive.digest for archive in archives)
            unchanged = time.perf_counter() - begun  # all that an unchanged environment costs
            assert all(archive.content for archive in archives)
            seconds = time.perf_counter() - begun
            before, after = (
                sum(sizes) / MB
                for sizes in zip(*((p.unstripped, p.size) for p in contents.packages), strict=True)
            )
            zipped = " + ".join(f"{len(layer.content) / MB:.0f}" for layer in contents.layers)
            bundle = f"{len(contents.bundle.content) / MB:.0f}" if contents.bundle else "-"
            row = [
                what,
                architecture,
                f"{before:.0f}",
                f"{after:.0f}",
                zipped,
                bundle,
                str(contents.storage),
                f"{unchanged:.1f}",
                f"{seconds:.1f}",
            ]
            lines.append(f"| {' | '.join(row)} |")
            details += [
                "",
                f"{what}, {architecture}:",
                "",
                *(f"    {line}" for line in table(contents)),
            ]
    return ["Sizes in MiB, Python 3.13.", "", *lines, *details]


if __name__ == "__main__":
    results.main("Layers", measure)
