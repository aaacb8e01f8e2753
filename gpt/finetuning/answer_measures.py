"""How good are written answers? Compared with the true ones, beside three baselines that read nothing or hardly."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from sacrebleu.metrics.chrf import CHRF
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from gpt.finetuning.baselines import WORD_OR_CHARACTER
from gpt.finetuning.measures import interval_of_accuracy

Scores = dict[str, float]


def measure_answers(
    prompts: list[str],
    true: list[str],
    written: list[str],
    training: list[tuple[str, str]],
    world_score: Callable[[list[str], list[str], list[str]], Scores] | None,
) -> dict:
    """Compare written with true answers to the same prompts. training: (prompt, answer) of the training examples, for
    the baselines. Returns a part of report.json: "test", "baselines", "mistakes" and "verdict".

    Measures, all from 0 to 1: those of world_score, the main ones where it is given; "exact", the share of answers
    that are the true one, character for character; and "chrf", the overlap of character n-grams (Popović 2015).
    """

    def measure(answers: list[str]) -> Scores:
        scores = world_score(prompts, true, answers) if world_score else {}
        exact = float(np.mean([answer == truth for answer, truth in zip(answers, true, strict=True)]))
        return scores | {"exact": exact, "chrf": CHRF().corpus_score(answers, [true]).score / 100}

    test = measure(written)
    main = next(iter(test))
    baselines = {name: measure(answers) for name, answers in trivial_answers(prompts, training).items()}
    wrong = [(p, t, w) for p, t, w in zip(prompts, true, written, strict=True) if w != t]
    if world_score:  # a right answer may differ from the true one
        wrong = [case for case in wrong[:200] if next(iter(world_score(*([part] for part in case)).values())) < 1]
    right = np.array([answer == truth for answer, truth in zip(written, true, strict=True)])
    name, best = max(baselines.items(), key=lambda item: item[1][main])
    beats = "beats" if test[main] > best[main] else "does NOT beat"
    verdict = f"The GPT {beats} the baseline {name!r}: {main} {test[main]:.1%} against {best[main]:.1%}."
    return {
        "measure": main,
        "test": test | {"exact_95": interval_of_accuracy(right)},
        "baselines": baselines,
        "mistakes": [dict(zip(("prompt", "true", "written"), case, strict=True)) for case in wrong[:10]],
        "verdict": verdict if training else "",
    }


def trivial_answers(prompts: list[str], training: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Answers without a GPT: the commonest answer of training, the prompt itself, and the answer of the training prompt
    that shares the most words (TF-IDF, cosine). Without training examples, only the second."""
    if not training:
        return {"copy": prompts}
    constant = Counter(answer for _, answer in training).most_common(1)[0][0]
    answers = {"constant": [constant] * len(prompts), "copy": prompts}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD_OR_CHARACTER)
    try:
        vectors = vectorizer.fit_transform([prompt for prompt, _ in training])
    except ValueError:  # no training prompt contains a word
        return answers
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectors)
    found = nearest.kneighbors(vectorizer.transform(prompts), return_distance=False)[:, 0]
    return answers | {"nearest": [training[i][1] for i in found]}


def describe_answers(report: dict) -> str:
    """The measures as text for the terminal."""
    test, names = report["test"], [name for name in report["test"] if name != "exact_95"]
    rows = {"the GPT": test} | report["baselines"]
    lines = ["  ".join([f"{'':>10}", *(f"{name:>11}" for name in names)])]
    lines += ["  ".join([f"{who:>10}", *(f"{scores[name]:11.1%}" for name in names)]) for who, scores in rows.items()]
    low, high = test["exact_95"]
    lines.append(f"\nexact: 95 % confidence interval {low:.1%} to {high:.1%}")
    if report["mistakes"]:
        lines.append("\nsome mistakes:")
    for mistake in report["mistakes"][:5]:
        lines += [f"  prompt   …{mistake['prompt'][-90:]!r}" if len(mistake["prompt"]) > 90 else
                  f"  prompt   {mistake['prompt']!r}",
                  f"  true     {mistake['true'][:100]!r}", f"  written  {mistake['written'][:100]!r}"]  # fmt: skip
    return "\n".join([*lines, *(["", report["verdict"]] if report["verdict"] else [])])
