"""Metrics on the test split, with confidence intervals and the same metrics for two baselines."""

from typing import Any

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


def measure_labels(
    labels: tuple[str, ...], texts: dict[str, list[str]], targets: dict[str, np.ndarray], logits: Tensor
) -> dict:
    """Evaluate a model's logits on the test split, (examples, labels), beside the baselines. texts and targets are
    given by split, of which "test" is enough; targets are class numbers, or for a regression numbers in the user's
    units, like its logits.

    Returns a part of report.json: "test", "baselines", "mistakes" and "verdict".
    """
    regression = len(labels) == 1
    predictions = (
        baselines(texts, targets, regression) if "train" in texts else simplest_answer(targets["test"], regression)
    )
    if regression:
        scores = measure_numbers(targets["test"], logits[:, 0].double().numpy())
        baseline_scores = {name: measure_numbers(targets["test"], answers) for name, answers in predictions.items()}
        mistakes = []
    else:
        probabilities = logits.softmax(1).numpy()
        scores = measure_classes(targets["test"], probabilities.argmax(1), labels)
        baseline_scores = {
            name: measure_classes(targets["test"], answers, labels) for name, answers in predictions.items()
        }
        mistakes = worst_mistakes(texts["test"], targets["test"], probabilities, labels)
    return {
        "test": scores,
        "baselines": baseline_scores,
        "mistakes": mistakes,
        "verdict": verdict(scores, baseline_scores),
    }


def simplest_answer(truth: np.ndarray, regression: bool) -> dict[str, np.ndarray]:
    """The best that the same answer to all of these very examples could do."""
    if regression:
        return {"mean": np.full(len(truth), truth.mean())}
    return {"majority": np.full(len(truth), np.bincount(truth).argmax())}


def measure_classes(truth: np.ndarray, answers: np.ndarray, labels: tuple[str, ...]) -> dict:
    """Compare predicted with true class numbers, both (examples,): accuracy with its 95 % confidence interval;
    precision, recall and F1 of each class and their unweighted means ("macro"); the confusion matrix (one row per true
    class)."""
    names, numbers = ("precision", "recall", "f1"), range(len(labels))
    correct = truth == answers
    settings: dict[str, Any] = {"labels": numbers, "zero_division": 0}
    columns = np.array(precision_recall_fscore_support(truth, answers, **settings))  # (4, labels)
    macro = precision_recall_fscore_support(truth, answers, average="macro", **settings)
    return {
        "accuracy": float(correct.mean()),
        "accuracy_95": interval_of_accuracy(correct),
        "macro": {name: float(value) for name, value in zip(names, macro[:3], strict=True)},
        "classes": {
            label: {name: float(column[i]) for name, column in zip(names, columns[:3], strict=True)}
            | {"examples": int(columns[3, i])}
            for i, label in enumerate(labels)
        },
        "confusion": confusion_matrix(truth, answers, labels=numbers).tolist(),
    }


def measure_numbers(truth: np.ndarray, answers: np.ndarray) -> dict:
    """Compare predicted with true numbers, both (examples,): mean squared error with its 95 % confidence interval, mean
    absolute error, and R², the fraction of the variance that is explained (None for a single example)."""
    return {
        "mse": float(mean_squared_error(truth, answers)),
        "mse_95": bootstrap((truth - answers) ** 2),
        "mae": float(mean_absolute_error(truth, answers)),
        "r2": float(r2_score(truth, answers)) if len(truth) > 1 else None,
    }


def interval_of_accuracy(right: np.ndarray) -> list[float]:
    """The 95 % confidence interval of an accuracy, from booleans (examples,). By bootstrap; if all answers are right or
    all are wrong, resampling changes nothing, so by the rule of three (Hanley and Lippman-Hand 1983)."""
    if right.all():
        return [max(0.0, 1 - 3 / len(right)), 1.0]
    return bootstrap(right) if right.any() else [0.0, min(1.0, 3 / len(right))]


def bootstrap(values: np.ndarray, times: int = 2000) -> list[float]:
    """The 95 % confidence interval of the mean of values (examples,): resample them with replacement `times` times, and
    take the 2.5th and 97.5th percentile of the means (bootstrap; Efron 1979)."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(times)]
    return [float(bound) for bound in np.percentile(means, (2.5, 97.5))]


def worst_mistakes(texts: list[str], truth: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]) -> list:
    """The ten wrong answers with the highest probability, highest first. probabilities: (examples, labels)."""
    answers = probabilities.argmax(1)
    wrong = np.flatnonzero(answers != truth)
    most_confident = wrong[np.argsort(-probabilities[wrong, answers[wrong]], kind="stable")][:10]
    return [
        {
            "text": texts[i],
            "label": labels[truth[i]],
            "answer": labels[answers[i]],
            "probability": float(probabilities[i, answers[i]]),
        }
        for i in most_confident
    ]


def verdict(test: dict, baselines: dict[str, dict]) -> str:
    """One sentence that compares the GPT with the best baseline."""
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


def describe_labels(report: dict) -> str:
    """Measures of labels as text for the terminal."""
    test = report["test"]
    lines = []
    if "mse" in test:
        lines.append(f"test: mean squared error {test['mse']:.4g} (95 %: {test['mse_95'][0]:.4g} to "
                     f"{test['mse_95'][1]:.4g}), mean absolute error {test['mae']:.4g}")  # fmt: skip
        lines += [f"{name:>12}: mean squared error {b['mse']:.4g}" for name, b in report["baselines"].items()]
    else:
        low, high = test["accuracy_95"]
        width = max(12, *map(len, test["classes"]))
        lines.append(f"{'':{width}} precision   recall       F1 examples   predicted {', '.join(test['classes'])}")
        for (label, row), counts in zip(test["classes"].items(), test["confusion"], strict=True):
            figures = f"{row['precision']:9.1%} {row['recall']:8.1%} {row['f1']:8.1%} {row['examples']:8,}"
            lines.append(f"{label:>{width}} {figures}   {' '.join(f'{count:6,}' for count in counts)}")
        macro = test["macro"]
        lines.append(f"{'macro':>{width}} {macro['precision']:9.1%} {macro['recall']:8.1%} {macro['f1']:8.1%}")
        lines.append(f"\ntest accuracy {test['accuracy']:.1%} (95 %: {low:.1%} to {high:.1%}); baselines: "
                     + ", ".join(f"{name} {b['accuracy']:.1%}" for name, b in report["baselines"].items()))  # fmt: skip
        if report["mistakes"]:
            lines.append("\nmost confident mistakes:")
        for mistake in report["mistakes"]:
            text = mistake["text"] if len(mistake["text"]) <= 90 else mistake["text"][:89] + "…"
            answer = f"{mistake['answer']} {mistake['probability']:.0%}"
            lines.append(f"  {answer:>16}, true label {mistake['label']:<10} {text}")
    lines.append(f"\n{report['verdict']}")
    return "\n".join(lines)
