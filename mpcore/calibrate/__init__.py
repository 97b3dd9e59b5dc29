"""How often the gate stops what is no slower, and how small a slowdown it finds: by simulation, with the noise of recorded
traces (`noise`, `fit`, `simulate`, `tables`), and measured (`measure`). Without torch."""

from mpcore.calibrate.fit import fit, read
from mpcore.calibrate.measure import measured
from mpcore.calibrate.noise import H200, Noise
from mpcore.calibrate.tables import simulated

__all__ = ["H200", "Noise", "fit", "measured", "read", "simulated"]
