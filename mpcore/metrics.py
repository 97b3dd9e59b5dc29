"""Accuracy and the like, by scikit-learn."""

from collections.abc import Sequence

from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from mpcore.records import Confusion


def classification(truth: Sequence[int], predicted: Sequence[int], classes: int) -> tuple[dict[str, float], Confusion]:
    """Accuracy, precision, recall and F1 in 0 to 1, and the confusion matrix (rows: truth).

    With two classes, precision, recall and F1 are those of class 1; with more, the unweighted mean over classes.
    """
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
