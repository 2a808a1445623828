"""What is compared: for each case the contenders, all fitted on the same rows and asked about the same ones, and a check
that they answer alike before anything is timed.

A contender is timed from float32 rows to scores; a peer that returns more (which rows its neighbours are) returns that too.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import faiss
import numpy as np
import onnx
import onnxruntime
import sklearnex.neighbors
import torch
from pyod.models.hbos import HBOS
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest as SklearnForest
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors

import lanner

import data

OURS = "lanner"
FORWARD = "onnxruntime, forward pass only"
ONEDNN = "oneDNN (OpenVINO), forward pass only"
PYTORCH = "PyTorch, forward pass only"
COMPILED = "PyTorch compiled, forward pass only"


@dataclass
class Contest:
    """contenders: name -> work that scores all queries; `goals`: peer -> how many times as fast we mean to be."""

    queries: int
    contenders: dict[str, Callable]
    agree: str  # how the answers were compared, in words with the number


@dataclass
class Case:
    name: str
    goals: dict[str, float]  # of ratios of CPU time, by contender; the first stands in the table
    make: Callable[[int], Contest]  # of the threads
    heavy: bool = False  # a million rows: left out of a short run


def _apart(ours, theirs, tolerance):
    """The largest difference of two vectors of scores, relative where they are above 1; an error above `tolerance`."""
    worst = float(np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))))
    if not worst <= tolerance:
        raise AssertionError(f"the answers differ: by {worst:.3g}, allowed {tolerance:g}")
    return worst


def _ordered_alike(ours, theirs, least):
    """Spearman's correlation, where definitions differ; an error below `least`."""
    ranks = [np.argsort(np.argsort(v)).astype(float) for v in (ours, theirs)]
    found = float(np.corrcoef(*ranks)[0, 1])
    if not found >= least:
        raise AssertionError(f"the answers rank otherwise: correlation {found:.3f}, allowed {least:g}")
    return found


def _fitted(detector, rows, **settings):
    """Ours, fitted by the command line: the Python estimators would go on to score every training row, for `predict`."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/rows.npy", rows)
        chosen = [word for name, value in {"calibration": "none", **settings}.items() for word in ("--set", f"{name}={value}")]
        subprocess.run([os.environ["LANNER"], "fit", "--data", f"{folder}/rows.npy", "--detector", detector, *chosen,
                        "--out", f"{folder}/model.lanner"], check=True, capture_output=True)
        return lanner.load(f"{folder}/model.lanner")


def _flat(rows, k):
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return index, lambda queries: index.search(queries, k)[0][:, -1]


def neighbours(make_rows, k, goals, tree=False, **more):
    def make(threads):
        rows, queries = make_rows()
        faiss.omp_set_num_threads(threads)
        ours = _fitted("nearest_neighbours", rows, k=k)
        index, search = _flat(rows, k)
        exact = np.array([np.sqrt(np.partition(((rows.astype(np.float64) - q) ** 2).sum(-1), k - 1)[k - 1])
                          for q in queries[:20].astype(np.float64)])
        scores = ours.anomaly_score(queries)
        close = _apart(scores[:20], exact, 1e-6)
        flat = _apart(np.sqrt(np.maximum(search(queries), 0)), scores, 2e-2)
        contenders = {OURS: lambda: ours.anomaly_score(queries), "FAISS flat": lambda: index.search(queries, k)}
        agree = f"to float64's within {close:.0e}, to FAISS's within {flat:.0e}"
        if tree:
            kd = NearestNeighbors(n_neighbors=k, algorithm="kd_tree", n_jobs=threads).fit(rows)
            _apart(kd.kneighbors(queries[:50])[0][:, -1], scores[:50], 1e-5)
            contenders["scikit-learn kd_tree"] = lambda: kd.kneighbors(queries)
            intel = sklearnex.neighbors.NearestNeighbors(n_neighbors=k, algorithm="kd_tree", n_jobs=threads).fit(rows)
            try:
                _apart(intel.kneighbors(queries[:50])[0][:, -1], scores[:50], 1e-3)
                contenders["scikit-learn-intelex kd_tree"] = lambda: intel.kneighbors(queries)
            except AssertionError as error:  # of all others it alone is off, now and then
                agree += f"; scikit-learn-intelex is left out: {error}"
        return Contest(len(queries), contenders, agree)

    return lambda name: Case(name, goals, make, **more)


def growing(make_rows, sizes, width, k=10):
    """Yields (references, Contest) of the same queries among more and more rows."""
    rows, queries = make_rows(max(sizes), 1000, width)
    for n in sizes:
        index, search = _flat(rows[:n], k)
        ours = _fitted("nearest_neighbours", rows[:n], k=k)
        apart = _apart(np.sqrt(np.maximum(search(queries[:50]), 0)), ours.anomaly_score(queries[:50]), 2e-2)
        yield n, Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries),
                                        "FAISS flat": lambda: index.search(queries, k)}, f"within {apart:.0e}")


def single_query(n, width, k, goals):
    def make(threads):
        rows, queries = data.mix(n, 100, width)
        faiss.omp_set_num_threads(threads)
        ours = _fitted("nearest_neighbours", rows, k=k)
        index, search = _flat(rows, k)
        apart = _apart(np.sqrt(np.maximum(search(queries), 0)), ours.anomaly_score(queries), 2e-2)
        return Contest(len(queries), {
            OURS: lambda: [ours.anomaly_score(queries[i:i + 1]) for i in range(len(queries))],
            "FAISS flat": lambda: [index.search(queries[i:i + 1], k) for i in range(len(queries))],
        }, f"to FAISS's within {apart:.0e}")

    return lambda name: Case(name, goals, make)


def local_outlier_factor(n, width, k, goals):
    def make(threads):
        rows, queries = data.mix(n, 1000, width)
        ours = _fitted("local_outlier_factor", rows, k=k)
        peer = LocalOutlierFactor(n_neighbors=k, novelty=True, n_jobs=threads).fit(rows)
        apart = _apart(ours.anomaly_score(queries), -peer.score_samples(queries), 1e-4)
        intel = sklearnex.neighbors.LocalOutlierFactor(n_neighbors=k, novelty=True, n_jobs=threads).fit(rows)
        return Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries),
                                      "scikit-learn": lambda: peer.score_samples(queries),
                                      "scikit-learn-intelex": lambda: intel.score_samples(queries)},
                       f"within {apart:.0e}")

    return lambda name: Case(name, goals, make)


def _minus_log_density(rows, query, bandwidth):
    logs = -((rows - query) ** 2).sum(1) / (2 * bandwidth ** 2)
    most = logs.max()
    size = len(rows) * (2 * np.pi * bandwidth ** 2) ** (len(query) / 2)
    return -(most + np.log(np.exp(logs - most).sum()) - np.log(size))


def kernel_density(n, width, bandwidth, goals):
    def make(threads):
        rows, queries = data.mix(n, 1000, width)
        ours = _fitted("kernel_density", rows, bandwidth=bandwidth)
        few = queries[:50]
        peer = KernelDensity(bandwidth=bandwidth, rtol=0, atol=0).fit(rows)
        exact = np.array([_minus_log_density(rows.astype(np.float64), q, bandwidth) for q in few.astype(np.float64)])
        apart = _apart(ours.anomaly_score(few), exact, 1e-6)
        theirs = np.max(np.abs(peer.score_samples(few) + exact))  # its trees lose what is small
        # A twentieth of the queries, counted as such: the peer takes a second for each hundred.
        return Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries),
                                      "scikit-learn exact": (lambda: peer.score_samples(few), len(few))},
                       f"to float64's within {apart:.0e}; scikit-learn's within {theirs:.1g}")

    return lambda name: Case(name, goals, make)


def forest(width, goals):
    def make(threads):
        rows, queries = data.mix(100_000, 1000, width)
        peer = SklearnForest(n_estimators=100, random_state=0, n_jobs=threads).fit(rows)
        ours = lanner.IsolationForest.from_sklearn(peer, rows[:2000])
        apart = _apart(ours.anomaly_score(queries), -peer.score_samples(queries), 1e-6)
        return Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries),
                                      "scikit-learn": lambda: peer.score_samples(queries)},
                       f"scikit-learn's own trees, within {apart:.0e}")

    return lambda name: Case(name, goals, make)


def mahalanobis(width, goals):
    def make(threads):
        rows, queries = data.mix(100_000, 1000, width)
        ours = _fitted("mahalanobis", rows, covariance="shrunk", shrinkage=0)
        peer = EmpiricalCovariance().fit(rows)
        apart = _apart(ours.anomaly_score(queries), peer.mahalanobis(queries), 1e-2)
        return Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries),
                                      "scikit-learn": lambda: peer.mahalanobis(queries)}, f"within {apart:.0e}")

    return lambda name: Case(name, goals, make)


def reconstruction(width, components, goals):
    def make(threads):
        rows, queries = data.mix(100_000, 1000, width)
        ours = _fitted("pca", rows, measure="reconstruction", components=components)
        peer = PCA(components).fit(rows)

        def theirs():
            return ((queries - peer.inverse_transform(peer.transform(queries))) ** 2).mean(1)

        apart = _apart(ours.anomaly_score(queries), theirs(), 1e-2)
        return Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries), "scikit-learn": theirs},
                       f"within {apart:.0e}")

    return lambda name: Case(name, goals, make)


def histogram(width, goals):
    def make(threads):
        rows, queries = data.mix(100_000, 10_000, width)
        ours = _fitted("histogram", rows, bins=10)
        peer = HBOS(n_bins=10).fit(rows)
        alike = _ordered_alike(ours.anomaly_score(queries), peer.decision_function(queries), 0.95)
        return Contest(len(queries), {OURS: lambda: ours.anomaly_score(queries),
                                      "PyOD": lambda: peer.decision_function(queries)},
                       f"ranks correlate to {alike:.3f}: its histograms treat edges otherwise")

    return lambda name: Case(name, goals, make)


def _as_onnx(weights, biases):
    """Dense layers with a rectifier between them, as an ONNX model's bytes: float32 [rows, width] in and out."""
    nodes, values, name = [], [], "x"
    for i, (w, b) in enumerate(zip(weights, biases)):
        values += [onnx.numpy_helper.from_array(w, f"w{i}"), onnx.numpy_helper.from_array(b, f"b{i}")]
        nodes.append(onnx.helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"s{i}"], transB=1))
        name = f"s{i}"
        if i + 1 < len(weights):
            nodes.append(onnx.helper.make_node("Relu", [name], [f"h{i}"]))
            name = f"h{i}"
    shape = ["rows", weights[0].shape[1]]
    graph = onnx.helper.make_graph(
        nodes, "autoencoder", [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)], values)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10
    return model


def autoencoder(widths, goals, queries_count=1024):
    def make(threads):
        rng = np.random.default_rng(0)
        weights = [(rng.standard_normal((o, i)) * np.sqrt(2 / i)).astype(np.float32) for i, o in zip(widths, widths[1:])]
        biases = [rng.normal(0, 0.1, o).astype(np.float32) for o in widths[1:]]
        queries = rng.standard_normal((queries_count, widths[0]), dtype=np.float32)
        model = _as_onnx(weights, biases)
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            onnx.save(model, file.name)
            ours = lanner.Autoencoder.from_onnx(file.name, rng.standard_normal((2000, widths[0])))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

        def theirs():
            return ((session.run(None, {"x": queries})[0] - queries) ** 2).mean(1)

        apart = _apart(ours.anomaly_score(queries), theirs(), 1e-5)
        contenders = {OURS: lambda: ours.anomaly_score(queries), "onnxruntime": theirs,
                      FORWARD: lambda: session.run(None, {"x": queries})}
        contenders.update(_openvino(model, queries, threads))
        contenders.update(_pytorch(weights, biases, queries, threads))
        return Contest(len(queries), contenders, f"within {apart:.0e}")

    return lambda name: Case(name, goals, make)


def _openvino(model, queries, threads):
    """oneDNN's layers, by way of OpenVINO."""
    import openvino  # after sklearnex: it brings an older TBB of the same name

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU",
                                  {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                   "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return {ONEDNN: lambda: request.infer([queries], share_inputs=True)}


def _pytorch(weights, biases, queries, threads):
    torch.set_num_threads(threads)
    network = _dense([w.shape[1] for w in weights] + [weights[-1].shape[0]], torch.nn.ReLU)
    with torch.no_grad():
        for layer, w, b in zip(network[::2], weights, biases):
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
    compiled = torch.compile(network.eval())

    @torch.inference_mode()
    def forward(compute=compiled):
        return compute(torch.from_numpy(queries)).numpy()

    return {COMPILED: forward, PYTORCH: lambda: forward(network)}


def _dense(widths, activation):
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(i, o), activation()]
    return torch.nn.Sequential(*layers[:-1])


def training(widths, batch, goals, rows_count=51_200, epochs=10):
    """Rows times epochs are counted; ours includes standardising the rows and scoring them all at the end."""
    assert rows_count % batch == 0  # PyTorch compiles for one size

    def make(threads):
        rows, _ = data.mix(rows_count, 1, widths[0])
        torch.set_num_threads(threads)
        standardised = torch.from_numpy(((rows - rows.mean(0)) / rows.std(0)).astype(np.float32))

        def ours():
            return lanner.Autoencoder(hidden=list(widths[1:-1]), epochs=epochs, batch=batch, validation_share=0,
                                      calibration="none").fit(rows)

        torch.manual_seed(0)
        network = _dense(widths, torch.nn.Tanh)
        first = {name: value.clone() for name, value in network.state_dict().items()}

        def loss(x):
            return torch.nn.functional.mse_loss(network(x), x)

        def theirs(loss):
            network.load_state_dict(first)
            adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
            for _ in range(epochs):
                for chosen in torch.randperm(rows_count).split(batch):
                    adam.zero_grad()
                    loss(standardised[chosen]).backward()
                    adam.step()

        theirs(loss)
        with torch.no_grad():
            their_error = float(loss(standardised))
        compiled = torch.compile(loss)
        error = float(ours().anomaly_score(rows).mean())
        if not error < 1.2 * their_error:
            raise AssertionError(f"we learn less: the mean error is {error:.3g}, PyTorch's {their_error:.3g}")
        return Contest(rows_count * epochs, {OURS: ours, "PyTorch": lambda: theirs(loss),
                                             "PyTorch, compiled": lambda: theirs(compiled)},
                       f"mean error after {epochs} epochs {error:.3g}, theirs {their_error:.3g}")

    return lambda name: Case(name, goals, make)


def all_cases(folder: Path):
    """Every case; those on tables where `folder` has some."""
    def mixed(n, width):
        return lambda: data.mix(n, 1000, width)

    def round_cloud(n, width):
        return lambda: data.iso(n, 1000, width)

    flat, tree = "FAISS flat", "scikit-learn kd_tree"
    passes, trainers = (FORWARD, ONEDNN, PYTORCH, COMPILED), ("PyTorch", "PyTorch, compiled")
    cases = [
        neighbours(mixed(100_000, 8), 10, {flat: 70, tree: 10}, tree=True)("k=10, mix 100k x 8"),
        neighbours(mixed(1_000_000, 8), 10, {flat: 200, tree: 14}, tree=True, heavy=True)("k=10, mix 1M x 8"),
        neighbours(mixed(100_000, 32), 10, {flat: 20})("k=10, mix 100k x 32"),
        neighbours(mixed(1_000_000, 32), 10, {flat: 60}, heavy=True)("k=10, mix 1M x 32"),
        neighbours(mixed(100_000, 128), 10, {flat: 10})("k=10, mix 100k x 128"),
        neighbours(mixed(1_000_000, 128), 10, {flat: 15}, heavy=True)("k=10, mix 1M x 128"),
        neighbours(round_cloud(100_000, 32), 10, {flat: 8})("k=10, iso 100k x 32"),
        neighbours(round_cloud(100_000, 128), 10, {flat: 5})("k=10, iso 100k x 128"),
        neighbours(mixed(100_000, 32), 100, {flat: 8})("k=100, mix 100k x 32"),
        neighbours(mixed(100_000, 32), 1000, {flat: 4})("k=1000, mix 100k x 32"),
        single_query(100_000, 32, 10, {flat: 20})("k=10, one query, mix 100k x 32"),
        local_outlier_factor(100_000, 32, 20, {"scikit-learn": 30})("LOF k=20, mix 100k x 32"),
        kernel_density(100_000, 32, 0.5, {"scikit-learn exact": 150})("KDE h=0.5, mix 100k x 32"),
        forest(32, {"scikit-learn": 40})("isolation forest, 100 trees, d=32"),
        mahalanobis(32, {"scikit-learn": 15})("Mahalanobis, d=32"),
        reconstruction(32, 8, {"scikit-learn": 15})("PCA reconstruction, 32 to 8"),
        histogram(32, {"PyOD": 150})("histogram, d=32"),
        autoencoder((32, 16, 8, 16, 32), dict.fromkeys(passes, 1.4))("autoencoder 32-16-8-16-32"),
        autoencoder((128, 64, 16, 64, 128), dict.fromkeys(passes, 1))("autoencoder 128-64-16-64-128"),
        training((32, 16, 8, 16, 32), 128, dict.fromkeys(trainers, 1))("training 32-16-8-16-32, 128 a batch"),
        training((32, 16, 8, 16, 32), 1024, dict.fromkeys(trainers, 1))("training 32-16-8-16-32, 1024 a batch"),
        training((128, 64, 16, 64, 128), 128, dict.fromkeys(trainers, 1))("training 128-64-16-64-128, 128 a batch"),
        training((128, 64, 16, 64, 128), 1024, dict.fromkeys(trainers, 1))("training 128-64-16-64-128, 1024 a batch"),
    ]
    for name, rows, queries in data.tables(folder):
        for k in dict.fromkeys((5, 100, len(rows) // 10)):
            if k < len(rows):
                cases.append(neighbours(lambda rows=rows, queries=queries: (rows, queries), k, {flat: 1, tree: 1},
                                        tree=True)(f"{name}, k={k}"))
    return cases
