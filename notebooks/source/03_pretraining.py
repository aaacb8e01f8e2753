# %% [markdown] lang="zh"
# # 第 3 课　预训练
#
# 学完这一课，你能够：
#
# - 亲手写出 SGD、AdamW 和 Muon，并与 `gpt/optim.py`、`gpt/muon.py` 核对；
# - 用实验（而不是口诀）选学习率，说清楚预热、梯度累积、混合精度各改变了什么、没改变什么；
# - 拿训练损失与玩具世界的**精确下限**比较，知道“还差多少”。
#
# 对应教程：000 §3.2 Step 1–2、Q2；001 §3.2.1、Q2–Q3；002 §4.2、Q2；003 §3.2、§4.2；004 Q2–Q3。

# %% [markdown] lang="en"
# # Lesson 3: pretraining
#
# After this lesson you will be able to:
#
# - write SGD, AdamW and Muon by hand, and hold them equal to `gpt/optim.py` and `gpt/muon.py`;
# - choose a learning rate by experiment instead of by a rule, and say what warm-up, gradient accumulation and mixed
#   precision change and what they do not;
# - compare a training loss with the **exact floor** of the toy world, and so know how much is left to learn.
#
# It goes with tutorials 000 §3.2 Step 1–2, Q2; 001 §3.2.1, Q2–Q3; 002 §4.2, Q2; 003 §3.2, §4.2; 004 Q2–Q3.

# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()

# %%
import contextlib
import copy
import io
import math
import time

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from data.world.entropy import story_entropy
from data.world.reviews import write_reviews
from data.world.story import stories
from gpt.classifier import GPTClassifier, pad
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tables import read_rows
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.generate import score
from gpt.model import GPT, GPTConfig
from gpt.muon import Muon, orthogonalize
from gpt.optim import SGD, AdamW, build_optimizers, learning_rate_scale, set_learning_rate
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import TrainConfig
from notebooks.check import pretraining as check
from train import train

# %% [markdown] lang="zh"
# ## 1　目标：只预测下一个词元
#
# 教程 001 §3.2.1 说：“模型需要预测其后文 $x_{i+1}, x_{i+2}, \ldots, x_n$”。其实每个位置只有**一个**目标：紧接着的那个
# 词元。看看一个真正的训练批次：第二行就是第一行向左移一位。后面更远的词元当然也会被预测，但那是后面各个位置自己的事。

# %% [markdown] lang="en"
# ## 1. The objective: the next token, and no other
#
# Tutorial 001 §3.2.1 says that the model must predict "其后文 $x_{i+1}, x_{i+2}, \ldots, x_n$", all that follows. In truth each
# place has **one** target: the token right behind it. Look at a real training batch: the second row is the first, moved by
# one. Tokens further on are predicted too, but from the places just before them.

# %%
corpus = TokensFolder(start.corpus())
tokenizer = load_tokenizer(corpus.folder)
dataset = corpus.dataset(context_length=176, batch_size=8)
x, y = dataset.batch(0)  # 2 × (8, 176)
for name, row in (("input ", x[0, :9]), ("target", y[0, :9])):
    print(name, [tokenizer.decode([token]) for token in row.tolist()])
assert torch.equal(x[:, 1:], y[:, :-1])  # the target of each place is the next place's input

# %% [markdown] lang="zh"
# ### 差了一位的公式，和精确的下限
#
# 教程 002 §4.2 的损失是 $-\sum_{i=1}^{n} \log p(x_{i+1}|x_1,\dots,x_i)$。它要预测不存在的 $x_{n+1}$，却从不问 $x_1$ 的概率。补救办法是
# 在每篇文字前后各放一个“文本结束”词元：$x_0$ 给第一个词一个上文，$x_{n+1}$ 就是“到此为止”。这样所有项加起来，才正好是整篇
# 文字的 $-\log_2 p$。
#
# 这里有一件网上语料做不到的事：故事由我们自己的程序写成，所以每个故事的概率是**精确已知**的（`Story.bits`），平均值就是熵
# （`story_entropy`）。任何模型的平均损失都不可能低于它。

# %% [markdown] lang="en"
# ### A formula that is off by one, and the exact floor
#
# The loss of tutorial 002 §4.2 is $-\sum_{i=1}^{n} \log p(x_{i+1}|x_1,\dots,x_i)$. It asks for an $x_{n+1}$ that does not exist, and
# never for the probability of $x_1$. The remedy is an end-of-text token before and after each text: $x_0$ gives the first word
# something to follow, and $x_{n+1}$ says that the text ends. Then the terms add up to exactly $-\log_2 p$ of the whole text.
#
# One thing here is impossible with text from the web. Our own program writes the stories, so the probability of each story is
# **known exactly** (`Story.bits`), and its mean is the entropy (`story_entropy`). No model can have a lower mean loss.

# %%
tiny = load_model(start.tiny())
end = tokenizer.end_of_text
source = stories(seed=2024)  # none of them was trained on
some = [next(source) for _ in range(60)]
model_bits, first_word_bits = [], []
for story in some:
    costs = [-choice.logprob / math.log(2) for choice in score(tiny, [end, *tokenizer.encode(story.text), end])]
    model_bits.append(sum(costs))
    first_word_bits.append(costs[0])
mean = lambda values: sum(values) / len(values)  # noqa: E731
true_bits = mean([story.bits for story in some])
print(f"entropy of the world      {story_entropy():6.2f} bits in an average story (computed, not sampled)")
print(f"these 60 stories, truth   {true_bits:6.2f} bits")
print(f"these 60 stories, out/tiny{mean(model_bits):6.2f} bits, of which the first word costs {mean(first_word_bits):.2f}")
assert true_bits < mean(model_bits) < 1.15 * true_bits
assert mean(first_word_bits) > 1  # what the formula of 002 leaves out

# %% [markdown] lang="zh"
# 模型的每一项都算上，才能与真值相比：它比真值多出的那几个比特，就是模型还没学会的部分（KL 散度）。若照 002 的公式漏掉第一个词，
# 得到的数会偏小，甚至可能“低于下限”，比较就没有意义了。

# %% [markdown] lang="en"
# Only with every term can the model be compared with the truth: the few bits above it are what the model has not learned (the
# KL divergence). Without the first word, as in the formula of 002, the number is too small and may even fall "below the
# floor"; the comparison then means nothing.

# %% [markdown] lang="zh"
# ## 2　一个训练循环
#
# 下面是全课要用的训练循环：取一批、算损失、反向传播、更新。它就是 `train.py` 的循环去掉保存与评估之后剩下的样子。
# 网络很小（2 层、64 通道），这样一次实验只要几秒。`speed_up` 把各层换成更快、结果相同的版本。

# %% [markdown] lang="en"
# ## 2. One training loop
#
# This loop serves the whole lesson: take a batch, compute the loss, go backward, update. It is the loop of `train.py` without
# saving and evaluating. The net is small (2 layers, 64 channels), so that an experiment takes seconds. `speed_up` exchanges the
# layers for faster ones that compute the same.

# %%
SHAPE = GPTConfig(corpus.vocab_size, context_length=176, n_layer=2, n_head=4, n_embd=64, position="rotary")
CPU = torch.device("cpu")
FLOOR = corpus.meta["entropy_bits_per_byte"] / corpus.bits_per_byte(1.0)  # nats per token
STEPS = 100


def new_model():
    torch.manual_seed(0)  # all runs begin at the same weights
    model = GPT(SHAPE)
    speed_up(model, CPU, torch.float32)
    return model


def pretrain(model, optimizers, schedule, dtype=torch.float32, steps=STEPS):
    """The loss of each step. schedule(step) -> share of the peak learning rate."""
    losses = []
    for step in range(steps):
        inputs, targets = dataset.batch(step)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(inputs)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        set_learning_rate(optimizers, schedule(step))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def smooth(losses, width=8):
    return [mean(losses[max(0, i - width + 1) : i + 1]) for i in range(len(losses))]


def usual(step):
    return learning_rate_scale(step, STEPS, 10)  # 10 steps of warm-up, then a straight line to 0


def adamw(model, rate):
    return build_optimizers(model, "adamw", rate, 0.03, 0.1)


print(f"{new_model().num_params():,} weights; floor {FLOOR:.3f} nats/token; guessing costs {math.log(corpus.vocab_size):.3f}")

# %% [markdown] lang="zh"
# ## 3　SGD、AdamW、Muon，亲手写
#
# 教程 003 §4.2 给出梯度下降公式 $\theta_{t+1} = \theta_t - \alpha \nabla J(\theta_t)$，但没有任何代码；其余几篇只说“使用 AdamW”。三个优化器都只有几行：
#
# - **SGD**：照公式走。
# - **AdamW**：梯度的滑动平均除以梯度的“惯常大小”，所以每个权重每步都走大约一个学习率那么远；权重衰减不经过梯度。
# - **Muon**：对矩阵，把动量的所有方向调成一样强（正交化），再走一步。

# %% [markdown] lang="en"
# ## 3. SGD, AdamW and Muon by hand
#
# Tutorial 003 §4.2 gives the formula $\theta_{t+1} = \theta_t - \alpha \nabla J(\theta_t)$ without code; the others only say "use AdamW". Each of the
# three takes a few lines:
#
# - **SGD** follows the formula.
# - **AdamW** divides the running mean of the gradient by the gradient's usual size, so that each weight moves about one learning
#   rate a step; weight decay does not go through the gradient.
# - **Muon**, for matrices, makes all directions of the momentum equally strong (orthogonal) before it takes the step.

# %%
def sgd(weight, grad, state, lr, decay=0.0):
    return weight - lr * (grad + decay * weight)


def adamw_by_hand(weight, grad, state, lr, decay=0.1, beta1=0.9, beta2=0.95):
    state["t"] = t = state.get("t", 0) + 1
    state["mean"] = beta1 * state.get("mean", 0) + (1 - beta1) * grad
    state["square"] = beta2 * state.get("square", 0) + (1 - beta2) * grad**2
    mean, square = state["mean"] / (1 - beta1**t), state["square"] / (1 - beta2**t)
    return weight - lr * (mean / (square.sqrt() + 1e-8) + decay * weight)


def muon(weight, grad, state, lr, decay=0.1, mu=0.95):
    state["momentum"] = mu * state.get("momentum", 0) + (1 - mu) * grad
    direction = orthogonalize(mu * state["momentum"] + (1 - mu) * grad)  # all singular values become about 1
    return weight * (1 - lr * decay) - lr * max(1, weight.size(0) / weight.size(1)) ** 0.5 * direction


def difference(by_hand, build):
    """The largest difference to the optimizer of gpt/ after ten steps along the same gradients."""
    torch.manual_seed(0)
    ours, state = torch.randn(48, 16), {}
    theirs = torch.nn.Parameter(ours.clone())
    optimizer = build([{"params": [theirs], "weight_decay": 0.1}])
    for _ in range(10):
        theirs.grad = torch.randn(48, 16)
        ours = by_hand(ours, theirs.grad, state, 0.02, 0.1)
        optimizer.step()
    return (ours - theirs).abs().max().item()


for by_hand, build in (
    (sgd, lambda groups: SGD(groups, 0.02)),
    (adamw_by_hand, lambda groups: AdamW(groups, 0.02, betas=(0.9, 0.95))),
    (muon, lambda groups: Muon(groups, 0.02)),
):
    assert difference(by_hand, build) < 1e-5
print("by hand = gpt/optim.py and gpt/muon.py, for all three")

# %% [markdown] lang="zh"
# 同一个网络、同样的数据、同样的步数。每个优化器用适合自己的学习率（SGD 的要大几百倍）。虚线是下限：谁也越不过去。

# %% [markdown] lang="en"
# The same net, the same data, as many steps. Each optimizer has a learning rate that suits it (SGD's is hundreds of times
# larger). The dashed line is the floor, which nothing can cross.

# %%
curves = {}
for name, rate in (("sgd", 1.0), ("adamw", 6e-3), ("muon", 6e-3)):
    model = new_model()
    curves[name] = pretrain(model, build_optimizers(model, name, rate, 0.03, 0.1), usual)
fig, ax = plt.subplots()
for name, losses in curves.items():
    ax.plot(smooth(losses))
    ax.annotate(name, (STEPS - 1, smooth(losses)[-1]), xytext=(4, 0), textcoords="offset points", va="center")
ax.axhline(FLOOR, color="black", ls="--", lw=1)
ax.annotate("exact floor", (0, FLOOR), xytext=(2, 3), textcoords="offset points")
ax.set(xlabel="step", ylabel="loss, nats per token", xlim=(0, STEPS + 10), ylim=(0, 8))
plt.show()
last = {name: smooth(losses)[-1] for name, losses in curves.items()}
print("mean loss of the last 8 steps:", {name: round(loss, 2) for name, loss in last.items()})
assert FLOOR < last["muon"] < last["adamw"] < last["sgd"]

# %% [markdown] lang="zh"
# 003 §3.2 把“SGD、Adam 等”并列，好像可以随便挑。对语言模型并不是这样：常见词的梯度大、罕见词的梯度小，SGD 用同一个步长对待它们，
# 于是大部分权重几乎不动；AdamW 按各自的大小缩放；Muon 连矩阵内部弱的方向也一并推动，所以同样的步数走得最远。

# %% [markdown] lang="en"
# 003 §3.2 lists "SGD、Adam 等" side by side, as if any would do. For a language model they differ: gradients of frequent words
# are large and those of rare words small, SGD takes the same step length for both, and most weights hardly move. AdamW scales
# each by its own size. Muon also moves the weak directions inside a matrix, so it gets furthest in the same number of steps.

# %% [markdown] lang="zh"
# ## 4　学习率：1e-5 是答案吗？
#
# 教程 000 Q2、001 Q2、004 Q2 都说：“建议从1e-5开始调参，逐步减小学习率”。002 Q2 却说：“从较小的学习率开始，逐步增加到预设值”。
# 001 和 004 还说太大的学习率会“导致过拟合”。教程谈的是微调，所以我们两种都做：左图预训练，右图在玩具世界的影评（容易的一种）上微调
# `out/tiny`。每个学习率从同一组权重出发。

# %% [markdown] lang="en"
# ## 4. The learning rate: is 1e-5 the answer?
#
# Tutorials 000 Q2, 001 Q2 and 004 Q2 all say "建议从1e-5开始调参，逐步减小学习率": begin at 1e-5 and *decrease*. 002 Q2 says to begin
# small and *increase*. 001 and 004 add that too large a rate "导致过拟合", leads to over-fitting. The tutorials mean fine-tuning,
# so we do both: on the left pretraining, on the right fine-tuning `out/tiny` on (easy) reviews of the toy world. All rates begin
# at the same weights.

# %%
RATES = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
pretrained, moved = {}, {}
for rate in RATES:
    model = new_model()
    before = model.transformer.h[0].mlp.c_fc.weight.clone()
    pretrained[rate] = smooth(pretrain(model, adamw(model, rate), usual))[-1]
    moved[rate] = (model.transformer.h[0].mlp.c_fc.weight - before).abs().max().item()
    print(f"rate {rate:7.0e}: loss {pretrained[rate]:6.2f}, the furthest that a weight of an MLP moved: {moved[rate]:.4f}")
assert moved[1e-5] < STEPS * 1e-5  # a weight moves at most about one learning rate a step
assert pretrained[1e-5] > 2 * min(pretrained.values())

# %%
folder = Path("out/lessons/03/reviews")
with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
    write_reviews(folder, 2000, "easy", seed=3, language="en")
LABELS = ("negative", "neutral", "positive")


def read_reviews(split, count):
    rows = [row for _, row in read_rows(folder / f"{split}.csv", ("text", "label"))][:count]
    tokens, lengths = pad([[end, *tokenizer.encode(row["text"])] for row in rows])
    return tokens, lengths, torch.tensor([LABELS.index(row["label"]) for row in rows])


TRAIN, VAL = read_reviews("train", 1024), read_reviews("val", 200)


def finetune(rate, steps=60):
    """(Loss of the last steps on the training texts, accuracy on new ones) after full fine-tuning."""
    torch.manual_seed(0)
    net = GPTClassifier(tiny.config, LABELS)
    net.transformer.load_state_dict(tiny.transformer.state_dict())
    speed_up(net, CPU, torch.float32)
    optimizers = build_optimizers(net, "adamw", rate, 0.03, 0.1)
    losses = []
    for step in range(steps):
        rows = torch.arange(16 * step, 16 * (step + 1)) % 1024
        tokens, lengths, labels = (part[rows] for part in TRAIN)
        loss = F.cross_entropy(net(tokens, lengths), labels)
        loss.backward()
        set_learning_rate(optimizers, learning_rate_scale(step, steps, 6))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    with torch.no_grad():
        return mean(losses[-10:]), (net(*VAL[:2]).argmax(-1) == VAL[2]).float().mean().item()


tuned = {rate: finetune(rate) for rate in RATES}
for rate, (loss, accuracy) in tuned.items():
    print(f"rate {rate:7.0e}: training loss {loss:6.3f} (guessing: {math.log(3):.3f}), accuracy on new reviews {accuracy:.0%}")

# %%
fig, (left, right) = plt.subplots(1, 2)
left.plot(RATES, pretrained.values(), "o-")
left.axhline(FLOOR, color="black", ls="--", lw=1)
left.annotate("exact floor", (1e-5, FLOOR), xytext=(0, 3), textcoords="offset points")
left.set(title="pretraining, 100 steps", ylabel="loss, nats per token", ylim=(0, 8))
right.plot(RATES, [accuracy for _, accuracy in tuned.values()], "o-", color=start.COLOURS[1])
right.axhline(1 / 3, color="black", ls="--", lw=1)
right.annotate("guessing", (1e-2, 1 / 3), xytext=(0, 3), textcoords="offset points")
right.set(title="fine-tuning, 60 steps", ylabel="accuracy on new reviews", ylim=(0, 1.05))
for ax in (left, right):
    ax.set(xscale="log", xlabel="peak learning rate of AdamW")
    ax.axvline(1e-5, color="grey", lw=1, ls=":")
    ax.annotate("the tutorials'\n1e-5", (1e-5, ax.get_ylim()[1] * 0.62), xytext=(4, 0), textcoords="offset points")
plt.show()
best = max(RATES, key=lambda rate: tuned[rate][1])
print(f"best here: {min(pretrained, key=pretrained.get):.0e} for pretraining, {best:.0e} for fine-tuning")
assert best > 1e-5 and tuned[1e-5][1] < tuned[best][1] - 0.2
assert tuned[1e-1][0] > tuned[best][0] + 0.3  # too large a rate: the TRAINING loss is bad, so this is no over-fitting

# %% [markdown] lang="zh"
# 三点结论：
#
# 1. AdamW 每步最多让一个权重走大约一个学习率那么远，所以 1e-5 乘以步数就是它能走的全部路程。对这个小网络，这几乎等于没动。
#    对上千亿参数、跑几万步的网络，1e-5 可能合适：学习率取决于规模、步数和优化器，没有万能的起点。从 1e-5 **再往下**调，只会离
#    答案更远。
# 2. “导致过拟合”说错了：过拟合时**训练**损失很低。学习率太大时，训练损失本身就降不下来（发散），并且冲毁预训练的权重。
# 3. “从小到大”（002）与“从大到小”（000、001、004）说的是两件事：一次训练之内先升（预热）后降（衰减）；而挑选峰值靠的是上面这样的扫描。

# %% [markdown] lang="en"
# Three conclusions:
#
# 1. AdamW moves a weight by at most about one learning rate a step, so 1e-5 times the number of steps is all the way it can go.
#    For this small net that is next to nothing. For a net of 100 billion weights and tens of thousands of steps, 1e-5 may be
#    right: the rate depends on size, number of steps and optimizer. Going *down* from 1e-5 leads further away.
# 2. "Over-fitting" is the wrong word: over-fitting has a *low training* loss. With too large a rate the training loss itself
#    stays high (it diverges), and what was pretrained is destroyed.
# 3. "Increase" (002) and "decrease" (000, 001, 004) are about two things. Within one run the rate rises first (warm-up) and
#    falls later (decay). The peak is chosen by a sweep like the one above.

# %% [markdown] lang="zh"
# ## 5　预热与衰减
#
# 开头几步，AdamW 的“惯常大小”还只是由一两个梯度估计的，此时迈大步容易走错。预热（warm-up）就是先小步走。结尾处把学习率降到 0，
# 是为了平息批次之间的抖动。下面用比较大的峰值（3e-2）把三种做法画在一起。

# %% [markdown] lang="en"
# ## 5. Warm-up and decay
#
# In the first steps AdamW's "usual size" is an estimate from one or two gradients, and a long step may go wrong. Warm-up takes
# short steps first. At the end the rate falls to 0, to calm the noise between batches. Here are three ways with a rather high
# peak (3e-2).

# %%
schedules = {
    "constant": lambda step: 1.0,
    "decay only": lambda step: learning_rate_scale(step, STEPS, 0),
    "warm-up and decay": usual,
}
found = {}
fig, (left, right) = plt.subplots(1, 2)
for name, schedule in schedules.items():
    model = new_model()
    losses = smooth(pretrain(model, adamw(model, 3e-2), schedule))
    found[name] = losses[-1]
    left.plot([3e-2 * schedule(step) for step in range(STEPS)])
    right.plot(losses, label=name)
left.set(xlabel="step", ylabel="learning rate", ylim=(0, 0.036))
right.set(xlabel="step", ylabel="loss, nats per token")
right.legend(frameon=False)
plt.show()
print("mean loss of the last 8 steps:", {name: round(loss, 2) for name, loss in found.items()})
