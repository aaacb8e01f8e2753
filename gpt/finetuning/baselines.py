"""Two answers that need no GPT, on the same splits: the majority class, and a linear model over counted words.

Who cannot beat the first has learned nothing; who cannot beat the second could have saved the trouble (Wang and
Manning 2012, "Baselines and Bigrams").
"""

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

# A Chinese character by itself (Chinese has no spaces), or a word of two characters or more, as scikit-learn has it.
WORD = r"[一-鿿]|\b[^\W一-鿿]{2,}\b"
STRENGTHS = (1, 3, 10, 30)  # inverse regularisation of the linear model; validation chooses


def baselines(texts: dict[str, list[str]], targets: dict[str, np.ndarray], regression: bool) -> dict[str, np.ndarray]:
    """The answers on the test split of "majority" (regression: "mean") and "tfidf", a linear model over TF-IDF of
    words and pairs of words, whose regularisation is chosen on the validation split.

    texts and targets: by split; targets are class numbers, or for regression numbers.
    """
    dummy = DummyRegressor() if regression else DummyClassifier()
    dummy.fit(texts["train"], targets["train"])
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD)
    try:
        train = vectorizer.fit_transform(texts["train"])
    except ValueError:  # no text has a word in it
        return {"mean" if regression else "majority": dummy.predict(texts["test"])}
    val, test = vectorizer.transform(texts["val"]), vectorizer.transform(texts["test"])
    models = [linear_model(strength, regression).fit(train, targets["train"]) for strength in STRENGTHS]
    wrong = np.square if regression else np.sign  # of how far an answer is off, or that it is
    best = min(models, key=lambda model: wrong(abs(model.predict(val) - targets["val"])).mean())
    return {"mean" if regression else "majority": dummy.predict(texts["test"]), "tfidf": best.predict(test)}


def linear_model(strength: float, regression: bool) -> LogisticRegression | Ridge:
    return Ridge(alpha=1 / strength) if regression else LogisticRegression(C=strength, max_iter=1000)
