"""How often a model is right on texts it never saw, how sure that is, and what a simpler model would have reached."""

import numpy as np
from sklearn.metrics import (
    confusion_matrix,
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
)
from torch import Tensor

from gpt.finetuning.baselines import baselines
from gpt.finetuning.task import SPLITS, Task


def measure_test_split(task: Task, logits: Tensor) -> dict:
    """The model's logits on the test split, (examples, labels) and in the user's units, as the part of report.json
    that they decide: "test", "baselines", "mistakes" and "verdict"."""
    texts = {split: [example.text for example in task.examples[split]] for split in SPLITS}
    targets = {split: values.double().numpy() * task.std + task.mean for split, values in task.targets.items()}
    if len(task.labels) == 1:
        found = measure_numbers(targets["test"], logits[:, 0].double().numpy())
        simple = baselines(texts, targets, regression=True)
        beside = {name: measure_numbers(targets["test"], answers) for name, answers in simple.items()}
        return {"test": found, "baselines": beside, "mistakes": [], "verdict": verdict(found, beside)}
    targets = {split: values.numpy() for split, values in task.targets.items()}
    probabilities = logits.softmax(1).numpy()
    found = measure_classes(targets["test"], probabilities.argmax(1), task.labels)
    simple = baselines(texts, targets, regression=False)
    beside = {name: measure_classes(targets["test"], answers, task.labels) for name, answers in simple.items()}
    mistakes = worst_mistakes(texts["test"], targets["test"], probabilities, task.labels)
    return {"test": found, "baselines": beside, "mistakes": mistakes, "verdict": verdict(found, beside)}


def measure_classes(truth: np.ndarray, answers: np.ndarray, labels: tuple[str, ...]) -> dict:
    """Answers against the truth, both class numbers: accuracy with its 95 % interval, precision, recall and F1 of
    each class and their unweighted means ("macro"), and the confusion matrix (a row for each true class)."""
    names, numbers = ("precision", "recall", "f1"), range(len(labels))
    right = truth == answers
    columns = precision_recall_fscore_support(truth, answers, labels=numbers, zero_division=0)
    macro = precision_recall_fscore_support(truth, answers, labels=numbers, average="macro", zero_division=0)
    return {
        "accuracy": float(right.mean()),
        "accuracy_95": interval_of_accuracy(right),
        "macro": {name: float(value) for name, value in zip(names, macro[:3], strict=True)},
        "classes": {
            label: {name: float(column[i]) for name, column in zip(names, columns[:3], strict=True)}
            | {"examples": int(columns[3][i])}
            for i, label in enumerate(labels)
        },
        "confusion": confusion_matrix(truth, answers, labels=numbers).tolist(),
    }


def measure_numbers(truth: np.ndarray, answers: np.ndarray) -> dict:
    """Estimated numbers against the true ones: mean squared error with its 95 % interval, mean absolute error, and R²,
    the share of the variance that is explained."""
    return {
        "mse": float(mean_squared_error(truth, answers)),
        "mse_95": bootstrap((truth - answers) ** 2),
        "mae": float(mean_absolute_error(truth, answers)),
        "r2": float(r2_score(truth, answers)) if len(truth) > 1 else None,
    }


def interval_of_accuracy(right: np.ndarray) -> list[float]:
    """The 95 % interval of a share of right answers: by bootstrap; by the rule of three where all are right or all
    wrong, for drawing again cannot change that (Hanley and Lippman-Hand 1983)."""
    if right.all():
        return [max(0.0, 1 - 3 / len(right)), 1.0]
    return bootstrap(right) if right.any() else [0.0, min(1.0, 3 / len(right))]


def bootstrap(values: np.ndarray, times: int = 2000) -> list[float]:
    """The 95 % interval of a mean: draw as many values with replacement, again and again, and leave out the outer
    2.5 % of the means on either side (Efron 1979)."""
    random = np.random.default_rng(0)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(times)]
    return [float(bound) for bound in np.percentile(means, (2.5, 97.5))]


def worst_mistakes(texts: list[str], truth: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]) -> list:
    """The ten wrong answers that the model was surest of, surest first."""
    answers = probabilities.argmax(1)
    wrong = np.flatnonzero(answers != truth)
    surest = wrong[np.argsort(-probabilities[wrong, answers[wrong]], kind="stable")][:10]
    return [
        {
            "text": texts[i],
            "label": labels[truth[i]],
            "answer": labels[answers[i]],
            "probability": float(probabilities[i, answers[i]]),
        }
        for i in surest
    ]


def verdict(test: dict, baselines: dict[str, dict]) -> str:
    """One sentence that says whether the GPT was worth it."""
    if "mse" in test:
        name, best = min(baselines.items(), key=lambda item: item[1]["mse"])
        won, figures = test["mse"] < best["mse"], f"mean squared error {test['mse']:.4g} against {best['mse']:.4g}"
    else:
        name, best = max(baselines.items(), key=lambda item: item[1]["accuracy"])
        won, figures = test["accuracy"] > best["accuracy"], f"{test['accuracy']:.1%} against {best['accuracy']:.1%}"
    if not won:
        return f"The GPT does NOT beat the {name} baseline: {figures}. Use the baseline, or pretrain on more text."
    if "accuracy" in test and best["accuracy"] >= test["accuracy_95"][0]:
        return f"The GPT is ahead of the {name} baseline, but within the margin of error: {figures}."
    return f"The GPT beats the {name} baseline: {figures}."
