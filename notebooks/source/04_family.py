# %% [markdown] lang="zh"
# # 第 4 课　一家人：GPT、BERT、T5
#
# 学完这一课，你能够：
#
# - 在同样的故事上训练两个只差一个掩码的网络：因果的（GPT）和双向的（BERT），并说清楚各自能做什么、不能做什么；
# - 比较它们的生成、完形填空和分类，分辨哪些差别真实存在，哪些只是传说；
# - 由形状算出 GPT、BERT、T5 的参数量，列出 GPT 的全部权重，看到教程里的哪些部件根本不存在。
#
# 对应教程：000 §1.2–2.1；001 §1–§4.2；002 全文；004 §2.1、§3.1。

# %% [markdown] lang="en"
# # Lesson 4: the family: GPT, BERT, T5
#
# After this lesson you will be able to:
#
# - train two nets that differ in one mask on the same stories, a causal one (GPT) and one that sees both sides (BERT), and say
#   what each of them can and cannot do;
# - compare them in writing, filling gaps and classifying, and tell the differences that exist from those that are only told;
# - compute the sizes of GPT, BERT and T5 from their shapes, list all weights of a GPT, and see which parts that the tutorials
#   name are not there at all.
#
# It goes with tutorials 000 §1.2–2.1; 001 §1–§4.2; 002, all of it; 004 §2.1, §3.1.

# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()

# %%
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

# %% [markdown] lang="zh"
# ## 1　两个目标，同一批故事
#
# 教程 000 §1.2 说：“GPT-3的核心在于其自回归架构和基于掩码语言模型的预训练范式”；001 §1.1 说 GPT-3.5“使用了自回归语言模型和掩码语言模型”。
# 这是把 BERT 的目标安到了 GPT 头上。GPT-1、2、3 的论文里只有一个目标：预测下一个词元（Radford 等 2018、2019；Brown 等 2020）。
# 002 §3.1 说对了。“因果掩码”（causal mask，挡住后文的注意力）与“掩码语言模型”（masked language model，把词元换成空格）都叫“掩码”，
# 却是两回事。
#
# 先看看两种目标要求模型做什么。上面一行是输入，下面一行是目标；`·` 表示这里没有目标。

# %% [markdown] lang="en"
# ## 1. Two objectives, the same stories
#
# Tutorial 000 §1.2 says "GPT-3的核心在于其自回归架构和基于掩码语言模型的预训练范式", and 001 §1.1 that GPT-3.5 was pretrained by "自回归语言模型和
# 掩码语言模型": both give GPT the objective of BERT. The papers of GPT-1, 2 and 3 have one objective, to predict the next token
# (Radford et al. 2018, 2019; Brown et al. 2020). 002 §3.1 says it right. A *causal mask* hides later places from attention; a
# *masked language model* has tokens exchanged for gaps. They share a word and nothing else.
#
# First see what the two objectives ask of a model. The upper row is the input, the lower one the target; `·` stands for none.

# %%
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

# %% [markdown] lang="zh"
# 一个窗口里，因果模型从每个位置都学到东西，掩码模型只从大约 15% 的位置学。下面用 `train.py` 各训练一次：同样的形状（2 层、96 通道）、
# 同样的故事、同样的步数，只有 `objective` 不同。（掩码模型的词表多两个词元：空格和填充。）

# %% [markdown] lang="en"
# In one window the causal model learns from every place, the masked one from about 15 %. Now `train.py` trains each of them once:
# the same shape (2 layers, 96 channels), the same stories, the same number of steps; only `objective` differs. (The masked one has
# two more tokens in its vocabulary, for gaps and for padding.)

# %%
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

# %% [markdown] lang="zh"
# ### 谁看得见谁
#
# 两个网络在同一句话上的注意力（第二层，各头平均）。行是“看”的词元，列是“被看”的词元。左边的右上角全空：这就是因果掩码。

# %% [markdown] lang="en"
# ### Who sees whom
#
# The attention of both nets on one sentence (second layer, mean of the heads). A row is the token that looks, a column one that is
# looked at. On the left the upper right half is empty: that is the causal mask.

# %%
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

# %% [markdown] lang="zh"
# ## 2　完形填空
#
# 在验证集里挖掉同样的词元。掩码模型看得见两边，因果模型只看得见左边（给它的左文没有空格，算是优待）。

# %% [markdown] lang="en"
# ## 2. Filling gaps
#
# The same tokens are hidden in the validation texts. The masked model sees both sides, the causal one the left side only (its left
# side has no gaps, which is a favour).

# %%
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

# %%
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

# %% [markdown] lang="zh"
# ## 3　生成
#
# 因果模型写故事是它的本行。掩码模型没有“下一个词元”这回事；要让它写，只能在末尾添一个空格、填上、再添一个。它训练时从没见过后文全空的
# 样子，也从没被要求预测“故事到此为止”。请裁判（`data/world/judge.py`）数一数合语法的有多少。

# %% [markdown] lang="en"
# ## 3. Writing
#
# Writing stories is what the causal model was made for. A masked model knows no "next token"; to write, one appends a gap, fills it,
# and appends another. In training it never saw a text whose right side was missing, and was never asked whether a story ends. Let
# the judge (`data/world/judge.py`) count the grammatical ones.

# %%
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

# %% [markdown] lang="zh"
# ### 给一篇文字打分
#
# 因果模型能给出整篇文字的概率：各项相乘（链式法则）。掩码模型给不出：它对每个空格的概率都以其余全文为条件，连乘起来不是任何东西的
# 概率。程序直说：

# %% [markdown] lang="en"
# ### The probability of a text
#
# A causal model gives the probability of a whole text as a product (the chain rule). A masked model cannot: each of its
# probabilities is conditioned on all the rest of the text, and their product is the probability of nothing. The program says so:

# %%
for name, model in models.items():
    try:
        nats = -sum(choice.logprob for choice in score(model, sentence))
        print(f"{name}: the sentence has probability e^-{nats:.1f}")
    except Exception as error:
        print(f"{name}: {error}")

# %% [markdown] lang="zh"
# ## 4　分类：从同样少的标签出发
#
# 002 §2.1 说：“GPT家族的微调通常只需要调整顶层分类器或解码器，而BERT则需要微调整个模型”。我们让两个网络做同样的实验：500 条（容易的）影评，
# 同样的步数；一次只训练分类头，一次训练全部。再加一组：从随机权重开始，全部训练。

# %% [markdown] lang="en"
# ## 4. Classifying, from equally few labels
#
# 002 §2.1 says "GPT家族的微调通常只需要调整顶层分类器或解码器，而BERT则需要微调整个模型": GPT needs a new head only, BERT a training of all. Both nets
# do the same experiment: 500 (easy) reviews, the same number of steps; once the head alone is trained, once everything. A third run
# begins at random weights.

# %%
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
