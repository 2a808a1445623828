"""Forests and networks that were fitted elsewhere: read by the packages of their formats, as arrays for the engine."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
from pathlib import Path

import numpy as np

from . import _engine, _parameters


class _Imports:
    """How an imported detector becomes an estimator of its class."""

    @classmethod
    def _imported(cls, imported, X_calibration, feature_names, settings, **parameters):
        """settings: of the detector's own that the engine can't tell. feature_names: what it was fitted on, or None."""
        table = {parameter.name: parameter for detector in _engine.catalogue() if detector.name == cls._detector
                 for parameter in detector.parameters}
        own = {name: _parameters.parsed(table[name], text) for name, text in imported.settings.items()}
        return cls(**own, **settings, **parameters)._calibrate(imported, X_calibration, feature_names)


class _ForestImports(_Imports):
    @classmethod
    def from_sklearn(cls, forest, X_calibration, *, trim=True, extrapolate=True, false_alarm_rate="auto",
                     contamination=None, seed=1, device="cpu", verbose=False):
        """A fitted sklearn.ensemble.IsolationForest as a fitted estimator: its trees, calibrated on other rows.

        X_calibration: [n, d], rows that the forest was not fitted on, in the order of its features. The other
        parameters are the class's.

        Every row takes the paths that it takes in scikit-learn, and the anomaly score is minus score_samples (within
        1e-6 of it). Rows with NaN are refused, also where the forest was fitted on some. No column counts as constant.

        Raises ValueError for anything else than such a forest, for one of single rows (max_samples_ of 1), and for rows
        that can't be used; NotFittedError.
        """
        imported, names, settings = forest_of_sklearn(forest)
        return cls._imported(imported, X_calibration, names, settings, trim=trim, extrapolate=extrapolate,
                             false_alarm_rate=false_alarm_rate, contamination=contamination, seed=seed, device=device,
                             verbose=verbose)

    @classmethod
    def from_treelite(cls, model, X_calibration, *, trim=True, extrapolate=True, false_alarm_rate="auto",
                      contamination=None, seed=1, device="cpu", verbose=False):
        """An isolation forest in Treelite's form as a fitted estimator, calibrated on other rows.

        model: a treelite.Model, its serialize_bytes(), or the text of its dump_as_json() (which needs no package
        treelite). X_calibration: [n, d], rows that the forest was not fitted on. The other parameters are the class's.

        Every row takes Treelite's paths, and the anomaly score is what Treelite predicts (within 1e-6 of it). Rows with
        NaN are refused: directions for missing values are not taken over.

        Raises ValueError for what is no isolation forest of numerical splits, and for rows that can't be used;
        ImportError where bytes are given and treelite is not installed.
        """
        return cls._imported(forest_of_treelite(model), X_calibration, None, {}, trim=trim, extrapolate=extrapolate,
                             false_alarm_rate=false_alarm_rate, contamination=contamination, seed=seed, device=device,
                             verbose=verbose)


class _NetworkImports(_Imports):
    @classmethod
    def from_safetensors(cls, path, X_calibration, *, activation, mean=None, scale=None, layers=None, trim=True,
                         extrapolate=True, false_alarm_rate="auto", contamination=None, seed=1, device="cpu",
                         verbose=False):
        """An autoencoder of dense layers, its weights in a .safetensors file as PyTorch has them, as a fitted
        estimator, calibrated on rows.

        path: NAME.weight [outputs, inputs] and NAME.bias [outputs] (may be missing) of each layer and nothing else;
        float16, bfloat16, float32, or float64 (rounded to float32). X_calibration: [n, d], rows that the network was
        not trained on, as they were before `mean` and `scale`.

        activation: 'relu', 'tanh', 'sigmoid' or 'identity' of every layer but the last, which has none; or one for each
        layer, the last included (an encoder's last layer often has none: say so here).
        mean, scale: float64 [d] each; rows become (x - mean) / scale before the first layer. layers: the NAMEs in their
        order; otherwise they are in natural order (2 before 10), an encoder before a decoder.
        The other parameters are the class's.

        The score is the mean squared difference of the row and its reconstruction, on the scale of the network.

        Raises ValueError where names, shapes or values don't fit, with what was found; OSError; ImportError where
        safetensors is not installed.
        """
        imported = network_of_safetensors(path, activation, mean, scale, layers)
        return cls._imported(imported, X_calibration, None, {}, trim=trim, extrapolate=extrapolate,
                             false_alarm_rate=false_alarm_rate, contamination=contamination, seed=seed, device=device,
                             verbose=verbose)

    @classmethod
    def from_onnx(cls, path, X_calibration, *, mean=None, scale=None, trim=True, extrapolate=True,
                  false_alarm_rate="auto", contamination=None, seed=1, device="cpu", verbose=False):
        """An autoencoder of dense layers in an ONNX file as a fitted estimator, calibrated on rows.

        path: a graph of one input [n, d] and one output [n, d], a chain of Gemm, or MatMul and Add, each perhaps with
        Relu, Tanh or Sigmoid after it. Identity, Dropout and Flatten(axis=1) are passed over; anything else is refused
        by its name. X_calibration: [n, d], rows that the network was not trained on, as they were before `mean` and
        `scale`.

        mean, scale: float64 [d] each; rows become (x - mean) / scale before the graph's input.
        The other parameters are the class's.

        The score is the mean squared difference of the row and its reconstruction, on the scale of the network.

        Raises ValueError for graphs that are none of this, with what was found; OSError; ImportError where onnx is not
        installed.
        """
        imported = network_of_onnx(path, mean, scale)
        return cls._imported(imported, X_calibration, None, {}, trim=trim, extrapolate=extrapolate,
                             false_alarm_rate=false_alarm_rate, contamination=contamination, seed=seed, device=device,
                             verbose=verbose)


bases = {"isolation_forest": _ForestImports, "autoencoder": _NetworkImports}


def _package(name, what):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"found no package {name}, which reads {what}: pip install {name.split('.')[0]}") from error


def forest_of_sklearn(forest):
    """(imported, feature names or None, settings that the arrays don't tell)"""
    from sklearn.ensemble import IsolationForest
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(forest, IsolationForest):
        raise ValueError(f"forest: found {type(forest).__name__}, allowed sklearn.ensemble.IsolationForest")
    check_is_fitted(forest)
    width = forest.n_features_in_
    trees = [tree.tree_ for tree in forest.estimators_]
    features, drawn = [], width
    for tree, own in zip(trees, forest.estimators_features_):
        # Trees that drew their features number those alone.
        drawn = len(own)
        features.append(np.asarray(own)[np.maximum(tree.feature, 0)] if drawn < width else tree.feature)
    imported = _engine.import_isolation_forest(
        width=width, samples=int(forest.max_samples_), average_length=0.0, **_joined(
            [tree.children_left for tree in trees], [tree.children_right for tree in trees], features,
            [tree.threshold for tree in trees], [tree.n_node_samples for tree in trees], None),
        source=f"scikit-learn IsolationForest, {len(trees)} trees of {forest.max_samples_} rows")
    return imported, getattr(forest, "feature_names_in_", None), {"features": drawn} if drawn < width else {}


def _joined(left, right, feature, threshold, rows, length):
    """Arrays a tree as arrays of the whole forest. rows, length: or None."""
    def joined(arrays, dtype):
        return np.concatenate([np.asarray(a, dtype) for a in arrays]) if arrays else np.empty(0, dtype)

    return {"tree_begin": np.cumsum([0, *map(len, left)], dtype=np.int64), "left": joined(left, np.int64),
            "right": joined(right, np.int64), "feature": joined(feature, np.int64),
            "threshold": joined(threshold, np.float64), "rows": joined(rows, np.float64),
            "length": joined(length, np.float64)}


_isolation_forest = {
    "task_type": ("kIsolationForest",), "average_tree_output": (True,), "num_target": (1,), "num_class": ([1],),
    "leaf_vector_shape": ([1, 1],), "postprocessor": ("exponential_standard_ratio",), "base_scores": ([0.0], [])}


def forest_of_treelite(model):
    if isinstance(model, (bytes, bytearray)):
        treelite = _package("treelite", "Treelite's bytes")
        try:
            model = treelite.Model.deserialize_bytes(bytes(model))
        except treelite.TreeliteError as error:
            raise ValueError(f"model: found bytes that are no Treelite model: {error}") from error
    if hasattr(model, "dump_as_json"):
        model = model.dump_as_json()
    if not isinstance(model, str):
        raise ValueError(f"model: found {type(model).__name__}, allowed treelite.Model, its serialize_bytes() or the "
                         "text of its dump_as_json()")
    try:
        dump = json.loads(model)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"model: found text that is no JSON: {error}") from error
    if not isinstance(dump, dict) or not isinstance(dump.get("trees"), list):
        raise ValueError("model: found no `trees`, allowed the text of Treelite's dump_as_json()")
    for name, allowed in _isolation_forest.items():
        if dump.get(name) not in allowed:
            raise ValueError(f"model: {name}: found {dump.get(name)!r}, allowed {allowed[0]!r} of an isolation forest")
    trees = [_tree_of_treelite(tree, f"model: tree {t}") for t, tree in enumerate(dump["trees"])]
    left, right, feature, threshold, rows, length = map(list, zip(*trees)) if trees else ([] for _ in range(6))
    return _engine.import_isolation_forest(
        width=_number(dump, "num_feature", "model", int), samples=0,
        average_length=_number(dump, "ratio_c", "model", float),
        **_joined(left, right, feature, threshold, rows if all(r is not None for r in rows) else None, length),
        source=f"Treelite isolation forest of {len(trees)} trees")


def _number(node, name, where, kind):
    value = node.get(name)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise ValueError(f"{where}: {name}: found {value!r}, allowed a {'whole ' if kind is int else ''}number")
    if kind is int and not 0 <= value < 2**31:
        raise ValueError(f"{where}: {name}: found {value}, allowed 0 to 2^31 - 1")
    try:
        return kind(value)
    except OverflowError:
        raise ValueError(f"{where}: {name}: found a number beyond float64") from None


def _tree_of_treelite(tree, where):
    nodes = tree.get("nodes") if isinstance(tree, dict) else None
    if not isinstance(nodes, list) or not nodes or not all(isinstance(node, dict) for node in nodes):
        raise ValueError(f"{where}: found no nodes")
    place = {_number(node, "node_id", where, int): i for i, node in enumerate(nodes)}
    if len(place) < len(nodes) or nodes[0]["node_id"] != 0:
        raise ValueError(f"{where}: found node_ids that are not the nodes' own, the root's 0")
    left, right, feature = (np.full(len(nodes), -1, np.int64) for _ in range(3))
    threshold, rows, length = np.zeros(len(nodes)), np.zeros(len(nodes)), np.zeros(len(nodes))
    counted = True
    for i, node in enumerate(nodes):
        at = f"{where}, node {node['node_id']}"
        if "leaf_value" in node:
            length[i] = _number(node, "leaf_value", at, float)
            counted = counted and "data_count" in node
            rows[i] = _number(node, "data_count", at, int) if counted else 0
            continue
        if node.get("node_type") != "numerical_test_node":
            raise ValueError(f"{at}: node_type: found {node.get('node_type')!r}, allowed 'numerical_test_node'")
        operator = node.get("comparison_op")
        if operator not in ("<=", "<", ">", ">="):
            raise ValueError(f"{at}: comparison_op: found {operator!r}, allowed <=, <, > or >=")
        children = [place.get(_number(node, side, at, int), -1) for side in ("left_child", "right_child")]
        if -1 in children:
            raise ValueError(f"{at}: found a child that there is not")
        # All as x <= t: x < t is so for the float64 before t, and what holds for x > t goes to the other side.
        left[i], right[i] = children if operator in ("<=", "<") else reversed(children)
        threshold[i] = _number(node, "threshold", at, float)
        if operator in ("<", ">="):
            threshold[i] = np.nextafter(threshold[i], -np.inf)
        feature[i] = _number(node, "split_feature_id", at, int)
    return left, right, feature, threshold, rows if counted else None, length


_activations = {"relu": "rectifier", "rectifier": "rectifier", "tanh": "tanh", "sigmoid": "sigmoid",
                "identity": "identity"}


def _activations_of(given, count):
    """Our names, one a layer."""
    each = [given] * (count - 1) + ["identity"] if isinstance(given, str) else list(given)
    unknown = [one for one in each if one not in _activations]
    if unknown:
        raise ValueError(f"activation: found {unknown[0]!r}, allowed {', '.join(_activations)}, or one of them a layer")
    if len(each) != count:
        raise ValueError(f"activation: found {len(each)}, allowed one a layer: {count}, or one for all but the last")
    return [_activations[one] for one in each]


def _network(layers, mean, scale, source):
    """layers: (weight [outputs, inputs], bias [outputs], activation)"""
    scaling = []
    for name, given in (("mean", mean), ("scale", scale)):
        values = np.empty(0) if given is None else np.asarray(given, np.float64)
        if values.ndim != 1:
            raise ValueError(f"{name}: found shape {values.shape}, allowed one value a feature")
        scaling.append(np.ascontiguousarray(values))
    with np.errstate(over="ignore"):  # the engine says where a value isn't finite
        arrays = [(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32), activation)
                  for weight, bias, activation in layers]
    shape = "-".join(str(n) for n in [arrays[0][0].shape[1], *(weight.shape[0] for weight, _, _ in arrays)])
    activations = ", ".join(activation for _, _, activation in arrays)
    return _engine.import_autoencoder(layers=arrays, mean=scaling[0], scale=scaling[1],
                                      source=f"{source}: {shape}, {activations}")


def _file(path):
    """What the file holds, and what provenance says of it."""
    data = Path(path).read_bytes()
    return data, f"{Path(path).name} (sha256:{hashlib.sha256(data).hexdigest()})"


def _natural(name):
    # An encoder comes first, though d comes before e.
    name = name.replace("encoder", "\0").replace("decoder", "\1")
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]


def network_of_safetensors(path, activation, mean, scale, layers):
    safetensors = _package("safetensors", ".safetensors files")
    data, file = _file(path)
    try:
        tensors = dict(safetensors.deserialize(data))
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: found no safetensors file: {error}") from error
    matrices = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if part not in ("weight", "bias"):
            raise ValueError(f"{path}: found the tensor {name}, allowed NAME.weight and NAME.bias of dense "
                             "layers alone")
        if len(tensor["shape"]) != (2 if part == "weight" else 1):
            raise ValueError(f"{path}: {name}: found shape {list(tensor['shape'])}, allowed "
                             f"{'[outputs, inputs]' if part == 'weight' else '[outputs]'} of a dense layer")
        matrices.setdefault(layer, {})[part] = _values(tensor, f"{path}: {name}")
    for layer, parts in matrices.items():
        if "weight" not in parts:
            raise ValueError(f"{path}: found {layer}.bias and no {layer}.weight")
    if layers is None:
        order = sorted(matrices, key=_natural)
    else:
        order = list(layers)
        if sorted(order) != sorted(matrices):
            raise ValueError(f"layers: found {', '.join(map(str, order))}, allowed those of the file in any order: "
                             f"{', '.join(sorted(matrices, key=_natural))}")
    if not order:
        raise ValueError(f"{path}: found no layers")
    chain = []
    for layer, one in zip(order, _activations_of(activation, len(order))):
        weight = matrices[layer]["weight"]
        bias = matrices[layer].get("bias", np.zeros(weight.shape[0], np.float32))
        if bias.shape[0] != weight.shape[0]:
            raise ValueError(f"{path}: found {layer}.weight of {list(weight.shape)} and {layer}.bias of "
                             f"{list(bias.shape)}, allowed one bias an output")
        if chain and chain[-1][0].shape[0] != weight.shape[1]:
            raise ValueError(f"{path}: found {layer}.weight of {list(weight.shape)} after a layer of "
                             f"{chain[-1][0].shape[0]} outputs, allowed as many inputs; the order was "
                             f"{', '.join(order)}, `layers` gives another")
        chain.append((weight, bias, one))
    return _network(chain, mean, scale, f"safetensors {file}")


def _values(tensor, where):
    types = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.uint16}
    if tensor["dtype"] not in types:
        raise ValueError(f"{where}: found dtype {tensor['dtype']}, allowed {', '.join(types)}")
    values = np.frombuffer(tensor["data"], types[tensor["dtype"]]).reshape(tensor["shape"])
    if tensor["dtype"] == "BF16":  # a float32's upper half
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


_passed_over = ("Identity", "Dropout", "Flatten")
_onnx_activations = {"Relu": "rectifier", "Tanh": "tanh", "Sigmoid": "sigmoid"}


def network_of_onnx(path, mean, scale):
    onnx = _package("onnx", "ONNX files")
    from google.protobuf.message import DecodeError  # onnx brings it

    file = _file(path)[1]
    try:
        model = onnx.load(os.fspath(path))
        onnx.checker.check_model(model)
        graph = _Chain(onnx, model.graph, path)
    except (onnx.checker.ValidationError, DecodeError) as error:
        raise ValueError(f"{path}: found no ONNX model: {error}") from error
    return _network(graph.layers(), mean, scale, f"ONNX {file}")


class _Chain:
    """A graph that is one layer after another."""

    def __init__(self, onnx, graph, path):
        self._onnx, self._graph, self._path = onnx, graph, path
        self._constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        inputs = [given.name for given in graph.input if given.name not in self._constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ValueError(f"{path}: found {len(inputs)} inputs and {len(graph.output)} outputs, allowed one of each")
        self._at = inputs[0]  # the value that the chain has come to
        self._layers = []
        self._open = None  # what the last layer may still get: its bias, or its activation alone

    def layers(self):
        for i, node in enumerate(self._graph.node):
            self._add(node, f"{self._path}: node {i}" + (f" ({node.name})" if node.name else ""))
        if self._at != self._graph.output[0].name:
            raise ValueError(f"{self._path}: found an output that is not what the last layer gives")
        if not self._layers:
            raise ValueError(f"{self._path}: found no layers")
        return self._layers

    def _add(self, node, where):
        operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        attributes = {given.name: self._onnx.helper.get_attribute_value(given) for given in node.attribute}
        if operator == "Constant":
            if set(attributes) != {"value"}:
                raise ValueError(f"{where}: found a Constant of {', '.join(attributes)}, allowed one of a tensor")
            self._constants[node.output[0]] = self._onnx.numpy_helper.to_array(attributes["value"])
            return
        known = ("Gemm", "MatMul", "Add", *_onnx_activations, *_passed_over)
        if operator not in known:
            raise ValueError(f"{where}: found {operator}, allowed {', '.join(known)}")
        inputs = list(node.input)
        if operator == "Add" and inputs[1] == self._at:
            inputs.reverse()
        if inputs[0] != self._at:
            raise ValueError(f"{where}: found {operator} of {inputs[0]!r}, allowed of what the node before it gives: "
                             "the layers must be one chain")
        others = [self._constant(name, operator, where) for name in inputs[1:] if name]
        if operator in ("Gemm", "MatMul", "Add") and not others:
            raise ValueError(f"{where}: found {operator} without weights")
        if operator in _onnx_activations:
            if self._open is None:
                raise ValueError(f"{where}: found {operator} where no layer is before it, allowed one a layer")
            self._layers[-1][2] = _onnx_activations[operator]
            self._open = None
        elif operator in _passed_over:
            self._pass_over(operator, attributes, others, where)
        elif operator == "Add":
            if self._open != "bias":
                raise ValueError(f"{where}: found Add where no MatMul is before it")
            self._layers[-1][1] = self._bias(others[0], where)
            self._open = "activation"
        else:
            self._add_layer(operator, attributes, others, where)
        self._at = node.output[0]

    def _constant(self, name, operator, where):
        if name not in self._constants:
            raise ValueError(f"{where}: found {operator} by {name!r}, allowed by what the file holds: the layers must "
                             "be one chain")
        return self._constants[name]

    def _pass_over(self, operator, attributes, others, where):
        if operator == "Flatten" and attributes.get("axis", 1) != 1:
            raise ValueError(f"{where}: found Flatten of axis {attributes['axis']}, allowed 1")
        if operator == "Dropout" and len(others) == 2 and bool(others[1]):
            raise ValueError(f"{where}: found Dropout in training mode, allowed a graph for inference")

    def _add_layer(self, operator, attributes, others, where):
        usual = {"alpha": 1.0, "beta": 1.0, "transA": 0}
        for name, value in usual.items():
            if attributes.get(name, value) != value:
                raise ValueError(f"{where}: found {name} of {attributes[name]}, allowed {value}")
        weight = others[0]
        if weight.ndim != 2 or weight.dtype.kind != "f":
            raise ValueError(f"{where}: found weights of {weight.dtype} {list(weight.shape)}, allowed a matrix of "
                             "floats")
        if not attributes.get("transB", 0):
            weight = weight.T
        self._layers.append([weight, np.zeros(weight.shape[0], np.float32), "identity"])
        if len(others) > 1:
            self._layers[-1][1] = self._bias(others[1], where)
        self._open = "bias" if operator == "MatMul" else "activation"

    def _bias(self, values, where):
        outputs = self._layers[-1][0].shape[0]
        if values.size not in (1, outputs) or values.shape[-1:] not in ((), (1,), (outputs,)):
            raise ValueError(f"{where}: found a bias of {list(values.shape)}, allowed one an output: {outputs}")
        return np.broadcast_to(values.reshape(-1), (outputs,))
