"""Lanner finds anomalies in event streams and says why. This package fits, scores and explains in Python, on the engine
that `lanner serve` runs: the same model file, the same bits.

A class a detector, named by it: lanner.NearestNeighbours(k=10), lanner.Histogram(bins="auto"), ...; `detectors` lists
them, lanner.Auto chooses one. lanner.Series and lanner.MultivariateSeries take rows in the order of time. lanner.load
reads a model file, lanner.pyod has PyOD's conventions, lanner.Client and lanner.Subscriber talk to a running host
(pip install "lanner[client]"), lanner.plot draws (pip install "lanner[plot]").
"""

from . import _engine, _estimators, _parameters
from ._engine import __version__
from ._estimators import Auto, Change, Detector, load
from ._series import MultivariateSeries, Series, SeriesScores

detectors = {}
for _name, _class in _estimators.classes.items():
    detectors[_name] = _class
    for _as in (_class.__name__, *_parameters.aliases(_name)):
        globals()[_as] = _class

__all__ = ["Auto", "Change", "Client", "Detector", "MultivariateSeries", "Series", "SeriesScores", "Subscriber",
           "__version__", "detectors", "load", "plot", "pyod"] + sorted(
    {name for name, value in globals().items() if value in detectors.values() and not name.startswith("_")})


def __getattr__(name):
    # What needs pyzmq or matplotlib is imported when it is asked for.
    import importlib

    if name in ("Client", "Subscriber"):
        return getattr(importlib.import_module(".client", __name__), name)
    if name in ("client", "plot", "pyod"):
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
