"""From the engine's tables to Python: class names, signatures, docstrings, types.

Needs nothing but lanner._engine, so that write_stubs.py can run in a build with no other package.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

_acronyms = ("ecod", "copod", "pca")


def class_name(detector: str) -> str:
    return "".join(word.capitalize() for word in detector.split("_"))


def aliases(detector: str) -> list[str]:
    return [detector.upper()] if detector in _acronyms else []


@dataclass(frozen=True)
class Argument:
    """A keyword of a constructor."""

    name: str
    default: Any
    type: str  # as a stub has it
    text: str
    allowed: str = ""

    def documented(self) -> str:
        text = self.text[:1].upper() + self.text[1:].rstrip(".") + "."
        if self.allowed:
            text += f" Allowed: {self.allowed}."
        shown = re.sub(r"Literal\[(.*?)\]", r"{\1}", self.type)
        return f"{self.name} : {shown}, default={self.default!r}\n" + textwrap.indent(textwrap.fill(text, 96), "    ")


def parsed(parameter, text: str) -> Any:
    """A setting's text as the Python value that a user would write."""
    if text in parameter.words:
        return text
    if parameter.kind == "boolean":
        return text == "true"
    if parameter.kind == "integer":
        return int(text)
    if parameter.kind == "number":
        return float(text)
    if parameter.kind == "integers":
        return tuple(int(part) for part in text.split(","))
    if parameter.kind == "count_or_share":
        value = float(text)
        return value if value < 1 else int(value)
    return text


def setting(value: Any) -> str:
    """A Python value as the text that the engine parses; float64 keeps its bits."""
    if isinstance(value, str):
        return value
    if isinstance(value, Integral):
        return ("false", "true")[value] if isinstance(value, bool) else str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's
        return "true" if value else "false"
    try:
        return ",".join(setting(item) for item in value)
    except TypeError:
        return str(value)


_types = {"boolean": "bool", "integer": "int", "number": "float", "integers": "Sequence[int]",
          "count_or_share": "int | float", "text": "str"}


def argument(parameter) -> Argument:
    types = [_types[parameter.kind]] if parameter.kind in _types else []
    if parameter.words:
        types.append("Literal[" + ", ".join(map(repr, parameter.words)) + "]")
    return Argument(parameter.name, parsed(parameter, parameter.fallback), " | ".join(types) or "str",
                    parameter.summary, parameter.allowed)


_seed = [
    Argument("seed", 1, "int", "Of everything random; the same seed gives the same bits as `lanner fit --seed`"),
    Argument("random_state", None, "int | RandomState | None",
             "scikit-learn's name for the seed; where it is given, it goes before `seed`"),
]
_work = [
    Argument("device", "cpu", "Literal['cpu', 'cuda', 'emulated']",
             "Where rows are scored, and what a GPU is used for in fitting is done; the scores are the same bits. "
             "emulated: a GPU made of the CPU, for tests"),
    Argument("verbose", False, "bool", "Shows progress: a bar where tqdm is installed, lines on stderr elsewhere"),
]
_threshold = [
    Argument("false_alarm_rate", "auto", "float | Literal['auto']",
             "predict says -1 where the p-value is at most this. auto is 0.001; where n calibration rows and their "
             "tail don't reach that, 2/(n+1), the p-value of the most anomalous of them (1/(n+1) where n is below 19). "
             "Without calibration auto flags what scores above every row that was fitted on"),
    Argument("contamination", None, "float | None",
             "Instead of a false-alarm rate: the share of the training rows, above 0 and at most 0.5, that predict is "
             "to say -1 of"),
]


def arguments(detector, fit_parameters) -> list[Argument]:
    """Of the scikit-learn estimator."""
    return [argument(parameter) for parameter in [*detector.parameters, *fit_parameters]] + _threshold + _seed + _work


def series_arguments(engine) -> list[Argument]:
    """Of lanner.Series."""
    return [argument(parameter) for parameter in engine.series_settings()]


def multivariate_arguments(engine) -> list[Argument]:
    """Of lanner.MultivariateSeries."""
    return [argument(parameter) for parameter in engine.multivariate_settings()] + _work[:1]


# PyOD's name of a detector: ours, and for each of PyOD's parameters our name, PyOD's default and PyOD's words for ours.
pyod_names = {
    "KNN": ("nearest_neighbours", {"n_neighbors": ("k", 5, {}),
                                   "method": ("distance", "largest", {"largest": "kth", "mean": "mean"})}),
    "LOF": ("local_outlier_factor", {"n_neighbors": ("k", 20, {})}),
    "KDE": ("kernel_density", {"bandwidth": ("bandwidth", 1.0, {})}),
    "HBOS": ("histogram", {"n_bins": ("bins", 10, {})}),
    "IForest": ("isolation_forest", {"n_estimators": ("trees", 100, {})}),
    "CBLOF": ("cluster_distance", {"n_clusters": ("clusters", 8, {}), "alpha": ("alpha", 0.9, {}),
                                   "beta": ("beta", 5, {})}),
    "LODA": ("loda", {"n_bins": ("bins", 10, {}), "n_random_cuts": ("projections", 100, {})}),
    "MCD": ("mahalanobis", {}),
    "AutoEncoder": ("autoencoder", {"epoch_num": ("epochs", 10, {}), "batch_size": ("batch", 32, {}),
                                    "lr": ("learning_rate", 0.001, {})}),
}


def pyod_arguments(detector, fit_parameters, renamed=()) -> list[Argument]:
    """Of the class with PyOD's conventions: no p-values are wanted, so that no row is held out for them."""
    contamination = Argument("contamination", 0.1, "float",
                             "Share of anomalies expected among the training rows, above 0 and at most 0.5")
    table = [*detector.parameters, *fit_parameters]
    rest = []
    for stated in map(argument, table):
        given = next((name for name in renamed if renamed[name][0] == stated.name), None)
        if given:
            _, default, words = renamed[given]
            kind = f"Literal[{', '.join(map(repr, words))}]" if words else stated.type
            stated = Argument(given, default, kind, stated.text, "" if words else stated.allowed)
        if stated.name != "calibration":
            rest.append(stated)
    return [contamination] + rest + _seed + _work


def pyod_classes(catalogue, fit_parameters):
    """(name, detector, arguments, {PyOD's parameter: (ours, PyOD's words for ours)}) of every class of lanner.pyod."""
    for detector in catalogue:
        for name in (class_name(detector.name), *aliases(detector.name)):
            yield name, detector, pyod_arguments(detector, fit_parameters), {}
        for name, (of, stated) in pyod_names.items():
            known = [parameter.name for parameter in detector.parameters]
            renamed = {given: meaning for given, meaning in stated.items() if meaning[0] in known}
            if of == detector.name:
                yield (name, detector, pyod_arguments(detector, fit_parameters, renamed),
                       {given: (ours, words) for given, (ours, _, words) in renamed.items()})


def signature(arguments: list[Argument], by_position: bool = False) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if by_position else inspect.Parameter.KEYWORD_ONLY
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([itself] + [inspect.Parameter(a.name, kind, default=a.default) for a in arguments])


def constructor(arguments: list[Argument], by_position: bool = False):
    """An __init__ that keeps what it is given, as scikit-learn wants it, with a signature that can be read."""
    stated = signature(arguments, by_position)

    def __init__(self, *given, **named):
        bound = stated.bind(self, *given, **named)
        bound.apply_defaults()
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)

    __init__.__signature__ = stated
    return __init__


def with_parameters(text: str, arguments: list[Argument]) -> str:
    parameters = "\n".join(a.documented() for a in arguments)
    return f"{inspect.cleandoc(text)}\n\nParameters\n----------\n{parameters}\n"


def docstring(detector, arguments: list[Argument], attributes: str) -> str:
    source = f"\n\nSource: {detector.paper}." if hasattr(detector, "paper") else ""
    return (with_parameters(detector.summary + source, arguments) +
            f"\nAttributes\n----------\n{inspect.cleandoc(attributes)}\n")
