"""The stubs say what the classes are."""

import ast
import importlib.resources
import inspect
import unittest

import lanner
import lanner.pyod
from lanner import _engine


def stub(name):
    return ast.parse((importlib.resources.files(lanner) / f"{name}.pyi").read_text())


def classes(tree):
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def functions(node):
    return {child.name: child for child in node.body if isinstance(child, ast.FunctionDef)}


def defaults(function):
    """{keyword: its default as text}"""
    given = function.args
    positional = dict(zip([a.arg for a in given.args][len(given.args) - len(given.defaults):], given.defaults))
    named = dict(zip([a.arg for a in given.kwonlyargs], given.kw_defaults))
    return {name: ast.unparse(value) for name, value in {**positional, **named}.items() if value is not None}


class Stubs(unittest.TestCase):
    def test_constructors(self):
        for module, tree in ((lanner, stub("__init__")), (lanner.pyod, stub("pyod"))):
            stated = classes(tree)
            made = {name: value for name, value in vars(module).items() if inspect.isclass(value)
                    and value.__module__ == module.__name__ and value.__name__ == name}
            for name in ("PyodDetector", "SeriesScores"):
                made.pop(name, None)
            self.assertEqual(set(made), set(stated) - {"Change", "Detector", "PyodDetector", "SeriesScores"})
            for name, value in made.items():
                expected = {p.name: repr(p.default) for p in inspect.signature(value).parameters.values()}
                self.assertEqual(defaults(functions(stated[name])["__init__"]), expected, name)
                self.assertEqual(ast.get_docstring(stated[name]), inspect.getdoc(value))

    def test_methods(self):
        for made, tree in ((lanner.Detector, stub("__init__")), (lanner.pyod.PyodDetector, stub("pyod")),
                           (lanner.Series, stub("__init__")), (lanner.MultivariateSeries, stub("__init__")),
                           (lanner.IsolationForest, stub("__init__")), (lanner.Autoencoder, stub("__init__"))):
            stated = functions(classes(tree)[made.__name__])
            stated.pop("__init__", None)
            # A private base is no class of the stubs: its methods are its heirs'.
            members = {name: value for base in (*made.__bases__, made) if base is made or
                       (base.__module__.startswith("lanner") and base.__name__.startswith("_"))
                       for name, value in vars(base).items()}
            public = {name for name, value in members.items()
                      if not name.startswith("_") and (callable(value) or isinstance(value, (classmethod, property)))}
            self.assertEqual(set(stated) - {"fit_predict"}, public - {"fit_predict"})
            for name in public:
                if not isinstance(members[name], property):
                    parameters = inspect.signature(getattr(made, name)).parameters
                    given = stated[name].args.args[isinstance(members[name], classmethod):]
                    self.assertEqual([a.arg for a in given + stated[name].args.kwonlyargs], list(parameters), name)
                    for keyword, default in defaults(stated[name]).items():
                        self.assertEqual(default, repr(parameters[keyword].default), f"{name}({keyword})")

    def test_names(self):
        text = ast.unparse(stub("__init__"))
        for name in lanner.__all__:
            self.assertRegex(text, rf"\b{name}\b")

    def test_the_module(self):
        stated = classes(stub("_engine"))
        for made in (_engine.Model, _engine.Events, _engine.Imported, _engine.Detector, _engine.Parameter,
                     _engine.SeriesDetector, _engine.MultivariateModel, _engine.MultivariateDetector):
            public = {name for name in vars(made) if not name.startswith("_")}
            self.assertEqual({name for name in functions(stated[made.__name__]) if not name.startswith("_")}, public)

    def test_the_package_says_that_it_is_typed(self):
        self.assertTrue((importlib.resources.files(lanner) / "py.typed").is_file())


if __name__ == "__main__":
    unittest.main()
