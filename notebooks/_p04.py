import matplotlib; matplotlib.use('agg')
# cell 2
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
import time as _t; print('--- cell 2', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_2.png'); _p.close(_n)

# cell 3
import contextlib
import io
import re

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from data.world.reviews import write_reviews
from data.world.samples import judge_stories, sample_stories
from gpt.classifier import GPTClassifier, pad
from gpt.dataset import IGNORED
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tables import read_rows
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.generate import score
from gpt.inside.anatomy import FAMILY, anatomy_of
from gpt.inside.interpret import trace
from gpt.model import GPTConfig
from gpt.optim import build_optimizers, learning_rate_scale, set_learning_rate
from gpt.running.masking import MaskedDataset
from gpt.running.train_config import TrainConfig
from notebooks.check import family as check
from train import train
import time as _t; print('--- cell 3', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_3.png'); _p.close(_n)

# cell 6
corpus = TokensFolder(start.corpus())
tokenizer = load_tokenizer(corpus.folder)
causal_data = corpus.dataset(context_length=176, batch_size=16)
masked_data = MaskedDataset(causal_data)
end, MASK, PADDING = tokenizer.end_of_text, masked_data.mask, masked_data.padding


def show(token):
    special = {IGNORED: "·", MASK: "[MASK]", end: "<end>"}
    return special[token] if token in special else tokenizer.decode([token]).strip()


for name, data in (("causal", causal_data), ("masked", masked_data)):
    inputs, targets = data.batch(3)
    share = (targets != IGNORED).float().mean().item()
    print(f"{name}: {share:.0%} of the places have a target")
    for row in (inputs, targets):
        print("   ", " ".join(f"{show(token):8}" for token in row[0, :12].tolist()))
    assert share == 1 if data is causal_data else 0.13 < share < 0.16
import time as _t; print('--- cell 6', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_6.png'); _p.close(_n)

# cell 9
models = {}
for objective in ("causal", "masked"):
    config = TrainConfig(
        GPTConfig(corpus.vocab_size, 176, n_layer=2, n_head=4, n_embd=96, position="rotary"),
        Path("out/lessons/04") / objective,
        max_steps=240,
        batch_size=16,
        eval_every=240,
        objective=objective,
        data=corpus.folder,
        overwrite=True,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(config)
    models[objective] = load_model(config.out).eval()
    speed_up(models[objective], torch.device("cpu"), torch.float32)
    print(f"{objective}: {models[objective].num_params():,} weights")
import time as _t; print('--- cell 9', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_9.png'); _p.close(_n)

# cell 12
sentence = [end, *tokenizer.encode("This is the story of Tom, a kind boy.")]
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
for ax, (name, model) in zip(axes, models.items(), strict=True):
    _, weights = trace(model, sentence)  # (layers, heads, T, T)
    mean_of_heads = weights[-1].mean(0)
    ax.imshow(mean_of_heads, cmap="Blues", vmin=0)
    ax.set_xticks(range(len(sentence)), [show(token) for token in sentence], rotation=90, fontsize=7)
    ax.set_yticks(range(len(sentence)), [show(token) for token in sentence], fontsize=7)
    ax.set(title=name, xlabel="is looked at", ylabel="looks")
    ahead = mean_of_heads.triu(1).sum().item() / len(sentence)
    print(f"{name}: {ahead:.0%} of the attention goes to later tokens")
    assert (ahead == 0) == (name == "causal")
plt.show()
import time as _t; print('--- cell 12', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_12.png'); _p.close(_n)

# cell 15
right = {"causal": 0, "masked": 0}
total = 0
with torch.no_grad():
    for number, (inputs, targets) in enumerate(masked_data.evaluation_batches()):
        if number == 12:
            break
        is_gap = targets != IGNORED
        is_gap[:, 0] = False  # nothing stands before it
        whole = torch.where(targets != IGNORED, targets, inputs)
        guesses = models["masked"](whole.masked_fill(is_gap, MASK)).argmax(-1)
        right["masked"] += (guesses == whole)[is_gap].sum().item()
        guesses = models["causal"](whole.clamp(max=end)).argmax(-1)[:, :-1]  # what comes after each place
        right["causal"] += (guesses == whole[:, 1:])[is_gap[:, 1:]].sum().item()
        total += is_gap.sum().item()
cloze = {name: count / total for name, count in right.items()}
print(f"{total:,} gaps: " + ", ".join(f"{name} fills {share:.0%} as they were" for name, share in cloze.items()))
import time as _t; print('--- cell 15', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_15.png'); _p.close(_n)

# cell 16
with torch.no_grad():
    for text in ("Mia was carrying a lamp. Then Mia met a boy called ?. The boy said ? was cold.",
                 "Tom went to the ?. At the ?, Tom met a quiet girl called Lily."):  # fmt: skip
        parts = text.split("?")
        tokens = [end]
        for i, part in enumerate(parts):
            tokens += tokenizer.encode(part.rstrip(" ")) + [MASK] * (i < len(parts) - 1)
        best = models["masked"](torch.tensor([tokens]))[0, :, :end].softmax(-1).topk(3)
        print(text)
        for place in (i for i, token in enumerate(tokens) if token == MASK):
            some = zip(best.indices[place].tolist(), best.values[place].tolist(), strict=True)
            print("    gap:", ", ".join(f"{show(token)} {p:.0%}" for token, p in some))
import time as _t; print('--- cell 16', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_16.png'); _p.close(_n)

# cell 19
def write_by_gaps(model, count, most, temperature=0.5):
    """Stories from left to right out of a masked model: a gap at the end is filled, again and again."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.full((count, 1), end)
    with torch.no_grad():
        for _ in range(most):
            with_gap = torch.cat([tokens, torch.full((count, 1), MASK)], dim=1)
            logits = model(with_gap)[:, -1, :end] / temperature
            new = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            tokens = torch.cat([tokens, new], dim=1)
    return [tokenizer.decode(row[1:]) for row in tokens.tolist()]


def whole_sentences(text):
    return text[: text.rfind(".") + 1] or text


written = {
    "causal": sample_stories(models["causal"], tokenizer, 40, 0.5, seed=0),
    "masked": [whole_sentences(text) for text in write_by_gaps(models["masked"], 40, 100)],
}
grammatical = {}
for name, texts in written.items():
    grammatical[name] = judge_stories(texts, "en").grammatical
    print(f"{name}: {grammatical[name]:.0%} grammatical. The first begins: {texts[0][:230]} …\n")
assert grammatical["causal"] > grammatical["masked"] + 0.3
import time as _t; print('--- cell 19', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_19.png'); _p.close(_n)

# cell 22
for name, model in models.items():
    try:
        nats = -sum(choice.logprob for choice in score(model, sentence))
        print(f"{name}: the sentence has probability e^-{nats:.1f}")
    except Exception as error:
        print(f"{name}: {error}")
import time as _t; print('--- cell 22', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_22.png'); _p.close(_n)

# cell 25
folder = Path("out/lessons/04/reviews")
with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
    write_reviews(folder, 5000, "easy", seed=4, language="en")
LABELS = ("negative", "neutral", "positive")


def read_reviews(split, count):
    rows = [row for _, row in read_rows(folder / f"{split}.csv", ("text", "label"))][:count]
    tokens, lengths = pad([[end, *tokenizer.encode(row["text"])] for row in rows], PADDING)
    return tokens, lengths, torch.tensor([LABELS.index(row["label"]) for row in rows])


TRAIN, TEST = read_reviews("train", 500), read_reviews("test", 500)


def classify(name, what="all", pretrained=True, first_place=False, steps=100):
    """Accuracy on 500 test reviews. what: "all" or "head"; first_place: read the answer at place 0, not at the last."""
    torch.manual_seed(0)
    net = GPTClassifier(models[name].config, LABELS)
    if pretrained:
        net.transformer.load_state_dict(models[name].transformer.state_dict())
    if what == "head":
        net.transformer.requires_grad_(False)
    speed_up(net, torch.device("cpu"), torch.float32)
    optimizers = build_optimizers(net, "adamw", 3e-3 if what == "all" else 3e-2, 0.03, 0.1)

    def logits_of(tokens, lengths):
        if name == "causal":
            tokens = tokens.clamp(max=end)  # any id pads a causal model's texts: nobody looks there
        return net(tokens, torch.ones_like(lengths) if first_place else lengths)

    for step in range(steps):
        rows = torch.arange(16 * step, 16 * (step + 1)) % len(TRAIN[0])
        tokens, lengths, labels = (part[rows] for part in TRAIN)
        F.cross_entropy(logits_of(tokens[:, : lengths.max()], lengths), labels).backward()
        set_learning_rate(optimizers, learning_rate_scale(step, steps, 10))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        return (logits_of(*TEST[:2]).argmax(-1) == TEST[2]).float().mean().item()


accuracy = {}
print(f"{'accuracy':10}{'head only':>14}{'everything':>14}{'from random weights':>22}   (guessing: 33%)")
for name in models:
    accuracy[name] = classify(name, "head"), classify(name), classify(name, pretrained=False)
    print(f"{name:10}{accuracy[name][0]:14.0%}{accuracy[name][1]:14.0%}{accuracy[name][2]:22.0%}")
import time as _t; print('--- cell 25', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_04_25.png'); _p.close(_n)
