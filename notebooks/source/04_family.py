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
alone = {"causal": 0, "masked": 0}
windows = next(iter(causal_data.evaluation_batches()))[0][:8]  # (8, 176), whole texts
places = range(10, 150, 5)
with torch.no_grad():
    guesses = models["causal"](windows).argmax(-1)
    for window, guess in zip(windows, guesses, strict=True):
        rows = window.repeat(len(places), 1)  # one row for each gap
        number = torch.arange(len(places))
        rows[number, list(places)] = MASK
        found = models["masked"](rows)[number, list(places)].argmax(-1)
        alone["masked"] += (found == window[list(places)]).sum().item()
        alone["causal"] += (guess[[place - 1 for place in places]] == window[list(places)]).sum().item()
single = {name: count / (8 * len(places)) for name, count in alone.items()}
assert cloze["causal"] > cloze["masked"] and single["causal"] > single["masked"]
print("one gap at a time: " + ", ".join(f"{name} fills {share:.0%} as they were" for name, share in single.items()))

# %%
story = (
    "This is the story of ?, a smart boy. One golden afternoon, Ming went to the school. Ming had a chilled smoothie."
)
before, after = story.split(" ?")
tokens = [end, *tokenizer.encode(before), MASK, *tokenizer.encode(after)]
place = tokens.index(MASK)
with torch.no_grad():
    guesses = {
        "causal": models["causal"](torch.tensor([tokens[:place]]))[0, -1, :end],  # what follows "of"
        "masked": models["masked"](torch.tensor([tokens]))[0, place, :end],
    }
print(story)
for name, logits in guesses.items():
    best = logits.softmax(-1).topk(3)
    shown = ", ".join(f"{show(t)} {p:.0%}" for t, p in zip(best.indices.tolist(), best.values.tolist(), strict=True))
    print(f"    {name}: {shown}; Ming: {logits.softmax(-1)[tokenizer.encode(' Ming')[0]]:.0%}")

# %% [markdown] lang="zh"
# 意外：看得见两边的网络反而填得**少**，哪怕一次只挖一个空。道理在第 1 节：同样的步数里，它只从 15% 的位置学习，而因果网络从每个位置学；
# 这些故事又是从左往右写成的，左文已经说明了大部分。“Ming”这个名字只有右文知道，掩码网络训练了这么一会儿，也还没学会到右边去找。看得见
# 更多，不等于用同样的功夫学得更多。
#
# ## 3　生成
#
# 因果模型写故事是它的本行。掩码模型没有“下一个词元”这回事；要让它写，只能在末尾添一个空格、填上、再添一个。它训练时从没见过后文全空的
# 样子，也从没被要求预测“故事到此为止”。请裁判（`data/world/judge.py`）数一数合语法的有多少。

# %% [markdown] lang="en"
# A surprise: the net that sees both sides fills **fewer** gaps, even with one gap at a time. Section 1 says why: in the same number of
# steps it learns from 15 % of the places, the causal net from all of them, and these stories are written from left to right, so that
# the left side tells most. Only the right side knows the name "Ming", and after so short a training the masked net has not learned to
# look for it there. To see more is not to learn more from the same effort.
#
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
# 002 §2.1 说：“GPT家族的微调通常只需要调整顶层分类器或解码器，而BERT则需要微调整个模型”。我们让两个网络做同样的实验：500 个带标签的故事
# （东西丢了、坏了还是被抢了），同样的步数；一次只训练分类头，一次训练全部。再加一组：从随机权重开始，全部训练。

# %% [markdown] lang="en"
# ## 4. Classifying, from equally few labels
#
# 002 §2.1 says "GPT家族的微调通常只需要调整顶层分类器或解码器，而BERT则需要微调整个模型": GPT needs a new head only, BERT a training of all. Both nets
# do the same experiment: 500 labelled stories (is something lost, broken or snatched?), the
# same number of steps; once the head alone is trained, once everything. A third run
# begins at random weights.

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
    """Accuracy on 200 new stories. what: "all" or "head"; first_place: read the answer at place 0, not at the last."""
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
            tokens = tokens.clamp(max=end)  # any id pads a causal model's texts: nobody looks there
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
print(f"{'accuracy':10}{'head only':>14}{'everything':>14}{'from random weights':>22}   (guessing: 33%)")
for name in models:
    accuracy[name] = classify(name, "head"), classify(name), classify(name, pretrained=False)
    print(f"{name:10}{accuracy[name][0]:14.0%}{accuracy[name][1]:14.0%}{accuracy[name][2]:22.0%}")
    assert accuracy[name][1] > accuracy[name][0] + 0.1

# %% [markdown] lang="zh"
# 请读表，而不是读口诀：只训练分类头时两个网络都明显不如全部训练；GPT 并不比 BERT 更适合“只调顶层”。GPT-1 的论文就是微调全部权重的
# （Radford 等 2018，3.2 节）。
#
# ### 答案该从哪个位置读？
#
# BERT 的习惯是从第一个位置读答案（004 §5.2 把它搬到了 GPT 上：`output[:, 0, :]`）。对看得见两边的网络，这行得通。因果网络的第 0 个位置只看得见
# 自己，对每篇文字都给出同样的分数：

# %% [markdown] lang="en"
# Read the table, not the rule: with the head alone both nets do clearly worse than with everything, and GPT is not better suited to
# "the top only" than BERT. GPT-1's own paper fine-tunes all weights (Radford et al. 2018, section 3.2).
#
# ### Which place holds the answer?
#
# BERT's habit is to read the answer at the first place (004 §5.2 moved it to GPT: `output[:, 0, :]`). For a net that sees both sides
# it works. Place 0 of a causal net sees only itself, and gives every text the same scores:

# %%
first = {name: classify(name, first_place=True) for name in models}
for name, share in first.items():
    print(f"{name}: accuracy {share:.0%} when the answer is read at place 0, {accuracy[name][1]:.0%} at the last place")
assert abs(first["causal"] - 1 / 3) < 0.1  # one and the same answer for all texts
assert first["masked"] > 0.5

# %% [markdown] lang="zh"
# ## 5　参数量：由形状算出来
#
# 002 §2.1 说“BERT的参数量约1.17亿”。1.17 亿是 GPT-1 的数；BERT-base 是 1.1 亿，large 是 3.4 亿。不必记，可以算：`look.py sizes` 就是按公式逐项相加，
# 不分配任何内存。右边一列是论文或发布者给出的数。

# %% [markdown] lang="en"
# ## 5. Sizes, computed from the shapes
#
# 002 §2.1 says "BERT的参数量约1.17亿", about 117 million. That is GPT-1's number; BERT-base has 110 and BERT-large 340 million. There
# is no need to remember: `look.py sizes` adds up a formula for each part, and allocates nothing. The last column is what the papers
# or publishers say.

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
fig, ax = plt.subplots(figsize=(7, 2.2))
for row, sizes in enumerate(parts.values()):
    begin = 0
    for colour, (part, size) in zip(start.COLOURS, sizes.items(), strict=False):
        ax.barh(row, size / 1e6, left=begin / 1e6, color=colour, height=0.6)
        if size > 8e6:
            ax.text(
                (begin + size / 2) / 1e6,
                row,
                part.removeprefix("token "),
                ha="center",
                va="center",
                color="white",
                fontsize=8,
            )
        begin += size
    ax.text(begin / 1e6 + 2, row, f"{begin / 1e6:.1f}", va="center")
ax.set(yticks=range(3), yticklabels=parts, xlabel="million weights", xlim=(0, 245))
plt.show()

# %% [markdown] lang="zh"
# - **BERT** 与 GPT-1 是同样的积木，只是没有因果掩码，多了句段向量和一个池化矩阵，语言头不计在内。它的训练语料除了英文维基百科还有 BooksCorpus；
#   “下一句预测”是它的第二个目标。
# - **T5** 有两摞积木：编码器读、解码器写，注意力有三份。教程 002 把“BERT、T5”归为一类“自编码模型”，说它们都做下一句预测。T5 没有下一句预测；
#   它的目标是“片段填空”（span corruption），而它的**解码器是自回归的**，和 GPT 一样一个词元一个词元地写。
# - **GPT-4** 的参数量从未公布，002 Q1 的“突破了3000亿”没有出处。能算的只是：若真有 3000 亿，光训练状态就要多大。

# %% [markdown] lang="en"
# - **BERT** is made of the same blocks as GPT-1, without the causal mask, with vectors for segments and a pooling matrix, and its
#   language head is not counted. Beside the English Wikipedia it read BooksCorpus; "next sentence" was its second objective.
# - **T5** has two stacks: an encoder that reads and a decoder that writes, and so attention three times. Tutorial 002 puts BERT and T5
#   in one class, "自编码模型", with next-sentence prediction. T5 has no such task; it fills spans (span corruption), and its **decoder is
#   autoregressive**: it writes token by token, as GPT does.
# - **GPT-4**'s size was never published; "突破了3000亿" in 002 Q1 has no source. One can only compute what 300 billion weights would
#   need for training.

# %%
print(f"300 billion weights: {300e9 * 16 / 1e12:.1f} TB for weights, gradients and AdamW's two moments in float32")
print(f"GPT-3, 175 billion:  {FAMILY['gpt3'].memory()['training'] / 1e12:.1f} TB")

# %% [markdown] lang="zh"
# ## 6　GPT 里没有什么
#
# 001 §1.1 说 GPT-3.5“引入了深度链式注意力机制（Deep Chain of Causal Attentions, DCA）”。我们没有找到任何论文或代码描述这样的机制；GPT-3.5 的结构
# 没有公开。004 §2.1、§3.1 还列出了“编码器-解码器结构”“低维隐含空间”“深度残差网络（ResNet）”“跨通道连接”。看看 `out/tiny` 的全部权重，
# 一个不漏：

# %% [markdown] lang="en"
# ## 6. What a GPT has no part of
#
# 001 §1.1 says that GPT-3.5 "引入了深度链式注意力机制（Deep Chain of Causal Attentions, DCA）". We found no paper and no code of such a mechanism;
# GPT-3.5's architecture is unpublished. 004 §2.1 and §3.1 add an encoder-decoder, a "低维隐含空间" (a narrow hidden space), ResNet and
# "跨通道连接" (connections across channels). Here are all weights of `out/tiny`, without exception:

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
# 嵌入、注意力、MLP、归一化，再没有别的。也没有“低维瓶颈”：每一层进去、出来都是同样的宽度。残差连接有，但它是一次加法，没有权重，
# 也不是卷积网络 ResNet。

# %% [markdown] lang="en"
# Embedding, attention, MLP, norms, and nothing else. There is no narrow middle either: every layer's input and output have the same
# width. There are residual connections, but they are an addition without weights, and no ResNet, which is a convolutional network.

# %%
states, _ = trace(tiny, sentence)
print("shape of the states after the embedding and after each block:", [tuple(state.shape) for state in states])
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
# About 15 % of `tokens` (B, T) are chosen (`end` never). Of the chosen ones 80 % become `mask`, 10 % a random token (0 to `end - 1`),
# and 10 % stay. Return `(inputs, targets)`: the targets are the original tokens where chosen, and `IGNORED` (-100) elsewhere. Draw with
# `torch.rand` and `torch.randint`.


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
# Return a boolean matrix (T, T): row i, column j is true if place i sees place j. `kind` is `"causal"` (GPT), `"both"` (BERT) or
# `"prefix"`: everybody sees the first `prefix` places, and the rest is causal (the prefix LM of T5's paper).


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
# `spans` are the pieces to cut out, `[(start, end), ...]`, from left to right, the end not included. Inputs: each span is replaced by
# one sentinel (`"<0>"` for span 0, `"<1>"` for span 1, and so on). Targets: each sentinel followed by its span, and the next sentinel
# at the end. Return `(inputs, targets)`, both lists. For example `["a","b","c","d"]` and `[(1, 3)]` give `["a","<0>","d"]` and
# `["<0>","b","c","<1>"]`.


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
# Compute the size of BERT from its vocabulary `V`, places `T`, layers `L` and width `C`: vectors for tokens, places and **2** segments;
# in each layer 4 attention matrices with 4 biases, an MLP to 4 times the width and back (with biases), and 2 norms; one more norm after
# the embeddings (a norm has 2C); at the end a pooler of C×C and a bias. There is no language head.


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
