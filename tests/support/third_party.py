"""Functions of a user's module that use other people's libraries, for
`integration/test_third_party.py`.

Imported where they are used: the environment of most tests has none of them.
"""

from __future__ import annotations


def morlet_power() -> list[float]:
    import mne
    import numpy as np

    signal = np.sin(2 * np.pi * 10 * np.arange(1000) / 250)[None, None]
    power = mne.time_frequency.tfr_array_morlet(signal, 250, [5.0, 10.0, 20.0], output="power")
    return [float(one) for one in power.mean(axis=(0, 1, 3))]


def spectral_centroid() -> float:
    import librosa
    import numpy as np

    tone = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32)
    return float(np.median(librosa.feature.spectral_centroid(y=tone, sr=22_050)))


def edges() -> tuple[int, int]:
    import numpy as np
    from skimage import feature, filters, measure

    image = np.zeros((64, 64))
    image[16:48, 16:48] = 1.0
    smooth = filters.gaussian(image, sigma=1.0)
    return int(feature.canny(smooth).sum()), int(measure.label(smooth > 0.5).max())


def fluxes() -> list[float]:
    import numpy as np
    from astropy import units
    from astropy.stats import sigma_clip
    from astropy.table import Table

    table = Table({"flux": np.array([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 90.0]) * units.jansky})
    clipped = sigma_clip(table["flux"], sigma=2.0)
    return [float(one) for one in clipped[~clipped.mask] * 1000]
