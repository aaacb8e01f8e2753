# %% [markdown] lang="zh"
# # 第 2 课　注意力
#
# 学完这一课，你能够：
#
# - 亲手写出一个注意力头、因果掩码（causal mask）和层归一化（layer normalisation），并与 `gpt/model.py` 逐位核对；
# - 把教程里跑不起来的那一层代码一处一处修好，说出修好以后它还错在哪里；
# - 在损失曲线上认出常见的错误：没有掩码、没有残差、没有归一化、没有位置。
#
# 对应教程：000 §4.1–4.2；001 §4.2；002 §4.1；004 §3.1、§4.2–4.3、§5.2。
# %% [markdown] lang="en"
# # Lesson 2: attention
#
# After this lesson you can
#
# - write a head of attention, the causal mask and layer normalisation by hand, and compare them with `gpt/model.py`;
# - mend the tutorial's layer, which does not run, error by error, and say what is still wrong with it when it runs;
# - recognise common mistakes by their loss curves: no mask, no residual, no normalisation, no positions.
#
# It goes with 000 §4.1–4.2; 001 §4.2; 002 §4.1; 004 §3.1, §4.2–4.3, §5.2.
# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
# %%
import math
from itertools import islice
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from data.world.samples import judge_stories, sample_stories
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
# 每个词元有三个向量：查询（query，我找什么）、键（key，别人凭什么找到我）、值（value，我给出什么）。
# 查询和键的点积是分数；看不见的地方填 $-\infty$；softmax 把每一行变成权重；再用权重把值加起来：
#
# $$\mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d}} + M\right)V$$
#
# $M$ 就是因果掩码：第 $t$ 行只看得到第 $0$ 到 $t$ 列。五篇教程都没有点它的名。
# %% [markdown] lang="en"
# ## 1. A head of attention in five lines
#
# Each token has three vectors: a query (what I look for), a key (what I am found by) and a value (what I give). Dot products of
# queries and keys are scores; a place that may not be seen gets $-\infty$; softmax makes weights of each row; the weights add up
# the values:
#
# $$\mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d}} + M\right)V$$
#
# $M$ is the causal mask: row $t$ sees columns $0$ to $t$ only. None of the five tutorials names it.
# %%
def attention(q, k, v):
    """One head: q, k and v are (T, d)."""
    scores = q @ k.T / math.sqrt(q.size(-1))  # (T, T)
    future = torch.ones(scores.shape, dtype=torch.bool).triu(diagonal=1)
    weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)  # each row sums to 1
    return weights @ v  # (T, d)


torch.manual_seed(0)
layer = CausalSelfAttention(GPTConfig(n_embd=32, n_head=4))
x = torch.randn(6, 32)
with torch.no_grad():
    q, k, v = layer.c_attn(x).split(32, dim=-1)  # 3 x (6, 32)
    heads = [attention(*(part[:, h : h + 8] for part in (q, k, v))) for h in (0, 8, 16, 24)]  # 4 heads of 8 channels
    by_hand = layer.c_proj(torch.cat(heads, dim=-1))  # side by side again, then one more matrix
    assert torch.allclose(by_hand, layer(x[None])[0], atol=1e-6)
print("four heads by hand give what gpt.model.CausalSelfAttention gives")
# %% [markdown] lang="zh"
# 看看训练好的 `out/tiny`：同一个头，先是分数（没有掩码时的 softmax），再是真正的权重。右上角必须是空的。
# %% [markdown] lang="en"
# Here is a head of the trained `out/tiny`: the weights as they would be without a mask, and as they are. The upper right corner
# must be empty.
# %%
tiny, tokenizer = load_model(start.tiny()), load_tokenizer(start.tiny())
ids = [tokenizer.end_of_text, *tokenizer.encode('Tom met Mia. "I like your lamp," said Mia.')]
names = ["<eot>"] + [tokenizer.decode([token]) for token in ids[1:]]
seen = {}
with patch(
    "gpt.model.attention_weights", lambda q, k, visible: seen.setdefault(len(seen), (q, k)) and attention_weights(q, k)
):
    tiny(torch.tensor([ids]))
q, k = seen[1]  # of the second layer
with torch.no_grad():
    unmasked = (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(-1)[0, 0]
    masked = attention_weights(q, k)[0, 0]
assert torch.allclose(masked, trace(tiny, ids)[1][1, 0], atol=1e-5)  # the same as gpt.inside.interpret finds

figure, axes = plt.subplots(1, 2, figsize=(7, 3.5))
for axis, weights, title in zip(axes, (unmasked, masked), ("without the mask", "with it"), strict=True):
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(ids)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(ids)), names, fontsize=7)
    axis.set(title=title, xlabel="looks at (key)", ylabel="token (query)")
plt.show()


# %% [markdown] lang="zh"
# ## 2　层归一化，以及教程里消失的残差
#
# 层归一化把每个词元自己的通道变成均值 0、方差 1，再乘一个增益、加一个偏移（Ba 等，2016）。
# 教程 004 §5.2 这样写残差：`x = attn @ v`，接着 `x = x + self.dropout(x)`。输入在相加之前已经被盖掉，所以和是 $2x$；
# 而 LayerNorm 看不出 $2x$ 和 $x$ 的差别，等于没有残差。
# %% [markdown] lang="en"
# ## 2. Layer normalisation, and the tutorial's residual that is none
#
# Layer normalisation brings each token's channels to mean 0 and variance 1, then scales and shifts them (Ba et al. 2016).
# Tutorial 004 §5.2 writes a residual connection like this: `x = attn @ v`, then `x = x + self.dropout(x)`. The input is
# overwritten before it is added, so the sum is $2x$, and LayerNorm cannot tell $2x$ from $x$: there is no residual.
# %%
def layer_norm(x, gain, shift, eps=1e-5):
    mean = x.mean(-1, keepdim=True)  # over the channels of each token
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * gain + shift


x, gain, shift = torch.randn(2, 5, 32), torch.randn(32), torch.randn(32)
norm = LayerNorm(32)
norm.load_state_dict({"weight": gain, "bias": shift})
assert torch.allclose(layer_norm(x, gain, shift), norm(x), atol=1e-6)  # gpt.model
assert torch.allclose(layer_norm(x, gain, shift), F.layer_norm(x, (32,), gain, shift), atol=1e-5)  # PyTorch
difference = (norm(x + x) - norm(x)).abs().max()
assert difference < 1e-3
print(f"largest difference of LayerNorm(x + x) and LayerNorm(x): {difference:.0e}")
# %% [markdown] lang="zh"
# ## 3　把教程 004 §5.2 的那一层修到能跑
#
# 下面是教程的两个类，只缩短了缩进；不改一个字先跑，读出错误，修一处，再跑。
# %% [markdown] lang="en"
# ## 3. The layer of tutorial 004 §5.2, mended until it runs
#
# These are the tutorial's two classes. The cell runs them unchanged, reads the error, mends one place, and runs them again.
# %%
tutorial = """
class GPT2Layer(nn.Module):
    def __init__(self, n_embeddings, n_heads, n_features, n_layers):
        super().__init__()
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

class GPTModel(nn.Module):
    def __init__(self, n_positions, n_embeddings, n_heads, n_features, n_layers):
        super().__init__()
        self.positional_encoding = nn.Parameter(torch.randn(n_positions, n_embeddings))
        self.token_embeddings = nn.Embedding(n_embeddings, n_features)
        self.layers = nn.ModuleList([GPT2Layer(n_features, n_heads, n_features, n_layers) for _ in range(n_layers)])
        self.fc = nn.Linear(n_features, n_embeddings)

    def forward(self, x):
        x = x + self.positional_encoding[:, :x.size(1), :]
        x = self.token_embeddings(x)
        for layer in self.layers:
            x = layer(x)
        return self.fc(x)
"""
repairs = {  # what is wrong: (what stands there, what to write instead)
    "the parameter has 2 dimensions": ("[:, :x.size(1), :]", "[:x.size(1)]"),
    "positions are added to ids; look the words up first": (
        "        x = x + self.positional_encoding[:x.size(1)]\n        x = self.token_embeddings(x)\n",
        "        x = self.token_embeddings(x) + self.positional_encoding[:x.size(1)]\n",
    ),
    "positions are as wide as the vocabulary": ("randn(n_positions, n_embeddings)", "randn(n_positions, n_features)"),
    "math was never imported": ("q = q * math", "import math\n        q = q * math"),
    "n_heads was never kept": ("self.qkv =", "self.n_heads = n_heads\n        self.qkv ="),
    "the output matrix is applied to the weights": (
        "        attn = self.attn(attn)\n        x = attn @ v\n", "        x = self.attn(attn @ v)\n"
    ),
    "n_heads times too many channels": (
        "nn.Linear(n_heads * n_features, n_heads * n_features)", "nn.Linear(n_heads * n_features, n_features)"
    ),
    "the MLP never comes back to the width": (
        "nn.Linear(n_features, 4 * n_features)",
        "nn.Sequential(nn.Linear(n_features, 4 * n_features), nn.Linear(4 * n_features, n_features))",
    ),
}  # fmt: skip


def run_tutorial(source):
    """The model, and its logits for two rows of 8 ids, or the error that the source raises."""
    names = {"torch": torch, "nn": nn, "F": F}
    torch.manual_seed(0)
    try:
        exec(source, names)
        model = names["GPTModel"](n_positions=16, n_embeddings=50, n_heads=4, n_features=32, n_layers=2).eval()
        return model, model(torch.arange(16).view(2, 8))
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error).splitlines()[0][:70]}"


source = tutorial
for number, (wrong, (old, new)) in enumerate(repairs.items(), start=1):
    _, error = run_tutorial(source)
    assert isinstance(error, str) and old in source
    print(f"{error}\n    repair {number}: {wrong}")
    source = source.replace(old, new)
mended, logits = run_tutorial(source)
print("it runs; logits", tuple(logits.shape))
# %% [markdown] lang="zh"
# 八处修补之后它能跑了。能跑不等于对。下面一项一项地量：
# %% [markdown] lang="en"
# After eight repairs it runs. Running is not being right. Measure it:
# %%
rows = torch.arange(16).view(2, 8)
changed = rows.clone()
changed[:, -1] = 49  # another last token
with torch.no_grad():
    leak = (mended(changed) - mended(rows))[:, :-1].abs().max().item()
    our_leak = (tiny(changed) - tiny(rows))[:, :-1].abs().max().item()
print(f"another LAST token changes the EARLIER logits by up to {leak:.2f}; in gpt.model by {our_leak:.6f}")
assert leak > 0.01 and our_leak < 1e-5

F.cross_entropy(mended(rows).flatten(0, 1), rows.flatten()).backward()
unused = sorted(
    {name.split(".")[2] for name, weight in mended.layers.named_parameters(prefix="layers") if weight.grad is None}
)
print("weights that get no gradient, because nobody uses what they compute:", unused)
assert unused == ["mlp", "residual"]
heads = mended.layers[0].qkv(torch.randn(1, 8, 32)).chunk(3, dim=-1)[0].shape[-1]
print(f"query of one token: {heads} channels in a single head, although n_heads is {mended.layers[0].n_heads}")
# %% [markdown] lang="zh"
# 剩下的错：没有掩码；没有残差；MLP 算了不用，而且没有激活函数；四个头从来没有分开；乘了 $\sqrt{n}$ 而不是除以 $\sqrt d$。
# 这些错不会报错，只会让模型变坏。后面一个一个放进**正确的**块里看。
# %% [markdown] lang="en"
# What is still wrong: no mask; no residual; the MLP's result is thrown away, and it has no activation; the four heads are never separated; queries are multiplied by $\sqrt{n}$ instead of divided by $\sqrt d$. None of these
# raises an error; each makes the model worse. Below, each is put into a **right** block by itself.
# %% [markdown] lang="zh"
# ## 4　公式也要能算
#
# - 004 §4.2：`\text{softmax}(QW^Q KW^K / \sqrt{d_k})`：没有转置，形状就乘不起来；
# - 000 §4.1：分母里每一项都是 $\exp(v^\top Z_t)$，和求和的 $x$ 无关，于是概率永远是 $1/|\mathcal X|$；
# - 002 §4.1：对**位置** $j$ 求和，得到的是位置上的分布，不是词的分布；
# - 001 §4.2：`\text{scores}_i = \text{scores}_{i-1} + \ldots`：式子里没有词，它是斐波那契递推。
# %% [markdown] lang="en"
# ## 4. A formula must compute something
#
# - 004 §4.2: `\text{softmax}(QW^Q KW^K / \sqrt{d_k})` has no transpose, so the shapes do not fit;
# - 000 §4.1: each term of the denominator is $\exp(v^\top Z_t)$ and does not depend on the $x$ of the sum, so every probability
#   is $1/|\mathcal X|$;
# - 002 §4.1 sums over **places** $j$: that is a distribution over places, not over words;
# - 001 §4.2: `\text{scores}_i = \text{scores}_{i-1} + \ldots` has no word in it: it is the Fibonacci recursion.
# %%
try:
    torch.randn(8, 16) @ torch.randn(8, 16)
except RuntimeError as error:
    print("004:", error)

encoded = ([tokenizer.end_of_text, *tokenizer.encode(story.text)] for story in stories("lesson 2"))
texts = [torch.tensor(ids) for ids in islice((ids for ids in encoded if len(ids) <= 128), 16)]
losses = {"000": [], "right": []}
with torch.no_grad():
    for text in texts:
        scores = tiny(text[None, :-1])[0]  # (T, V): v_x . Z_t for each word x
        right = scores.log_softmax(-1)  # the sum runs over the words
        as_in_000 = scores - torch.logsumexp(scores[..., None].expand(-1, -1, 2048), dim=-1)  # one score, |X| times
        over_places = scores.softmax(0)  # 002: the sum runs over places
        losses["000"].append(F.nll_loss(as_in_000, text[1:]))
        losses["right"].append(F.nll_loss(right, text[1:]))
print(f"000: {torch.stack(losses['000']).mean():.3f} nats = ln 2048, whatever the weights are;  "
      f"right: {torch.stack(losses['right']).mean():.3f}")  # fmt: skip
assert abs(torch.stack(losses["000"]).mean() - math.log(2048)) < 1e-3
print(
    f"002: 'probabilities' of all words at the last place add up to {over_places[-1].sum():.1f}, over places to {over_places[:, 0].sum():.1f}"
)
fibonacci = [1.0, 1.0]
for _ in range(98):
    fibonacci.append(fibonacci[-1] + fibonacci[-2])
print(f"001, M = 2: after 100 steps {fibonacci[-1]:.1e}, ratio {fibonacci[-1] / fibonacci[-2]:.3f}, for every text")


# %% [markdown] lang="zh"
# ## 5　$Z_t = M(Z_{t-1})$ 是循环网络
#
# 教程 000 §4.2 写 `\mathbf{Z}_t = M(\mathbf{Z}_{t-1})`：每一步只从上一步来。那是循环神经网络（RNN）。Transformer 的第 $t$ 个位置在每一层
# 都直接看到**所有**更早的位置，而且一次前向就算完所有位置。把它限制成只看自己和前一个，看看损失：
# %% [markdown] lang="en"
# ## 5. $Z_t = M(Z_{t-1})$ is a recurrent net
#
# Tutorial 000 §4.2 writes `\mathbf{Z}_t = M(\mathbf{Z}_{t-1})`: each step comes from the step before. That is a recurrent
# neural network. In a Transformer, place $t$ sees **all** earlier places in every layer, and one forward pass computes all
# places. Restrict it to itself and the place before, and look at the loss:
# %%
@torch.no_grad()
def loss_on_stories(model):
    """Nats per token on stories that the model has not seen."""
    total = sum(F.cross_entropy(model(text[None, :-1])[0], text[1:], reduction="sum") for text in texts)
    return (total / sum(len(text) - 1 for text in texts)).item()


def only_the_last(q, k, visible=None):
    T = q.size(-2)
    return attention_weights(
        q, k, torch.ones(T, T, dtype=torch.bool).tril() & torch.ones(T, T, dtype=torch.bool).triu(-1)
    )


everything = loss_on_stories(tiny)
with patch("gpt.model.attention_weights", only_the_last):
    restricted = loss_on_stories(tiny)
print(f"sees all earlier tokens: {everything:.3f} nats;  sees itself and the one before: {restricted:.3f}")
assert restricted > everything + 1

with torch.no_grad():
    at_once = tiny(texts[0][None])[0]
    one_by_one = torch.stack([tiny(texts[0][None, : t + 1])[0, -1] for t in range(20)])
assert torch.allclose(at_once[:20], one_by_one, atol=1e-3)
print("one pass over the text gives the same logits as a pass for each beginning")


# %% [markdown] lang="zh"
# ## 6　乘 $\sqrt n$ 还是除以 $\sqrt d$
#
# 教程 004 §5.2：`q = q * math.sqrt(self.n_heads)`。除以 $\sqrt d$ 是为了让点积的方差不随维数增长，否则 softmax 饱和（几乎只看一个地方）。
# 但是它要紧不要紧，看初始化：下面同一层，一次用 PyTorch 的默认初始化（教程就是这样），一次用 GPT-2 的标准差 0.02。
# %% [markdown] lang="en"
# ## 6. Times $\sqrt n$ or divided by $\sqrt d$
#
# Tutorial 004 §5.2: `q = q * math.sqrt(self.n_heads)`. The division by $\sqrt d$ keeps the variance of the dot products from
# growing with the width; otherwise softmax saturates (it looks at one place only). Whether that matters depends on the
# initialisation: here is one layer with PyTorch's default, as in the tutorial, and with GPT-2's standard deviation of 0.02.
# %%
def entropy_of_rows(scores):
    """Mean entropy of the attention's rows in nats: ln T if it looks everywhere alike, 0 if at one place."""
    weights = scores.softmax(-1)
    return -(weights * weights.clamp_min(1e-30).log()).sum(-1).mean().item(), weights.max().item()


torch.manual_seed(0)
x = F.layer_norm(torch.randn(128, 128), (128,))
found = {}
for name, init in (("default", None), ("std 0.02", 0.02)):
    matrix = nn.Linear(128, 384)
    if init:
        nn.init.normal_(matrix.weight, std=init)
    with torch.no_grad():
        q, k, _ = (part.view(128, 4, 32).transpose(0, 1) for part in matrix(x).split(128, dim=-1))  # (4, 128, 32)
        for what, scale in (("/ sqrt(d)", 1 / math.sqrt(32)), ("x sqrt(n)", math.sqrt(4))):
            found[name, what] = entropy, largest = entropy_of_rows(q @ k.transpose(1, 2) * scale)
            print(
                f"{name:<9} {what}: entropy {entropy:.3f} of at most {math.log(128):.3f} nats, largest weight {largest:.3f}"
            )
assert found["default", "x sqrt(n)"][0] < 3 and found["std 0.02", "x sqrt(n)"][0] > 4.5


# %% [markdown] lang="zh"
# 默认初始化下，乘 $\sqrt n$ 让注意力一开始就饱和；GPT-2 的初始化很小，一开始几乎看不出差别。更有意思的教训是：同一个错误在这里致命，在那里无害，
# 所以要量过再说。（训练好的网络换一个倍数则一定坏，见练习之前的曲线。）
#
# ## 7　每次只犯一个错
#
# 同一个小网络（2 层，64 个通道），同样的数据和种子，每次只换一处。最下面的虚线是**下限**：小世界每篇故事的概率已知，任何老实的模型都不可能低于它。
# %% [markdown] lang="en"
# With the default initialisation, $\sqrt n$ saturates attention from the beginning; GPT-2's initialisation is so small that
# hardly any difference is seen at first. That is the more interesting lesson: the same mistake is fatal here and harmless there,
# so measure before you claim.
#
# ## 7. One mistake at a time
#
# The same small net (2 layers, 64 channels), the same data and seed, one thing changed each time. The dashed line is the
# **lowest possible loss**: the probability of each story of the toy world is known, and no honest model can go below it.
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
floor = corpus.meta["entropy_bits_per_byte"] * math.log(2) * corpus.meta["val_bytes"] / corpus.meta["val_tokens"]


def train_small(block=Block, causal=True, steps=200, peak=6e-3):
    """(the net, its training loss at each step). 2,048 tokens and one more, which pads: a model without mask needs it."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(2049, context_length=128, n_layer=2, n_head=4, n_embd=64, position="rotary", causal=causal))
    for part in model.transformer.h:
        part.__class__ = block
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


nets = {"right": train_small(), "no mask": train_small(causal=False), "norm behind (post-norm)": train_small(PostNorm)}
nets |= {"no norm": train_small(NoNorm), "no residual": train_small(NoResidual), "no MLP": train_small(NoMLP)}
with patch("gpt.model.rotate", lambda x: x):
    nets["no positions"] = train_small()
final = {name: sum(losses[-10:]) / 10 for name, (_, losses) in nets.items()}
for name, loss in final.items():
    print(f"{name:<25}{loss:.2f} nats per token in the last ten steps")
# %%
smooth = {name: torch.tensor(losses).unfold(0, 10, 2).mean(-1) for name, (_, losses) in nets.items()}
places = sorted(smooth, key=lambda name: smooth[name][-1])
heights = [smooth[name][-1].item() for name in places]
for i in range(1, len(heights)):
    heights[i] = max(heights[i], heights[i - 1] + 0.32)  # so that no label covers another
for colour, name in zip(start.COLOURS, places, strict=True):
    plt.plot(range(10, 201, 2), smooth[name], color=colour)
    plt.text(203, heights[places.index(name)], name, color=colour, va="center")
plt.axhline(floor, color="black", linestyle="--", linewidth=1)
plt.text(12, floor + 0.1, "lowest possible for an honest model")
plt.xlim(8, 268)
plt.xlabel("update of the weights")
plt.ylabel("training loss (nats per token)")
plt.show()
assert final["no mask"] < floor < final["right"] < final["no positions"] < final["no residual"]
assert final["right"] < min(final[name] for name in ("norm behind (post-norm)", "no norm", "no MLP"))
# %% [markdown] lang="zh"
# - **没有掩码**的曲线最好看，甚至**低于下限**：它在抄答案（下一个词元就在输入里）。现实数据没有已知的下限，这个错误就会被当成突破。
# - **没有残差**几乎学不动，梯度和词的信息都过不去。
# - 后归一化（post-norm）和没有归一化在这么浅的网络、有预热时只是慢一些；教程 004 §3.1 说“归一化每个子层的输入和输出”，GPT-2 只归一化输入，最后再来一次。
# - 没有位置并没有全毁：因果掩码本身就透露了位置（第一个位置只看得到一个词元），但要慢得多。
# %% [markdown] lang="en"
# - **No mask** has the finest curve, even **below the lowest possible loss**: it copies the answer, since the next token is in its
#   input. On real data, where no such limit is known, this mistake looks like a breakthrough.
# - **No residual** hardly learns: neither gradients nor the words get through.
# - Post-norm and no norm are only slower in a net this shallow with a warm-up. Tutorial 004 §3.1 says that inputs and outputs of
#   each sub-layer are normalised; GPT-2 normalises the inputs, and once more at the end.
# - No positions is not the end: the causal mask itself tells where one is (the first place sees one token). It is much slower.
# %% [markdown] lang="zh"
# ## 8　偷看的模型会不会写故事
#
# 生成的时候没有“后面”可抄。让两个网络各写故事，由小世界的裁判（judge）数一数有多少合乎语法。
# %% [markdown] lang="en"
# ## 8. Can a cheat tell stories?
#
# While generating, there is no later token to copy from. Let both nets tell stories, and let the judge of the toy world count the
# grammatical ones.
# %%
import dataclasses

honest, cheat = nets["right"][0], GPT(dataclasses.replace(nets["no mask"][0].config, causal=True)).eval()
cheat.load_state_dict(nets["no mask"][0].state_dict())
for name, model in (("right", honest), ("no mask", cheat), ("out/tiny, trained longer", tiny)):
    told = sample_stories(model, tokenizer, count=20, temperature=0.5, seed=1)
    print(f"{name}, {judge_stories(told, 'en').grammatical:.0%} grammatical: {told[0][:90]} ...")
print(f"loss with the mask: right {loss_on_stories(honest):.2f}, no mask {loss_on_stories(cheat):.2f} nats per token")
assert loss_on_stories(cheat) > 2 * loss_on_stories(honest)


# %% [markdown] lang="zh"
# ## 练习
#
# ### 练习 1　一个头
# 写出一个因果注意力头，`q`、`k`、`v` 都是 (T, d)，返回 (T, d)。
# %% [markdown] lang="en"
# ## Exercises
#
# ### Exercise 1: a head
# Write a causal head of attention: `q`, `k` and `v` are (T, d); return (T, d).
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
# `x` 是 (B, T, C)，每个词元对自己的通道归一化；`gain` 和 `shift` 是 (C,)。方差除以 C（不是 C−1），根号里加 1e-5。
# %% [markdown] lang="en"
# ### Exercise 2: layer normalisation
# `x` is (B, T, C), and each token is normalised over its own channels; `gain` and `shift` are (C,). Divide by C for the variance
# (not C − 1), and add 1e-5 under the root.
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
# Make (B, n_head, T, C/n_head) of (B, T, C): head h gets the h-th run of neighbouring channels. Hint: `view` to that shape
# directly is wrong.
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
# 给出四个函数 `norm_1`、`attend`、`norm_2`、`mlp`，写出 GPT-2 的块（前归一化，两处残差）。
# %% [markdown] lang="en"
# ### Exercise 4: a block
# Given the functions `norm_1`, `attend`, `norm_2` and `mlp`, write GPT-2's block (pre-norm, two residual connections).
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
# | 004 §5.2: `q = q * math.sqrt(self.n_heads)` | Divide by √d; it saturates with the default initialisation, at first not with GPT-2's | section 6 |
# | 004 §5.2 adds positions, then looks words up | Look up, then add; as printed it needs eight repairs | section 3 |
# | probabilities of 000 §4.1, 002 §4.1, 001 §4.2 | The denominator sums over words; the others give no probability of a word | section 4 |
# | 000 §4.2: `\mathbf{Z}_t = M(\mathbf{Z}_{t-1})` | That is a recurrent net; a Transformer sees all earlier places | section 5 |
# | 004 §3.1: inputs and outputs are normalised | GPT-2 normalises the input of each sub-layer, and once at the end | section 7 |
