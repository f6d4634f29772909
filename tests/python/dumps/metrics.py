# SPDX-License-Identifier: Apache-2.0
"""What metrics give for fixed inputs. Run with MindSpore it writes metrics.json, which the tests compare with Rutile's.

    python tests/python/dumps/metrics.py     (mindspore 2.10, numpy < 2)
"""

import json
import os
import sys

import numpy as np

FILE = os.path.join(os.path.dirname(__file__), "metrics.json")


def _batches(seed, make, n=3):
    r = np.random.RandomState(seed)
    return [make(r) for _ in range(n)]


def cases():
    """(name, class, attributes, batches of update, arguments of eval)"""
    classes = _batches(1, lambda r: (r.rand(6, 4).astype(np.float32), r.randint(0, 4, 6).astype(np.int32)))
    one_hot = [(y, np.eye(4)[k]) for y, k in classes]
    images = _batches(2, lambda r: (r.rand(2, 3, 5).astype(np.float32), r.randint(0, 3, (2, 5)).astype(np.int32)))
    multi = _batches(3, lambda r: (r.randint(0, 2, (5, 3)), r.randint(0, 2, (5, 3))))
    real = _batches(4, lambda r: (r.randn(4, 2).astype(np.float32), r.randn(4, 2).astype(np.float32)))
    binary = _batches(5, lambda r: (r.rand(8).astype(np.float32), r.randint(0, 2, 8)))
    regions = _batches(6, lambda r: (r.randint(0, 2, (7, 9)), r.randint(0, 2, (7, 9)), 1), 1)
    volumes = _batches(7, lambda r: (r.randint(0, 3, (4, 5, 6)), r.randint(0, 3, (4, 5, 6)), 2), 1)
    segments = _batches(8, lambda r: (r.randint(0, 2, (2, 3, 4, 4)), r.randint(0, 2, (2, 3, 4, 4))))
    probabilities = [(y / y.sum(1, keepdims=True), k) for y, k in classes]
    out = []
    for name in ("Accuracy", "Precision", "Recall"):
        out += [(f"{name} {what}", name, kw, b, ()) for what, kw, b in (
            ("classes", {}, classes), ("one-hot", {}, one_hot), ("multilabel", {"eval_type": "multilabel"}, multi))]
    out += [(f"{n} average {w}", n, {"eval_type": w}, b, (True,)) for n in ("Precision", "Recall")
            for w, b in (("classification", classes), ("multilabel", multi))]
    out += [("Accuracy images", "Accuracy", {}, images, ()), ("Precision images", "Precision", {}, images, ()),
            ("F1", "F1", {}, classes, ()), ("F1 average", "F1", {}, classes, (True,)),
            ("Fbeta", "Fbeta", {"beta": 0.5}, one_hot, ()), ("top 2", "TopKCategoricalAccuracy", {"k": 2}, classes, ()),
            ("top 1", "Top1CategoricalAccuracy", {}, one_hot, ()), ("MAE", "MAE", {}, real, ()),
            ("MSE", "MSE", {}, real, ()), ("Loss", "Loss", {}, [(np.float32(x[0, 0]).reshape(1),) for x, _ in real], ()),
            ("Dice", "Dice", {}, [(abs(a), abs(b)) for a, b in real], ()),
            ("Perplexity", "Perplexity", {}, probabilities, ()),
            ("Perplexity ignore", "Perplexity", {"ignore_label": 1}, probabilities, ()),
            ("ROC", "ROC", {"pos_label": 1}, binary, ()),
            # As many samples as classes: MindSpore mixes them up otherwise.
            ("ROC classes", "ROC", {"class_num": 4}, [(classes[0][0][:4], np.arange(4))], ())]
    out += [(f"ConfusionMatrix {n}", "ConfusionMatrix", {"num_classes": 4, "normalize": n}, classes, ())
            for n in ("no_norm", "target", "prediction", "all")]
    out += [("ConfusionMatrix threshold", "ConfusionMatrix", {"num_classes": 2, "threshold": 0.3}, binary, ())]
    measures = ["sensitivity", "specificity", "precision", "npv", "miss_rate", "fall_out", "fdr", "for", "pt", "ts",
                "accuracy", "balanced accuracy", "f1_score", "mcc", "fm", "informedness", "markedness"]
    out += [(f"measure {m}", "ConfusionMatrixMetric", {"metric_name": m}, segments, ()) for m in measures]
    out += [(f"measure {m} {d} {s}", "ConfusionMatrixMetric", {"metric_name": m, "calculation_method": True, "decrease": d,
                                                              "skip_channel": s}, segments, ())
            for m in ("recall", "f1") for d in ("mean", "sum") for s in (True, False)]
    out += [(f"cosine {s} {r} {z}", "CosineSimilarity", {"similarity": s, "reduction": r, "zero_diagonal": z},
             [(real[0][0],)], ()) for s in ("dot", "cosine") for r in ("none", "sum", "mean") for z in (True, False)]
    for where, b in (("plane", regions), ("volume", volumes)):
        for d in ("euclidean", "chessboard", "taxicab"):
            out += [(f"hausdorff {where} {d}", "HausdorffDistance", {"distance_metric": d}, b, ()),
                    (f"mean surface {where} {d}", "MeanSurfaceDistance", {"distance_metric": d}, b, ()),
                    (f"root mean square {where} {d}", "RootMeanSquareDistance", {"distance_metric": d}, b, ()),
                    (f"mean surface both {where} {d}", "MeanSurfaceDistance", {"distance_metric": d, "symmetric": True}, b, ()),
                    (f"root mean square both {where} {d}", "RootMeanSquareDistance",
                     {"distance_metric": d, "symmetric": True}, b, ())]
    out += [("hausdorff percentile", "HausdorffDistance", {"percentile": 80.0, "directed": True, "crop": False}, regions, ())]
    words = "the cat sat on the mat and the dog sat on the log".split()
    said = [words[:6], words[6:]]
    known = [[words[:6], "a cat sat on a mat".split()], ["and a dog sat on the log there".split()]]
    out += [(f"BLEU {n} {s}", "BleuScore", {"n_gram": n, "smooth": s}, [(said, known)], ())
            for n in (1, 2, 4) for s in (False, True)]
    return out


def plain(x):
    """As JSON holds it."""
    if isinstance(x, (tuple, list)):
        return [plain(v) for v in x]
    return np.asarray(x, np.float64).tolist()


def run(train):
    """The results of all cases by a package's classes."""
    results = {}
    for name, kind, attributes, batches, args in cases():
        metric = getattr(train, kind)(**attributes)
        for batch in batches:
            metric.update(*batch)
        results[name] = plain(metric.eval(*args))
    return results


if __name__ == "__main__":
    import mindspore.train
    with open(FILE, "w") as f:
        json.dump(run(mindspore.train), f, indent=None, separators=(",", ":"))
        f.write("\n")
    print(os.path.getsize(FILE), "bytes", file=sys.stderr)
