"""Two baselines without a GPT, on the same splits: the majority class, and a linear model on TF-IDF features.

A model below the first has learned nothing. A model below the second is not worth its cost (Wang and Manning 2012,
"Baselines and Bigrams").
"""

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

# A single Chinese character (Chinese has no spaces), or a word of at least two characters, as in scikit-learn.
WORD_OR_CHARACTER = r"[一-鿿]|\b[^\W一-鿿]{2,}\b"
STRENGTHS = (1, 3, 10, 30)  # inverse regularisation strengths; the validation split selects one


def baselines(texts: dict[str, list[str]], targets: dict[str, np.ndarray], regression: bool) -> dict[str, np.ndarray]:
    """Predictions on the test split, (examples,) each: "majority" (regression: "mean") and "tfidf", a linear model on
    the TF-IDF of words and word pairs. The validation split selects its regularisation.

    texts and targets are given by split; targets are class numbers, or numbers for regression. "tfidf" is left out
    if no training text contains a word.
    """
    simplest = "mean" if regression else "majority"
    dummy = DummyRegressor() if regression else DummyClassifier()
    dummy.fit(texts["train"], targets["train"])
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD_OR_CHARACTER)
    try:
        train = vectorizer.fit_transform(texts["train"])
    except ValueError:  # no training text contains a word
        return {simplest: predict_array(dummy, texts["test"])}
    val, test = vectorizer.transform(texts["val"]), vectorizer.transform(texts["test"])
    models = [linear_model(strength, regression).fit(train, targets["train"]) for strength in STRENGTHS]
    loss = np.square if regression else np.sign  # of the absolute error: squared error, or 0-1 loss
    best = min(models, key=lambda model: loss(abs(model.predict(val) - targets["val"])).mean())
    return {simplest: predict_array(dummy, texts["test"]), "tfidf": predict_array(best, test)}


def predict_array(model: Any, inputs: Any) -> np.ndarray:
    """A scikit-learn model's answers as one array."""
    return np.asarray(model.predict(inputs))


def linear_model(strength: float, regression: bool) -> LogisticRegression | Ridge:
    """An untrained linear model with inverse regularisation `strength`."""
    return Ridge(alpha=1 / strength) if regression else LogisticRegression(C=strength, max_iter=1000)
