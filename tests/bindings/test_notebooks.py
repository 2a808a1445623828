"""The notebooks run from top to bottom, and what they say of their results is so.

A cell is run as Python, without Jupyter: its last expression is shown, its figures are drawn.
"""

import ast
import contextlib
import io
import json
import linecache
import os
import tempfile
import unittest
import warnings
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np

import host_process

FOLDER = Path(__file__).resolve().parents[2] / "bindings" / "python" / "notebooks"
FILES = sorted(FOLDER.glob("*.ipynb"))


def read(file):
    return json.loads(file.read_text())


def run_cell(name, source, namespace):
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # for tracebacks
    tree = ast.parse(source, name)
    shown = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        shown = ast.Expression(tree.body.pop().value)
    exec(compile(tree, name, "exec"), namespace)
    if shown:
        value = eval(compile(shown, name, "eval"), namespace)
        if not source.rstrip().endswith(";"):
            getattr(value, "_repr_html_", value.__repr__)()
    for figure in map(plt.figure, plt.get_fignums()):
        figure.canvas.draw()
    plt.close("all")


class Notebooks(unittest.TestCase):
    def run_notebook(self, name):
        """The notebook's variables after its last cell; in a folder of its own, warnings being errors."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        path = os.pathsep.join([str(Path(host_process.LANNER).parent), os.environ["PATH"]])
        namespace = {"__name__": "__main__"}
        with mock.patch.object(tempfile, "tempdir", folder.name), mock.patch.dict(os.environ, PATH=path), \
                warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)  # comes of finalizers, which can't fail
            try:
                for cell in read(FOLDER / f"{name}.ipynb")["cells"]:
                    if cell["cell_type"] == "code":
                        run_cell(f"{name}:{cell['id']}", "".join(cell["source"]), namespace)
            finally:
                if "host" in namespace:
                    namespace["host"].kill()
                    namespace["host"].wait()
        return namespace

    def test_first_detection(self):
        of = self.run_notebook("1_first_detection")
        self.assertGreater(of["auc"], 0.98)
        flagged, by_ensemble = of["found"](of["flagged"])["flagged"], of["found_by_ensemble"]
        for kind in ("bearing", "clogged"):
            self.assertEqual(flagged[kind], (of["fault"] == kind).sum())
        self.assertLess(flagged["leak"], 0.2 * (of["fault"] == "leak").sum())
        self.assertLess(flagged["none"], 15)
        self.assertGreater(by_ensemble["flagged"]["leak"], 0.8 * by_ensemble["rows"]["leak"])
        self.assertTrue(of["same_bits"])

    def test_tuning_and_comparing(self):
        of = self.run_notebook("2_tuning_and_comparing")
        table = of["table"]
        self.assertEqual(table["worst"].idxmax(), "ensemble")
        self.assertGreater(table["worst"]["ensemble"], 0.8)
        self.assertGreater(table["densities"]["local_outlier_factor"], 0.98)
        self.assertLess(table["together"]["local_outlier_factor"], 0.5)
        self.assertEqual(table["relations"].idxmax(), "mahalanobis")
        self.assertGreater(of["tuned_area"], max(0.95, of["default_area"]))
        self.assertLess(abs(of["search"].best_score_ - of["tuned_area"]), 0.02)
        self.assertNotEqual(of["tuned"].scale, "none")

    def test_calibrating_to_a_budget(self):
        of = self.run_notebook("3_calibrating_to_a_budget")
        self.assertTrue(0.006 < of["share"] < 0.014, of["share"])
        self.assertTrue(0.009 < np.mean(of["realised"]) < 0.011, np.mean(of["realised"]))
        budgets = of["budgets"].set_index("calibration")
        self.assertEqual(budgets["rows"]["cross"], 10_000)
        self.assertEqual(list(budgets["extrapolates"]), [True, True, False, False])
        self.assertTrue(budgets["false alarms"].between(5, 50).all(), budgets)
        self.assertRegex(of["refused"], "false_alarm_rate: found 0.0004, allowed at least 0.000999")
        false = of["outcomes"].groupby(["rule", "incidents"])["share false"].mean()
        self.assertLess(false["discovery rate 0.1"].max(), 0.12)
        self.assertGreater(false["p <= 0.01"]["0.1 %"], 0.5)
        found = of["dirty"]["share found"]
        self.assertGreater(found[True].min(), 0.95)
        self.assertLess(found[False]["3%"], 0.5)
        self.assertLess(of["gap"], 1e-3)
        self.assertEqual((of["by_kind"]["loop"].idxmax(), of["by_kind"]["errors"].idxmax()), ("cpu", "errors"))

    def test_from_notebook_to_stream(self):
        of = self.run_notebook("4_from_notebook_to_stream")
        self.assertEqual((of["acknowledged"], of["sent"], of["refused"]), (20, 20, 0))
        self.assertEqual([(refusal.seq, refusal.row) for refusal in of["refusals"]], [(1, 1)])
        self.assertEqual(of["equal"], dict.fromkeys(of["equal"], True))
        self.assertLessEqual({420, 1111, 1700}, set(of["contributions"].index))
        self.assertEqual(of["status"], 0)


class Files(unittest.TestCase):
    def test_every_one_is_run(self):
        tests = {name.removeprefix("test_") for name in dir(Notebooks) if name.startswith("test_")}
        self.assertEqual({file.stem.split("_", 1)[1] for file in FILES}, tests)

    def test_they_are_stored_clean(self):
        for file in FILES:
            with self.subTest(file.name):
                notebook = read(file)
                cells = notebook["cells"]
                self.assertEqual((notebook["nbformat"], notebook["nbformat_minor"]), (4, 5))
                self.assertEqual(notebook["metadata"], {
                    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                    "language_info": {"name": "python"}})
                self.assertEqual(len({cell["id"] for cell in cells}), len(cells))
                for cell in cells:
                    self.assertEqual((cell["metadata"], cell.get("outputs", []), cell.get("execution_count")),
                                     ({}, [], None), cell["id"])
                    self.assertLessEqual(max(map(len, cell["source"])), 121, cell["id"])  # with the line's end


if __name__ == "__main__":
    unittest.main()
