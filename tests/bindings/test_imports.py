"""Forests and networks that were fitted elsewhere score as they did there, and like any model of Lanner's."""

import importlib.util
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import pandas
from sklearn.ensemble import ExtraTreesRegressor, IsolationForest
from sklearn.exceptions import NotFittedError

import host_process
import lanner
import rows
from lanner import _engine

have_onnx = importlib.util.find_spec("onnx") is not None
have_safetensors = importlib.util.find_spec("safetensors") is not None
have_treelite = importlib.util.find_spec("treelite") is not None
most, least = np.finfo(np.float32).max, np.float32(1e-45)


def forests():
    """(name, a fitted forest of scikit-learn's, the rows that it was fitted on)"""
    X = rows.normal(600, 5)
    wide = rows.normal(400, 6) * np.float32([1e-30, 1, 1e30, 1e-42, 1e6, 1e37])
    constant = X.copy()
    constant[:, [1, 3]] = 7
    for name, given, training in (
            ("usual", {}, X), ("of float64", {}, X.astype(np.float64) + 1e-9),
            ("half the features", {"max_features": 0.5}, X), ("one feature each", {"max_features": 1}, X),
            ("bootstrap", {"bootstrap": True}, X),
            ("bootstrap of some features", {"bootstrap": True, "max_features": 3}, X),
            ("deep", {"max_samples": 600}, X), ("of two rows", {"max_samples": 2}, X), ("all scales", {}, wide),
            ("constant columns", {}, constant), ("leaves alone", {}, np.full((300, 3), 2, np.float32)),
            ("binary", {}, (X > 0.5).astype(np.float32))):
        yield name, IsolationForest(n_estimators=25, random_state=3, **given).fit(training), training


def awkward(forest, X):
    """Rows like those, and on, just above and just below every threshold, with the least and the largest values."""
    generator = np.random.default_rng(5)
    like = np.float32(X[generator.integers(len(X), size=400)] * generator.normal(1, 0.5, (400, 1)))
    trees = [tree.tree_ for tree in forest.estimators_]
    thresholds = np.concatenate([tree.threshold[tree.feature >= 0] for tree in trees] + [[0.0]])
    near = generator.choice(thresholds, (600, X.shape[1])).astype(np.float32)
    way = generator.choice(np.float32([-np.inf, 0, np.inf]), near.shape)
    near = np.clip(np.where(way == 0, near, np.nextafter(near, way)), -most, most)
    extreme = generator.choice(np.float32([0, -0.0, least, -least, 1e-40, most, -most, 1, 1e30]), (300, X.shape[1]))
    return np.concatenate([like, near, extreme])


class FromSklearn(unittest.TestCase):
    @np.errstate(all="ignore")
    def test_every_row_comes_to_the_same_leaf_of_every_tree(self):
        for name, forest, X in forests():
            fresh = awkward(forest, X)
            for tree, features in list(zip(forest.estimators_, forest.estimators_features_))[:4]:
                nodes = tree.tree_
                own = fresh[:, features] if len(features) < X.shape[1] else fresh
                # Lengths that tell the leaves apart.
                step = 60 / nodes.node_count
                imported = _engine.import_isolation_forest(
                    width=own.shape[1], samples=256, average_length=0.0, tree_begin=np.array([0, nodes.node_count]),
                    left=nodes.children_left, right=nodes.children_right, feature=nodes.feature,
                    threshold=nodes.threshold, rows=np.empty(0), length=step * np.arange(nodes.node_count),
                    source="a test")
                fields = [f"x{j}" for j in range(own.shape[1])]
                own = np.ascontiguousarray(own)
                model = _engine.Model.calibrate(imported, _engine.Events(own), {"calibration": "none"}, fields)
                scores = model.score(_engine.Events(own))[0].astype(np.float64)
                rate = np.log(2) / _average_length(256)
                leaves = -np.log(scores) / rate / step
                np.testing.assert_allclose(leaves, np.rint(leaves), atol=0.05)
                np.testing.assert_array_equal(np.rint(leaves), nodes.apply(own), name)

    @np.errstate(all="ignore")
    def test_scores_are_scikit_learns(self):
        for name, forest, X in forests():
            with self.subTest(name):
                fresh = awkward(forest, X)
                detector = lanner.IsolationForest.from_sklearn(forest, X)
                expected = -forest.score_samples(fresh)
                np.testing.assert_allclose(detector.anomaly_score(fresh), expected, rtol=1e-6)
                np.testing.assert_allclose(detector.score_samples(fresh), forest.score_samples(fresh), rtol=1e-6)
                explained = detector.explain(fresh)
                sizes = np.abs(explained).sum(1)
                np.testing.assert_array_less(
                    np.abs(detector.base_ + explained.sum(1, dtype=np.float64) - detector.anomaly_score(fresh)),
                    1e-5 * sizes + 1e-6)

    def test_rows_of_float64_are_cast_as_scikit_learn_casts_them(self):
        X = rows.normal(500, 4, dtype=np.float64)
        forest = IsolationForest(random_state=1).fit(X)
        fresh = rows.normal(2000, 4, seed=2, dtype=np.float64) * 1.5
        np.testing.assert_allclose(lanner.IsolationForest.from_sklearn(forest, X).anomaly_score(fresh),
                                   -forest.score_samples(fresh), rtol=1e-6)

    def test_it_is_an_estimator_like_any(self):
        X, fresh = rows.normal(800, 5), rows.normal(400, 5, seed=8)
        forest = IsolationForest(n_estimators=50, max_features=2, max_samples=128, random_state=2).fit(X)
        detector = lanner.IsolationForest.from_sklearn(forest, fresh, false_alarm_rate=0.01, seed=9)
        self.assertIs(type(detector), lanner.IsolationForest)
        told = detector.get_params()
        self.assertEqual((told["trees"], told["samples"], told["features"], told["seed"]), (50, 128, 2, 9))
        self.assertEqual(len(detector.model_.calibration_scores) + int(detector.model_.provenance["rows_trimmed"]), 400)
        self.assertAlmostEqual((detector.predict(rows.normal(4000, 5, seed=10)) == -1).mean(), 0.01, delta=0.01)
        self.assertEqual(detector.model_.provenance["imported"],
                         "scikit-learn IsolationForest, 50 trees of 128 rows")
        share = lanner.IsolationForest.from_sklearn(forest, fresh, contamination=0.1)
        self.assertEqual((share.predict(fresh) == -1).sum(), 40)

    def test_names_are_the_calibration_rows(self):
        frame = pandas.DataFrame(rows.normal(300, 3), columns=["b", "a", "c"])
        forest = IsolationForest(random_state=1).fit(frame)
        detector = lanner.IsolationForest.from_sklearn(forest, frame)
        self.assertEqual(detector.explained_features_, ["b", "a", "c"])
        with self.assertRaisesRegex(ValueError, "X_calibration: found the columns a, b, c, allowed those of the fit in "
                                                "their order: b, a, c"):
            lanner.IsolationForest.from_sklearn(forest, frame[["a", "b", "c"]])

    def test_what_is_no_such_forest_is_refused(self):
        X = rows.normal(100, 3)
        fitted = IsolationForest(n_estimators=5, random_state=1).fit(X)
        with self.assertRaises(NotFittedError):
            lanner.IsolationForest.from_sklearn(IsolationForest(), X)
        with self.assertRaisesRegex(ValueError, "forest: found ExtraTreesRegressor, allowed sklearn.ensemble.Iso"):
            lanner.IsolationForest.from_sklearn(ExtraTreesRegressor().fit(X, X[:, 0]), X)
        with self.assertRaisesRegex(ValueError, "samples: found 1, allowed 2 to"):
            lanner.IsolationForest.from_sklearn(IsolationForest(max_samples=1, random_state=1).fit(X), X)
        with self.assertRaisesRegex(ValueError, "found rows of 2 features, allowed those of the imported isolation_fo"):
            lanner.IsolationForest.from_sklearn(fitted, X[:, :2])
        with self.assertRaisesRegex(ValueError, "NaN"):
            lanner.IsolationForest.from_sklearn(fitted, np.where(X > 2, np.nan, X))
        with self.assertRaisesRegex(ValueError, "NaN"):
            lanner.IsolationForest.from_sklearn(fitted, X).predict(np.full((2, 3), np.nan))

    def test_a_forest_that_knows_missing_values_scores_the_rows_that_have_none(self):
        X = rows.normal(400, 3)
        holed = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
        forest = IsolationForest(random_state=4).fit(holed)
        detector = lanner.IsolationForest.from_sklearn(forest, X)
        np.testing.assert_allclose(detector.anomaly_score(X), -forest.score_samples(X), rtol=1e-6)


def _average_length(n):
    return 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n


def treelite_json(nodes, **changes):
    dump = {"num_feature": 2, "task_type": "kIsolationForest", "average_tree_output": True, "num_target": 1,
            "num_class": [1], "leaf_vector_shape": [1, 1], "postprocessor": "exponential_standard_ratio",
            "ratio_c": _average_length(8), "base_scores": [0.0], "trees": [{"nodes": nodes}]}
    return json.dumps({**dump, **changes})


def split(operator="<=", threshold=0.5, **changes):
    root = {"node_id": 0, "split_feature_id": 1, "node_type": "numerical_test_node", "comparison_op": operator,
            "threshold": threshold, "left_child": 3, "right_child": 7}
    return [{**root, **changes}, {"node_id": 3, "leaf_value": 1.0}, {"node_id": 7, "leaf_value": 4.0}]


class FromTreelite(unittest.TestCase):
    @unittest.skipUnless(have_treelite, "found no treelite (scripts/setup test installs it from PyPI)")
    @np.errstate(all="ignore")
    def test_scores_are_treelites_in_every_form_of_the_model(self):
        import treelite

        for name, forest, X in forests():
            if name == "leaves alone":  # Treelite refuses trees of one node
                continue
            with self.subTest(name):
                model = treelite.sklearn.import_model(forest)
                fresh = awkward(forest, X)
                told = lanner.IsolationForest.from_treelite(model, X).anomaly_score(fresh)
                np.testing.assert_allclose(told, treelite.gtil.predict(model, fresh.astype(np.float64)).reshape(-1),
                                           rtol=1e-6)
                np.testing.assert_allclose(told, lanner.IsolationForest.from_sklearn(forest, X).anomaly_score(fresh),
                                           rtol=1e-6)
                for form in (model.serialize_bytes(), model.dump_as_json(pretty_print=False)):
                    again = lanner.IsolationForest.from_treelite(form, X)
                    np.testing.assert_array_equal(again.anomaly_score(fresh), told)

    @np.errstate(all="ignore")
    def test_every_comparison_is_followed_to_the_float(self):
        compared = {"<=": np.less_equal, "<": np.less, ">": np.greater, ">=": np.greater_equal}
        X = rows.normal(50, 2)
        for threshold in (0.5, -0.5, 0.0, 0.1, float(np.float32(0.1)), 1e-60, float(most), 1e39, -1e39):
            near = np.float32(np.clip(threshold, -most, most))
            fresh = np.zeros((9, 2), np.float32)
            fresh[:, 1] = [near, np.nextafter(near, np.float32(-most)), np.nextafter(near, most), 0, -0.0, least,
                           -least, most, -most]
            for operator, compare in compared.items():
                detector = lanner.IsolationForest.from_treelite(treelite_json(split(operator, threshold)), X)
                expected = np.where(compare(fresh[:, 1].astype(np.float64), threshold), 1, 4)
                np.testing.assert_allclose(detector.anomaly_score(fresh), 2.0 ** (-expected / _average_length(8)),
                                           rtol=1e-6, err_msg=f"{operator} {threshold}")

    def test_what_is_no_isolation_forest_is_refused(self):
        X = rows.normal(20, 2)
        for text, model in (
                ("model: found int, allowed treelite.Model", 7),
                ("model: found text that is no JSON", "{"),
                ("model: found text that is no JSON", "[" * 100000),
                ("model: found no `trees`", "[]"),
                ("task_type: found 'kRegressor', allowed 'kIsolationF", treelite_json(split(), task_type="kRegressor")),
                ("postprocessor: found 'sigmoid'", treelite_json(split(), postprocessor="sigmoid")),
                ("average_tree_output: found False", treelite_json(split(), average_tree_output=False)),
                ("base_scores: found .1.0., allowed .0.0.", treelite_json(split(), base_scores=[1.0])),
                ("num_target: found 2", treelite_json(split(), num_target=2)),
                ("ratio_c: found None, allowed a number", treelite_json(split(), ratio_c=None)),
                ("average_length: found 1.1", treelite_json(split(), ratio_c=1.1)),
                ("num_feature: found 1.5, allowed a whole number", treelite_json(split(), num_feature=1.5)),
                ("tree 0, node 0: found feature 1, allowed 0 to 0", treelite_json(split(), num_feature=1)),
                ("width: found 0 features", treelite_json(split(), num_feature=0)),
                ("tree_begin: found no tree", treelite_json(split(), trees=[])),
                ("tree 0: found no nodes", treelite_json([])),
                ("tree 0: found no nodes", treelite_json([7])),
                ("tree 0: found node_ids", treelite_json(split()[1:])),
                ("tree 0: found node_ids", treelite_json(split() + [{"node_id": 3, "leaf_value": 1}])),
                ("node 0: node_type: found 'categorical_test_node'",
                 treelite_json(split(node_type="categorical_test_node"))),
                ("node 0: comparison_op: found '==', allowed <=, <, > or >=", treelite_json(split("=="))),
                ("node 0: found a child that there is not", treelite_json(split(left_child=4))),
                ("node 0: found the child 1, which is reached already", treelite_json(split(right_child=3))),
                ("found the child 0, which is reached already", treelite_json(split(right_child=0))),
                ("found 1 nodes that no branch leads to", treelite_json(split() + [{"node_id": 9, "leaf_value": 1}])),
                ("threshold that is no number", treelite_json(split(threshold=float("nan")))),
                ("threshold: found 'x'", treelite_json(split(threshold="x"))),
                ("leaf_value: found .1, 2.", treelite_json(split()[:2] + [{"node_id": 7, "leaf_value": [1, 2]}])),
                ("found the length -1", treelite_json(split()[:2] + [{"node_id": 7, "leaf_value": -1}])),
                ("a number beyond float64", treelite_json(split()[:2] + [{"node_id": 7, "leaf_value": 10**400}]))):
            with self.subTest(text):
                with self.assertRaisesRegex(ValueError, text):
                    lanner.IsolationForest.from_treelite(model, X)


def layers(widths, seed=1):
    """(weight [outputs, inputs], bias [outputs]) of each, as PyTorch has them."""
    generator = np.random.default_rng(seed)
    return [(generator.normal(size=(n, m)).astype(np.float32) / np.float32(np.sqrt(m)),
             generator.normal(size=n).astype(np.float32)) for m, n in zip(widths, widths[1:])]


applied = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
           "identity": lambda z: z}


def reconstruction_error(network, activations, X):
    X = x = X.astype(np.float64)
    for (weight, bias), activation in zip(network, activations):
        x = applied[activation](x @ weight.T.astype(np.float64) + bias)
    return ((x - X) ** 2).mean(1)


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.X, self.fresh = rows.normal(400, 6), rows.normal(300, 6, seed=4) * 2

    def refused(self, text, call, error=ValueError):
        with self.subTest(text):
            with self.assertRaisesRegex(error, text):
                call()


@unittest.skipUnless(have_safetensors, "found no safetensors (scripts/setup test installs it from PyPI)")
class FromSafetensors(InAFolder):
    def written(self, tensors):
        from safetensors.numpy import save_file

        path = self.folder / "it.safetensors"
        save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)
        return path

    def of_names(self, network, names):
        return {f"{name}.{part}": values for name, layer in zip(names, network)
                for part, values in zip(("weight", "bias"), layer)}

    def test_scores_are_the_reconstruction_error(self):
        network = layers([6, 9, 3, 9, 6])
        path = self.written(self.of_names(network, ["0", "2", "4", "6"]))
        for given, each in (("relu", ["relu", "relu", "relu", "identity"]), ("tanh", ["tanh"] * 3 + ["identity"]),
                            ("sigmoid", ["sigmoid"] * 3 + ["identity"]), ("identity", ["identity"] * 4),
                            (["relu", "identity", "relu", "identity"],) * 2,
                            (["tanh", "relu", "relu", "sigmoid"],) * 2):
            with self.subTest(given):
                detector = lanner.Autoencoder.from_safetensors(path, self.X, activation=given)
                expected = reconstruction_error(network, each, self.fresh)
                np.testing.assert_allclose(detector.anomaly_score(self.fresh), expected, rtol=1e-5)
                np.testing.assert_allclose(detector.explain(self.fresh).sum(1), expected, rtol=1e-5)
        self.assertEqual(detector.get_params()["hidden"], (9, 3, 9))
        self.assertRegex(detector.model_.provenance["imported"], r"safetensors it.safetensors \(sha256:[0-9a-f]{64}\): "
                                                                 "6-9-3-9-6, tanh, rectifier, rectifier, sigmoid")

    def test_a_scaling_stands_before_the_network(self):
        network = layers([6, 4, 6])
        path = self.written(self.of_names(network, ["0", "2"]))
        mean, scale = np.array([1, -2, 30, 0, 0, 5.5]), np.array([1, 2, 10, 0.1, 3, 1e3])
        detector = lanner.Autoencoder.from_safetensors(path, self.X * scale + mean, activation="relu", mean=mean,
                                                       scale=scale)
        plain = lanner.Autoencoder.from_safetensors(path, self.X, activation="relu")
        fresh = (self.fresh * scale + mean).astype(np.float32)
        np.testing.assert_allclose(detector.anomaly_score(fresh), plain.anomaly_score((fresh - mean) / scale),
                                   rtol=1e-4)
        self.assertGreater(np.abs(detector.anomaly_score(self.fresh) / plain.anomaly_score(self.fresh) - 1).max(), 0.5)

    def test_layers_are_in_natural_order_and_an_encoder_comes_first(self):
        network = layers([6] * 12 + [6])
        expected = reconstruction_error(network, ["relu"] * 11 + ["identity"], self.fresh)
        encoder = [f"encoder.{2 * i}" for i in range(6)] + [f"decoder.{2 * i}" for i in range(6)]
        for names in ([str(2 * i) for i in range(12)], encoder, [f"net.fc{i}" for i in range(1, 13)]):
            path = self.written(self.of_names(network, names))
            detector = lanner.Autoencoder.from_safetensors(path, self.X, activation="relu")
            np.testing.assert_allclose(detector.anomaly_score(self.fresh), expected, rtol=1e-5)
        path = self.written(self.of_names(network, [f"z{12 - i:02}" for i in range(12)]))
        detector = lanner.Autoencoder.from_safetensors(path, self.X, activation="relu",
                                                       layers=[f"z{12 - i:02}" for i in range(12)])
        np.testing.assert_allclose(detector.anomaly_score(self.fresh), expected, rtol=1e-5)

    def test_weights_of_other_floats_and_no_bias(self):
        network = [(weight.astype(np.float16), np.zeros_like(bias)) for weight, bias in layers([6, 4, 6])]
        weights = {f"{i}.weight": weight for i, (weight, _) in enumerate(network)}
        expected = lanner.Autoencoder.from_safetensors(self.written(weights), self.X, activation="tanh")
        for dtype in (np.float32, np.float64):
            path = self.written({name: weight.astype(dtype) for name, weight in weights.items()})
            found = lanner.Autoencoder.from_safetensors(path, self.X, activation="tanh")
            np.testing.assert_array_equal(found.anomaly_score(self.fresh), expected.anomaly_score(self.fresh))
        # bfloat16, which NumPy lacks: by hand, of weights that it holds exactly.
        coarse = {name: (weight.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
                  for name, weight in weights.items()}
        expected = lanner.Autoencoder.from_safetensors(self.written(coarse), self.X, activation="tanh")
        header, data = {}, b""
        for name, weight in coarse.items():
            begin = len(data)
            data += (weight.view(np.uint32) >> 16).astype(np.uint16).tobytes()
            header[name] = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [begin, len(data)]}
        text = json.dumps(header).encode()
        path = self.folder / "bf16.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        found = lanner.Autoencoder.from_safetensors(path, self.X, activation="tanh")
        np.testing.assert_array_equal(found.anomaly_score(self.fresh), expected.anomaly_score(self.fresh))

    def test_what_does_not_fit_is_refused_by_name(self):
        network = layers([6, 9, 3, 9, 6])
        good = self.of_names(network, ["0", "2", "4", "6"])

        def given(tensors, activation="relu", **more):
            return lambda: lanner.Autoencoder.from_safetensors(self.written(tensors), self.X, activation=activation,
                                                               **more)

        def without(*names):
            return {name: values for name, values in good.items() if name not in names}

        self.refused("found the tensor 1.running_mean, allowed NAME.weight",
                     given({**good, "1.running_mean": np.zeros(9)}))
        self.refused(r"1.weight: found shape \[9\], allowed \[outputs, inputs\]",
                     given({**good, "1.weight": np.ones(9)}))
        self.refused(r"0.bias: found shape \[9, 1\]", given({**good, "0.bias": np.ones((9, 1))}))
        self.refused(r"found 0.weight of \[9, 6\] and 0.bias of \[8\]", given({**good, "0.bias": np.ones(8)}))
        self.refused("found 0.bias and no 0.weight", given(without("0.weight")))
        self.refused(r"found 4.weight of \[9, 3\] after a layer of 9 outputs.*the order was 0, 4, 6, `layers` gives",
                     given(without("2.weight", "2.bias")))
        self.refused("found 6 inputs and 9 outputs", given(without("6.weight", "6.bias")))
        self.refused("0.weight: found dtype I64, allowed F16, F32",
                     given({**good, "0.weight": np.ones((9, 6), np.int64)}))
        self.refused("layer 1 has a weight or bias that isn't finite", given({**good, "2.bias": np.full(3, np.nan)}))
        self.refused("layer 0 has a weight or bias that isn't finite", given({**good, "0.bias": np.full(9, 1e39)}))
        self.refused("layers: found 1, allowed at least 2", given(self.of_names(layers([6, 6]), ["0"])))
        self.refused("found no layers", given({}))
        self.refused("activation: found 'gelu', allowed relu, rectifier, tanh, sigmoid, identity", given(good, "gelu"))
        self.refused("activation: found 3, allowed one a layer: 4", given(good, ["relu"] * 3))
        self.refused("layers: found 0, 2, allowed those of the file in any order: 0, 2, 4, 6",
                     given(good, layers=["0", "2"]))
        self.refused("mean: found 5 values, allowed one a feature: 6", given(good, mean=np.zeros(5), scale=np.ones(6)))
        self.refused("scale: found 0 values", given(good, mean=np.zeros(6)))
        self.refused(r"mean: found shape \(1, 6\)", given(good, mean=np.zeros((1, 6)), scale=np.ones(6)))
        self.refused("scale of feature 2", given(good, mean=np.zeros(6), scale=[1, 1, 0, 1, 1, 1]))
        self.refused("found rows of 5 features, allowed those of the imported autoencoder: 6",
                     lambda: lanner.Autoencoder.from_safetensors(self.written(good), self.X[:, :5], activation="relu"))
        (self.folder / "no.safetensors").write_bytes(b"\xff" * 100)
        for path, error in (("no.safetensors", ValueError), ("missing.safetensors", FileNotFoundError)):
            self.refused("no.safetensors: found no safetensors file|missing",
                         lambda: lanner.Autoencoder.from_safetensors(self.folder / path, self.X, activation="relu"),
                         error)


@unittest.skipUnless(have_onnx, "found no onnx (scripts/setup test installs it from PyPI)")
class FromOnnx(InAFolder):
    def written(self, nodes, weights, width=6):
        """nodes: (operator, inputs, output, attributes); the first input is x, the last output is y."""
        import onnx
        from onnx import helper, numpy_helper

        shape = ["rows", width]
        graph = helper.make_graph(
            [helper.make_node(operator, inputs, [output], **more) for operator, inputs, output, more in nodes],
            "network", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["rows", "features"])],
            [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("other", 1)])
        model.ir_version = 8
        onnx.save(model, self.folder / "it.onnx")
        return self.folder / "it.onnx"

    def imported(self, nodes, weights, **more):
        return lanner.Autoencoder.from_onnx(self.written(nodes, weights), self.X, **more)

    def gemms(self, activations=("Relu", "Tanh", "Sigmoid", None)):
        """As PyTorch exports Sequential(Linear, ReLU, ...)."""
        network = layers([6, 9, 3, 9, 6])
        nodes, weights, at = [], {}, "x"
        for i, ((weight, bias), activation) in enumerate(zip(network, activations)):
            weights[f"{i}.weight"], weights[f"{i}.bias"] = weight, bias
            nodes.append(("Gemm", [at, f"{i}.weight", f"{i}.bias"], f"sum{i}",
                          {"alpha": 1.0, "beta": 1.0, "transB": 1}))
            at = f"sum{i}"
            if activation:
                nodes.append((activation, [at], f"out{i}", {}))
                at = f"out{i}"
        nodes[-1] = (*nodes[-1][:2], "y", nodes[-1][3])
        return network, nodes, weights

    def test_scores_are_those_of_the_graph_however_it_is_written(self):
        from onnx.reference import ReferenceEvaluator

        network, nodes, weights = self.gemms()
        expected = self.imported(nodes, weights).anomaly_score(self.fresh)
        graph = ReferenceEvaluator(str(self.folder / "it.onnx"))
        reconstruction = graph.run(None, {"x": self.fresh})[0].astype(np.float64)
        np.testing.assert_allclose(expected, ((reconstruction - self.fresh) ** 2).mean(1), rtol=1e-5)
        np.testing.assert_allclose(expected, reconstruction_error(network, ["relu", "tanh", "sigmoid", "identity"],
                                                                  self.fresh), rtol=1e-5)
        from onnx import numpy_helper

        (w0, b0), (w1, b1), (w2, b2), (w3, b3) = network
        others = [("Identity", ["x"], "x1", {}), ("Flatten", ["x1"], "x2", {"axis": 1}),
                  ("MatMul", ["x2", "w0"], "a", {}), ("Add", ["b0", "a"], "b", {}), ("Relu", ["b"], "c", {}),
                  ("Dropout", ["c"], "d", {}),
                  ("Constant", [], "w1", {"value": numpy_helper.from_array(w1.T.copy())}),
                  ("MatMul", ["d", "w1"], "e", {}), ("Add", ["e", "b1"], "f", {}), ("Tanh", ["f"], "g", {}),
                  ("Gemm", ["g", "w2", "b2"], "h", {}), ("Sigmoid", ["h"], "i", {}),
                  ("Gemm", ["i", "w3", "b3"], "y", {"transB": 1})]
        also = {"w0": w0.T.copy(), "b0": b0, "b1": b1.reshape(1, -1), "w2": w2.T.copy(), "b2": b2, "w3": w3, "b3": b3}
        np.testing.assert_array_equal(self.imported(others, also).anomaly_score(self.fresh), expected)
        self.assertRegex(self.imported(nodes, weights).model_.provenance["imported"],
                         r"ONNX it.onnx \(sha256:[0-9a-f]{64}\): 6-9-3-9-6, rectifier, tanh, sigmoid, identity")

    @unittest.skipUnless(have_safetensors, "found no safetensors (scripts/setup test installs it from PyPI)")
    def test_the_same_weights_have_the_same_bits_from_either_format(self):
        from safetensors.numpy import save_file

        network, nodes, weights = self.gemms(("Relu", "Relu", "Relu", None))
        save_file(weights, self.folder / "it.safetensors")
        np.testing.assert_array_equal(
            self.imported(nodes, weights).anomaly_score(self.fresh),
            lanner.Autoencoder.from_safetensors(self.folder / "it.safetensors", self.X, activation="relu")
            .anomaly_score(self.fresh))

    def test_weights_may_lie_beside_the_graph(self):
        import onnx

        _, nodes, weights = self.gemms()
        expected = self.imported(nodes, weights).anomaly_score(self.fresh)
        onnx.save(onnx.load(self.folder / "it.onnx"), self.folder / "outside.onnx", save_as_external_data=True,
                  location="weights.bin", size_threshold=0)
        self.assertTrue((self.folder / "weights.bin").exists())
        found = lanner.Autoencoder.from_onnx(self.folder / "outside.onnx", self.X)
        np.testing.assert_array_equal(found.anomaly_score(self.fresh), expected)

    def test_what_is_no_chain_of_layers_is_refused_by_name(self):
        _, nodes, weights = self.gemms()

        def given(change, more=None):
            return lambda: self.imported(change(list(nodes)), {**weights, **(more or {})})

        def instead(i, *node):
            return given(lambda all_nodes: [*all_nodes[:i], node, *all_nodes[i + 1:]])

        self.refused("node 1: found LeakyRelu, allowed Gemm, MatMul, Add, Relu",
                     instead(1, "LeakyRelu", ["sum0"], "out0", {}))
        self.refused("node 1: found Softplus", instead(1, "Softplus", ["sum0"], "out0", {}))
        self.refused("node 1: found other.Relu", instead(1, "Relu", ["sum0"], "out0", {"domain": "other"}))
        self.refused("node 2: found Gemm of 'x', allowed of what the node before it gives",
                     instead(2, "Gemm", ["x", "1.weight", "1.bias"], "sum1", {"transB": 1}))
        self.refused("found an output that is not what the last layer gives",
                     given(lambda n: [*n[:-1], (*n[-1][:2], "y", {"transB": 1}), ("Identity", ["y"], "z", {})]))
        self.refused("found alpha of 0.5, allowed 1.0", instead(0, "Gemm", ["x", "0.weight", "0.bias"], "sum0",
                                                                {"transB": 1, "alpha": 0.5}))
        self.refused("node 0: found Relu where no layer is before it",
                     given(lambda n: [("Relu", ["x"], "r", {}), ("Gemm", ["r", *n[0][1][1:]], "sum0", {"transB": 1}),
                                      *n[1:]]))
        self.refused("node 2: found Tanh where no layer is before it",
                     given(lambda n: [*n[:1], ("Relu", ["sum0"], "r", {}), ("Tanh", ["r"], "out0", {}), *n[2:]]))
        self.refused("node 1: found Add by 'x', allowed by what the file holds",
                     instead(1, "Add", ["sum0", "x"], "out0", {}))
        self.refused("found Flatten of axis 0", given(lambda n: [*n[:1], ("Flatten", ["sum0"], "f", {"axis": 0}),
                                                                  ("Relu", ["f"], "out0", {}), *n[2:]]))
        self.refused("layer 1 takes 3 inputs, the layer before gives 9",
                     instead(2, "Gemm", ["out0", "2.weight", "2.bias"], "sum1", {"transB": 1}))
        self.refused("node 0: found Gemm without weights|no ONNX model",
                     instead(0, "Gemm", ["x", ""], "sum0", {"transB": 1}))
        self.refused("found rows of 5 features",
                     lambda: lanner.Autoencoder.from_onnx(self.written(nodes, weights), self.X[:, :5]))
        (self.folder / "no.onnx").write_bytes(b"\xff" * 100)
        for path, error in (("no.onnx", ValueError), ("missing.onnx", FileNotFoundError)):
            self.refused("no.onnx: found no ONNX model|missing",
                         lambda: lanner.Autoencoder.from_onnx(self.folder / path, self.X), error)


class OneFile(InAFolder):
    """What an imported model's file says is what Python says, on every device and tier."""

    def imported(self):
        forest = IsolationForest(n_estimators=40, random_state=1).fit(self.X)
        yield lanner.IsolationForest.from_sklearn(forest, rows.normal(300, 6, seed=12)), "scikit-learn IsolationForest"
        deep = IsolationForest(n_estimators=20, max_samples=400, random_state=1).fit(self.X)
        yield lanner.IsolationForest.from_sklearn(deep, rows.normal(300, 6, seed=12)), "scikit-learn IsolationForest"
        if have_safetensors:
            from safetensors.numpy import save_file

            network = layers([6, 9, 3, 9, 6])
            save_file({f"{i}.{part}": values for i, layer in enumerate(network)
                       for part, values in zip(("weight", "bias"), layer)}, self.folder / "it.safetensors")
            yield lanner.Autoencoder.from_safetensors(
                self.folder / "it.safetensors", self.X, activation=["relu", "tanh", "sigmoid", "sigmoid"],
                mean=np.arange(6), scale=np.full(6, 3.0)), "safetensors it.safetensors"

    def command(self, *arguments, **environment):
        done = subprocess.run([host_process.LANNER, *map(str, arguments)], capture_output=True, text=True,
                              env={**os.environ, **environment})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_bits(self):
        np.save(self.folder / "fresh.npy", self.fresh)
        path = self.folder / "model.lanner"
        for detector, source in self.imported():
            with self.subTest(source):
                score, p_value = detector.anomaly_score(self.fresh), detector.p_value(self.fresh)
                detector.save(path)
                loaded = lanner.load(path)
                self.assertIs(type(loaded), type(detector))
                self.assertEqual(loaded.model_.hash, detector.model_.hash)
                for same in (loaded, loaded.set_params(device="emulated")):
                    np.testing.assert_array_equal(same.anomaly_score(self.fresh).view(np.uint32), score.view(np.uint32))
                    np.testing.assert_array_equal(same.p_value(self.fresh), p_value)
                for tier in ("scalar", "avx2"):
                    self.command("score", "--model", path, "--data", self.folder / "fresh.npy", "--out",
                                 self.folder / "out.npy", LANNER_CPU=tier)
                    told = np.load(self.folder / "out.npy")
                    np.testing.assert_array_equal(told["score"].view(np.uint32), score.view(np.uint32), tier)
                    np.testing.assert_array_equal(told["p_value"], p_value)
                self.assertRegex(self.command("inspect", path), f"(?m)^imported: {source}")


if __name__ == "__main__":
    unittest.main()
