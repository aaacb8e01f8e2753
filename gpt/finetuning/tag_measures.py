"""How well are spans found? Precision, recall and F1 of whole spans, beside a list of known words."""

from collections import Counter

import regex

from gpt.finetuning.tagged import Span, Tagged


def measure_spans(true: list[tuple[Span, ...]], found: list[tuple[Span, ...]]) -> dict[str, float]:
    """Compare the spans found in each text with the true ones, over all texts together: precision, recall and F1, from
    0 to 1. A span counts only if both ends and the label are right (Tjong Kim Sang and De Meulder 2003)."""
    right = sum(len(set(t) & set(f)) for t, f in zip(true, found, strict=True))
    precision = right / max(1, sum(map(len, found)))
    recall = right / max(1, sum(map(len, true)))
    f1 = 2 * precision * recall / max(1e-12, precision + recall)
    return {"precision": precision, "recall": recall, "f1": f1, "spans": sum(map(len, true))}


def measure_tags(train: list[Tagged], test: list[Tagged], found: list[tuple[Span, ...]]) -> dict:
    """Evaluate the spans found in the test texts. Returns a part of report.json: "test", "baselines", "mistakes" and
    "verdict". Without training texts there is no baseline."""
    true = [example.spans for example in test]
    labels = sorted({label for example in (*train, *test) for _, _, label in example.spans})
    of_label = {
        label: measure_spans(*([tuple(s for s in spans if s[2] == label) for spans in side] for side in (true, found)))
        for label in labels
    }
    scores = measure_spans(true, found)
    known = measure_spans(true, look_up(train, [example.text for example in test]))
    beats = "beats" if scores["f1"] > known["f1"] else "does NOT beat"
    wrong = [(e.text, set(e.spans), set(f)) for e, f in zip(test, found, strict=True) if set(e.spans) != set(f)]
    return {
        "test": scores | {"labels": of_label},
        "baselines": {"lookup": known} if train else {},
        "mistakes": [{"text": t, "missed": sorted(s - f), "wrong": sorted(f - s)} for t, s, f in wrong[:10]],
        "verdict": f"The GPT {beats} a list of the spans in training: F1 {scores['f1']:.1%} against {known['f1']:.1%}."
        if train
        else "",
    }


def look_up(train: list[Tagged], texts: list[str]) -> list[tuple[Span, ...]]:
    """A baseline without a GPT: mark each stretch of a text that was a span in training, with its commonest label. The
    longest stretch wins; where words have spaces between them, only whole words count."""
    labels: dict[str, Counter[str]] = {}
    if not train:
        return [()] * len(texts)
    for example in train:
        for start, end, label in example.spans:
            labels.setdefault(example.text[start:end], Counter())[label] += 1
    known = sorted(map(regex.escape, labels), key=len, reverse=True)
    edge = r"(?<![\p{L}--\p{Han}])", r"(?![\p{L}--\p{Han}])"
    pattern = regex.compile(f"{edge[0]}(?:{'|'.join(known)}){edge[1]}", regex.V1)
    return [
        tuple((m.start(), m.end(), labels[m.group()].most_common(1)[0][0]) for m in pattern.finditer(text))
        for text in texts
    ]


def describe_tags(report: dict) -> str:
    """The measures as text for the terminal."""
    test = report["test"]
    rows = test["labels"] | {"all": test} | {f"({name})": row for name, row in report["baselines"].items()}
    width = max(map(len, rows))
    lines = [f"{'':{width}} precision   recall       F1    spans"]
    lines += [f"{name:>{width}} {row['precision']:9.1%} {row['recall']:8.1%} {row['f1']:8.1%} {row['spans']:8,}"
              for name, row in rows.items()]  # fmt: skip
    if report["mistakes"]:
        lines.append("\nsome mistakes:")
    for mistake in report["mistakes"][:5]:
        missed, wrong = (
            ", ".join(text_of(mistake["text"], span) for span in mistake[side]) or "nothing"
            for side in ("missed", "wrong")
        )
        lines.append(f"  missed {missed}; wrongly found {wrong}; in: {mistake['text'][:60]}…")
    return "\n".join([*lines, *(["", report["verdict"]] if report["verdict"] else [])])


def text_of(text: str, span: Span) -> str:
    """A span as a reader wants to see it."""
    return f"{text[span[0] : span[1]]!r} ({span[2]})"
