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
import io
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from data.world.entropy import story_entropy
from data.world.story import stories
from gpt.classifier import GPTClassifier, pad
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
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
print(
    f"these 60 stories, out/tiny{mean(model_bits):6.2f} bits, of which the first word costs {mean(first_word_bits):.2f}"
)
assert true_bits < mean(model_bits) < 1.15 * true_bits
assert mean(first_word_bits) > 1  # what the formula of 002 leaves out

# %% [markdown] lang="zh"
# 模型的每一项都算上，才能与真值相比：它比真值多出的那几个比特，就是模型还没学会的部分（KL 散度）。若照 002 的公式漏掉第一个词，
# 得到的数会偏小，甚至可能“低于下限”，比较就没有意义了。
#
# ## 2　一个训练循环
#
# 下面是全课要用的训练循环：取一批、算损失、反向传播、更新。它就是 `train.py` 的循环去掉保存与评估之后剩下的样子。
# 网络很小（2 层、64 通道），这样一次实验只要几秒。`speed_up` 把各层换成更快、结果相同的版本。

# %% [markdown] lang="en"
# Only with every term can the model be compared with the truth: the few bits above it are what the model has not learned (the
# KL divergence). Without the first word, as in the formula of 002, the number is too small and may even fall "below the
# floor"; the comparison then means nothing.
#
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
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # a gradient longer than 1 is scaled down to 1
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


print(
    f"{new_model().num_params():,} weights; floor {FLOOR:.3f} nats/token; guessing costs {math.log(corpus.vocab_size):.3f}"
)

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
    place = "top" if name == "muon" else "bottom"
    ax.annotate(name, (STEPS - 1, smooth(losses)[-1]), xytext=(4, 0), textcoords="offset points", va=place)
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
#
# ## 4　学习率：1e-5 是答案吗？
#
# 教程 000 Q2、001 Q2、004 Q2 都说：“建议从1e-5开始调参，逐步减小学习率”。002 Q2 却说：“从较小的学习率开始，逐步增加到预设值”。
# 001 和 004 还说太大的学习率会“导致过拟合”。教程谈的是微调，所以我们两种都做：左图预训练，右图微调 `out/tiny`，
# 让它判断一个故事里的东西是丢了、坏了还是被抢了（500 个标签）。每个学习率从同一组权重出发。

# %% [markdown] lang="en"
# 003 §3.2 lists "SGD、Adam 等" side by side, as if any would do. For a language model they differ: gradients of frequent words
# are large and those of rare words small, SGD takes the same step length for both, and most weights hardly move. AdamW scales
# each by its own size. Muon also moves the weak directions inside a matrix, so it gets furthest in the same number of steps.
#
# ## 4. The learning rate: is 1e-5 the answer?
#
# Tutorials 000 Q2, 001 Q2 and 004 Q2 all say "建议从1e-5开始调参，逐步减小学习率": begin at 1e-5 and *decrease*. 002 Q2 says to begin
# small and *increase*. 001 and 004 add that too large a rate "导致过拟合", leads to over-fitting. The tutorials mean fine-tuning,
# so we do both: on the left pretraining, on the right fine-tuning `out/tiny`, which must say whether in a story something is lost,
# broken or snatched (500 labels). All rates begin at the same weights.

# %%
RATES = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
pretrained, moved = {}, {}
for rate in RATES:
    model = new_model()
    before = model.transformer.h[0].mlp.c_fc.weight.clone()
    pretrained[rate] = smooth(pretrain(model, adamw(model, rate), usual))[-1]
    moved[rate] = (model.transformer.h[0].mlp.c_fc.weight - before).abs().max().item()
    print(
        f"rate {rate:7.0e}: loss {pretrained[rate]:6.2f}, the furthest that a weight of an MLP moved: {moved[rate]:.4f}"
    )
assert moved[1e-5] < STEPS * 1e-5  # a weight moves at most about one learning rate a step
assert pretrained[1e-5] > 2 * min(pretrained.values())

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
            return *pad(texts), torch.tensor(labels)


TRAIN, TEST = labelled(seed=501, count=500), labelled(seed=502, count=200)


def finetune(rate, steps=40):
    """(Loss of the last steps on the training texts, accuracy on new ones) after full fine-tuning."""
    torch.manual_seed(0)
    net = GPTClassifier(tiny.config, PLOTS)
    net.transformer.load_state_dict(tiny.transformer.state_dict())
    speed_up(net, CPU, torch.float32)
    optimizers = build_optimizers(net, "adamw", rate, 0.03, 0.1)
    losses = []
    for step in range(steps):
        rows = torch.arange(16 * step, 16 * (step + 1)) % len(TRAIN[0])
        tokens, lengths, labels = (part[rows] for part in TRAIN)
        loss = F.cross_entropy(net(tokens[:, : lengths.max()], lengths), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        set_learning_rate(optimizers, learning_rate_scale(step, steps, 4))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    with torch.no_grad():
        return mean(losses[-10:]), (net(*TEST[:2]).argmax(-1) == TEST[2]).float().mean().item()


tuned = {rate: finetune(rate) for rate in RATES}
for rate, (loss, accuracy) in tuned.items():
    print(
        f"rate {rate:7.0e}: training loss {loss:6.3f} (guessing: {math.log(3):.3f}), accuracy on new stories {accuracy:.0%}"
    )

# %%
fig, (left, right) = plt.subplots(1, 2)
left.plot(RATES, pretrained.values(), "o-")
left.axhline(FLOOR, color="black", ls="--", lw=1)
left.annotate("exact floor", (1e-5, FLOOR), xytext=(0, 3), textcoords="offset points")
left.set(title="pretraining, 100 steps", ylabel="loss, nats per token", ylim=(0, 8))
right.plot(RATES, [accuracy for _, accuracy in tuned.values()], "o-", color=start.COLOURS[1])
right.axhline(1 / 3, color="black", ls="--", lw=1)
right.annotate("guessing", (1e-2, 1 / 3), xytext=(0, 3), textcoords="offset points")
right.set(title="fine-tuning, 40 steps", ylabel="accuracy on new stories", ylim=(0, 1.05))
for ax, height in ((left, 4), (right, 0.9)):
    ax.set(xscale="log", xlabel="peak learning rate of AdamW")
    ax.axvline(1e-5, color="grey", lw=1, ls=":")
    ax.annotate("the tutorials'\n1e-5", (1e-5, height), xytext=(4, 0), textcoords="offset points")
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
#
# ## 5　预热与衰减
#
# 开头几步，AdamW 的“惯常大小”还只是由一两个梯度估计的，此时迈大步容易走错。预热（warm-up）就是先小步走。结尾处把学习率降到 0，
# 是为了平息批次之间的抖动。下面用比较大的峰值（3e-2）把三种做法画在一起。

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
#
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

# %% [markdown] lang="zh"
# 意外：在这里预热**没有**帮上忙，带预热的那条线反而最高。网络小、步数少，梯度又被裁剪到长度 1，一开始就迈大步也不出事，先小步走只是
# 浪费了步数。所以“要预热”不是定律，而是大网络、长训练里的经验；要不要用，跑一次就知道。（一次运行、一个种子，小差别不要当真。）
#
# ## 6　梯度累积：同样的梯度，更少的内存
#
# 001 Q3、004 Q3 把“梯度积累”列为省显存的技术，没有代码。做法：把一批分成几份，逐份反向传播，梯度自动相加；每份的损失要**除以份数**，
# 加起来才等于整批的平均。结果与一次算完相同（只差浮点舍入），所以它不改变训练，只是用时间换内存。

# %% [markdown] lang="en"
# A surprise: here warm-up did **not** help, its line ends highest. The net is small, the run short, and gradients are clipped to
# length 1, so that long first steps do no harm, and short ones only waste time. Warm-up is no law but experience from large nets
# and long runs; one run shows whether it is needed. (This is one run with one seed: take no small difference seriously.)
#
# ## 6. Gradient accumulation: the same gradient with less memory
#
# 001 Q3 and 004 Q3 name "梯度积累" as a way to save memory, without code. Split a batch into parts and go backward through each;
# gradients add up by themselves. Each part's loss is **divided by the number of parts**, so that the sum is the mean of the whole
# batch. The result is the same up to rounding: accumulation changes nothing about the training, it trades time for memory.


# %%
def gradients(parts, divide=True):
    model = new_model()
    inputs, targets = dataset.batch(0)
    for x, y in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        (loss / parts if divide else loss).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


whole, accumulated, forgotten = gradients(1), gradients(4), gradients(4, divide=False)
torch.testing.assert_close(accumulated, whole, atol=1e-5, rtol=0)
print(f"length of the gradient: whole batch {whole.norm():.4f}, 4 parts {accumulated.norm():.4f}, ", end="")
print(f"4 parts without dividing {forgotten.norm():.4f}")
assert abs(forgotten.norm() / whole.norm() - 4) < 1e-3

# %% [markdown] lang="zh"
# ## 7　混合精度：改变的是乘法，不是被训练的权重
#
# 教程 000 §8.2 把 Mixed Precision Training 列为“参数高效的微调方法”。它不是：权重仍然是 float32，一个不少地全部在训练；只有矩阵乘法
# 用 bfloat16 来算。会变的是时间（看硬件：有的 CPU 快一倍多，有的反而慢）和舍入误差。

# %% [markdown] lang="en"
# ## 7. Mixed precision changes the products, not what is trained
#
# Tutorial 000 §8.2 lists Mixed Precision Training among "参数高效的微调方法", the parameter-efficient methods. It is none: all
# weights stay in float32 and all of them are trained; only matrix products are computed in bfloat16. What changes is the time
# (it depends on the hardware: some CPUs are twice as fast, others slower) and the rounding.

# %%
precision = {}
for dtype in (torch.float32, torch.bfloat16):
    model = new_model()
    losses = pretrain(model, build_optimizers(model, "muon", 6e-3, 0.03, 0.1), usual)
    trained = sum(weight.numel() for weight in model.parameters() if weight.grad is not None or weight.requires_grad)
    kinds = {str(weight.dtype) for weight in model.parameters()}
    precision[dtype] = smooth(losses)[-1]
    print(f"{dtype!s:15} {trained:,} weights trained, kept as {kinds}; last loss {precision[dtype]:.3f}")
    assert trained == model.num_params() and kinds == {"torch.float32"}
assert abs(precision[torch.float32] - precision[torch.bfloat16]) < 0.1

x = torch.randn(512, 512)
for dtype in (torch.float32, torch.bfloat16):
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        product = x @ x
    error = (product.double() - x.double() @ x.double()).abs().max().item()
    print(f"{dtype!s:15} a product comes out as {product.dtype}, its largest error {error:.1e}")

# %% [markdown] lang="zh"
# ## 8　权重衰减不是 L2 正则
#
# 000 Q3、001 Q4、004 Q4 建议“使用L2正则”。用 SGD 时，在损失里加 $\frac{\lambda}{2}\|\theta\|^2$（L2）与让权重每步衰减是一回事；用 AdamW 时不是
# （Loshchilov 和 Hutter 2019）：L2 的梯度 $\lambda\theta$ 会先被除以梯度的惯常大小。于是梯度小的权重（词向量多半如此）几乎只剩 L2 这一项，
# 被“归一化”成整步整步地拉向 0；解耦的衰减每步只拉掉 $\alpha\lambda$ 那么一点，对所有权重一视同仁。（词向量也是输出矩阵，所以没出现过的词元
# 也收到梯度：它要学会不被猜中，在解耦衰减下反而变长。）下面同样的强度做两次：

# %% [markdown] lang="en"
# ## 8. Weight decay is not L2 regularisation
#
# 000 Q3, 001 Q4 and 004 Q4 advise "使用L2正则". With SGD, $\frac{\lambda}{2}\|\theta\|^2$ in the loss (L2) and letting the weights decay are the
# same. With AdamW they are not (Loshchilov and Hutter 2019): the gradient $\lambda\theta$ of L2 is divided by the gradient's usual size
# first. Weights with small gradients, as most embeddings, are then left with little but L2, which is normalised to whole
# steps towards 0; decoupled decay takes the small share $\alpha\lambda$ a step from all weights alike. (The embeddings are also the output matrix, so
# a token that never came receives a gradient, too: it learns not to be guessed, and grows longer under decoupled decay.) Here are both at one strength:

# %%
STRENGTH = 0.1
counts = torch.bincount(dataset.batch(0)[0].flatten(), minlength=corpus.vocab_size)
for step in range(1, STEPS):
    counts += torch.bincount(dataset.batch(step)[0].flatten(), minlength=corpus.vocab_size)
groups = {"never seen": counts == 0, "seen 1 to 20 times": (counts > 0) & (counts <= 20), "seen often": counts > 200}


def lengths_of(model):
    embedding = model.transformer.wte.weight.detach()
    return {name: embedding[rows].norm(dim=1).mean().item() for name, rows in groups.items()}


def train_with(l2, decay):
    """AdamW by hand for all matrices, with λθ in the gradient (l2) or beside it (decay)."""
    model = new_model()
    states = {name: {} for name, _ in model.named_parameters()}
    for step in range(STEPS):
        inputs, targets = dataset.batch(step)
        F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                is_matrix = weight.ndim == 2
                grad = weight.grad + l2 * is_matrix * weight
                weight.copy_(adamw_by_hand(weight, grad, states[name], 6e-3 * usual(step), decay * is_matrix))
                weight.grad = None
    with torch.no_grad():
        inputs, targets = dataset.batch(STEPS)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item()
    return loss, lengths_of(model)


norms = {"at the start": lengths_of(new_model())}
loss_decay, norms["decoupled decay"] = train_with(0.0, STRENGTH)
loss_l2, norms["L2 in the loss"] = train_with(STRENGTH, 0.0)
print(f"{'mean length of an embedding':30}" + "".join(f"{name:>22}" for name in groups))
for name, row in norms.items():
    print(f"{name:30}" + "".join(f"{length:22.3f}" for length in row.values()))
print(f"loss on a new batch: decoupled {loss_decay:.2f}, L2 {loss_l2:.2f} nats/token")

# %% [markdown] lang="zh"
# ## 9　两次训练，一张图
#
# 比较两次训练，用不着网上的实验跟踪服务：`train.py` 每次都会写 `metrics.jsonl`，读出来画在一起就行。这里比较两种深度。图上画的是
# **验证**损失与训练损失，下限还是那条虚线。

# %% [markdown] lang="en"
# ## 9. Two runs in one picture
#
# To compare two runs one needs no tracking service on the web: `train.py` writes a `metrics.jsonl` each time, and one picture can
# show several. Here are two depths. The dots are **validation** losses; the dashed line is the floor again.


# %%
def run(name, n_layer):
    config = TrainConfig(
        GPTConfig(corpus.vocab_size, 176, n_layer, 4, 64, position="rotary"),
        Path("out/lessons/03") / name,
        max_steps=80,
        batch_size=8,
        warmup_steps=10,
        eval_every=80,
        data=corpus.folder,
        precision="float32",
        log_every=4,
        overwrite=True,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(config)
    return read_metrics(config.out)


fig, ax = plt.subplots()
for n_layer, colour in ((1, start.COLOURS[0]), (3, start.COLOURS[1])):
    rows = run(f"{n_layer}-layers", n_layer)
    training = [(row["step"], row["train_loss"]) for row in rows if "train_loss" in row]
    validation = [(row["step"], row["val_loss"]) for row in rows if "val_loss" in row]
    ax.plot(*zip(*training, strict=True), color=colour)
    ax.plot(*zip(*validation, strict=True), "o", color=colour)
    name, place = f"{n_layer} layer{'s' * (n_layer > 1)}", "top" if n_layer > 1 else "bottom"
    ax.annotate(name, training[-1], xytext=(10, 0), textcoords="offset points", va=place, color=colour)
    print(f"{name}: validation loss {validation[-1][1]:.3f} nats/token, floor {FLOOR:.3f}")
    assert validation[-1][1] > FLOOR
ax.axhline(FLOOR, color="black", ls="--", lw=1)
ax.annotate("exact floor", (0, FLOOR), xytext=(2, 3), textcoords="offset points")
ax.set(xlabel="step", ylabel="loss, nats per token", xlim=(0, 90), ylim=(0, 8))
plt.show()

# %% [markdown] lang="zh"
# ## 练习
#
# ### 练习 1　AdamW 的一步
#
# 写出 AdamW 的一步。`t` 从 1 开始；返回 `(新权重, 新的 mean, 新的 square)`。别忘了偏差修正（两个平均值都从 0 开始），权重衰减不进梯度。

# %% [markdown] lang="en"
# ## Exercises
#
# ### Exercise 1: one step of AdamW
#
# Write one step of AdamW. `t` counts from 1; return `(new weight, new mean, new square)`. Correct the bias of the two means, which
# began at 0, and keep the weight decay out of the gradient.


# %% tags=["exercise"]
def my_adamw(weight, grad, mean, square, t, lr, decay, beta1=0.9, beta2=0.95, eps=1e-8): ...


check.adamw(my_adamw)


# %% tags=["solution"]
def my_adamw(weight, grad, mean, square, t, lr, decay, beta1=0.9, beta2=0.95, eps=1e-8):
    mean = beta1 * mean + (1 - beta1) * grad
    square = beta2 * square + (1 - beta2) * grad**2
    unbiased_mean, unbiased_square = mean / (1 - beta1**t), square / (1 - beta2**t)
    return weight - lr * (unbiased_mean / (unbiased_square.sqrt() + eps) + decay * weight), mean, square


check.adamw(my_adamw)

# %% [markdown] lang="zh"
# ### 练习 2　学习率的时间表
#
# 返回第 `step` 步（从 0 数起）用峰值学习率的几成：前 `warmup` 步线性上升，第 `warmup - 1` 步到 1；然后线性下降，恰好在最后一步**之后**到 0。
# `warmup` 可以是 0。

# %% [markdown] lang="en"
# ### Exercise 2: the schedule of the learning rate
#
# Return the share of the peak rate for step `step`, counted from 0: up in a straight line over the first `warmup` steps, to reach 1
# at step `warmup - 1`; then down in a straight line, to reach 0 just **after** the last step. `warmup` may be 0.


# %% tags=["exercise"]
def my_schedule(step, max_steps, warmup): ...


check.schedule(my_schedule)


# %% tags=["solution"]
def my_schedule(step, max_steps, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return (max_steps - step) / (max_steps - warmup)


check.schedule(my_schedule)

# %% [markdown] lang="zh"
# ### 练习 3　梯度累积
#
# 把一批分成 `parts` 份（`inputs.chunk(parts)`，每份一样大），逐份反向传播，使 `model` 的梯度等于整批一次算出的梯度。`loss_of(model, x, y)`
# 返回一份的平均损失。返回整批的平均损失（一个数）。

# %% [markdown] lang="en"
# ### Exercise 3: gradient accumulation
#
# Split a batch into `parts` equal parts (`inputs.chunk(parts)`) and go backward through each, so that the gradients of `model` are
# those of the whole batch at once. `loss_of(model, x, y)` gives the mean loss of a part. Return the mean loss of the whole batch, a
# number.


# %% tags=["exercise"]
def my_accumulation(model, loss_of, inputs, targets, parts): ...


check.accumulation(my_accumulation)


# %% tags=["solution"]
def my_accumulation(model, loss_of, inputs, targets, parts):
    total = 0.0
    for x, y in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        loss = loss_of(model, x, y) / parts
        loss.backward()
        total += loss.item()
    return total


check.accumulation(my_accumulation)

# %% [markdown] lang="zh"
# ### 练习 4　每字节多少比特
#
# 损失的单位是“每词元多少奈特”，换一套词表就不能比了。把它换算成每字节比特数，就与词表无关。

# %% [markdown] lang="en"
# ### Exercise 4: bits per byte
#
# A loss in nats per token cannot be compared between two vocabularies. Convert it to bits per byte, which does not depend on the
# vocabulary.


# %% tags=["exercise"]
def my_bits_per_byte(nats_per_token, tokens, bytes): ...


check.bits_per_byte(my_bits_per_byte)


# %% tags=["solution"]
def my_bits_per_byte(nats_per_token, tokens, bytes):
    return nats_per_token / math.log(2) * tokens / bytes


check.bits_per_byte(my_bits_per_byte)

# %% [markdown] lang="zh"
# ## 小结
#
# | 教程 | 原话 | 实际 | 在哪一格 |
# | --- | --- | --- | --- |
# | 001 §3.2.1 | “模型需要预测其后文 $x_{i+1}, x_{i+2}, \ldots, x_n$” | 每个位置只预测下一个词元 | 第 1 节 |
# | 002 §4.2 | $-\sum_{i=1}^{n} \log p(x_{i+1}\mid x_1,\dots,x_i)$ | 差一位：缺 $x_1$，多 $x_{n+1}$；前后各加一个结束词元就对了 | 第 1 节 |
# | 000 Q2、001 Q2、004 Q2 | “建议从1e-5开始调参，逐步减小学习率” | 取决于规模、步数、优化器；这里 1e-5 几乎不动 | 第 4 节 |
# | 001 Q2、004 Q2 | 学习率过大“导致过拟合” | 训练损失本身降不下来，不是过拟合 | 第 4 节 |
# | 000 §8.2 | 混合精度是“参数高效的微调方法” | 训练的权重一个不少，只是乘法的精度变了 | 第 7 节 |
# | 000 Q3、001 Q4、004 Q4 | “使用L2正则” | 与 AdamW 合用时，L2 不等于权重衰减 | 第 8 节 |

# %% [markdown] lang="en"
# ## Summary
#
# | tutorial | what it says | what is true | where |
# | --- | --- | --- | --- |
# | 001 §3.2.1 | "模型需要预测其后文 $x_{i+1}, x_{i+2}, \ldots, x_n$" | each place predicts the next token only | section 1 |
# | 002 §4.2 | $-\sum_{i=1}^{n} \log p(x_{i+1}\mid x_1,\dots,x_i)$ | off by one: no $x_1$, an $x_{n+1}$ too many; an end token on both sides puts it right | section 1 |
# | 000 Q2, 001 Q2, 004 Q2 | "建议从1e-5开始调参，逐步减小学习率" | it depends on size, steps and optimizer; here 1e-5 hardly moves | section 4 |
# | 001 Q2, 004 Q2 | too large a rate "导致过拟合" (over-fits) | the training loss itself stays high: no over-fitting | section 4 |
# | 000 §8.2 | mixed precision is "参数高效的微调方法" | all weights are trained; only the products' precision changes | section 7 |
# | 000 Q3, 001 Q4, 004 Q4 | "使用L2正则" | with AdamW, L2 is not weight decay | section 8 |
