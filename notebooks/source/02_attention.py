# %% [markdown] lang="zh"
# # 第 2 课　注意力
#
# 学完这一课，你能够：
#
# - 亲手写出一个注意力头、因果掩码（causal mask）和层归一化（layer normalisation），并与 `gpt/model.py` 核对；
# - 把教程里跑不起来的那一层代码一处一处修好，说出修好以后它还错在哪里；
# - 在损失曲线上认出常见的错误：没有掩码、没有残差、没有归一化、没有位置。
#
# 对应教程：000 §4.1–4.2；001 §4.2；002 §4.1；004 §3.1、§4.2–4.3、§5.2（教程的编号、玩具世界、损失和奈特，见第 1 课）。
# %% [markdown] lang="en"
# # Lesson 2: attention
#
# After this lesson you can
#
# - write an attention head, the causal mask and layer normalisation by hand, and check them against `gpt/model.py`;
# - repair the tutorial's layer, which does not run, one error at a time, and say what is still wrong once it runs;
# - recognise common mistakes by their loss curves: no mask, no residual, no normalisation, no positions.
#
# It goes with 000 §4.1–4.2; 001 §4.2; 002 §4.1; 004 §3.1, §4.2–4.3, §5.2. (Lesson 1 explains the numbers of the
# tutorials, the toy world, losses and nats.)
# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
# %%
import dataclasses
import math
import re
import textwrap
from itertools import islice
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from data.world.judge import judge
from data.world.samples import sample_stories
from data.world.story import stories
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.inside.interpret import trace
from gpt.model import GPT, Block, CausalSelfAttention, GPTConfig, LayerNorm, attention_weights
from notebooks.check import attention as check


# %% [markdown] lang="zh"
# ## 1　一个注意力头，五行
#
# 在网络里，每个词元是一个向量，向量的每个数叫一个通道（channel）。这个向量乘三个矩阵，得到三个新向量：
# 查询（query，我找什么）、键（key，别人凭什么找到我）、值（value，我给出什么）。
# 查询和键的点积是分数；不许看的位置，分数改成 $-\infty$；softmax 把每一行分数变成权重；最后按权重把值加起来：
#
# $$\mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d}} + M\right)V$$
#
# $d$ 是一个头的通道数。$M$ 就是因果掩码：第 $t$ 行只看得到第 $0$ 到 $t$ 列，后面的都是 $-\infty$。五篇教程都没有提到它。
# GPT 把通道平分给几个**头**（head），各看各的，结果拼起来再乘一个矩阵，这就是多头注意力。
# %% [markdown] lang="en"
# ## 1. An attention head in five lines
#
# Inside the network each token is a vector; its numbers are called channels. Three matrices turn this vector into three
# new ones: a query (what I look for), a key (what I am found by) and a value (what I give). The scores are the dot
# products of queries and keys. Where a token may not look, the score becomes $-\infty$. Softmax turns each row of scores
# into weights, and the output is the weighted sum of the values:
#
# $$\mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d}} + M\right)V$$
#
# $d$ is the number of channels of a head. $M$ is the causal mask: row $t$ sees columns $0$ to $t$, and the later ones are
# $-\infty$. None of the five tutorials mentions it. A GPT divides its channels among several **heads**. Each looks for
# itself; their outputs are put side by side and multiplied by one more matrix. That is multi-head attention.
# %%
def attention(q, k, v):
    """One head: q, k and v are (T, d)."""
    scores = q @ k.T / math.sqrt(q.size(-1))  # (T, T)
    future = torch.ones(scores.shape, dtype=torch.bool).triu(diagonal=1)
    weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)  # each row sums to 1
    return weights @ v  # (T, d)


torch.manual_seed(0)
layer = CausalSelfAttention(GPTConfig(n_embd=32, n_head=4))
x = torch.randn(6, 32)  # 6 tokens of 32 channels
with torch.no_grad():
    q, k, v = layer.c_attn(x).split(32, dim=-1)  # 3 x (6, 32)
    heads = []
    for first in (0, 8, 16, 24):  # 4 heads of 8 channels
        mine = slice(first, first + 8)
        heads.append(attention(q[:, mine], k[:, mine], v[:, mine]))  # (6, 8)
    by_hand = layer.c_proj(torch.cat(heads, dim=-1))  # side by side again, then one more matrix
    assert torch.allclose(by_hand, layer(x[None])[0], atol=1e-6)
print("four heads by hand give what gpt.model.CausalSelfAttention gives")
# %% [markdown] lang="zh"
# 看看训练好的 `out/tiny` 第二层的一个头：左图是没有掩码时的权重，右图是真正的权重，颜色越深越大。右图的右上角必须是空的；
# 第一行只看得到自己，所以那一格是 1。
# %% [markdown] lang="en"
# Look at one head in the second layer of the trained `out/tiny`: on the left the weights without a mask, on the right the
# real ones. Darker is larger. The upper right corner of the right picture must be empty. The first row sees only itself,
# so its weight is 1.
# %%
tiny, tokenizer = load_model(start.tiny()), load_tokenizer(start.tiny())
ids = [tokenizer.end_of_text, *tokenizer.encode('Tom met Mia. "I like your lamp," said Mia.')]
names = ["<eot>"] + [tokenizer.decode([token]) for token in ids[1:]]
seen = []  # the queries and keys of each layer


def remember(q, k, visible=None):
    seen.append((q, k))
    return attention_weights(q, k, visible)


with torch.no_grad(), patch("gpt.model.attention_weights", remember):
    tiny(torch.tensor([ids]))
q, k = seen[1]  # of the second layer: 2 x (1, 4 heads, T, 32)
everywhere = torch.ones(len(ids), len(ids), dtype=torch.bool)
pictures = {
    "without the mask": attention_weights(q, k, everywhere)[0, 0],
    "with the mask": attention_weights(q, k)[0, 0],
}
assert torch.allclose(pictures["with the mask"], trace(tiny, ids)[1][1, 0], atol=1e-5)

figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.9))
for axis, (title, weights) in zip(axes, pictures.items(), strict=True):
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(ids)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(ids)), names, fontsize=8)
    axis.set(title=title, xlabel="looks at (key)", ylabel="token (query)")
plt.show()


# %% [markdown] lang="zh"
# 一行就是一个词元的注意力。下图把右图里 *your* 那一行画成柱子；装了 ipywidgets 的话，可以用滑块换一个词元（`token` 是它的序号）、换一个头，
# 看看它们各看向哪里。
# %% [markdown] lang="en"
# A row is the attention of one token. Below, the row of *your* in the right picture is drawn as bars. With ipywidgets installed,
# sliders choose another token (`token` is its number) and another head: see what each of them looks at.
# %%
of_heads = attention_weights(q, k)[0]  # (4 heads, T, T)
your = names.index(" your")


def show_row(token=your, head=0):
    plt.figure(figsize=(7, 2.2))
    plt.bar(range(len(names)), of_heads[head, token], color=start.COLOURS[0])
    plt.xticks(range(len(names)), names, rotation=90)
    plt.gca().get_xticklabels()[token].set_color(start.COLOURS[1])
    plt.ylabel("attention weight")
    plt.ylim(0, 1)
    plt.title(f"head {head}, what token {token} ({names[token].strip()}) looks at", fontsize=9)
    plt.show()


start.slider(show_row, token=(0, len(names) - 1, 1), head=(0, len(of_heads) - 1, 1))


# %% [markdown] lang="zh"
# ## 2　一个块：残差和层归一化
#
# GPT-2 由许多相同的**块**（block）叠成，每块两行（`gpt/model.py` 的 `Block`）：
#
# ```python
# x = x + attn(ln_1(x))  # 注意力：从别的词元取信息
# x = x + mlp(ln_2(x))  # MLP：每个词元自己加工，两个矩阵，中间一个激活函数
# ```
#
# `x +` 就是**残差连接**（residual connection）：输入原样保留，子层只负责往上加。`ln` 是**层归一化**：
# 把每个词元的各个通道变成均值 0、方差 1，再乘一个增益、加一个偏移（Ba 等，2016）。
#
# 教程 004 §5.2 的残差是这样写的：`x = attn @ v`，接着 `x = x + self.dropout(x)`。输入在相加之前已经被盖掉了，
# 和就是 $2x$（dropout 只在训练时随机丢掉一些）；接下来的 LayerNorm 又分不出 $2x$ 和 $x$，等于没有残差。
# %% [markdown] lang="en"
# ## 2. A block: residual connections and layer normalisation
#
# GPT-2 is a stack of equal **blocks**, and a block is two lines (`Block` in `gpt/model.py`):
#
# ```python
# x = x + attn(ln_1(x))  # attention: fetch from other tokens
# x = x + mlp(ln_2(x))  # MLP: each token by itself, two matrices with an activation function between them
# ```
#
# `x +` is a **residual connection**: the input is kept, and the sub-layer only adds to it. `ln` is **layer
# normalisation**: it brings the channels of each token to mean 0 and variance 1, then multiplies by a gain and adds a shift
# (Ba et al. 2016).
#
# Tutorial 004 §5.2 writes its residual connection like this: `x = attn @ v`, then `x = x + self.dropout(x)`. The input is
# overwritten before the addition, so the sum is $2x$ (dropout removes a few numbers, in training only). The LayerNorm
# after it cannot tell $2x$ from $x$: there is no residual connection.
# %%
def layer_norm(x, gain, shift, eps=1e-5):
    mean = x.mean(-1, keepdim=True)  # over the channels of each token
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * gain + shift


x, gain, shift = torch.randn(2, 5, 32), torch.randn(32), torch.randn(32)
norm = LayerNorm(32)  # gpt.model's
norm.load_state_dict({"weight": gain, "bias": shift})
by_hand = layer_norm(x, gain, shift)
assert torch.allclose(by_hand, norm(x), atol=1e-6)
assert torch.allclose(by_hand, F.layer_norm(x, (32,), gain, shift), atol=1e-5)  # PyTorch's
difference = (norm(x + x) - norm(x)).abs().max()
assert difference < 1e-3
print(f"largest difference of LayerNorm(x + x) and LayerNorm(x): {difference:.0e}")
# %% [markdown] lang="zh"
# ## 3　把教程 004 §5.2 的代码修到能跑
#
# 下面是教程的两个类，一字未改（只删了注释，折了一行）。先跑，读错误，修一处，再跑：
# %% [markdown] lang="en"
# ## 3. Repair the code of tutorial 004 §5.2 until it runs
#
# These are the tutorial's two classes, unchanged (without comments, and with one long line broken). Run them, read the
# error, repair one thing, run again:
# %%
tutorial = """
class GPTModel(nn.Module):
    def __init__(self, n_positions, n_embeddings, n_heads, n_features, n_layers):
        super(GPTModel, self).__init__()
        self.positional_encoding = nn.Parameter(torch.randn(n_positions, n_embeddings))
        self.token_embeddings = nn.Embedding(n_embeddings, n_features)
        self.layers = nn.ModuleList(
            [GPT2Layer(n_features, n_heads, n_features, n_layers) for _ in range(n_layers)])
        self.fc = nn.Linear(n_features, n_embeddings)

    def forward(self, x):
        x = x + self.positional_encoding[:, :x.size(1), :]
        x = self.token_embeddings(x)
        for layer in self.layers:
            x = layer(x)
        x = self.fc(x)
        return x

class GPT2Layer(nn.Module):
    def __init__(self, n_embeddings, n_heads, n_features, n_layers):
        super(GPT2Layer, self).__init__()
        self.qkv = nn.Linear(n_embeddings, n_heads * 3 * n_features)
        self.attn = nn.Linear(n_heads * n_features, n_heads * n_features)
        self.mlp = nn.Linear(n_features, 4 * n_features)
        self.layer_norm = nn.LayerNorm(n_features)
        self.dropout = nn.Dropout(0.1)
        self.residual = nn.Linear(n_features, n_features)

    def forward(self, x):
        qkv = self.qkv(x)
        q, k, v = qkv.chunk(3, dim=-1)
        q = q * math.sqrt(self.n_heads)
        attn = F.softmax(q @ k.transpose(1, 2), dim=-1)
        attn = self.attn(attn)
        x = attn @ v
        x = x + self.dropout(x)
        x = self.layer_norm(x)
        mlp = self.mlp(x)
        mlp = mlp + self.residual(x)
        return x
"""
repairs = {  # what is wrong: (what stands there, what to write instead)
    "the parameter has 2 dimensions, not 3": ("[:, :x.size(1), :]", "[:x.size(1)]"),
    "positions are added to ids: look up the embeddings first": (
        "x = x + self.positional_encoding[:x.size(1)]\n        x = self.token_embeddings(x)\n",
        "x = self.token_embeddings(x) + self.positional_encoding[:x.size(1)]\n",
    ),
    "positions are as wide as the vocabulary": (
        "torch.randn(n_positions, n_embeddings)",
        "torch.randn(n_positions, n_features)",
    ),
    "math was never imported": ("q = q * math", "import math\n        q = q * math"),
    "n_heads was never kept": ("self.qkv =", "self.n_heads = n_heads\n        self.qkv ="),
    "the output matrix is applied to the weights": (
        "attn = self.attn(attn)\n        x = attn @ v\n",
        "x = self.attn(attn @ v)\n",
    ),
    "n_heads times too many channels": (
        "nn.Linear(n_heads * n_features, n_heads * n_features)",
        "nn.Linear(n_heads * n_features, n_features)",
    ),
    "the MLP never comes back to the width of x": (
        "nn.Linear(n_features, 4 * n_features)",
        "nn.Sequential(nn.Linear(n_features, 4 * n_features), nn.Linear(4 * n_features, n_features))",
    ),
}
SIZES = {"n_positions": 16, "n_embeddings": 50, "n_heads": 4, "n_features": 32, "n_layers": 2}


def run_tutorial(source):
    """The model, and its logits for two rows of 8 ids, or the error that the source raises."""
    names = {"torch": torch, "nn": nn, "F": F}
    torch.manual_seed(0)
    try:
        exec(source, names)
        model = names["GPTModel"](**SIZES).eval()
        return model, model(torch.arange(16).view(2, 8))
    except Exception as error:
        return None, textwrap.shorten(f"{type(error).__name__}: {error}", 90, placeholder=" …")


source = tutorial
for number, (wrong, (old, new)) in enumerate(repairs.items(), start=1):
    _, error = run_tutorial(source)
    assert isinstance(error, str) and old in source
    print(f"{error}\n    repair {number}: {wrong}")
    source = source.replace(old, new)
mended, logits = run_tutorial(source)
print("it runs; logits", tuple(logits.shape))
# %% [markdown] lang="zh"
# 修了八处，它能跑了。能跑不等于对。下面一项一项地量：
# %% [markdown] lang="en"
# After eight repairs it runs. That does not make it right. Measure:
# %%
rows = torch.arange(16).view(2, 8)
changed = rows.clone()
changed[:, -1] = 49  # another last token
with torch.no_grad():
    leak, our_leak = ((model(changed) - model(rows))[:, :-1].abs().max() for model in (mended, tiny))
print(f"another LAST token changes EARLIER logits by up to {leak:.2f}; in gpt.model by {our_leak:.6f}")
assert leak > 0.01 and our_leak < 1e-5

F.cross_entropy(mended(rows).flatten(0, 1), rows.flatten()).backward()
unused = set()
for name, weight in mended.layers.named_parameters():  # "0.mlp.0.weight"
    if weight.grad is None:
        unused.add(name.split(".")[1])
print("weights without a gradient, because nothing uses what they compute:", sorted(unused))
assert unused == {"mlp", "residual"}
layer = mended.layers[0]
query = layer.qkv(torch.randn(1, 8, 32)).chunk(3, dim=-1)[0]
print(f"query of one token: {query.shape[-1]} channels in one head, although n_heads is {layer.n_heads}")
# %% [markdown] lang="zh"
# 还剩这些错：没有掩码；没有残差；MLP 算了不用，而且没有激活函数；四个头从来没有分开；该除以 $\sqrt d$，却乘了 $\sqrt{n}$（$n$ 是头数）。
# 它们都不会报错，只会让模型变坏。第 6、7 节把其中几个单独放进**正确的**网络里，看各自的后果。
# %% [markdown] lang="en"
# These mistakes are left: no mask; no residual; the MLP's result is thrown away, and it has no activation function; the
# four heads are never separated; queries are multiplied by $\sqrt{n}$ ($n$ is the number of heads) instead of divided by
# $\sqrt d$. None of them raises an error; they only make the model worse. Sections 6 and 7 put some of them into a
# **correct** network, one at a time, to see what each does.
# %% [markdown] lang="zh"
# ## 4　把公式代进去算一算
#
# 教程有四个公式，代进数字就看出不对：
#
# - 004 §4.2：`\text{softmax}(QW^Q KW^K / \sqrt{d_k})`：没有转置，形状就乘不起来；
# - 000 §4.1：分母里每一项都是 $\exp(v^\top Z_t)$，和求和的 $x$ 无关，于是概率永远是 $1/|\mathcal X|$；
# - 002 §4.1：对**位置** $j$ 求和，得到的是位置上的分布，不是词的分布；
# - 001 §4.2：`\text{scores}_i = \text{scores}_{i-1} + \ldots`：式子里没有词，它是斐波那契递推。
# %% [markdown] lang="en"
# ## 4. Put numbers into the formulas
#
# Four of the formulas in the tutorials show that they are wrong as soon as they are computed:
#
# - 004 §4.2: `\text{softmax}(QW^Q KW^K / \sqrt{d_k})` has no transpose, so the shapes do not fit;
# - 000 §4.1: each term of the denominator is $\exp(v^\top Z_t)$ and does not depend on the $x$ of the sum, so every
#   probability is $1/|\mathcal X|$;
# - 002 §4.1 sums over **positions** $j$, which gives a distribution over positions, not over words;
# - 001 §4.2: `\text{scores}_i = \text{scores}_{i-1} + \ldots` contains no word at all: it is the Fibonacci recursion.
# %%
try:
    torch.randn(8, 16) @ torch.randn(8, 16)
except RuntimeError as error:
    print("004:", error)

encoded = ([tokenizer.end_of_text, *tokenizer.encode(story.text)] for story in stories("lesson 2"))
short = (torch.tensor(ids) for ids in encoded if len(ids) <= 128)
texts = list(islice(short, 16))  # stories that the model has not seen
targets = sum(len(text) - 1 for text in texts)
nats_000 = nats_right = 0.0
with torch.no_grad():
    for text in texts:
        scores = tiny(text[None, :-1])[0]  # (T, V): v_x . Z_t for each word x
        score = scores.gather(1, text[1:, None])  # (T, 1): of the words that really come next
        nats_000 += (score.expand(-1, 2048).logsumexp(1) - score[:, 0]).sum()  # one term, |X| times
        nats_right += (scores.logsumexp(1) - score[:, 0]).sum()  # the sum runs over the words
    over_positions = scores.softmax(0)  # 002: the sum runs over positions
print(f"000: {nats_000 / targets:.3f} nats = ln 2048, whatever the weights; right: {nats_right / targets:.3f}")
assert abs(nats_000 / targets - math.log(2048)) < 1e-3
print(f"002: at the last position, all words together have 'probability' {over_positions[-1].sum():.1f}")

fibonacci = [1.0, 1.0]
for _ in range(98):
    fibonacci.append(fibonacci[-1] + fibonacci[-2])
ratio = fibonacci[-1] / fibonacci[-2]
print(f"001, M = 2: after 100 steps {fibonacci[-1]:.1e}, ratio {ratio:.3f}, for every text")


# %% [markdown] lang="zh"
# ## 5　$Z_t = M(Z_{t-1})$ 是循环网络
#
# 教程 000 §4.2 写 `\mathbf{Z}_t = M(\mathbf{Z}_{t-1})`：每一步只从上一步来。那是循环神经网络（RNN）。
# Transformer 的第 $t$ 个位置在每一层都直接看到**所有**更早的位置，而且一次前向计算就得到所有位置的结果。
# 不许它看这么远，只看自己和前一个，损失会怎样？（模型不是这样训练的，所以这个数只说明一件事：它确实在用更早的词元。）
# %% [markdown] lang="en"
# ## 5. $Z_t = M(Z_{t-1})$ is a recurrent network
#
# Tutorial 000 §4.2 writes `\mathbf{Z}_t = M(\mathbf{Z}_{t-1})`: each step is made from the step before. That is a recurrent
# neural network. In a Transformer, position $t$ sees **all** earlier positions directly in every layer, and one forward
# pass computes all positions. What is the loss if each position may see only itself and the one before? (The model was not
# trained like this. The number shows only one thing: it does use earlier tokens.)
# %%
@torch.no_grad()
def loss_on_stories(model):
    """Nats per token on stories that the model has not seen."""
    total = 0.0
    for text in texts:
        total += F.cross_entropy(model(text[None, :-1])[0], text[1:], reduction="sum").item()
    return total / targets


def only_the_last(q, k, visible=None):
    everywhere = torch.ones(q.size(-2), q.size(-2), dtype=torch.bool)
    return attention_weights(q, k, everywhere.tril() & everywhere.triu(-1))


everything = loss_on_stories(tiny)
with patch("gpt.model.attention_weights", only_the_last):
    restricted = loss_on_stories(tiny)
print(f"sees all earlier tokens: {everything:.3f} nats")
print(f"sees itself and the one before: {restricted:.3f} nats")
assert restricted > everything + 1

with torch.no_grad():
    at_once = tiny(texts[0][None])[0]
    one_by_one = torch.stack([tiny(texts[0][None, : t + 1])[0, -1] for t in range(20)])
assert torch.allclose(at_once[:20], one_by_one, atol=1e-3)
print("one pass over the text gives the same logits as one pass for each beginning of it")


# %% [markdown] lang="zh"
# ## 6　乘 $\sqrt n$ 还是除以 $\sqrt d$
#
# 教程 004 §5.2：`q = q * math.sqrt(self.n_heads)`。除以 $\sqrt d$，点积的方差才不会随通道数增长；否则 softmax 会**饱和**，
# 几乎只看一个位置。要紧不要紧，看初始化：同样一层，一次用 PyTorch 的默认初始化（教程就是这样），一次用 GPT-2 的标准差 0.02。
# 衡量饱和用的是一行权重的**熵**：看所有位置都一样时是 $\ln T$，只看一个位置时是 0。最后再把训练好的 `out/tiny` 的除法换成乘法。
# %% [markdown] lang="en"
# ## 6. Times $\sqrt n$ or divided by $\sqrt d$
#
# Tutorial 004 §5.2: `q = q * math.sqrt(self.n_heads)`. Divided by $\sqrt d$, dot products keep the same variance whatever
# the number of channels. Otherwise softmax **saturates**: it looks at nearly one position only. How much that matters
# depends on the initialisation: here is the same layer with PyTorch's default, as in the tutorial, and with GPT-2's
# standard deviation of 0.02. Saturation is measured by the **entropy** of a row of weights: $\ln T$ if it looks everywhere
# alike, 0 if at one position only. Last, the trained `out/tiny` gets the multiplication instead of the division.
# %%
def entropy_and_largest(scores):
    """Mean entropy of the rows of attention weights in nats, and the largest weight."""
    weights = scores.softmax(-1)
    return -(weights * weights.clamp_min(1e-30).log()).sum(-1).mean().item(), weights.max().item()


torch.manual_seed(0)
x = F.layer_norm(torch.randn(128, 128), (128,))
found = {}
print(f"an entropy is at most ln 128 = {math.log(128):.3f} nats")
for name, std in (("default", None), ("std 0.02", 0.02)):
    matrix = nn.Linear(128, 384)
    if std:
        nn.init.normal_(matrix.weight, std=std)
    with torch.no_grad():
        q, k, _ = matrix(x).view(128, 3, 4, 32).permute(1, 2, 0, 3)  # 3 x (4 heads, 128 tokens, 32)
    for what, scale in (("/ sqrt(d)", 1 / math.sqrt(32)), ("x sqrt(n)", math.sqrt(4))):
        entropy, largest = entropy_and_largest(q @ k.transpose(1, 2) * scale)
        found[name, what] = entropy
        print(f"{name:<9} {what}: entropy {entropy:.3f}, largest weight {largest:.3f}")
assert found["default", "x sqrt(n)"] < 3 and found["std 0.02", "x sqrt(n)"] > 4.5


def times_sqrt_n(q, k, visible=None):
    """attention_weights divides by sqrt(d): undo that, and multiply by sqrt(n)."""
    return attention_weights(q * math.sqrt(q.size(-1)) * math.sqrt(q.size(1)), k, visible)


with patch("gpt.model.attention_weights", times_sqrt_n):
    changed = loss_on_stories(tiny)
print(f"trained out/tiny: / sqrt(d) {everything:.3f} nats per token, x sqrt(n) {changed:.3f}")
assert changed > everything + 1


# %% [markdown] lang="zh"
# 默认初始化下，乘 $\sqrt n$ 让注意力一开始就饱和；GPT-2 的初始化很小，一开始几乎看不出差别；训练好的网络换一个倍数就坏了。
# 同一个错误，有时致命，有时无害，所以要量过再说。
#
# ## 7　每次只犯一个错
#
# 同一个小网络（2 层，64 个通道），同样的数据和种子，每次只换一处。最下面的虚线是**下限**：玩具世界每篇故事的概率已知，
# 不偷看答案的模型，平均损失不可能低于它。
# %% [markdown] lang="en"
# With the default initialisation, $\sqrt n$ saturates attention from the start. GPT-2's initialisation is so small that
# hardly any difference is seen at first. A trained network breaks when the factor changes. The same mistake can be fatal
# or harmless, so measure before you claim.
#
# ## 7. One mistake at a time
#
# The same small network (2 layers, 64 channels), the same data and seed, and one thing changed each time. The dashed line
# is the **lowest possible loss**: the probability of each story of the toy world is known, and no model that does not peek
# at the answers can be below it on average.
# %%
class PostNorm(Block):  # as in 2017, and in the tutorial's code: normalise what comes out
    def forward(self, x, visible=None):
        x = self.ln_1(x + self.attn(x, visible))
        return self.ln_2(x + self.mlp(x))


class NoNorm(Block):
    def forward(self, x, visible=None):
        x = x + self.attn(x, visible)
        return x + self.mlp(x)


class NoResidual(Block):
    def forward(self, x, visible=None):
        return self.mlp(self.ln_2(self.attn(self.ln_1(x), visible)))


class NoMLP(Block):
    def forward(self, x, visible=None):
        return x + self.attn(self.ln_1(x), visible)


corpus = TokensFolder(start.corpus())
dataset = corpus.dataset(context_length=128, batch_size=16, seed=1)
floor = corpus.meta["entropy_bits_per_byte"] / corpus.bits_per_byte(1.0)  # nats per token
CONFIG = GPTConfig(
    vocab_size=2048 + 1,  # one more for padding, which a model without a mask must have
    context_length=128,
    n_layer=2,
    n_head=4,
    n_embd=64,
    position="rotary",
)


def train_small(block=Block, causal=True, steps=200, peak=6e-3):
    """The network, and its training loss at each step."""
    torch.manual_seed(0)
    model = GPT(dataclasses.replace(CONFIG, causal=causal))
    for part in model.transformer.h:
        part.__class__ = block  # the same weights, another forward
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0)
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peak * min(1, (step + 1) / 10) * (1 - step / steps)
        inputs, targets = dataset.batch(step)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses


nets = {"right": train_small(), "no mask": train_small(causal=False)}
nets |= {"post-norm": train_small(PostNorm), "no norm": train_small(NoNorm)}
nets |= {"no residual": train_small(NoResidual), "no MLP": train_small(NoMLP)}
with patch("gpt.model.rotate", lambda x: x):
    nets["no positions"] = train_small()
final = {name: sum(losses[-10:]) / 10 for name, (_, losses) in nets.items()}
for name, loss in final.items():
    print(f"{name:<13}{loss:.2f} nats per token in the last ten steps")

# %%
smooth = {name: torch.tensor(losses).unfold(0, 10, 2).mean(-1) for name, (_, losses) in nets.items()}
plt.figure(figsize=(7, 3.8))
height = -1.0
for colour, name in zip(start.COLOURS, sorted(smooth, key=lambda name: smooth[name][-1]), strict=True):
    plt.plot(range(10, 201, 2), smooth[name], color=colour)
    height = max(smooth[name][-1].item(), height + 0.42)  # so that no label covers another
    plt.text(203, height, name, color=colour, va="center")
plt.axhline(floor, color="black", linestyle="--", linewidth=1)
plt.text(12, floor + 0.1, "lowest possible without peeking")
plt.xticks(range(0, 201, 50))
plt.xlim(8, 236)
plt.xlabel("update of the weights")
plt.ylabel("training loss (nats per token)")
plt.show()
assert final["no mask"] < floor < final["right"] < final["no positions"] < final["no residual"]
assert final["right"] < min(final[name] for name in ("post-norm", "no norm", "no MLP"))


# %% [markdown] lang="zh"
# - **没有掩码**的曲线最好看，甚至**低于下限**：它在抄答案，因为下一个词元就在输入里。现实的语料没有已知的下限，这个错误会被当成突破。
# - **没有残差**几乎学不动：停在 5.1，和第 1 课里不看上文、只数词频的一元模型（unigram）一样。
# - **没有 MLP**、**没有归一化**和**后归一化**（post-norm）也能学，只是慢。教程 004 §3.1 说“归一化每个子层的输入和输出”；
#   GPT-2 只归一化每个子层的输入（前归一化，pre-norm），全部块之后再归一化一次。
# - **没有位置**并没有全毁：因果掩码本身就透露了位置（第一个位置只看得到一个词元，第二个看得到两个……），但损失高得多。
# %% [markdown] lang="en"
# - **No mask** has the best-looking curve and falls even **below the lowest possible loss**: it copies the answer, because
#   the next token is in its input. On real data no such limit is known, and this mistake would look like a breakthrough.
# - **No residual** hardly learns: it stays at 5.1, like the unigram model of lesson 1, which knows how frequent each token
#   is and nothing else.
# - **No MLP**, **no norm** and **post-norm** do learn, but more slowly. Tutorial 004 §3.1 says that inputs and outputs of
#   each sub-layer are normalised. GPT-2 normalises the input of each sub-layer (pre-norm), and once more after the last
#   block.
# - **No positions** is not the end: the causal mask itself gives positions away (the first position sees one token, the
#   second sees two, ...). But its loss is much higher.
# %% [markdown] lang="zh"
# ## 8　偷看的模型会不会写故事
#
# 生成的时候没有“后面”可抄，所以必须装上掩码。让两个网络各写 20 篇故事，由玩具世界的裁判（judge）看看有几成句子合乎语法。
# %% [markdown] lang="en"
# ## 8. Can a model that peeks tell stories?
#
# While generating there is nothing later to copy from, so the mask must be put in. Let both networks tell 20 stories, and
# let the judge of the toy world find how many of their sentences are grammatical.
# %%
def grammatical_sentences(told):
    """The share of sentences that the judge of the toy world accepts."""
    sentences = [sentence for story in told for sentence in re.split(r"(?<=[.!?]) ", story)]
    return sum(judge(sentence).grammatical for sentence in sentences) / len(sentences)


honest, cheat = nets["right"][0], GPT(CONFIG).eval()
cheat.load_state_dict(nets["no mask"][0].state_dict())  # the same weights, now with the mask
for name, model in {"right": honest, "no mask": cheat, "out/tiny": tiny}.items():
    told = sample_stories(model, tokenizer, count=20, temperature=0.5, seed=1)
    share, loss = grammatical_sentences(told), loss_on_stories(model)
    print(f"{name:<9}{share:4.0%} grammatical, loss {loss:.2f}: {told[0][:50]} ...")
assert loss_on_stories(cheat) > 2 * loss_on_stories(honest)


# %% [markdown] lang="zh"
# 没有掩码的网络学会的只有抄。装上掩码，没有可抄的了，它的损失就从低于下限变成远高于同伴，一句合乎语法的话也写不出来。
# 同样大小、同样步数、从头就带掩码的网络，损失看起来差得多，却已经有近一半的句子合乎语法。所以，低于下限的损失不是好消息，而是**程序有错**的证据。
#
# ## 练习
#
# 把 `...` 换成你的代码，再运行这一格；检查会用一行告诉你对不对、错在哪里。答案在 `notebooks/solutions/`。
#
# ### 练习 1　一个头
# 写出一个因果注意力头，`q`、`k`、`v` 都是 (T, d)，返回 (T, d)。
# %% [markdown] lang="en"
# The net without a mask has learned nothing but copying. With the mask there is nothing left to copy: its loss rises from
# below the floor to far above the other net's, and not one of its sentences is grammatical. The net of the same size that
# had the mask from the start, with as many steps and a loss that looked much worse, already writes nearly half of its
# sentences right. So a loss below the floor is no good news: it **proves a bug**.
#
# ## Exercises
#
# Replace `...` with your code and run the cell: the check says in one line whether it is right, or what is wrong.
# Solutions are in `notebooks/solutions/`.
#
# ### Exercise 1: a head
# Write a causal attention head: `q`, `k` and `v` are (T, d); return (T, d).
# %% tags=["exercise"]
def my_head(q, k, v): ...


check.head(my_head)


# %% tags=["solution"]
def my_head(q, k, v):
    scores = q @ k.T / math.sqrt(q.size(-1))
    future = torch.ones(scores.shape, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v


check.head(my_head)


# %% [markdown] lang="zh"
# ### 练习 2　层归一化
# `x` 是 (B, T, C)：B 篇文字，每篇 T 个词元，每个词元 C 个通道。每个词元对自己的通道归一化；`gain` 和 `shift` 是 (C,)。
# 方差除以 C（不是 C−1），根号里加 1e-5。提示：`keepdim=True`。
# %% [markdown] lang="en"
# ### Exercise 2: layer normalisation
# `x` is (B, T, C): B texts of T tokens of C channels. Each token is normalised over its own channels; `gain` and `shift` are
# (C,). Divide by C for the variance (not C − 1), and add 1e-5 under the root. Hint: `keepdim=True`.
# %% tags=["exercise"]
def my_layer_norm(x, gain, shift): ...


check.layer_norm(my_layer_norm)


# %% tags=["solution"]
def my_layer_norm(x, gain, shift):
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + shift


check.layer_norm(my_layer_norm)


# %% [markdown] lang="zh"
# ### 练习 3　分头
# 把 (B, T, C) 变成 (B, n_head, T, C/n_head)：第 h 个头拿第 h 段相邻的通道。提示：直接 `view` 成这个形状是错的。
# %% [markdown] lang="en"
# ### Exercise 3: split the heads
# Turn (B, T, C) into (B, n_head, T, C/n_head): head h gets the h-th group of neighbouring channels. Hint: calling `view`
# with that shape directly is wrong.
# %% tags=["exercise"]
def my_split(x, n_head): ...


check.split(my_split)


# %% tags=["solution"]
def my_split(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head).transpose(1, 2)


check.split(my_split)


# %% [markdown] lang="zh"
# ### 练习 4　一个块
# 给出四个函数 `norm_1`、`attend`、`norm_2`、`mlp`，写出 GPT-2 的块（前归一化，两处残差），返回块的输出。
# %% [markdown] lang="en"
# ### Exercise 4: a block
# Given the functions `norm_1`, `attend`, `norm_2` and `mlp`, write GPT-2's block (pre-norm, two residual connections), and
# return its output.
# %% tags=["exercise"]
def my_block(x, norm_1, attend, norm_2, mlp): ...


check.block(my_block)


# %% tags=["solution"]
def my_block(x, norm_1, attend, norm_2, mlp):
    x = x + attend(norm_1(x))
    return x + mlp(norm_2(x))


check.block(my_block)
# %% [markdown] lang="zh"
# ## 小结
#
# | 教程的说法 | 实际情况 | 在哪里看到 |
# |---|---|---|
# | 004 §5.2：`attn = F.softmax(q @ k.transpose(1, 2), dim=-1)` | 没有掩码，会抄答案：损失低于下限，却不会写 | 第 3、7、8 节 |
# | 004 §5.2：`x = x + self.dropout(x)` | 输入已被覆盖，和是 2x，LayerNorm 后没有残差 | 第 2、3、7 节 |
# | 004 §5.2：`q = q * math.sqrt(self.n_heads)` | 应除以 √d；默认初始化下会饱和，GPT-2 初始化下起初看不出 | 第 6 节 |
# | 004 §5.2：先加位置，再查词 | 先查词，再加位置；原样运行要修八处 | 第 3 节 |
# | 000 §4.1、002 §4.1、001 §4.2 的概率公式 | 分母要对词求和；其余的算不出词的概率 | 第 4 节 |
# | 000 §4.2：`\mathbf{Z}_t = M(\mathbf{Z}_{t-1})` | 那是循环网络；Transformer 看得到所有更早的位置 | 第 5 节 |
# | 004 §3.1：归一化“输入和输出” | GPT-2 归一化每个子层的输入，最后再一次 | 第 7 节 |
# %% [markdown] lang="en"
# ## Summary
#
# | The tutorial says | What is true | Where you saw it |
# |---|---|---|
# | 004 §5.2: `attn = F.softmax(q @ k.transpose(1, 2), dim=-1)` | No mask, so it copies the answer: its loss is impossibly low, and it cannot write | sections 3, 7, 8 |
# | 004 §5.2: `x = x + self.dropout(x)` | The input is overwritten: the sum is 2x, and after LayerNorm there is no residual | sections 2, 3, 7 |
# | 004 §5.2: `q = q * math.sqrt(self.n_heads)` | Divide by √d; it saturates with the default initialisation, and at first not with GPT-2's | section 6 |
# | 004 §5.2 adds positions, then looks up the embeddings | Look up, then add; as printed it needs eight repairs | section 3 |
# | probabilities of 000 §4.1, 002 §4.1, 001 §4.2 | The denominator sums over words; the others give no probability of a word | section 4 |
# | 000 §4.2: `\mathbf{Z}_t = M(\mathbf{Z}_{t-1})` | That is a recurrent network; a Transformer sees all earlier positions | section 5 |
# | 004 §3.1: inputs and outputs are normalised | GPT-2 normalises the input of each sub-layer, and once at the end | section 7 |
