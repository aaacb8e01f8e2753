# %% [markdown] lang="zh"
# # 第 3 课　预训练
#
# 学完这一课，你能够：
#
# - 亲手写出 SGD、Muon 和 AdamW（练习 1），并与 `gpt/optim.py`、`gpt/muon.py` 核对；
# - 用实验（而不是口诀）选学习率，说清楚预热、梯度累积、混合精度各改变了什么、没改变什么；
# - 拿训练损失与玩具世界的**精确下限**比较，知道“还差多少”。
#
# 对应教程：000 §3.2 Step 1–2、Q2–Q3；001 §3.2.1、Q2–Q4；002 §4.2、Q2；003 §3.2、§4.2；004 Q2–Q4（教程的编号、玩具世界、损失、奈特和下限，见第 1 课）。

# %% [markdown] lang="en"
# # Lesson 3: pretraining
#
# After this lesson you will be able to:
#
# - write SGD, Muon and (in exercise 1) AdamW by hand, and hold them equal to `gpt/optim.py` and `gpt/muon.py`;
# - choose a learning rate by experiment instead of by a rule, and say what warm-up, gradient accumulation and mixed
#   precision change and what they do not;
# - compare a training loss with the **exact floor** of the toy world, and so know how much is left to learn.
#
# It goes with tutorials 000 §3.2 Step 1–2, Q2–Q3; 001 §3.2.1, Q2–Q4; 002 §4.2, Q2; 003 §3.2, §4.2; 004 Q2–Q4. (Lesson 1 says
# which tutorial has which number, and what the toy world, a loss, a nat and the floor are.)

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
from gpt.optim import SGD, build_optimizers, learning_rate_scale, set_learning_rate
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


def mean(values):
    return sum(values) / len(values)


true_bits = mean([story.bits for story in some])
without_first = mean(model_bits) - mean(first_word_bits)
print(f"entropy of the world       {story_entropy():6.2f} bits in an average story (computed, not sampled)")
print(f"these 60 stories, truth    {true_bits:6.2f} bits")
print(f"these 60 stories, out/tiny {mean(model_bits):6.2f} bits: {mean(model_bits) - true_bits:.2f} are left to learn")
print(f"without the first word     {without_first:6.2f} bits, as the formula of 002 counts")
assert true_bits < mean(model_bits) < 1.15 * true_bits
assert mean(first_word_bits) > 1  # what the formula of 002 leaves out

# %% [markdown] lang="zh"
# 每一项都算上，模型才能与真值相比：多出来的那几个比特，就是模型还没学会的部分（平均起来叫 KL 散度）。照 002 的公式漏掉第一个词，
# 差距就凭空小了近两个比特；模型再好三个比特，还会“低于下限”，比较就没有意义了。
#
# ## 2　一个训练循环
#
# 下面是全课要用的训练循环：取一批、算损失、反向传播、更新。它就是 `train.py` 的循环去掉保存与评估之后剩下的样子。
# 网络很小（2 层、64 通道），这样一次实验只要几秒。`speed_up` 把各层换成更快、结果相同的版本。
#
# 从这里起，损失的单位是每词元多少**奈特**（nat）：把以 2 为底的对数换成自然对数，1 奈特约合 1.44 比特。

# %% [markdown] lang="en"
# Only with every term can the model be compared with the truth: the few bits above it are what the model has not learned (their
# mean is called the KL divergence). Without the first word, as in the formula of 002, the gap looks nearly two bits smaller than
# it is. A model three bits better would even fall "below the floor": the comparison would mean nothing.
#
# ## 2. One training loop
#
# This loop serves the whole lesson: take a batch, compute the loss, go backward, update. It is the loop of `train.py` without
# saving and evaluating. The net is small (2 layers, 64 channels), so that an experiment takes seconds. `speed_up` exchanges the
# layers for faster ones that compute the same.
#
# From here on a loss is in **nats** per token: natural logarithms instead of those to base 2. One nat is about 1.44 bits.

# %%
SHAPE = GPTConfig(corpus.vocab_size, context_length=176, n_layer=2, n_head=4, n_embd=64, position="rotary")
CPU = torch.device("cpu")
ONE_NAT = corpus.bits_per_byte(1.0)  # what a loss of 1 nat per token is in bits per byte (exercise 4)
FLOOR = corpus.meta["entropy_bits_per_byte"] / ONE_NAT  # nats per token
STEPS = 100


def new_model():
    torch.manual_seed(0)  # all runs begin at the same weights
    model = GPT(SHAPE)
    speed_up(model, CPU, torch.float32)
    return model


def pretrain(model, optimizers, schedule, dtype=torch.float32, steps=range(STEPS)):
    """The loss of each step. schedule(step) -> share of the peak learning rate."""
    losses = []
    for step in steps:
        inputs, targets = dataset.batch(step)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):  # only section 7 asks for another dtype
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


def optimizers_of(model, name, rate):
    """rate: of "sgd" or "adamw"; with "muon", the matrices of the blocks have a rate of their own."""
    return build_optimizers(model, name, rate, muon_learning_rate=0.1, weight_decay=0.1)


print(
    f"{new_model().num_params():,} weights; floor {FLOOR:.3f} nats/token; guessing costs {math.log(corpus.vocab_size):.3f}"
)

# %% [markdown] lang="zh"
# ## 3　SGD、AdamW、Muon
#
# 教程 003 §4.2 给出梯度下降公式 $\theta_{t+1} = \theta_t - \alpha \nabla J(\theta_t)$，但没有任何代码；其余几篇只提到名字（AdamW，001 §3.2.2 还有 SGD）。
# 三个优化器都只有几行。$g$ 是梯度，$\lambda$ 是权重衰减：每一步让权重缩短一点。
#
# - **SGD**：照公式走，$\theta \leftarrow \theta - \alpha(g + \lambda\theta)$。
# - **AdamW**：记两个滑动平均，梯度的 $m \leftarrow \beta_1 m + (1-\beta_1)g$ 和梯度平方的 $v \leftarrow \beta_2 v + (1-\beta_2)g^2$。
#   两个都从 0 开始，前几步偏小，所以先修正：$\hat m = m/(1-\beta_1^t)$，$\hat v = v/(1-\beta_2^t)$，$t$ 是第几步。
#   然后 $\theta \leftarrow \theta - \alpha\bigl(\hat m/(\sqrt{\hat v}+\epsilon) + \lambda\theta\bigr)$。
#   $\sqrt{\hat v}$ 是梯度的“惯常大小”，除以它，每个权重每步都走大约一个学习率那么远。它的代码是练习 1。
# - **Muon**：只管矩阵。动量（梯度的滑动平均）总可以写成 $USV^\top$（奇异值分解）：$U$、$V$ 是方向，$S$ 是各个方向的强弱。
#   梯度通常只有几个方向很强；Muon 把所有方向调成差不多一样强（正交化），再走一步。

# %% [markdown] lang="en"
# ## 3. SGD, AdamW and Muon
#
# Tutorial 003 §4.2 gives the formula $\theta_{t+1} = \theta_t - \alpha \nabla J(\theta_t)$ without code; the others only name one (AdamW;
# 001 §3.2.2 adds SGD). Each of the three takes a few lines. $g$ is the gradient; $\lambda$ is the weight decay, which makes the weights a little shorter in each step.
#
# - **SGD** follows the formula: $\theta \leftarrow \theta - \alpha(g + \lambda\theta)$.
# - **AdamW** keeps two running means, of the gradient, $m \leftarrow \beta_1 m + (1-\beta_1)g$, and of its square, $v \leftarrow \beta_2 v + (1-\beta_2)g^2$. Both
#   begin at 0 and are too small at first; they are corrected, $\hat m = m/(1-\beta_1^t)$ and $\hat v = v/(1-\beta_2^t)$ in step $t$. Then
#   $\theta \leftarrow \theta - \alpha\bigl(\hat m/(\sqrt{\hat v}+\epsilon) + \lambda\theta\bigr)$. $\sqrt{\hat v}$ is the gradient's usual size; divided by it, each
#   weight moves about one learning rate a step. Its code is exercise 1.
# - **Muon** is for matrices. The momentum (a running mean of the gradient) can be written as $USV^\top$, its singular value
#   decomposition: $U$ and $V$ are directions, $S$ says how strong each is. In most gradients a few directions are strong. Muon makes
#   all of them about equally strong (it orthogonalises the matrix) before it takes the step.


# %%
def sgd(weight, grad, state, lr, decay=0.0):
    return weight - lr * (grad + decay * weight)


def muon(weight, grad, state, lr, decay=0.1, mu=0.95):
    state["momentum"] = mu * state.get("momentum", 0) + (1 - mu) * grad
    direction = orthogonalize(mu * state["momentum"] + (1 - mu) * grad)
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


assert difference(sgd, lambda groups: SGD(groups, 0.02)) < 1e-5
assert difference(muon, lambda groups: Muon(groups, 0.02)) < 1e-5
print("by hand = gpt/optim.py and gpt/muon.py")

inputs, targets = dataset.batch(0)
model = new_model()
F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
gradient = model.transformer.h[0].mlp.c_fc.weight.grad  # of a matrix of the first block
for name, matrix in (("gradient", gradient), ("orthogonalised", orthogonalize(gradient))):
    strengths = torch.linalg.svdvals(matrix)  # S, the largest first
    print(f"{name:15} strongest direction {strengths[0]:.4f}, median {strengths[len(strengths) // 2]:.4f}")

# %% [markdown] lang="zh"
# 同一个网络、同样的数据、同样的步数。每个优化器都用扫描得来的好学习率（`docs/learning_rates.md`）：SGD 0.3，AdamW 0.01，
# Muon 对矩阵 0.1、其余权重交给 AdamW 0.01。虚线是下限：谁也越不过去。

# %% [markdown] lang="en"
# The same net, the same data, as many steps. Each optimizer has a good rate, found by a sweep (`docs/learning_rates.md`): 0.3 for
# SGD, 0.01 for AdamW, 0.1 for the matrices of Muon, whose other weights AdamW moves at 0.01. The dashed line is the floor, which
# nothing can cross.

# %%
curves = {}
for name, rate in (("sgd", 0.3), ("adamw", 0.01), ("muon", 0.01)):
    model = new_model()
    curves[name] = pretrain(model, optimizers_of(model, name, rate), usual)
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
# 003 §3.2 把“SGD、Adam 等”并列，好像可以随便挑。对语言模型不是这样。一种解释（Kunstner 等，2024）：词有多有少，常见词的梯度大、
# 罕见词的梯度小，SGD 的一个步长不可能同时适合它们；AdamW 按各自的大小缩放。Muon 连矩阵内部弱的方向也一并推动，同样的步数走得最远。
#
# ## 4　学习率：1e-5 是答案吗？
#
# 教程 000 Q2、001 Q2、004 Q2 都说：“建议从1e-5开始调参，逐步减小学习率”。002 Q2 却说：“从较小的学习率开始，逐步增加到预设值”。
# 001 和 004 还说太大的学习率会“导致过拟合”。教程谈的是微调，所以我们两种都做：左图预训练，右图微调 `out/tiny`，
# 让它判断一个故事里的东西是丢了、坏了还是被抢了（500 个标签）。每个学习率从同一组权重出发。

# %% [markdown] lang="en"
# 003 §3.2 lists "SGD、Adam 等" side by side, as if any would do. For a language model they differ. One explanation (Kunstner et
# al. 2024): some words are frequent and have large gradients, others are rare and have small ones, and SGD's one step length
# cannot suit both; AdamW scales each by its own size. Muon also moves the weak directions inside a matrix, and gets furthest in
# the same number of steps.
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
    pretrained[rate] = smooth(pretrain(model, optimizers_of(model, "adamw", rate), usual))[-1]
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


def finetune(rate, steps=30):
    """(Loss of the last steps on the training texts, accuracy on new ones) after full fine-tuning."""
    torch.manual_seed(0)
    net = GPTClassifier(tiny.config, PLOTS)
    net.transformer.load_state_dict(tiny.transformer.state_dict())
    speed_up(net, CPU, torch.float32)
    optimizers = optimizers_of(net, "adamw", rate)
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
right.set(title="fine-tuning, 30 steps", ylabel="accuracy on new stories", ylim=(0, 1.05))
for ax, height in ((left, 4), (right, 0.9)):
    ax.set(xscale="log", xlabel="peak learning rate of AdamW")
    ax.axvline(1e-5, color="grey", lw=1, ls=":")
    ax.annotate("the tutorials'\n1e-5", (1e-5, height), xytext=(4, 0), textcoords="offset points")
plt.show()
best = max(RATES, key=lambda rate: tuned[rate][1])
equally_good = [f"{rate:.0e}" for rate in RATES if tuned[rate][1] == tuned[best][1]]
print(
    f"best here: {min(pretrained, key=pretrained.get):.0e} for pretraining, {' and '.join(equally_good)} for fine-tuning"
)
assert best > 1e-5 and tuned[1e-5][1] < tuned[best][1] - 0.2
assert tuned[1e-1][0] > tuned[best][0] + 0.3  # too large a rate: the TRAINING loss is bad, so this is no over-fitting

# %% [markdown] lang="zh"
# 四点结论：
#
# 1. AdamW 每步最多让一个权重走大约一个学习率那么远，所以 1e-5 乘以步数就是它能走的全部路程。对这个小网络，这几乎等于没动。
#    大得多的网络用得小得多：1750 亿参数的 GPT-3，预训练的峰值是 6e-5（Brown 等 2020，表 2.1）。学习率取决于规模、步数和优化器，没有万能的起点。
#    从 1e-5 **再往下**调，只会离答案更远。
# 2. “导致过拟合”说错了：过拟合时**训练**损失很低。学习率太大时，训练损失本身就降不下来（发散），并且冲毁预训练的权重。
# 3. “从小到大”（002）与“从大到小”（000、001、004）说的是两件事：一次训练之内先升（预热，000、001、004 的下一句也这么说）后降（衰减）；
#    而挑选峰值靠的是上面这样的扫描。
# 4. 001 和 004 还说微调的学习率要比预训练“小1-2个数量级”。这里看不出来：预训练最好的学习率，用来微调也很好。我们的扫描一格就是 10 倍，
#    任务又容易，所以这只是一个例子。
#
# ## 5　预热与衰减
#
# 开头几步，AdamW 的“惯常大小”还只是由一两个梯度估计的，此时迈大步容易走错。**预热**（warm-up）就是先小步走。
# 训练到后来，批次之间的抖动挡住了去路；**衰减**（decay）就是把学习率降到 0，让抖动平息。下面的峰值都是 0.01：
# 一次没有预热；一次有预热；后者走到第 200 步，再分成两路，一路不变，一路降到 0。

# %% [markdown] lang="en"
# Four conclusions:
#
# 1. AdamW moves a weight by at most about one learning rate a step, so 1e-5 times the number of steps is all the way it can go.
#    For this small net that is next to nothing. Far larger nets take far smaller rates: GPT-3, with 175 billion weights, was
#    pretrained at a peak of 6e-5 (Brown et al. 2020, table 2.1). The rate depends on size, steps and optimizer. Going *down* from 1e-5 leads further away.
# 2. "Over-fitting" is the wrong word: over-fitting has a *low training* loss. With too large a rate the training loss itself
#    stays high (it diverges), and what was pretrained is destroyed.
# 3. "Increase" (002) and "decrease" (000, 001, 004) are about two things. Within one run the rate rises first (warm-up: the next
#    sentence of 000, 001 and 004 says so, too) and falls later (decay). The peak is chosen by a sweep like the one above.
# 4. 001 and 004 say, too, that fine-tuning needs a rate 10 to 100 times smaller than pretraining. It does not show here: the best
#    rate of pretraining is a good one for fine-tuning, too. Our rates are a factor of 10 apart and the task is easy: one example.
#
# ## 5. Warm-up and decay
#
# In the first steps AdamW's "usual size" is an estimate from one or two gradients, and a long step may go wrong. **Warm-up** takes
# short steps first. Later on the noise between batches is in the way; **decay** lets the rate fall to 0, so that the noise calms
# down. All peaks below are 0.01: one run without warm-up, and one with it, which is split in two at step 200: one half goes on as
# before, the rate of the other falls to 0.


# %%
def warm_up(step):
    return min(1.0, (step + 1) / 10)


def decay(step):
    return (300 - step) / 100  # from step 200 on


model = new_model()
abrupt = pretrain(model, optimizers_of(model, "adamw", 0.01), lambda step: 1.0)
model = new_model()
optimizers = optimizers_of(model, "adamw", 0.01)
common = pretrain(model, optimizers, warm_up, steps=range(200))
twin, its_optimizers = copy.deepcopy((model, optimizers))  # the same weights and running means
constant = common + pretrain(model, optimizers, warm_up, steps=range(200, 300))
decayed = common + pretrain(twin, its_optimizers, decay, steps=range(200, 300))

fig, (rates, first, last) = plt.subplots(1, 3, figsize=(7, 2.8))
rates.plot([0.01 * warm_up(step) for step in range(300)], lw=3)
rates.plot(range(200, 300), [0.01 * decay(step) for step in range(200, 300)], color=start.COLOURS[1])
rates.plot([0, 10], [0.01, 0.01], color=start.COLOURS[2])
rates.set(title="learning rate", xlabel="step", ylim=(0, 0.0125))
first.plot(smooth(constant)[:100], lw=3, label="warm-up")
first.plot(smooth(abrupt), color=start.COLOURS[2], label="no warm-up")
first.set(title="loss: the beginning", xlabel="step", ylabel="nats per token", ylim=(0, 8))
last.plot(range(200, 300), smooth(constant)[200:], lw=3, label="constant")
last.plot(range(200, 300), smooth(decayed)[200:], color=start.COLOURS[1], label="decay")
last.set(title="loss: the end", xlabel="step", ylim=(FLOOR, 1.6))
for ax in (first, last):
    ax.legend(frameon=False)
plt.show()
early = f"{smooth(abrupt)[-1]:.2f} without warm-up, {smooth(constant)[len(abrupt) - 1]:.2f} with"
print(f"mean loss of 8 steps: at step 100 {early}")
print(
    f"                      at step 300 {smooth(constant)[-1]:.2f} with a constant rate, {smooth(decayed)[-1]:.2f} with decay"
)
assert FLOOR < smooth(decayed)[-1] < smooth(constant)[-1]

# %% [markdown] lang="zh"
# 预热在这里**没有**帮上忙：到第 100 步，有没有它几乎一样。网络小，梯度又被裁剪到长度 1，一开始就迈大步也不出事。所以“要预热”不是定律，
# 而是大网络、长训练里的经验。衰减却立刻见效：同样的权重、同样的 100 步，学习率一降，损失就低下去一截。但衰减也不能来得太早：
# 第 3 节的 AdamW 从第 10 步就开始降，到第 100 步，损失比这里不降的还高，因为那时损失还在快速下降，小步走只是少走了路。
# （一次运行、一个种子，小差别不要当真。）
#
# ## 6　梯度累积：同样的梯度，更少的内存
#
# 001 Q3、004 Q3 把“梯度积累”列为省显存的技术，没有代码。做法：把一批分成几份，逐份反向传播，梯度自动相加；每份的损失要**除以份数**，
# 加起来才等于整批的平均。结果与一次算完相同（只差浮点舍入），所以它不改变训练，只是用时间换内存。

# %% [markdown] lang="en"
# Warm-up did **not** help here: at step 100 the runs with and without it are nearly equal. The net is small and gradients are
# clipped to length 1, so that long first steps do no harm. Warm-up is no law but experience from large nets and long runs. Decay
# helps at once: from the same weights, in the same 100 steps, the loss falls as soon as the rate does. It must not come too early,
# though. The rate of AdamW in section 3 fell from step 10 on, and the loss at step 100 was higher than that of the constant rate
# here: the loss was still falling fast, and shorter steps only meant less of the way. (This is one run with one seed: take no small
# difference seriously.)
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
    losses = pretrain(model, optimizers_of(model, "adamw", 0.01), usual, dtype, range(50))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    kinds = {str(weight.dtype) for weight in model.parameters()}
    precision[dtype] = smooth(losses)[-1]
    print(f"{dtype!s:15} {trained:,} weights trained, kept as {kinds}; last loss {precision[dtype]:.3f}")
    assert trained == model.num_params() and kinds == {"torch.float32"}
assert abs(precision[torch.float32] - precision[torch.bfloat16]) < 0.1

x = torch.randn(512, 512)
for dtype in (torch.float32, torch.bfloat16):
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        product = x @ x
    exact = x.double() @ x.double()
    error = ((product - exact).norm() / exact.norm()).item()
    print(f"{dtype!s:15} a product comes out as {product.dtype}, wrong by {error:.0e} of its size")

# %% [markdown] lang="zh"
# ## 8　权重衰减不是 L2 正则
#
# 000 Q3、001 Q4、002 Q5、004 Q4 建议“L2正则”：在损失里加 $\frac{\lambda}{2}\|\theta\|^2$，也就是在梯度里加 $\lambda\theta$。
# 用 SGD 时，这与让权重每步衰减是一回事；用 AdamW 时不是（Loshchilov 和 Hutter，2019）：
#
# - **L2**：$\lambda\theta$ 跟着梯度一起除以“惯常大小”。梯度很小的权重几乎只剩这一项，于是被整步整步地拉向 0。
# - **解耦的衰减**（AdamW 的 W）：$\lambda\theta$ 不经过除法，每步只拉掉 $\alpha\lambda$ 那么一点，对所有权重一视同仁。
#
# 梯度小的，多半是少见的词的词向量。下面同样的强度 $\lambda$ 做两次，看三组词的词向量有多长。先猜：哪一组、哪一种拉得最短？

# %% [markdown] lang="en"
# ## 8. Weight decay is not L2 regularisation
#
# 000 Q3, 001 Q4, 002 Q5 and 004 Q4 advise "L2正则": $\frac{\lambda}{2}\|\theta\|^2$ in the loss, which means $\lambda\theta$ in the gradient. With SGD
# that is the same as letting the weights decay. With AdamW it is not (Loshchilov and Hutter 2019):
#
# - **L2**: $\lambda\theta$ is divided by the usual size, as the gradient is. A weight with a small gradient is left with little else,
#   and is pulled towards 0 in whole steps.
# - **Decoupled decay**, the W of AdamW: $\lambda\theta$ is not divided, and all weights alike lose the small share $\alpha\lambda$ a step.
#
# The smallest gradients are mostly those of the embeddings of rare words. Here are both at the same strength $\lambda$, and the length
# of the embeddings of three groups of words. Guess first: which group becomes shortest, and with which of the two?

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
    """AdamW, with λθ of all matrices in the gradient (l2) or beside it (decay)."""
    model = new_model()
    optimizers, losses = build_optimizers(model, "adamw", 0.01, 0.1, weight_decay=decay), []
    for step in range(STEPS):
        inputs, targets = dataset.batch(step)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.grad += l2 * weight.detach()
        set_learning_rate(optimizers, usual(step))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return smooth(losses)[-1], lengths_of(model)


norms = {"at the start": lengths_of(new_model())}
loss_decay, norms["decoupled decay"] = train_with(0.0, STRENGTH)
loss_l2, norms["L2 in the loss"] = train_with(STRENGTH, 0.0)
print(f"{'mean length of an embedding':30}" + "".join(f"{name:>22}" for name in groups))
for name, row in norms.items():
    print(f"{name:30}" + "".join(f"{length:22.3f}" for length in row.values()))
print(f"mean loss of the last 8 steps: decoupled {loss_decay:.2f}, L2 {loss_l2:.2f} nats/token")
assert all(norms["L2 in the loss"][name] < norms["decoupled decay"][name] / 2 for name in groups)

# %% [markdown] lang="zh"
# L2 把没出现过的和少见的词几乎拉没了，常见的词也短了许多；损失高出一大截，因为同样的 $\lambda$ 对 L2 来说太强。
# 解耦的衰减拉得很轻，三组都变长了，没出现过的词反而最长：词向量同时是输出矩阵，这些词要学会不被猜中，也收到梯度。
#
# ## 9　两次训练，一张图
#
# 比较两次训练，用不着网上的实验跟踪服务：`train.py` 每次都会写 `metrics.jsonl`，读出来画在一起就行。这里比较两种深度：
# 线是训练损失，末尾的圆点是**验证**损失（没训练过的故事），虚线还是下限。

# %% [markdown] lang="en"
# L2 has pulled the words that never came, and the rare ones, to almost nothing, and has shortened frequent words, too; its loss is
# far higher, because the same $\lambda$ is too strong for L2. Decoupled decay pulls gently: all three groups have grown, most of all the
# words that never came. The embeddings are the output matrix, too, and these words get gradients that teach the model not to guess
# them.
#
# ## 9. Two runs in one picture
#
# To compare two runs one needs no tracking service on the web: `train.py` writes a `metrics.jsonl` each time, and one picture can
# show several. Here are two depths. The lines are training losses, the dots at their ends **validation** losses (on stories that
# were not trained on), and the dashed line is the floor again.


# %%
def run(name, n_layer):
    config = TrainConfig(
        GPTConfig(corpus.vocab_size, 176, n_layer, 4, 64, position="rotary"),
        Path("out/lessons/03") / name,
        max_steps=60,
        batch_size=8,
        warmup_steps=10,
        eval_every=60,
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
ax.set(xlabel="step", ylabel="loss, nats per token", xlim=(0, 68), ylim=(0, 8))
plt.show()

# %% [markdown] lang="zh"
# ## 练习
#
# ### 练习 1　AdamW 的一步
#
# 照第 3 节的公式写出 AdamW 的一步。`t` 从 1 数起；`mean` 和 `square` 是公式里的 $m$ 和 $v$。返回 `(新权重, 新的 mean, 新的 square)`，
# 后两个是**没有**修正过的。权重衰减不进梯度。

# %% [markdown] lang="en"
# ## Exercises
#
# ### Exercise 1: one step of AdamW
#
# Write one step of AdamW by the formulas of section 3. `t` counts from 1; `mean` and `square` are $m$ and $v$ there. Return
# `(new weight, new mean, new square)`, the last two **not** corrected. The weight decay does not go into the gradient.


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
# `warmup` 可以是 0。例如 `max_steps` 是 20、`warmup` 是 5：第 0 步 0.2，第 4 步和第 5 步都是 1，最后的第 19 步是 1/15。

# %% [markdown] lang="en"
# ### Exercise 2: the schedule of the learning rate
#
# Return the share of the peak rate for step `step`, counted from 0: up in a straight line over the first `warmup` steps, to reach 1
# at step `warmup - 1`; then down in a straight line, to reach 0 just **after** the last step. `warmup` may be 0. With 20 steps and a
# warm-up of 5, for example, step 0 has 0.2, steps 4 and 5 have 1, and the last one, step 19, has 1/15.


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
# 返回一份的平均损失。要省内存，就得算完一份、反向传播一份，再算下一份。返回整批的平均损失（一个数）。

# %% [markdown] lang="en"
# ### Exercise 3: gradient accumulation
#
# Split a batch into `parts` equal parts (`inputs.chunk(parts)`) and go backward through each, so that the gradients of `model` are
# those of the whole batch at once. `loss_of(model, x, y)` gives the mean loss of a part. To save memory, go backward through one
# part before the next is computed. Return the mean loss of the whole batch, a number.


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
# 损失的单位是“每词元多少奈特”，换一套词表就不能比了：词元越长，每个词元就越难猜。把它换算成每字节比特数，就与词表无关。
# 这段文字有 `tokens` 个词元、`bytes` 个字节；奈特用自然对数，比特用以 2 为底的对数。

# %% [markdown] lang="en"
# ### Exercise 4: bits per byte
#
# A loss in nats per token cannot be compared between two vocabularies: longer tokens are harder to guess. Convert it to bits per
# byte, which does not depend on the vocabulary. The text has `tokens` tokens and `bytes` bytes; nats are natural logarithms, bits
# are logarithms to base 2.


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
# | 000 Q3、001 Q4、002 Q5、004 Q4 | “L2正则” | 与 AdamW 合用时，L2 不等于权重衰减 | 第 8 节 |

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
# | 000 Q3, 001 Q4, 002 Q5, 004 Q4 | "L2正则" | with AdamW, L2 is not weight decay | section 8 |
