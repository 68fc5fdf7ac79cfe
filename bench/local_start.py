"""How long `register("local")` takes: from `import dolambda` to the first results, and the end,
with and without the cache.

Run it with: python bench/local_start.py [--write]. It takes what is installed, and the same with
2.5 GB of packages more.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import results

WARM_RUNS = 5
PACKAGES, MODULES, MB_EACH = 6, 3000, 420
DEADLINE_S = 600

PROGRAM = """
import json, time
begun = time.perf_counter()
import dolambda
dolambda.register("local", progress=False)
registered = time.perf_counter()
from joblib import Parallel, delayed
import operator

def fit(seed):
    from sklearn.linear_model import LogisticRegression
    return float(LogisticRegression().fit([[0.0], [1.0]], [0, 1]).coef_[0][0])

assert Parallel(n_jobs=2)(delayed(operator.add)(i, 1) for i in range(2)) == [1, 2]
first = time.perf_counter()
Parallel(n_jobs=2)(delayed(fit)(i) for i in range(2))
fitted = time.perf_counter()
dolambda.unregister()
ended = time.perf_counter()
print(json.dumps([registered - begun, first - begun, fitted - first, ended - fitted]))
"""
COLUMNS = (
    "packages",
    "cache",
    "s to register",
    "s to the first result",
    "s for the first scikit-learn task",
    "s to end",
)


def once(cache: Path, scratch: Path, site: Path | None) -> list[float]:
    """Run the program in a process of its own."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "TMPDIR": str(scratch)}
    for name in ("DOLAMBDA_REQUIRES", "PYTHONDONTWRITEBYTECODE"):  # as users have it
        environment.pop(name, None)
    if site:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: list[float] = json.loads(done.stdout)
    return found


def make_packages(site: Path) -> None:
    """Make packages as installers do, of random bytes and many modules."""
    for number in range(PACKAGES):
        name = f"heavy{number}"
        record = []
        for module in range(MODULES):
            place = f"{name}/part{module % 60}/module{module}.py"
            (site / place).parent.mkdir(parents=True, exist_ok=True)
            (site / place).write_text(f"NUMBER = {module}\n" * 100, encoding="utf-8")
            record.append(f"{place},,")
        with (site / name / "library.so").open("wb") as library:
            for _ in range(MB_EACH // 10):
                library.write(os.urandom(10 << 20))
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        record += [f"{name}/library.so,,", f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]
        (info / "RECORD").write_text("\n".join(record), encoding="utf-8")


def measure() -> list[str]:
    """Measure each set of packages, first without a cache."""
    lines = [
        f"Seconds; with the cache the median of {WARM_RUNS} runs.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "scratch").mkdir()
        (place / "site").mkdir()
        make_packages(place / "site")
        more = f"and {PACKAGES * MB_EACH / 1000:.1f} GB more"
        for what, site in (("those installed", None), (more, place / "site")):
            cache = place / f"cache-{site is not None}"
            cache.mkdir()
            cold = once(cache, place / "scratch", site)
            warm = [once(cache, place / "scratch", site) for _ in range(WARM_RUNS)]
            middle = [statistics.median(figures) for figures in zip(*warm, strict=True)]
            for kind, figures in (("no", cold), ("yes", middle)):
                cells = [what, kind, *(f"{figure:.1f}" for figure in figures)]
                lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    results.main("Starting the emulated AWS", measure)
