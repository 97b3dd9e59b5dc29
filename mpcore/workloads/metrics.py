"""Accuracy and the like, by scikit-learn."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mpcore.records import Confusion


def classification(truth: Sequence[int], predicted: Sequence[int], classes: int) -> tuple[dict[str, float], Confusion]:
    """Accuracy, precision, recall and F1 in 0 to 1, and the confusion matrix (rows: truth).

    With two classes, precision, recall and F1 are those of class 1; with more, the unweighted mean over classes.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support  # here, for it takes a second

    average = "binary" if classes == 2 else "macro"
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
    matrix = confusion_matrix(truth, predicted, labels=range(classes))
    metrics = {
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }
    return metrics, tuple(tuple(int(n) for n in row) for row in matrix)


def ranking(ranks: np.ndarray) -> dict[str, float]:
    """Hit rate and NDCG of the first ten, in 0 to 1, of lists with one relevant item each, which has these ranks from 1."""
    hits = ranks <= 10
    return {"hr@10": float(hits.mean()), "ndcg@10": float((hits / np.log2(ranks + 1)).mean())}


def segmentation(truth: Tensor, predicted: Tensor) -> tuple[dict[str, float], Confusion]:
    """Intersection over union and Dice coefficient of the foreground, accuracy, and the confusion matrix, over all pixels.

    Both tensors hold 0, background, or 1, foreground. Counted here: scikit-learn takes seconds for millions of pixels.
    """
    counts = torch.bincount(2 * truth.flatten().long() + predicted.flatten().long(), minlength=4)
    tn, fp, fn, tp = (int(n) for n in counts)
    metrics = {
        "iou": tp / max(tp + fp + fn, 1),
        "dice": 2 * tp / max(2 * tp + fp + fn, 1),
        "accuracy": (tp + tn) / (tp + tn + fp + fn),
    }
    return metrics, ((tn, fp), (fn, tp))
