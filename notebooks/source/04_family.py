# %% [markdown] lang="zh"
# # 第 4 课　一家人：GPT、BERT、T5
#
# 学完这一课，你能够：
#
# - 在同样的故事上训练两个形状相同、掩码和目标不同的网络：因果的（GPT）和双向的（BERT），并说清楚各自能做什么、不能做什么；
# - 比较它们的完形填空、生成和分类，分清哪些差别测得出来，哪些只是传说；
# - 由形状算出 GPT、BERT、T5 的参数量，列出 GPT 的全部权重，看到教程里的哪些部件根本不存在。
#
# 对应教程：000 §1.2–2.1；001 §1–§4.2；002 全文；004 §2.1、§3.1。

# %% [markdown] lang="en"
# # Lesson 4: the family: GPT, BERT, T5
#
# After this lesson you will be able to:
#
# - train two nets of one shape, but with another mask and another objective, on the same stories: a causal one (GPT) and
#   one that sees both sides (BERT), and say what each of them can and cannot do;
# - compare them in filling gaps, writing and classifying, and tell measured differences from hearsay;
# - compute the sizes of GPT, BERT and T5 from their shapes, list all weights of a GPT, and see that several parts named
#   in the tutorials do not exist.
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
from itertools import islice

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from data.world.samples import judge_stories, sample_stories
from data.world.story import stories
from gpt.classifier import GPTClassifier, pad
from gpt.dataset import IGNORED
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
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
# 002 §3.1 说对了。“因果掩码”（causal mask，不让注意力看后文）与“掩码语言模型”（masked language model，把一些词元盖住，再让模型猜）
# 都叫“掩码”，却是两回事。
#
# BERT 的做法：选出约 15% 的词元作为目标；选中的有 80% 换成特殊词元 `[MASK]`（下文叫**空位**），10% 换成随便一个词元，10% 原样不动。
# 后两种是为了让模型对每个看得见的词元也不敢轻信。下面每组两行，上面是输入，下面是目标；`·` 表示这里没有目标。

# %% [markdown] lang="en"
# ## 1. Two objectives, the same stories
#
# Tutorial 000 §1.2 says that the core of GPT-3 is "its autoregressive architecture and pretraining as a masked language
# model" (基于掩码语言模型的预训练范式), and 001 §1.1 says the same of GPT-3.5. Both give GPT the objective of BERT. The papers
# of GPT-1, 2 and 3 have one objective: predict the next token (Radford et al. 2018, 2019; Brown et al. 2020). 002 §3.1
# gets it right. A *causal mask* hides later places from attention. A *masked language model* sees a text in which some
# tokens are covered, and guesses them. The two share a word and nothing else.
#
# BERT chooses about 15 % of the tokens as targets. Of these, 80 % are replaced by a special token `[MASK]` (a **gap**),
# 10 % by a random token, and 10 % stay as they are. The last two kinds teach the model to doubt every token it sees. Below,
# the upper row of each pair is the input, the lower one the target; `·` means that there is none.

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
    inputs, targets = data.batch(3)  # (16, 176) each
    share = (targets != IGNORED).float().mean().item()
    print(f"{name}: {share:.0%} of the places have a target")
    text = (inputs[:, :10] == MASK).sum(1).argmax()  # the one that begins with most gaps
    for row in (inputs[text], targets[text]):
        print("   ", " ".join(f"{show(token):9}" for token in row[:10].tolist()))
    assert share == 1 if data is causal_data else 0.13 < share < 0.16

# %% [markdown] lang="zh"
# 一个窗口里，因果模型从每个位置都学到东西，掩码模型只从大约 15% 的位置学。下面用 `train.py` 各训练一次：同样的形状（2 层、宽 96）、
# 同样的故事、同样的步数，只有 `objective` 不同。（掩码模型的词表多两个词元：`[MASK]` 和填充。）

# %% [markdown] lang="en"
# In one window the causal model learns from every place, the masked one from about 15 %. Now `train.py` trains each of
# them once: the same shape (2 layers, width 96), the same stories, the same number of steps; only `objective` differs.
# (The vocabulary of the masked one has two more tokens, `[MASK]` and padding.)

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
    speed_up(models[objective], torch.device("cpu"), torch.float32)  # the same answers, faster
    print(f"{objective}: {models[objective].num_params():,} weights")

# %% [markdown] lang="zh"
# ### 谁看得见谁
#
# 两个网络在同一句话上的注意力（第二层，各头平均）。行是“看”的词元，列是“被看”的词元。左图的右上半是空的：这就是因果掩码。

# %% [markdown] lang="en"
# ### Who sees whom
#
# The attention of both nets on one sentence (second layer, mean of the heads). Rows are the tokens that look, columns the
# tokens they look at. In the left picture the upper right half is empty: that is the causal mask.

# %%
sentence = [end, *tokenizer.encode("This is the story of Tom, a kind boy.")]
names = [show(token) for token in sentence]
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
for ax, (name, model) in zip(axes, models.items(), strict=True):
    _, weights = trace(model, sentence)  # (layers, heads, T, T)
    mean_of_heads = weights[-1].mean(0)  # (T, T)
    ax.imshow(mean_of_heads, cmap="Blues", vmin=0, vmax=0.5)
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set(title=name, xlabel="token looked at", ylabel="token that looks")
    ahead = mean_of_heads.triu(1).sum().item() / len(sentence)
    print(f"{name}: {ahead:.0%} of the attention goes to later tokens")
    assert (ahead == 0) == (name == "causal")
plt.show()

# %% [markdown] lang="zh"
# ## 2　完形填空
#
# 在验证集里盖住同样的词元，让两个网络来猜。掩码模型看得见两边，因果模型只看得见左边（不过它的左文里没有空位，占了点便宜）。

# %% [markdown] lang="en"
# ## 2. Filling gaps
#
# The same tokens of the validation texts are covered, and both nets guess them. The masked model sees both sides, the
# causal one only the left side (which has no gaps: a small advantage).

# %%
right, total = {"causal": 0, "masked": 0}, 0
with torch.no_grad():
    for inputs, targets in islice(masked_data.evaluation_batches(), 12):
        is_gap = targets != IGNORED  # (B, T)
        is_gap[:, 0] = False  # the causal net sees nothing before it
        whole = torch.where(targets != IGNORED, targets, inputs)  # the text as it was
        guesses = models["masked"](whole.masked_fill(is_gap, MASK)).argmax(-1)
        right["masked"] += (guesses == whole)[is_gap].sum().item()
        text = whole.clamp(max=end)  # the causal net has no padding token: any other does
        guesses = models["causal"](text).argmax(-1)[:, :-1]  # of what comes after each place
        right["causal"] += (guesses == text[:, 1:])[is_gap[:, 1:]].sum().item()
        total += is_gap.sum().item()
cloze = {name: count / total for name, count in right.items()}
print(f"{total:,} gaps; guessed right:", {name: f"{share:.0%}" for name, share in cloze.items()})

# %%
alone = {"causal": 0, "masked": 0}
windows = next(iter(causal_data.evaluation_batches()))[0][:8]  # (8, 176), whole texts
places = torch.arange(10, 150, 5)  # of the gaps; each is filled with the rest of the text intact
row = torch.arange(len(places))
with torch.no_grad():
    for window in windows:
        rows = window.repeat(len(places), 1)  # one copy of the text for each gap
        rows[row, places] = MASK
        guesses = models["masked"](rows)[row, places].argmax(-1)
        alone["masked"] += (guesses == window[places]).sum().item()
        guesses = models["causal"](window[None])[0, places - 1].argmax(-1)
        alone["causal"] += (guesses == window[places]).sum().item()
single = {name: count / (len(windows) * len(places)) for name, count in alone.items()}
print("one gap at a time:", {name: f"{share:.0%}" for name, share in single.items()})
assert cloze["causal"] > cloze["masked"] and single["causal"] > single["masked"]

# %%
before = "This is the story of"
after = ", a smart boy. One golden afternoon, Ming went to the school. Ming had a chilled smoothie."
tokens = [end, *tokenizer.encode(before), MASK, *tokenizer.encode(after)]
place = tokens.index(MASK)
with torch.no_grad():
    left_side = torch.tensor([tokens[:place]])
    guesses = {
        "causal": models["causal"](left_side)[0, -1, :end],  # what follows "of"
        "masked": models["masked"](torch.tensor([tokens]))[0, place, :end],
    }
print(f"{before} ?{after}")
for name, logits in guesses.items():
    p = logits.softmax(-1)
    shown = ", ".join(f"{show(token)} {p[token]:.0%}" for token in p.topk(3).indices.tolist())
    print(f"    {name}: {shown}; Ming: {p[tokenizer.encode(' Ming')[0]]:.0%}")

# %% [markdown] lang="zh"
# 意外：看得见两边的网络反而猜得**差**，哪怕一次只挖一个空。第 1 节已经埋下了原因：同样的步数里，它只从 15% 的位置学习，而因果网络从每个位置学。
# 那就让掩码网络多练到七倍：`max_steps=1680`，学到的目标与因果网络 240 步时差不多一样多。我们试过（你也可以改上面的格子自己试，要多等一会儿）：
# 它猜对 84%，一次一个空时猜对 88%，反超因果网络；“Ming”这个名字只有右文知道，它给出 97% 的概率。所以，看两边确实有用，
# 只是每一步学到的少。
#
# ## 3　生成
#
# 写故事是因果模型的本行。掩码模型没有“下一个词元”这回事；要让它写，只能在末尾添一个空位、填上、再添一个。训练时它很少要填
# 后面什么也没有的空位（只有窗口的最后一格），从没见过不满一个窗口的文字，也从没被要求预测“故事到此为止”。下面请裁判（`data/world/judge.py`）数一数有多少故事合乎语法。

# %% [markdown] lang="en"
# A surprise: the net that sees both sides guesses **worse**, even with one gap at a time. Section 1 gives the reason: in the
# same number of steps it learns from 15 % of the places, the causal net from all of them. So train the masked net for seven
# times as many steps: with `max_steps=1680` it learns from about as many targets as the causal net in 240. We tried it (you
# can, too, by changing the cell above; it takes longer). It guesses 84 % right, and 88 % with one gap at a time,
# more than the causal net. Only the right side knows the name "Ming", and it gives it a probability of 97 %. So seeing both
# sides does help; each step just teaches less.
#
# ## 3. Writing
#
# The causal model is made for writing. A masked model has no "next token". To make it write, one appends a gap, fills it,
# and appends another. In training few gaps had nothing behind them (only those in the last place of a window); no text was
# shorter than a window; and it was never asked whether a story ends.
# The judge (`data/world/judge.py`) counts the grammatical stories.


# %%
def write_by_gaps(model, count, most, temperature=0.5):
    """Stories from a masked model, left to right: a gap at the end is filled, again and again."""
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
    print(f"{name}: {grammatical[name]:.0%} grammatical. The first begins:")
    print(f"    {texts[0].strip()[:95]} …")
assert grammatical["causal"] > grammatical["masked"] + 0.3

# %% [markdown] lang="zh"
# ### 给一篇文字打分
#
# 因果模型能给出整篇文字的概率：把每一步的概率乘起来（链式法则）。掩码模型给不出：它的每个概率都以其余全文为条件，乘起来并不是这篇文字的
# 概率。让它打分，程序会拒绝：

# %% [markdown] lang="en"
# ### The probability of a text
#
# A causal model gives the probability of a whole text: the product of its steps (the chain rule). A masked model cannot:
# each of its probabilities is conditioned on all the rest of the text, and their product is not the probability of the
# text. Asked for a score, the program refuses:

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
# 002 §2.1 说：“GPT家族的微调通常只需要调整顶层分类器或解码器，而BERT则需要微调整个模型”。我们让两个网络做同样的实验：500 个带标签的故事
# （东西丢了、坏了还是被抢了），同样的步数；一次只训练分类头（head，接在最后一个词元的状态上的一个矩阵，第 6 课会亲手写），一次训练全部。
# 再加一组：从随机权重开始，全部训练。

# %% [markdown] lang="en"
# ## 4. Classifying, from equally few labels
#
# 002 §2.1 says that fine-tuning GPT "usually adjusts only the top classifier or decoder" (通常只需要调整顶层分类器或解码器),
# while BERT needs all of the model. Both nets do the same experiment: 500 labelled stories (is something lost, broken or
# snatched?) and the same number of steps. Once only the head is trained (a matrix on the state of the last token, written
# by hand in lesson 6), once everything. A third run starts from random weights.

# %%
PLOTS = ("lose", "drop", "snatch")  # something is lost, broken, or taken away


def labelled(seed, count):
    """Stories and which of three things happens in them: tokens, lengths, labels."""
    texts, labels = [], []
    for story in stories(seed):
        found = [PLOTS.index(event) for event, _ in story.sentences if event in PLOTS]
        if len(found) == 1:
            texts.append([end, *tokenizer.encode(story.text)])
            labels.append(found[0])
        if len(texts) == count:
            return *pad(texts, PADDING), torch.tensor(labels)


TRAIN, TEST = labelled(seed=501, count=500), labelled(seed=502, count=200)


def classify(name, what="all", pretrained=True, first_place=False, steps=40):
    """Accuracy on 200 new stories. what is trained: "all" or "head". The answer is read at the last
    token, or with first_place at place 0."""
    torch.manual_seed(0)
    net = GPTClassifier(models[name].config, PLOTS)
    if pretrained:
        net.transformer.load_state_dict(models[name].transformer.state_dict())
    if what == "head":
        net.transformer.requires_grad_(False)
    speed_up(net, torch.device("cpu"), torch.float32)
    optimizers = build_optimizers(net, "adamw", 3e-3 if what == "all" else 3e-2, 0.03, 0.1)

    def logits_of(tokens, lengths):
        if name == "causal":
            tokens = tokens.clamp(max=end)  # any token can be padding: nobody looks there
        return net(tokens, torch.ones_like(lengths) if first_place else lengths)

    for step in range(steps):
        rows = torch.arange(16 * step, 16 * (step + 1)) % len(TRAIN[0])
        tokens, lengths, labels = (part[rows] for part in TRAIN)
        F.cross_entropy(logits_of(tokens[:, : lengths.max()], lengths), labels).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        set_learning_rate(optimizers, learning_rate_scale(step, steps, 4))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        return (logits_of(*TEST[:2]).argmax(-1) == TEST[2]).float().mean().item()


accuracy = {}
print(f"{'accuracy':10}{'head only':>14}{'everything':>14}{'random start':>14}   (guessing: 33%)")
for name in models:
    accuracy[name] = classify(name, "head"), classify(name), classify(name, pretrained=False)
    print(f"{name:10}" + "".join(f"{share:14.0%}" for share in accuracy[name]))
    assert accuracy[name][1] > accuracy[name][0] + 0.1

# %% [markdown] lang="zh"
# 以表为准，别背口诀：只训练分类头时，两个网络都明显不如全部训练（头练到 400 步，两个网络也都只有 88% 左右）；GPT 并不比 BERT 更适合“只调顶层”。
# GPT-1 的论文就是微调全部权重的（Radford 等 2018，3.2 节）。最后一列是没有预训练的：同样 40 步，双向网络差得尤其多。
#
# ### 答案该从哪个位置读？
#
# BERT 习惯从第一个位置读答案（004 §5.2 把它搬到了 GPT 上：`output[:, 0, :]`）。对看得见两边的网络，这行得通。因果网络的第 0 个位置只看得见
# 自己，每篇文字的开头又是同一个词元，所以它对每篇文字都给出同样的分数：

# %% [markdown] lang="en"
# Trust the table, not the rule: with the head alone both nets do clearly worse than with everything (even after 400 steps of
# the head both are at about 88 %), and GPT is not better suited to "the top only" than BERT. GPT-1's own paper fine-tunes
# all weights (Radford et al. 2018, section 3.2). The last column is without pretraining: after the same 40 steps, the net
# that sees both sides suffers most.
#
# ### Which place holds the answer?
#
# BERT reads the answer at the first place, and 004 §5.2 copies this for GPT: `output[:, 0, :]`. It works for a net that sees
# both sides. Place 0 of a causal net sees only itself, and every text begins with the same token, so it gives all texts
# the same scores:

# %%
first = {name: classify(name, first_place=True) for name in models}
for name, share in first.items():
    print(f"{name}: accuracy {share:.0%} at place 0, {accuracy[name][1]:.0%} at the last place")
assert abs(first["causal"] - 1 / 3) < 0.1  # one and the same answer for all texts
assert first["masked"] > 0.5

# %% [markdown] lang="zh"
# ## 5　参数量：由形状算出来
#
# 002 §2.1 说“BERT的参数量约1.17亿”。1.17 亿是 GPT-1 的数；BERT-base 是 1.1 亿，large 是 3.4 亿。不必记，可以算：`look.py sizes` 按公式逐项相加，
# 不用建模型。右边一列是论文或发布者给出的数。

# %% [markdown] lang="en"
# ## 5. Sizes, computed from the shapes
#
# 002 §2.1 says that BERT has about 117 million weights (1.17亿). That is GPT-1's number; BERT-base has 110 and BERT-large
# 340 million. There is no need to remember this: `look.py sizes` adds up a formula for each part and builds no model. The
# last column is what the papers or publishers say.

# %%
PUBLISHED = {  # millions
    "gpt": 117, "gpt2": 124, "gpt2-xl": 1558, "gpt-j-6b": 6053, "gpt3": 175_000,
    "bert-base": 110, "bert-large": 340, "t5-small": 60, "t5-base": 220, "t5-large": 770,
}  # fmt: skip
for name, published in PUBLISHED.items():
    computed = FAMILY[name].num_params()
    print(f"{name:11} {computed:>15,} computed {published:>8,} million published")
    assert abs(computed / 1e6 / published - 1) < 0.05
assert FAMILY["bert-base"].num_params() == 109_482_240
assert FAMILY["gpt"].num_params() == 116_534_784

# %%
parts = {name: FAMILY[name].parameters() for name in ("gpt", "bert-base", "t5-base")}
fig, ax = plt.subplots(figsize=(7, 2.4))
begin = dict.fromkeys(parts, 0.0)  # where the next part of each bar begins
for colour, part in zip(start.COLOURS, parts["gpt"], strict=False):
    sizes = {name: parts[name][part] / 1e6 for name in parts}
    ax.barh(list(parts), list(sizes.values()), 0.6, list(begin.values()), color=colour, label=part)
    begin = {name: begin[name] + sizes[name] for name in parts}
for row, total in enumerate(begin.values()):
    ax.text(total + 2, row, f"{total:.1f}", va="center")
ax.set(xlabel="million weights", xlim=(0, 245))
ax.invert_yaxis()
fig.legend(loc="outside upper center", ncols=6, fontsize=8, frameon=False, handlelength=1)
plt.show()

# %% [markdown] lang="zh"
# - **BERT** 每层的结构与 GPT-1 相同，只是没有因果掩码；另外多了句段向量（segment，告诉模型一个词元属于第一段还是第二段文字）和池化层（pooler，
#   第一个词元的状态再过一个矩阵），语言头不计在内。它的训练语料除了英文维基百科还有 BooksCorpus；“下一句预测”是它的第二个目标。
# - **T5** 有两叠层：编码器读原文，解码器写答案。注意力因此有三种：编码器看原文，解码器看自己写过的，解码器回头看原文（交叉注意力，cross-attention）。
#   教程 002 把“BERT、T5”归为一类“自编码模型”，说它们都做下一句预测。T5 没有下一句预测；它的目标是“片段填空”（span corruption，见练习 3），
#   而它的**解码器是自回归的**，和 GPT 一样一个词元一个词元地写。
# - **GPT-4** 的参数量从未公布，002 Q1 的“突破了3000亿”没有出处。能算的只是：若真有 3000 亿，光训练状态就要多大。

# %% [markdown] lang="en"
# - **BERT** has the same blocks as GPT-1, without the causal mask. It adds segment vectors (does a token belong to the first
#   or the second text?) and a pooler (one more matrix on the state of the first token); its language head is not counted.
#   It read BooksCorpus besides the English Wikipedia. "Next sentence prediction" was its second objective.
# - **T5** has two stacks: an encoder reads the text, a decoder writes the answer. So there are three kinds of attention: the
#   encoder's on the text, the decoder's on what it has written, and the decoder's on the text (cross-attention). Tutorial
#   002 puts BERT and T5 into one class, "autoencoding models", with next-sentence prediction. T5 has no such task. It fills
#   spans (span corruption, see exercise 3), and its **decoder is autoregressive**: it writes token by token, as GPT does.
# - **GPT-4**'s size was never published; "more than 300 billion" (突破了3000亿) in 002 Q1 has no source. One can only
#   compute what 300 billion weights would need for training.

# %%
print("memory for weights, gradients and AdamW's two moments, 4 × 4 bytes per weight (float32):")
print(f"    300 billion weights: {300e9 * 16 / 1e12:.1f} TB")
print(f"    GPT-3, 175 billion:  {FAMILY['gpt3'].memory()['training'] / 1e12:.1f} TB")

# %% [markdown] lang="zh"
# ## 6　GPT 里没有什么
#
# 001 §1.1 说 GPT-3.5“引入了深度链式注意力机制（Deep Chain of Causal Attentions, DCA）”。我们没有找到任何论文或代码描述这样的机制；GPT-3.5 的结构
# 没有公开。004 §2.1、§3.1 还列出了“编码器-解码器结构”“低维隐含空间”“深度残差网络（ResNet）”“跨通道连接”。看看 `out/tiny` 的全部权重，
# 一个不漏：

# %% [markdown] lang="en"
# ## 6. What a GPT has no part of
#
# 001 §1.1 says that GPT-3.5 has a "Deep Chain of Causal Attentions, DCA" (深度链式注意力机制). We found no paper and no code
# of such a mechanism; GPT-3.5's architecture is unpublished. 004 §2.1 and §3.1 add an encoder-decoder, a "low-dimensional
# hidden space" (低维隐含空间), ResNet and "cross-channel connections" (跨通道连接). Here are all weights of `out/tiny`,
# without exception:

# %%
tiny = load_model(start.tiny())
kinds = {}
for name, weight in tiny.named_parameters():
    kind = re.sub(r"^transformer\.", "", re.sub(r"\.h\.\d+\.", ".h.*.", name)).rsplit(".", 1)[0]
    kinds[kind] = kinds.get(kind, 0) + weight.numel()
ROLES = {"wte": "embedding, and head", "ln_1": "norm", "ln_2": "norm", "ln_f": "norm",
         "c_attn": "attention: query, key, value", "attn.c_proj": "attention: output",
         "c_fc": "MLP: to 4 times the width", "mlp.c_proj": "MLP: back"}  # fmt: skip
for kind, size in kinds.items():
    role = next(role for ending, role in ROLES.items() if kind.endswith(ending))
    print(f"{kind:18} {size:>8,}  {role}")
assert sum(kinds.values()) == tiny.num_params() == anatomy_of(tiny.config).num_params()

# %% [markdown] lang="zh"
# 嵌入、注意力、MLP、归一化，再没有别的。（位置在哪里？这个模型用旋转位置编码（rotary）：把每个头的查询和键按位置转一个角度，不用权重。GPT-2
# 则多一张位置向量表。）也没有“低维瓶颈”：每一层进去、出来都是同样的宽度。残差连接有，但它只是一次加法，没有权重；ResNet 是卷积网络的名字。
#
# GPT-3.5 公开的是**训练方式**，教程却没有讲。text-davinci-002 在预训练之后做监督微调，用的是人写的示例和人打了满分的模型回答；
# text-davinci-003 还用人的比较训练一个奖励模型，再用强化学习（PPO）让网络多写得分高的回答（OpenAI 2023，“Model index for researchers”；
# 做法见 InstructGPT 的论文，Ouyang 等 2022）。监督微调就是第 7 课的“提示 → 答案”；奖励模型和强化学习，本项目没有做。

# %% [markdown] lang="en"
# Embedding, attention, MLP, norms, and nothing else. (Where are the positions? This model turns each head's queries and
# keys by an angle that depends on the position, which needs no weights: rotary positions. GPT-2 has a table of position
# vectors instead.) There is no bottleneck either: every layer's input and output have the same width. There are residual
# connections, but these are additions without weights; ResNet is the name of a convolutional network.
#
# What was published about GPT-3.5 is how it was **trained**, which the tutorials leave out. After pretraining,
# text-davinci-002 was fine-tuned on answers that people wrote, and on answers of models that people gave full marks. For
# text-davinci-003, a reward model was also trained on people's comparisons, and reinforcement learning (PPO) made the net
# write more of what scores high (OpenAI 2023, "Model index for researchers"; the method is InstructGPT's, Ouyang et al.
# 2022). Fine-tuning on answers is "prompt → answer" of lesson 7; reward models and reinforcement learning are not part of
# this project.

# %%
states, _ = trace(tiny, sentence)
print("shapes after the embedding and after each block:", [tuple(state.shape) for state in states])
assert all(state.shape == (len(sentence), tiny.config.n_embd) for state in states)
for name in ("conv", "encoder", "decoder", "cross", "chain", "bottleneck"):
    assert not any(name in kind for kind in kinds)

# %% [markdown] lang="zh"
# ## 练习
#
# ### 练习 1　BERT 的掩码
#
# `tokens`（B, T）里约 15% 的词元被选中（`end` 从不选）。选中的有 80% 换成 `mask`，10% 换成随机词元（0 到 `end - 1`），10% 不变。返回
# `(inputs, targets)`：目标在选中处是原来的词元，其余是 `IGNORED`（-100）。随机数用 `torch.rand` 与 `torch.randint`。

# %% [markdown] lang="en"
# ## Exercises
#
# ### Exercise 1: BERT's gaps
#
# Choose about 15 % of `tokens` (B, T), but never `end`. Of the chosen ones, 80 % become `mask`, 10 % a random token (0 to
# `end - 1`), and 10 % stay. Return `(inputs, targets)`: the targets are the original tokens where chosen, and `IGNORED`
# (-100) elsewhere. Draw with `torch.rand` and `torch.randint`.


# %% tags=["exercise"]
def my_gaps(tokens, end, mask): ...


check.gaps(my_gaps)


# %% tags=["solution"]
def my_gaps(tokens, end, mask):
    chosen = (torch.rand(tokens.shape) < 0.15) & (tokens != end)
    kind = torch.rand(tokens.shape)
    inputs = torch.where(chosen & (kind < 0.8), mask, tokens)
    inputs = torch.where(chosen & (kind >= 0.9), torch.randint(0, end, tokens.shape), inputs)
    return inputs, tokens.masked_fill(~chosen, IGNORED)


check.gaps(my_gaps)

# %% [markdown] lang="zh"
# ### 练习 2　谁看得见谁
#
# 返回一个布尔矩阵（T, T）：第 i 行第 j 列为真，表示位置 i 看得见位置 j。`kind` 是 `"causal"`（GPT）、`"both"`（BERT）或 `"prefix"`：前 `prefix` 个位置互相
# 全看得见，其余照因果掩码（T5 论文里的 prefix LM）。

# %% [markdown] lang="en"
# ### Exercise 2: who sees whom
#
# Return a boolean matrix (T, T): row i, column j is true if place i sees place j. `kind` is `"causal"` (GPT), `"both"`
# (BERT) or `"prefix"`: the first `prefix` places all see each other, and the rest is causal (the prefix LM of T5's paper).


# %% tags=["exercise"]
def my_visible(T, kind, prefix=0): ...


check.visible(my_visible)


# %% tags=["solution"]
def my_visible(T, kind, prefix=0):
    if kind == "both":
        return torch.ones(T, T, dtype=torch.bool)
    visible = torch.ones(T, T, dtype=torch.bool).tril()
    if kind == "prefix":
        visible[:, :prefix] = True
    return visible


check.visible(my_visible)

# %% [markdown] lang="zh"
# ### 练习 3　T5 的片段填空
#
# `spans` 是要挖掉的片段 `[(起点, 终点), ...]`，从左到右，终点不含。输入：每个片段换成一个哨兵（第 0 个片段是 `"<0>"`，第 1 个是 `"<1>"`……）。
# 目标：每个哨兵后面跟着它的片段，最后再加下一个哨兵表示结束。返回 `(inputs, targets)`，都是列表。例：`["a","b","c","d"]`、`[(1, 3)]` 给出
# `["a","<0>","d"]` 和 `["<0>","b","c","<1>"]`。

# %% [markdown] lang="en"
# ### Exercise 3: T5's spans
#
# `spans` are the pieces to cut out, `[(start, end), ...]`, from left to right, the end not included. Inputs: each span is
# replaced by one sentinel (`"<0>"` for span 0, `"<1>"` for span 1, and so on). Targets: each sentinel followed by its span,
# and the next sentinel at the end. Return `(inputs, targets)`, both lists. For example `["a","b","c","d"]` and `[(1, 3)]`
# give `["a","<0>","d"]` and `["<0>","b","c","<1>"]`.


# %% tags=["exercise"]
def my_spans(words, spans): ...


check.spans(my_spans)


# %% tags=["solution"]
def my_spans(words, spans):
    inputs, targets, done = [], [], 0
    for number, (begin, stop) in enumerate(spans):
        inputs += [*words[done:begin], f"<{number}>"]
        targets += [f"<{number}>", *words[begin:stop]]
        done = stop
    return inputs + words[done:], [*targets, f"<{len(spans)}>"]


check.spans(my_spans)

# %% [markdown] lang="zh"
# ### 练习 4　BERT 有多少权重
#
# 由词表 `V`、位置数 `T`、层数 `L`、宽度 `C` 算出 BERT 的参数量：词向量、位置、**2 个**句段向量；每层注意力 4 个矩阵和 4 个偏置，MLP 到 4 倍宽再回来（有偏置），
# 2 个归一化；嵌入之后还有 1 个归一化（每个归一化 2C）；最后是 C×C 加偏置的池化层。没有语言头。

# %% [markdown] lang="en"
# ### Exercise 4: how many weights BERT has
#
# Compute the size of BERT from its vocabulary `V`, positions `T`, layers `L` and width `C`: vectors for tokens, positions
# and **2** segments; in each layer 4 attention matrices with 4 biases, an MLP to 4 times the width and back (with biases),
# and 2 norms; one more norm after the embeddings (a norm has 2C weights); at the end a pooler of C×C and a bias. There is
# no language head.


# %% tags=["exercise"]
def my_bert_size(V, T, L, C): ...


check.bert_size(my_bert_size)


# %% tags=["solution"]
def my_bert_size(V, T, L, C):
    embeddings = (V + T + 2) * C
    attention = 4 * C * C + 4 * C
    mlp = C * 4 * C + 4 * C + 4 * C * C + C
    return embeddings + L * (attention + mlp + 2 * 2 * C) + 2 * C + C * C + C


check.bert_size(my_bert_size)

# %% [markdown] lang="zh"
# ## 小结
#
# | 教程 | 原话 | 实际 | 在哪一格 |
# | --- | --- | --- | --- |
# | 000 §1.2、Step 2；001 §1.1、§3.2.1 | “基于掩码语言模型的预训练范式” | GPT-1 到 3 只有一个目标：下一个词元；掩码语言模型是 BERT 的 | 第 1–3 节 |
# | 002 §2.1 | “GPT…只需要调整顶层…而BERT则需要微调整个模型” | 两者都是全部训练更好 | 第 4 节 |
# | 004 §5.2 | `output[:, 0, :]` | 只对 BERT 有效；因果网络的第 0 位什么也没看到 | 第 4 节 |
# | 002 §2.1 | “BERT的参数量约1.17亿” | 109,482,240；1.17 亿是 GPT-1 | 第 5 节 |
# | 002 §1.1、§2.1 | “自编码模型如BERT、T5等”，都做下一句预测 | T5 是编码器-解码器，做片段填空，解码器自回归 | 第 5 节、练习 3 |
# | 002 Q1 | “GPT-4的参数量更是突破了3000亿” | 从未公布 | 第 5 节 |
# | 001 §1.1–1.2 | “深度链式注意力机制（DCA）” | 找不到这样的机制 | 第 6 节 |
# | 004 §2.1、§3.1 | “编码器-解码器”“低维隐含空间”“ResNet”“跨通道连接” | GPT 只有解码器，各层同宽，没有这些部件 | 第 6 节 |

# %% [markdown] lang="en"
# ## Summary
#
# | tutorial | what it says | what is true | where |
# | --- | --- | --- | --- |
# | 000 §1.2, Step 2; 001 §1.1, §3.2.1 | "基于掩码语言模型的预训练范式" | GPT-1 to 3 have one objective, the next token; masked language modelling is BERT's | sections 1–3 |
# | 002 §2.1 | GPT needs "顶层" (the top) only, BERT "整个模型" (all) | both do better with everything | section 4 |
# | 004 §5.2 | `output[:, 0, :]` | works for BERT only; place 0 of a causal net has seen nothing | section 4 |
# | 002 §2.1 | "BERT的参数量约1.17亿" | 109,482,240; 117 million is GPT-1's | section 5 |
# | 002 §1.1, §2.1 | "自编码模型如BERT、T5等", with next-sentence prediction | T5 is an encoder-decoder, fills spans, and its decoder is autoregressive | section 5, exercise 3 |
# | 002 Q1 | "GPT-4的参数量更是突破了3000亿" | never published | section 5 |
# | 001 §1.1–1.2 | "深度链式注意力机制（DCA）" | no such mechanism was found | section 6 |
# | 004 §2.1, §3.1 | encoder-decoder, "低维隐含空间", ResNet, "跨通道连接" | GPT is a decoder of one width, without such parts | section 6 |
