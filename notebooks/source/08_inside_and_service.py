# %% [markdown] lang="zh"
# # 第 8 课　打开模型，再让它服务
#
# 学完这一课，你能够：
#
# - 用 logit 透镜（logit lens：每一层之后都提前读出答案）、注意力图和激活修补（activation patching）找出“这个词是从哪里来的”，并用干预来验证；
# - 量出每一层、每一个头、每一位精度值多少损失：提前离开、剪掉一个头、int8 权重；
# - 用普通的 HTTP 请求向一个服务提问：流式输出、密钥、监控指标。
#
# 对应教程：000、001、002、004 §8.3–8.4（可解释性、因果分析）；000 Q4、001 Q5、004 Q5（裁剪、量化、服务化封装、监控、鉴权）；002 §6；003 §7.1。
# %% [markdown] lang="en"
# # Lesson 8: look inside, then serve
#
# After this lesson you can
#
# - find where a predicted word comes from, by the logit lens, attention and activation patching, and prove it by
#   intervening;
# - measure what each layer, each head and each bit is worth: leaving early, a head removed, int8 weights;
# - ask a served model by plain HTTP: streaming, the key, the metrics.
#
# It goes with tutorials 000, 001, 002, 004 §8.3–8.4 (interpretability, causal analysis); 000 Q4, 001 Q5, 004 Q5
# (pruning, quantisation, serving, monitoring, keys); 002 §6; 003 §7.1.
# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
# %%
import atexit
import contextlib
import copy
import io
import json
import math
import re
import subprocess
import time
import urllib.error
import urllib.request
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from data.world.bilingual import sentences_of
from data.world.people import BOYS_JOBS, GIRLS_JOBS
from data.world.reviews import write_reviews
from data.world.story import stories
from finetune import finetune
from gpt.dataset import IGNORED
from gpt.fast.batch import generate_with_cache
from gpt.fast.int8 import quantize_int8
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelled import read_examples
from gpt.finetuning.saved import load_fine_tuned
from gpt.inside.fairness import leans, probe_names, read_probe, share_of_first
from gpt.inside.interpret import gradient_times_input, logit_lens, trace
from notebooks.check import inside as check

OUT = Path("out/lessons/08")
tiny, tokenizer = load_model(start.tiny()), load_tokenizer(start.tiny())
layers, heads, head_size = tiny.config.n_layer, tiny.config.n_head, tiny.config.head_size


def encode(text):
    """A text as the model read it in pretraining: after the end-of-text token."""
    return [tokenizer.end_of_text, *tokenizer.encode(text)]


def show(token):
    return tokenizer.decode([token])


# stories that training never had
unseen = [encode(story.text) for story in islice(stories("lesson 8"), 40)]


@torch.no_grad()
def losses_of(model):
    """The loss of every token of the unseen stories but the first of each, in nats."""
    rows = [torch.tensor([ids]) for ids in unseen]
    logits = torch.cat([model(row[:, :-1])[0] for row in rows])
    return F.cross_entropy(logits, torch.cat([row[0, 1:] for row in rows]), reduction="none")


base = losses_of(tiny).mean().item()
print(f"{layers} layers of {heads} heads; loss on unseen stories: {base:.3f} nats a token")
# %% [markdown] lang="zh"
# ## 1　每一层已经知道什么
#
# 残差流从头到尾是同一个宽度，所以任何一层之后都可以直接接上最后的 LayerNorm 和输出矩阵，看看“如果到此为止，会说什么”。手写两行，与 `gpt/inside/interpret.py` 的 `logit_lens` 相等。
# %% [markdown] lang="en"
# ## 1. What each layer knows already
#
# The residual stream has one width from beginning to end, so the last norm and the head can be put after any layer:
# what would it say if it stopped here? Two lines by hand, equal to `logit_lens` of `gpt/inside/interpret.py`.
# %%
prompt = (
    "Do you know {0}, the brave rabbit? {0} wanted to be a carpenter one day. "
    "On a cloudy day, he walked to the garden. {0} was carrying a little lamp. "
    'There {0} met Zoe, a tidy girl. "May I hold your lamp,'
)
tom, sam = encode(prompt.format("Tom")), encode(prompt.format("Sam"))
states, weights = trace(tiny, tom)  # (L + 1, T, C), (L, nh, T, T)
with torch.no_grad():
    by_hand = tiny.lm_head(tiny.transformer.ln_f(states)).log_softmax(-1)  # (L + 1, T, V)
lens = logit_lens(tiny, tom)
assert torch.allclose(by_hand, lens, atol=1e-4)

print("after these tokens, what each layer would say next:")
names = ["embedding", *(f"layer {n + 1}" for n in range(layers))]
print(f"{'token':>10}  " + "".join(f"{name:<12}" for name in names))
for place in (2, 3, 14, 25, 31, 39, len(tom) - 1):
    said = [show(token) for token in lens[:, place].argmax(-1).tolist()]
    print(f"{show(tom[place]):>10}  " + "".join(f"{word!r:<12}" for word in said))
assert show(int(lens[-1, -1].argmax())) == " Tom"
# %% [markdown] lang="zh"
# 嵌入层只会重复自己：输入和输出用的是同一个矩阵，和一个词最像的就是它自己。层数越高，答案越对。最后一个位置要说出被问的人的名字，第一层之后还不知道。
#
# ### 勘误：“自适应解码器”
#
# 教程 000 §2.1：`自适应解码器……通过调整解码器的层数和深度，适应不同规模的输入文本`。GPT-3 对每个词元都跑满 96 层，与文本长短无关。但可以试一试：提前离开要多少损失？固定在某一层，或者每个词元在“足够有把握”时离开。
# %% [markdown] lang="en"
# The embedding only repeats itself: one matrix serves for input and output, so a word is most like itself. The higher
# the layer, the better the answer. At the last place, the name of the person asked is not yet known after layer 1.
#
# ### Erratum: the "adaptive decoder"
#
# Tutorial 000 §2.1: `自适应解码器……通过调整解码器的层数和深度，适应不同规模的输入文本` (a decoder that fits its depth to the size of the input). GPT-3
# runs all its 96 layers for every token, whatever the text. But one can try: what does leaving early cost, at one fixed
# layer, or for each token when the model is "sure enough"?
# %%
all_lens = [logit_lens(tiny, ids[:-1]) for ids in unseen]
answers = [torch.tensor(ids[1:]) for ids in unseen]


def loss_at(exits):
    """The mean loss if each token has its own number of layers: exits is a list of (T,)."""
    rows = zip(all_lens, exits, answers, strict=True)
    return -torch.cat([lens_[e, torch.arange(len(y)), y] for lens_, e, y in rows]).mean().item()


fixed = [loss_at([torch.full_like(y, layer) for y in answers]) for layer in range(layers + 1)]
after = ", ".join(f"{n}: {loss:.2f}" for n, loss in enumerate(fixed))
print(f"loss in nats, if all tokens leave after layer {after}")
curve = []
for sure in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
    exits = []
    for lens_ in all_lens:
        leaves = lens_[1:].exp().amax(-1) > sure  # (L, T)
        leaves[-1] = True
        exits.append(1 + leaves.int().argmax(0))  # the first layer that is sure
    curve.append((torch.cat(exits).float().mean().item(), loss_at(exits)))
figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(range(1, layers + 1), fixed[1:], "s-", color="#D55E00")
beside = {"textcoords": "offset points", "fontsize": 9}
axes.annotate("one layer for all tokens", (2, fixed[2]), (-4, 22), color="#D55E00", **beside)
axes.plot(*zip(*curve, strict=True), "o-", color="#0072B2")
when = "each token when p > 0.5, 0.8, … 0.999"
axes.annotate(when, curve[2], (-185, -12), color="#0072B2", **beside)
axes.set(xlabel="layers used, on average", ylabel="loss (nats a token)", xticks=(1, 2, 3))
plt.show()
assert fixed[0] > fixed[1] > fixed[2] > 1.4 * fixed[3] and curve[-1][1] < 1.02 * fixed[3]
# %% [markdown] lang="zh"
# 所有词元都少跑一层，损失大增；每个词元自己决定，能省下一小部分层而几乎不多损失。所以“深度随输入而变”确有其事，但依据是**有没有把握**，不是文本的规模；GPT-2、GPT-3 都不这样做。
#
# ## 2　注意力头在看哪里
#
# 上面那句话的最后，模型要说出 ` Tom`。看最后一层四个头的注意力：最后一个位置在看什么？
# %% [markdown] lang="en"
# One layer fewer for all tokens costs much; where each token decides for itself, a part of the layers is saved for
# nearly no loss. So depth can follow the input, by how **sure** the model is, not by how long the text is; GPT-2 and
# GPT-3 do not do it.
#
# ## 2. Where heads look
#
# At the end of the prompt above the model must say ` Tom`. Where do the four heads of the last layer look from there?
# %%
for head in range(heads):
    top = weights[-1, head, -1].topk(3)
    seen = zip(top.values, top.indices.tolist(), strict=True)
    looks = ", ".join(f"{show(tom[i])!r} at {i}: {weight:.0%}" for weight, i in seen)
    print(f"head {layers}.{head + 1} looks from the last place at {looks}")
question_mark = tom.index(tokenizer.encode("?")[0])
namer = int(weights[-1, :, -1, question_mark].argmax())
assert weights[-1, namer, -1, question_mark] > 0.5
names_at = [i for i, (a, b) in enumerate(zip(tom, sam, strict=True)) if a != b]
print(f"\nhead {layers}.{namer + 1} looks at place {question_mark}; the names stand at {names_at}")
# %% [markdown] lang="zh"
# 奇怪：要说 ` Tom`，那个头看的却不是任何一个 ` Tom`，而是第一句末尾的问号。注意力图只说**看哪里**，不说**那里放着什么**。第 3 节会用干预弄清楚。
#
# ### 看第一个词元的头
#
# 一个头的注意力加起来总是 1；没有要找的东西时，注意力放到哪里？下面统计同一个头站在不同的词上时，有多少注意力给了最开头的 `<|endoftext|>`。
# %% [markdown] lang="en"
# How odd: to say ` Tom`, the head looks at none of the ` Tom`s, but at the question mark that ends the first sentence.
# A picture of attention says **where** a head looks, not **what is there**. Section 3 finds out by intervening.
#
# ### The head that looks at the first token
#
# The attention of a head always adds up to 1; where does it go when there is nothing to look for? Here is how much of
# it goes to the `<|endoftext|>` at the beginning, by the word on which the head stands.
# %%
all_weights = [trace(tiny, ids[:-1])[1] for ids in unseen]  # (L, nh, T, T) each
at_first = torch.cat([weights[-1, namer, 8:, 0] for weights in all_weights])  # from place 8 on
words = np.array([show(token) for ids in unseen for token in ids[8:-1]])
common = [str(word) for word in np.unique(words) if (words == word).sum() >= 15]
share = {word: at_first[torch.from_numpy(words == word)].mean().item() for word in common}
ranked = sorted(share, key=share.get, reverse=True)
print(f"head {layers}.{namer + 1}, attention to the first token, mean {at_first.mean():.0%}:")
print("most: ", ", ".join(f"{word!r} {share[word]:.0%}" for word in ranked[:6]))
print("least:", ", ".join(f"{word!r} {share[word]:.1%}" for word in ranked[-6:]))


def outputs_of_heads(ids):
    """What the heads of each layer hand to c_proj: a list of (1, T, C), the heads side by side."""
    kept = []

    def keep(_, inputs):
        kept.append(inputs[0].clone())

    handles = [block.attn.c_proj.register_forward_pre_hook(keep) for block in tiny.transformer.h]
    with torch.no_grad():
        tiny(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return kept


def replace_head(layer, head, output):
    """Until the handle is removed, a head gives `output` (0 or a vector (hs,)) at all places."""

    def hook(_, inputs):
        x = inputs[0].clone()
        x[..., head * head_size : (head + 1) * head_size] = output
        return (x,)

    return tiny.transformer.h[layer].attn.c_proj.register_forward_pre_hook(hook)


before = losses_of(tiny)
# The first token sees only itself: so its output is that of a head that looks at nothing else.
part = slice(namer * head_size, (namer + 1) * head_size)
resting = outputs_of_heads(unseen[0])[-1][0, 0, part]
places = torch.cat([torch.arange(len(ids) - 1) for ids in unseen])
rises = {}
for name, output in (("0", 0.0), ("what it gives when it looks at the first token", resting)):
    handle = replace_head(layers - 1, namer, output)
    rise = (losses_of(tiny) - before)[places >= 8]
    handle.remove()
    rises[name] = rise[at_first > 0.5].mean().item(), rise[at_first < 0.1].mean().item()
print("change of the loss in nats, at places where it looks at the first token (over 50 %),")
print("and at places where it does not (under 10 %),")
for name, (idle, busy) in rises.items():
    print(f"  if its output is replaced by {name}: {idle:+.3f} and {busy:+.3f}")
(idle_0, busy_0), (idle_rest, busy_rest) = rises.values()
assert abs(idle_rest) < 0.05 and busy_rest > idle_rest + 0.02
# %% [markdown] lang="zh"
# 站在上面“most”一行的词上，下一个词与名字无关，这个头就去看第一个词元。它在“休息”吗？如果是，在这些位置关掉它就不花代价。在生成本页的那个模型里确实如此：设成 0，休息的位置损失不变，忙的位置升高。但这不是所有模型的规律。同样的网络在另一种处理器上训练（舍入不同），设成 0 在休息的位置也花 0.06，与忙的位置（0.07）差不多；换成“只看第一个词元时给出的那个向量”才不花代价：那里的头加上一个**固定的向量**，后面的计算已经习惯了它。还有三个种子，设成 0 都不花代价（−0.04、0.00、−0.01）。你的是哪一种，只有干预才知道。
#
# ## 3　激活修补：干预才算证据
#
# 教程 000、001、002、004 §8.4 都建议“结合因果分析……识别出模型决策的关键特征”，没有一行代码。最小的因果分析：跑两个只差一个名字的故事，在 Tom 的故事里，把**一个位置、一层**的状态换成 Sam 的故事里的状态，看下一个词会不会变。一个前向钩子（forward hook）就够了。衡量的是 logit(` Sam`) − logit(` Tom`)：负的说 Tom，正的说 Sam。
# %% [markdown] lang="en"
# On the words of the line "most", after which no name is wanted, the head looks at the first token. Is it resting? If so,
# switching it off should cost nothing there. In the model that made this page that is so: with 0 in its place, the loss
# does not change at the resting places and rises at the busy ones. It is no law. In the same net trained on another
# kind of processor, which rounds differently, 0 cost 0.06 at the resting places and as much (0.07) at the busy ones, and
# only the vector that the head gives when it looks at the first token cost nothing: there the head adds one **constant
# vector**, and what follows counts on it. From three other seeds, 0 costs nothing (−0.04, 0.00, −0.01). Which of the two
# yours is, only the intervention tells.
#
# ## 3. Activation patching: intervening is evidence
#
# Tutorials 000, 001, 002 and 004 §8.4 advise causal analysis to find the key features of a decision, without a line of
# code. The smallest one: run two stories that differ in a name, and put the state of **one place in one layer** of
# Sam's story into Tom's. Does the next word change? One forward hook does it. We measure logit(` Sam`) − logit(` Tom`):
# below 0 the model says Tom, above 0 Sam.
# %%
sam_states, _ = trace(tiny, sam)
name_tom, name_sam = tokenizer.encode(" Tom")[0], tokenizer.encode(" Sam")[0]


@torch.no_grad()
def lead_of_sam(ids):
    logits = tiny(torch.tensor([ids]))[0, -1]
    return (logits[name_sam] - logits[name_tom]).item()


def with_patch(layer, place):
    """Run Tom's story, with the state of one place after `layer` blocks from Sam's story."""

    def hook(_, inputs):
        x = inputs[0].clone()  # (1, T, C)
        x[0, place] = sam_states[layer, place]
        return (x, *inputs[1:])

    part = tiny.transformer.h[layer] if layer < layers else tiny.transformer.ln_f
    handle = part.register_forward_pre_hook(hook)
    lead = lead_of_sam(tom)
    handle.remove()
    return lead


unpatched = lead_of_sam(tom)
print(f"lead of Sam over Tom: {unpatched:+.1f} in Tom's story, {lead_of_sam(sam):+.1f} in Sam's")
leads = np.array([[with_patch(n, place) for place in range(len(tom))] for n in range(layers + 1)])
for layer, places in enumerate(leads):
    flips = [f"{i} ({show(tom[i])!r}, {places[i]:+.1f})" for i in np.flatnonzero(places > 0)]
    print(f"after layer {layer}: the word flips by patching place", ", ".join(flips) or "none")
figure, axes = plt.subplots(figsize=(7, 2.2))
image = axes.imshow(leads - unpatched, cmap="Reds", vmin=0, aspect="auto", origin="lower")
shown = sorted({*names_at, *np.flatnonzero((leads - unpatched).max(0) > 2).tolist()})
labels = [f"{show(tom[place]).strip()} {place}" for place in shown]
axes.set_xticks(shown, labels, rotation=60, fontsize=8)
axes.set_yticks(range(layers + 1), ["embedding", *(f"layer {n + 1}" for n in range(layers))])
axes.set_xlabel("the one place that is patched")
axes.grid(False)
figure.colorbar(image, label="moved towards Sam (logits)")
plt.show()
flipping = [np.flatnonzero(places > 0).tolist() for places in leads]
assert flipping == [[4], [question_mark], [question_mark], [len(tom) - 1]]
# %% [markdown] lang="zh"
# 一条完整的路线：名字从第 4 个位置（第一个 ` Tom`）出发；第一层之后它已经被**搬到问号上**，此后名字自己的位置换成什么都没有关系；最后一层的一个头从最后的位置去问号那里取来。换掉后面三个 ` Tom` 中的任何一个，都翻转不了答案。只看注意力图的人会以为模型在看一个标点。
#
# 现在只换**一个头**在最后位置的输出，看是不是它。
# %% [markdown] lang="en"
# A whole route: the name starts at place 4 (the first ` Tom`); after the first layer it has been **moved onto the
# question mark**, and from then on it does not matter what stands at the names; a head of the last layer fetches it
# from there to the last place. Patching one of the three later ` Tom`s never flips the word. Someone who only looks at
# attention would think that the model reads a punctuation mark.
#
# Now patch the output of **one head** at the last place: is it the one?
# %%
of_sam = outputs_of_heads(sam)
for layer in range(layers):
    leads = []
    for head in range(heads):
        part = slice(head * head_size, (head + 1) * head_size)

        def hook(_, inputs, layer=layer, part=part):
            x = inputs[0].clone()
            x[0, -1, part] = of_sam[layer][0, -1, part]  # at the last place only
            return (x,)

        handle = tiny.transformer.h[layer].attn.c_proj.register_forward_pre_hook(hook)
        leads.append(lead_of_sam(tom))
        handle.remove()
    of_heads = ", ".join(f"{lead:+.1f}" for lead in leads)
    print(f"lead of Sam with one head of layer {layer + 1} patched: {of_heads}")
    if layer == layers - 1:
        assert [head for head, lead in enumerate(leads) if lead > 0] == [namer]
# %% [markdown] lang="zh"
# 十二个头里只有一个让下一个词变成 ` Sam`，正是第 2 节里看问号的那个头。用另外三个种子训练的同样的网络，路线完全一样：第一个名字、问号、最后一层的一个头（编号不同）。但这仍只是关于**这一种开头**的证据；开头换成没有问号的，名字会放在哪里？可以自己试。
#
# ## 4　每个头值多少
#
# 教程 000 Q4：`模型裁剪：去除不必要的层和参数，减小模型尺寸，加快推理速度`。哪些“不必要”？逐个关掉，量损失。
# %% [markdown] lang="en"
# One head of twelve turns the next word into ` Sam`, and it is the one of section 2 that looks at the question mark. In
# the same net trained from three other seeds the route is the same: the first name, the question mark, one head of the
# last layer (of another number). Yet that is evidence about **this beginning** only: where does the name go
# when there is no question mark? Try it.
#
# ## 4. What each head is worth
#
# Tutorial 000 Q4: `模型裁剪：去除不必要的层和参数` (prune the layers and parameters that are not needed). Which are not needed? Switch
# off one at a time and measure.
# %%
cost = np.zeros((layers, heads))
for layer in range(layers):
    for head in range(heads):
        handle = replace_head(layer, head, 0.0)
        cost[layer, head] = losses_of(tiny).mean().item() - base
        handle.remove()
parts = {}
for layer, block in enumerate(tiny.transformer.h):
    for name in ("attn", "mlp"):
        part = getattr(block, name)
        handle = part.register_forward_hook(lambda *given: torch.zeros_like(given[-1]))
        parts[f"{name} {layer + 1}"] = losses_of(tiny).mean().item() - base
        handle.remove()
figure, axes = plt.subplots(figsize=(4.5, 2.4))
axes.imshow(cost, cmap="Blues", aspect="auto", origin="lower", vmin=0)
for (layer, head), rise in np.ndenumerate(cost):
    color = "white" if rise > cost.max() / 2 else "black"
    axes.text(head, layer, f"+{rise:.3f}", ha="center", va="center", color=color)
axes.set_xticks(range(heads), [f"head {n + 1}" for n in range(heads)])
axes.set_yticks(range(layers), [f"layer {n + 1}" for n in range(layers)])
axes.set_title("loss without this head (nats a token)", fontsize=10)
axes.grid(False)
plt.show()
print("without a whole part:", ", ".join(f"{name} +{rise:.2f}" for name, rise in parts.items()))
assert cost[0].mean() > 3 * cost[1:].mean() and parts["mlp 1"] > 10 * max(parts["mlp 2"], parts["mlp 3"])


# %% [markdown] lang="zh"
# 第一层的头平均比后两层的要紧得多：后面的层都建在它们上面。后两层有几个头几乎不花代价：它们是剪枝的候选。整个部件里最贵的是第一层的 MLP，最便宜的是后两层的 MLP。注意：这是**不重新训练**时的代价，而且一次只关一个；两个头各自可以不要，不等于两个都可以不要。
#
# ## 5　勘误：int8 一定更快吗
#
# 教程 000 Q4：`量化加速：将浮点模型转为定点模型，压缩存储空间，提高计算效率`。前半句总是对的，后半句要看瓶颈在哪里。`gpt/fast/int8.py` 把每一行权重存成 −127 到 127 的整数和一个比例。
# %% [markdown] lang="en"
# On average the heads of the first layer matter far more than those of the other two, which build on them. Some heads
# of the later layers cost next to nothing: candidates for pruning. Of the whole parts, the MLP of layer 1 costs most
# and those of the later layers least. Note that this is the price **without training again**, for one part at a time; two heads
# that can each be spared cannot always both be spared.
#
# ## 5. Erratum: is int8 always faster?
#
# Tutorial 000 Q4: `量化加速：将浮点模型转为定点模型，压缩存储空间，提高计算效率` (fixed point saves space and computes faster). The first half is
# always true; the second depends on what is slow. `gpt/fast/int8.py` stores each row of weights as whole numbers from
# −127 to 127 and one scale.
# %%
def megabytes(model):
    all_of_it = [*model.parameters(), *model.buffers()]
    tensors = {tensor.data_ptr(): tensor for tensor in all_of_it}  # a shared one counts once
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) / 1e6


def tokens_per_second(model):
    beginning = [tokenizer.end_of_text]
    list(generate_with_cache(model, beginning, 20))  # warm up
    begin = time.perf_counter()
    written = sum(len(list(generate_with_cache(model, beginning, 150, seed))) for seed in range(4))
    return written / (time.perf_counter() - begin)


rows = {}
for name in ("float32", "int8"):
    model = copy.deepcopy(tiny)
    speed_up(model, torch.device("cpu"), torch.float32)
    if name == "int8":
        quantize_int8(model)
    rows[name] = megabytes(model), losses_of(model).mean().item() - base
    size, rise = rows[name]
    speed = tokens_per_second(model)
    print(f"{name:8} {size:.2f} MB, loss {rise:+.5f} nats, {speed:,.0f} tokens/s")


def rounded(bits):
    """The model with its matrices rounded to this many bits, one scale a row."""
    model, top = copy.deepcopy(tiny), 2 ** (bits - 1) - 1
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                scale = weight.abs().amax(1, keepdim=True) / top
                weight.copy_((weight / scale).round() * scale)
    return model


by_bits = {bits: losses_of(rounded(bits)).mean().item() - base for bits in (8, 6, 5, 4, 3, 2)}
print("loss by bits a weight:", ", ".join(f"{bits}: {rise:+.4f}" for bits, rise in by_bits.items()))
assert rows["int8"][0] < 0.3 * rows["float32"][0] and abs(rows["int8"][1]) < 0.02
assert by_bits[4] < 0.05 < by_bits[3] < 1 < by_bits[2]
# %% [markdown] lang="zh"
# 四分之一的空间，损失几乎不变；降到 3 位才看得见，2 位就坏了。速度却不一定：这个小模型的权重全在缓存里，读权重不是瓶颈，每次乘法前后的取整反而是额外的活。本项目测得（Zen 4，两核）：0.8M 的网络 int8 每秒 2,818 个词元，float32 是 2,920，没有更快；GPT-2 124M 是 133 比 65，快一倍（`benchmarks/README.md`）。所以：先问瓶颈，再谈加速。
#
# ## 6　为什么是这个标签
#
# 给一个分类器的答案找理由：梯度 × 输入（gradient × input）给每个词元一个数——它的嵌入变成 0，得分大约会少多少。先微调一个小分类器（评论是正面、中性还是负面）。
# %% [markdown] lang="en"
# A quarter of the space for nearly the same loss; it shows at 3 bits and breaks at 2. Speed is another matter: the
# weights of this small model lie in the cache, so reading them is not what is slow, and rounding around each product is
# additional work. The project measured (Zen 4, two cores) 2,818 tokens/s in int8 and 2,920 in float32 for a net of 0.8M:
# no gain. For GPT-2 124M it was 133 against 65, twice as fast (`benchmarks/README.md`). So ask first what is slow.
#
# ## 6. Why this label?
#
# Gradient × input gives each token of a classifier's text a number: about how much the score would fall if its
# embedding were set to zero. First a small classifier (is a review positive, neutral or negative?).
# %%
reviews = OUT / "data" / "reviews"
steps = {"min_steps": 300, "epochs": 0.01, "evaluations": 3}  # min_steps says how long
config = FinetuneConfig(start.tiny(), reviews, OUT / "sentiment", **steps, overwrite=True)
no_bars = contextlib.redirect_stderr(io.StringIO())
with contextlib.redirect_stdout(io.StringIO()), no_bars:
    write_reviews(reviews, 3000, "hard", seed=1, language="en")
    report = finetune(config)
classifier = load_fine_tuned(OUT / "sentiment", "cpu")
by_tfidf = report["baselines"]["tfidf"]["accuracy"]
print(f"accuracy {report['test']['accuracy']:.1%}, TF-IDF {by_tfidf:.1%}")


def scores(ids):
    return classifier(torch.tensor([ids]), torch.tensor([len(ids)]))[0]


def reasons(ids):
    """(Labels best first, each token's contribution to the lead of the first over the second)."""
    with torch.no_grad():
        best, second, *_ = scores(ids).argsort(descending=True).tolist()

    def lead():
        logits = scores(ids)
        return logits[best] - logits[second]

    return (best, second), gradient_times_input(classifier.transformer.wte, lead)


text = "I thought I would be happy about the music, and so I was. "
text += "Like everyone, I was pleased about the story."
(best, second), moved = reasons(encode(text))
print(f"{classifier.labels[best]} rather than {classifier.labels[second]}, because of")
for place in moved[1:].topk(5).indices.tolist():
    print(f"  {show(encode(text)[1 + place])!r:12} {moved[1 + place]:+.2f}")
# %% [markdown] lang="zh"
# 五个数都很小，排在最前面的是不带褒贬的词元，例如 ` and`。这张单子有没有道理？不要凭感觉判断（第 2 节的教训），再干预：从 150 条评论里各删掉贡献最大的 3 个词元，与删掉随机 3 个、贡献最小的 3 个比较，看领先的幅度怎样变。
# %% [markdown] lang="en"
# The five numbers are small, and a token that praises nothing, such as ` and`, comes first. Is this list sensible? Do not
# go by taste (section 2), intervene again: from each of 150 reviews delete the 3 tokens that contribute most, or 3 at
# random, or the 3 that contribute least, and see what happens to the lead.
# %%
picked = np.random.default_rng(0)
leads = {"nothing deleted": [], "the 3 least": [], "3 at random": [], "the 3 most": []}
for example in read_examples(reviews / "test.csv")[:150]:
    ids = encode(example.text)
    (best, second), moved = reasons(ids)
    order = 1 + moved[1:].argsort().numpy()  # the first token only marks the beginning
    deleted = {
        "nothing deleted": [],
        "the 3 least": order[:3],
        "3 at random": picked.choice(order, 3, False),
        "the 3 most": order[-3:],
    }
    for name, places in deleted.items():
        with torch.no_grad():
            logits = scores([token for place, token in enumerate(ids) if place not in places])
        leads[name].append((logits[best] - logits[second]).item())
flips = {name: np.mean(np.array(values) < 0) for name, values in leads.items()}
for name, values in leads.items():
    print(f"{name:16} mean lead {np.mean(values):+.2f}, the answer flips in {flips[name]:.0%}")
assert flips["the 3 most"] < flips["the 3 least"] + 0.25
# %% [markdown] lang="zh"
# 预期的效果没有出现：删掉“最重要”的三个，领先确实缩得最多，答案却不比删掉“最不重要”的三个翻转得多多少（14% 对 11%；另一台机器训练的同样的网络，40% 对 41%）。原因很可能在任务里：这些评论的意思由几个小词一起决定（`not`、`but`、`so was I`），而一阶近似给每个词元一个**单独**的数，说不出“合起来才相反”；“删掉”又造出模型没见过的残句。第 3 节的修补没有这两个毛病：它换上的是另一个真实故事里的状态。
#
# ## 7　名字会改变什么：偏见
#
# 教程 001 §8.3 说模型“难免会学习到有偏见、有害的信息”（000、002、004 §8.3 也有类似的一句），没有一篇量过。量法：同一句话只换名字，比较后文的对数概率，例如 `… Mia wanted to be` 和 `… Tom wanted to be` 后面接 ` a teacher`。女孩名字的平均减去男孩名字的平均，叫作**倾斜**（lean），单位是奈特：0 是一视同仁，ln 9 = 2.20 是 100 个里有 90 个女孩，−2.20 是 90 个男孩。
#
# `out/tiny` 读的故事对谁都不偏。所以再**种下**一个已知的偏见：在另一批故事里，想当医生、司机等六种职业的孩子 90% 是男孩，想当老师、诗人等六种的 90% 是女孩。接着训练 200 步，看这把尺子量不量得出 2.20；再用不偏的故事训练 20 步，看偏见消不消失。
# %% [markdown] lang="en"
# The expected effect does not appear: without the three that "matter most" the lead shrinks most, but the answer flips
# hardly more often than without the three that matter least (14 % against 11 %; in the same net trained on another
# machine, 40 % against 41 %). Probably the task is why: in these reviews a few small
# words make the sense together (`not`, `but`, `so was I`), while a first-order estimate gives each token a number **of
# its own** and cannot say "the opposite, together"; and a sentence with words deleted is one that the model has never
# seen. The patching of section 3 has neither fault: what it puts in comes from another real story.
#
# ## 7. What a name changes: bias
#
# Tutorial 001 §8.3 says that models cannot help learning biased and harmful information (000, 002 and 004 §8.3 have
# a similar line); none of them measures it. Put other names into one sentence and compare what follows: how likely is
# ` a teacher` after `… Mia wanted to be`, and after `… Tom wanted to be`? The mean log-probability after girls' names
# minus that after boys' names is the **lean**, in nats: 0 treats both alike, ln 9 = 2.20 means 90 girls of 100, and
# −2.20 means 90 boys.
#
# The stories of `out/tiny` favour nobody. So we also **plant** a bias that is known: in other stories, 90 % of those
# who want to be a doctor, a driver or one of four other jobs are boys, and 90 % of those who want to be a teacher, a poet
# or one of four others are girls. After 200 updates on them, does the probe measure 2.20? And do 20 updates on stories
# that favour nobody take the bias away?
# %%
probe = read_probe(Path("data/world/fairness.json"))  # names, templates, continuations
jobs = [job.strip() for job in probe.continuations]


@torch.no_grad()
def logprob(beginning, ending):
    """The log-probability of `ending` after `beginning`, in nats."""
    ids, more = encode(beginning), tokenizer.encode(ending)
    logprobs = tiny(torch.tensor([ids + more]))[0, len(ids) - 1 : -1].log_softmax(-1)
    return logprobs[torch.arange(len(more)), more].sum().item()


def lean(continuation):
    """How much likelier it is after girls' names than after boys', in nats."""
    means = []
    for names in probe.groups.values():
        texts = [text.format(name=name) for name in names for text in probe.templates]
        means.append(np.mean([logprob(text, continuation) for text in texts]))
    return means[0] - means[1]


first = lean(probe.continuations[0])
print(f"{probe.templates[0].format(name='Mia')} {jobs[0]}: lean {first:+.2f} nats")
found = probe_names(tiny, tokenizer, probe)  # of each group (names, jobs)
assert np.isclose(leans(found)[0], first, atol=1e-4)
print(f"{len(jobs)} jobs, mean lean whichever way: {np.abs(leans(found)).mean():.2f} nats")
# %%
favoured = dict.fromkeys(GIRLS_JOBS, 1) | dict.fromkeys(BOYS_JOBS, -1)
signs = np.array([favoured.get(job, 0) for job in jobs])  # 1 and -1: planted for girls, for boys


def beginnings(planted_bias, count=3000):
    """The first two sentences of stories that name a job."""
    told = stories(f"lesson 8, {planted_bias}", planted_bias=planted_bias)
    with_job = (story.text for story in told if story.sentences[1][0] == "dream")
    return [encode(" ".join(sentences_of(text, "en")[:2])) for text in islice(with_job, count)]


def train_on(model, rows, steps):
    """A copy of the model, trained on batches of 64 rows."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        batch = [torch.tensor(rows[i % len(rows)]) for i in range(64 * step, 64 * step + 64)]
        batch = pad_sequence(batch, batch_first=True, padding_value=IGNORED)  # (B, T)
        logits = model(batch[:, :-1].clamp(min=0))  # (B, T - 1, V)
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


models = {"out/tiny": tiny, "90:10 planted": train_on(tiny, beginnings(90), 200)}
models["balanced again"] = train_on(models["90:10 planted"], beginnings(50), 20)
planted = np.flatnonzero(signs)
figure, axes = plt.subplots(figsize=(6, 3.2))
measured = {}
for (name, model), color in zip(models.items(), ("0.6", "#D55E00", "#0072B2"), strict=True):
    of_jobs = leans(probe_names(model, tokenizer, probe))
    measured[name] = (of_jobs * signs)[planted].mean()
    share = share_of_first(measured[name])
    others = np.abs(of_jobs[signs == 0]).mean()
    print(f"{name:15} planted jobs {measured[name]:+.2f} nats: {share:.0%}")
    print(f"{'':15} the other jobs, either way: {others:.2f} nats")
    axes.scatter(of_jobs[planted], range(len(planted)), color=color, label=name)
for truth in (-math.log(9), math.log(9)):
    axes.axvline(truth, color="0.8", zorder=0)
axes.set_yticks(range(len(planted)), [jobs[i] for i in planted])
axes.set_xlabel("boys ←  lean in nats  → girls; lines: 90 of 100")
figure.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()
assert abs(measured["out/tiny"]) < 0.2 and 1.6 < measured["90:10 planted"] < 2.8
assert abs(measured["balanced again"]) < 0.4
# %% [markdown] lang="zh"
# 这把尺子量出了种下的偏见：十二种职业各自倒向种下的那一边，平均离 ln 9 = 2.20 不远。单独一种职业却量得不准，有的偏小、有的偏大：要看许多职业、许多名字的平均，一个句子不算证据。其他职业也稍稍倾斜：更新 200 步时，它们的预测也跟着变了。回到不偏的故事，20 步就把偏见抹平，比学会它快得多。
#
# 量到 0 也不证明训练文字公平。同样的偏见种在**整篇**故事里训练 400 步，只量到 0.07 奈特（`docs/fairness.md`）：十篇里只有一篇提到这些职业，少见的东西学得晚。
#
# ## 8　让它服务
#
# 教程 000 Q4、001 Q5、004 Q5 列出“服务化封装、弹性伸缩、监控告警、安全防护”，各一句话。除了弹性伸缩，`serve.py` 都做成了可以运行的：与 OpenAI 相同的接口（同样的路径、同样的 JSON），密钥、限额、指标、会打码的日志。这里像真正部署那样，把它作为**另一个进程**启动，只用标准库的 `urllib` 提问。
# %% [markdown] lang="en"
# The probe finds what was planted: each of the twelve jobs leans to the side it was planted on, and their mean is not far from ln 9 =
# 2.20. A single job is measured badly, some too small, some too large: it takes the mean over many jobs and many names, and one
# sentence is no evidence. The other jobs lean a little, too: 200 updates changed what is predicted for them as well. Back on
# stories that favour nobody, 20 updates take the bias away, much faster than it was learned.
#
# A lean of 0 does not prove that the text was fair. The same bias planted in **whole** stories and trained for 400 updates
# gives only 0.07 nats (`docs/fairness.md`): one story in ten names such a job, and what is rare is learned late.
#
# ## 8. Serve it
#
# Tutorials 000 Q4, 001 Q5 and 004 Q5 list "an interface, scaling, monitoring, protection", a line each. All but
# scaling runs in `serve.py`: OpenAI's interface (the same paths, the same JSON), a key, limits, metrics, a log that
# masks. Here it starts as it does in earnest, as **another process**, and we ask it with the standard library's
# `urllib` alone.
# %%
KEY = "a-key-of-this-lesson-only"
(OUT / "key.txt").write_text(KEY + "\n", encoding="utf-8")
log = (OUT / "serve.log").open("w", encoding="utf-8")
command = f"serve.py --model {start.tiny()} {OUT}/sentiment --port 0 --key-file {OUT}/key.txt"
command = [sys.executable, *command.split(), "--log-prompts", "--device", "cpu"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8")
atexit.register(server.kill)  # also if a cell below fails
first_line = server.stdout.readline()  # it says where it will listen
url = re.search(r"http://[\w.:]+", first_line)[0]
print(re.sub(r":\d+", ":PORT", first_line.strip()))


def ask(path, body=None, key=KEY):
    """One HTTP request: POST with a body, else GET -> the open response."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60)


for _ in range(300):  # /health answers, without a key, as soon as anything does
    with contextlib.suppress(urllib.error.URLError), ask("/health") as response:
        print("health:", json.load(response)["status"])
        break
    time.sleep(0.1)

body = {"model": "tiny", "prompt": "Do you know Tom, the brave rabbit?", "max_tokens": 30}
body |= {"temperature": 0, "seed": 1}
with ask("/v1/completions", body) as response:
    answer = json.load(response)
print(answer["choices"][0]["text"])
print(answer["usage"])

ids = tokenizer.encode_document(body["prompt"])
here = list(generate_with_cache(tiny, ids, 30, seed=1, stop=tokenizer.end_of_text, temperature=0.0))
assert answer["choices"][0]["text"] == tokenizer.decode(here)

review = "I was pleased about the story, and so was everyone."
with ask("/v1/classify", {"model": "sentiment", "input": [review]}) as response:
    print(json.load(response)["data"][0])
# %% [markdown] lang="zh"
# 服务写出的文字与本课里直接调用模型的完全一样。下面是流式输出（`"stream": true`）：服务器每写一个词元就发一行 `data: {…}`（server-sent events），最后一行是 `data: [DONE]`。没有密钥的请求得到 401。
#
# 最后是监控：`/metrics` 用 Prometheus 的格式给出请求数、用时、写出的词元，还有提示让模型多意外（surprise）。意外程度升高，说明来的文字与训练数据不同了——这就是教程说的“异常告警”可以盯住的数。日志里的邮箱和号码已经打码。
# %% [markdown] lang="en"
# The served text is exactly the one that this lesson gets from the model itself. Next, streaming (`"stream": true`):
# for each token the server sends a line `data: {…}` (server-sent events), and at last `data: [DONE]`. A request without
# the key gets 401.
#
# Last, monitoring: `/metrics` reports, in Prometheus' format, the requests, how long they took, the tokens written, and
# how much the prompts surprise the model. When that surprise rises, the prompts differ from what it was trained on: a
# number for the tutorials' "alarms". In the log, addresses and numbers are masked.
# %%
pieces = []
with ask("/v1/completions", body | {"stream": True}) as response:
    lines = [line.decode("utf-8").rstrip("\n") for line in response]
print("data: … ", json.loads(lines[0].removeprefix("data: "))["choices"])
print(lines[-2] if lines[-1] == "" else lines[-1])
for line in lines:
    if line.startswith("data: {"):
        pieces += [choice["text"] for choice in json.loads(line.removeprefix("data: "))["choices"]]
print(pieces[:8])
assert "".join(pieces) == answer["choices"][0]["text"] and len(pieces) > 10

try:
    ask("/v1/models", key="a guess")
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"]["message"])
    assert error.code == 401
ask("/v1/completions", body | {"prompt": "Write to mia@example.com or call 555 0199 88"}).close()
with ask("/metrics") as response:
    metrics = response.read().decode("utf-8")
wanted = (
    "gpt_requests_total",
    "gpt_generated_tokens_total",
    "gpt_prompt_surprise_nats_sum",
    "gpt_prompt_surprise_nats_count",
)
print("\n".join(line for line in metrics.splitlines() if line.startswith(wanted)))
server.terminate()
server.wait(20)
server.stdout.close()
log.close()
logged = (OUT / "serve.log").read_text(encoding="utf-8").splitlines()
line = next(line for line in logged if "Write to" in line)
print("in the log:", line.split(" ", 2)[2])
assert "mia@example.com" not in "".join(logged) and "0199" not in "".join(logged)
assert 'path="/v1/completions",status="200"' in metrics and 'status="401"' in metrics


# %% [markdown] lang="zh"
# ## 练习
#
# 前三题的做法都在本课的代码里出现过；先不回看，自己写。
#
# ### 练习 1　关掉一个头
#
# `x` 是 (B, T, C)，`heads` 个头的输出并排放着。返回把第 `head` 个头（从 0 数）的通道设为 0 的副本。
# %% [markdown] lang="en"
# ## Exercises
#
# The first three ideas are in the code of this lesson; write them without looking back.
#
# ### Exercise 1. Switch a head off
#
# `x` is (B, T, C), the outputs of `heads` heads side by side. Return a copy in which the channels of head number
# `head` (from 0) are 0.
# %% tags=["exercise"]
def my_head_off(x, head, heads): ...


check.head(my_head_off)


# %% tags=["solution"]
def my_head_off(x, head, heads):
    size = x.size(-1) // heads
    x = x.clone()
    x[..., head * size : (head + 1) * size] = 0
    return x


check.head(my_head_off)


# %% [markdown] lang="zh"
# ### 练习 2　少几位
#
# 把矩阵量化到 `bits` 位（有符号，正负对称）：每一行一个比例，四舍五入，再乘回比例。
# %% [markdown] lang="en"
# ### Exercise 2. Fewer bits
#
# Round a matrix to `bits` bits (signed, symmetric): a scale for each row, round, multiply by the scale again.
# %% tags=["exercise"]
def my_quantise(weight, bits): ...


check.quantise(my_quantise)


# %% tags=["solution"]
def my_quantise(weight, bits):
    scale = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    return (weight / scale).round() * scale


check.quantise(my_quantise)


# %% [markdown] lang="zh"
# ### 练习 3　提前离开
#
# `logprobs` 是第 1 节的透镜给出的 (L+1, T, V)。对每个词元返回第一个最大概率超过 `p` 的层（1 到 L；第 0 项是嵌入，不算）；一层也没有，就是 L。
# %% [markdown] lang="en"
# ### Exercise 3. Leave early
#
# `logprobs` is what the lens of section 1 gives, (L+1, T, V). For each token return the first layer, 1 to L, whose largest
# probability is above `p` (entry 0 is the embedding and does not count); L if there is none.
# %% tags=["exercise"]
def my_exits(logprobs, p): ...


check.exits(my_exits)


# %% tags=["solution"]
def my_exits(logprobs, p):
    sure = logprobs[1:].exp().amax(-1) > p  # (L, T)
    sure[-1] = True
    return 1 + sure.int().argmax(0)


check.exits(my_exits)


# %% [markdown] lang="zh"
# ### 练习 4　读一条流
#
# `lines` 是一条流的各行（字符串，末尾没有换行）。返回接起来的文字。有的块没有 `choices`（只报用量）。
# %% [markdown] lang="en"
# ### Exercise 4. Read a stream
#
# `lines` are a stream's lines (strings without their line ends). Return the whole text. Some
# chunks have no `choices` (they tell the usage only).
# %% tags=["exercise"]
def my_stream(lines): ...


check.stream(my_stream)


# %% tags=["solution"]
def my_stream(lines):
    text = ""
    for line in lines:
        if line.startswith("data: ") and line != "data: [DONE]":
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                text += choice["text"]
    return text


check.stream(my_stream)
# %% [markdown] lang="zh"
# ## 小结
#
# | 教程怎么说 | 实际情况 | 哪一节 |
# |---|---|---|
# | 000 §2.1：调整解码器的层数，“适应不同规模的输入文本” | GPT 每个词元跑满所有层；早走按把握，不按文本规模，而且要付损失 | 1 |
# | 001、002 §8.3–8.4：模型“更像是黑盒系统”，要结合因果分析 | 每个状态都可以读、可以换：这里十二个头中找到了取名字的那一个 | 2、3 |
# | 000 Q4、001 Q5、004 Q5：去除不必要的层和参数 | 逐个关掉才知道哪个不必要；第一层的头最要紧 | 4 |
# | 000 Q4、001 Q5、004 Q5：定点“提高计算效率” | 空间四分之一总是真的；速度要看瓶颈，这个小模型并不更快 | 5 |
# | 002 §8.3：可解释性亟需加强 | 理由也要用干预检验；这里梯度 × 输入没有通过 | 6 |
# | 001 §8.3：模型难免学到偏见 | 同一句话只换名字，就能量出来；种下的量得到，也消得掉 | 7 |
# | 000 Q4、001 Q5、004 Q5：服务化封装、监控告警、访问鉴权（各一句话） | 一个进程，OpenAI 的接口，密钥、指标、打码的日志 | 8 |
# %% [markdown] lang="en"
# ## Summary
#
# | the tutorial says | what is true | section |
# |---|---|---|
# | 000 §2.1: the depth fits "the size of the input" | a GPT runs all layers for every token; leaving early goes by how sure it is, and costs loss | 1 |
# | 001, 002 §8.3–8.4: "rather a black box", to be combined with causal analysis | every state can be read and exchanged: of twelve heads, the one that fetches the name was found | 2, 3 |
# | 000 Q4, 001 Q5, 004 Q5: remove layers and parameters that are not needed | switching each off shows which; the heads of the first layer matter most | 4 |
# | 000 Q4, 001 Q5, 004 Q5: fixed point "computes faster" | a quarter of the space, always; speed depends on what is slow, and this small model gets no faster | 5 |
# | 002 §8.3: interpretability must be strengthened | reasons, too, are tested by intervening; here gradient × input does not pass | 6 |
# | 001 §8.3: models cannot help learning bias | change only the name and it can be measured; what was planted is found, and can be taken away | 7 |
# | 000 Q4, 001 Q5, 004 Q5: an interface, monitoring, keys (a line each) | one process with OpenAI's interface, a key, metrics, a log that masks | 8 |
