"""Writes the package's stubs into its built folder: python3 write_stubs.py BUILD/python/lanner

The classes' constructors come from the engine's tables, as the classes themselves do; everything else from the sources.
Needs the built module, and no package but nanobind.
"""

import ast
import importlib
import subprocess
import sys
import textwrap
import types
from pathlib import Path

sources = Path(__file__).parent / "lanner"

HEAD = """# Made by bindings/python/write_stubs.py from the engine's tables of parameters.
from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from typing_extensions import Self

"""

# What an import leaves open.
OPEN = ("trim: bool = True, extrapolate: bool = True, false_alarm_rate: float | Literal['auto'] = 'auto', "
        "contamination: float | None = None, seed: int = 1, device: Literal['cpu', 'cuda', 'emulated'] = 'cpu', "
        "verbose: bool = False")

# What methods take and give; a method that isn't here fails the build.
TYPES = {
    "from_sklearn": (f"forest: SklearnIsolationForest, X_calibration: ArrayLike | Any, *, {OPEN}", "Self"),
    "from_treelite": (f"model: str | bytes | Any, X_calibration: ArrayLike | Any, *, {OPEN}", "Self"),
    "from_safetensors": (
        "path: str | PathLike[str], X_calibration: ArrayLike | Any, *, activation: str | Sequence[str], "
        "mean: ArrayLike | None = None, scale: ArrayLike | None = None, layers: Sequence[str] | None = None, " + OPEN,
        "Self"),
    "from_onnx": (
        "path: str | PathLike[str], X_calibration: ArrayLike | Any, *, mean: ArrayLike | None = None, "
        "scale: ArrayLike | None = None, " + OPEN, "Self"),
    "fit": ("X: ArrayLike | Any, y: None = None", "Self"),
    "fit_predict": ("X: ArrayLike | Any, y: None = None", "NDArray[np.int64]"),
    "anomaly_score": ("X: ArrayLike | Any", "NDArray[np.float32]"),
    "score_samples": ("X: ArrayLike | Any", "NDArray[np.float64]"),
    "decision_function": ("X: ArrayLike | Any", "NDArray[np.float64]"),
    "predict": ("X: ArrayLike | Any", "NDArray[np.int64]"),
    "p_value": ("X: ArrayLike | Any, return_extrapolated: bool = False", "Any"),
    "explain": ("X: ArrayLike | Any", "NDArray[np.float32]"),
    "nearest_normal": ("X: ArrayLike | Any", "NDArray[np.float64]"),
    "counterfactual": ("X: ArrayLike | Any", "list[Change | None]"),
    "save": ("path: str | PathLike[str]", "None"),
    "predict_proba": ("X: ArrayLike | Any, method: Literal['linear', 'unify'] = 'linear', "
                      "return_confidence: bool = False", "Any"),
    "predict_confidence": ("X: ArrayLike | Any", "NDArray[np.float64]"),
    "push_rows": ("X: ArrayLike | Any", "NDArray[np.float64]"),
    "snapshot": ("", "bytes"),
    "restore": ("snapshot: bytes", "Self"),
    "reset": ("", "Self"),
    "missing_": ("", "int"),
    "base_": ("", "float"),
    "chosen_": ("", "str"),
    "reasons_": ("", "list[str]"),
    "explained_features_": ("", "list[str]"),
}


# Classes that can be imported, and where their methods for it stand.
IMPORTS = {"IsolationForest": "_ForestImports", "Autoencoder": "_NetworkImports"}


def quoted(text, indent):
    return textwrap.indent(f'"""{text.rstrip()}"""', indent)


def methods(module, name, **more):
    """The public methods of a class of lanner/MODULE.py, with their docstrings."""
    tree = ast.parse((sources / f"{module}.py").read_text())
    of = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    for node in of.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        given, result = {**TYPES, **more}[node.name]
        decorators = [decorator.id for decorator in node.decorator_list]
        yield from (f"    @{decorator}" for decorator in decorators)
        first = "cls" if "classmethod" in decorators else "self"
        text = ast.get_docstring(node)
        yield f"    def {node.name}({first}{', ' * bool(given)}{given}) -> {result}:" + ("" if text else " ...")
        if text:
            yield quoted(text, "        ")


def made(name, base, docstring, arguments, by_position=False):
    separator = "" if by_position else "        *,\n"
    yield f"class {name}({base}):"
    yield quoted(docstring, "    ")
    yield f"    def __init__(\n        self,\n{separator}" + "".join(
        f"        {a.name}: {a.type} = {a.default!r},\n" for a in arguments) + "    ) -> None: ..."
    for argument in arguments:
        yield f"    {argument.name}: {argument.type}"
    yield ""


def class_docstring(module, name):
    tree = ast.parse((sources / f"{module}.py").read_text())
    return ast.get_docstring(next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name))


def attributes_of(module):
    tree = ast.parse((sources / f"{module}.py").read_text())
    return next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
                and node.targets[0].id == "_attributes")


def main(folder):
    # lanner/__init__.py needs packages that a build may lack.
    package = types.ModuleType("lanner")
    package.__path__ = [str(folder)]
    sys.modules["lanner"] = package
    engine = importlib.import_module("lanner._engine")
    parameters = importlib.import_module("lanner._parameters")
    catalogue, fit_parameters = engine.catalogue(), engine.fit_parameters()

    lines = [HEAD +
             "from sklearn.ensemble import IsolationForest as SklearnIsolationForest\n\n"
             "from . import _engine, plot as plot, pyod as pyod\n"
             "from .client import Client as Client, Subscriber as Subscriber\n\n__version__: str\n"
             "detectors: dict[str, type[Detector]]\n",
             "class Change(NamedTuple):\n    feature: str\n    value: float\n    spreads: float\n    anomaly_score: float\n",
             "class Detector(OutlierMixin, BaseEstimator):",
             "    offset_: float\n    false_alarm_rate_: float\n    n_features_in_: int",
             "    feature_names_in_: NDArray[Any]\n    model_: _engine.Model",
             "    def fit_predict(self, X: ArrayLike | Any, y: None = None) -> NDArray[np.int64]: ...",
             *methods("_estimators", "Detector"), "",
             "def load(path: str | PathLike[str]) -> Detector: ...\n"]
    for detector in catalogue:
        name = parameters.class_name(detector.name)
        arguments = parameters.arguments(detector, fit_parameters)
        docstring = parameters.docstring(detector, arguments, attributes_of("_estimators"))
        lines += [*list(made(name, "Detector", docstring, arguments))[:-1],
                  *(methods("_imports", IMPORTS[name]) if name in IMPORTS else ()), ""]
        lines += [f"{alias} = {name}\n" for alias in parameters.aliases(detector.name)]
    automatic = engine.automatic()
    arguments = parameters.arguments(automatic, fit_parameters)
    docstring = parameters.docstring(automatic, arguments, attributes_of("_estimators"))
    lines += [*list(made("Auto", "Detector", docstring, arguments))[:-1], *methods("_estimators", "_Chosen"), ""]
    lines += ["class SeriesScores(NamedTuple):", quoted(class_docstring("_series", "SeriesScores"), "    "),
              "    score: Any\n    alarm: Any\n    expected: Any",
              "    point: Any\n    shape: Any\n    stretch: Any\n    season: Any", ""]
    for name, arguments, more in (
            ("Series", parameters.series_arguments(engine), {
                "push": ("value: float | None, time: Any = None", "SeriesScores"),
                "push_rows": ("values: ArrayLike | Any, times: ArrayLike | Any = None", "SeriesScores")}),
            ("MultivariateSeries", parameters.multivariate_arguments(engine), {
                "anomaly_score": ("X: ArrayLike | Any", "NDArray[np.float64]"), "push": ("row: ArrayLike", "float"),
                "explain": ("X: ArrayLike | Any", "NDArray[np.float64]"),
                "p_value": ("X: ArrayLike | Any", "NDArray[np.float64]"),
                "load": ("path: str | PathLike[str]", "Self")})):
        docstring = parameters.with_parameters(class_docstring("_series", name), arguments)
        lines += [*list(made(name, "BaseEstimator", docstring, arguments))[:-1], *methods("_series", "_Streaming"),
                  *methods("_series", name, **more), ""]
    (folder / "__init__.pyi").write_text("\n".join(lines))

    lines = [HEAD.replace(", OutlierMixin", "").replace(", NamedTuple", "") + "from . import Detector\n",
             "class PyodDetector(BaseEstimator):",
             "    decision_scores_: NDArray[np.float64]\n    threshold_: float\n    labels_: NDArray[np.int64]",
             "    detector_: Detector\n    n_features_in_: int",
             *methods("pyod", "PyodDetector",
                      predict=("X: ArrayLike | Any, return_confidence: bool = False", "Any")), ""]
    for name, detector, arguments, _ in parameters.pyod_classes(catalogue, fit_parameters):
        docstring = parameters.docstring(detector, arguments, attributes_of("pyod"))
        lines += made(name, "PyodDetector", docstring, arguments, by_position=True)
    (folder / "pyod.pyi").write_text("\n".join(lines))

    # The module's own, by nanobind, which imports it by itself.
    subprocess.run([sys.executable, "-m", "nanobind.stubgen", "-q", "-i", str(folder), "-m", "_engine", "-o",
                    str(folder / "_engine.pyi")], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
