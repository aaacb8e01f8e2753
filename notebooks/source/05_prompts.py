# %% [markdown] lang="zh"
# # 第 5 课　抽样与提示
#
# 学完这一课，你能够：
#
# - 说清温度、top-k、top-p 对下一个词元的分布做了什么，并亲手写出来；
# - 说清“随机”从哪里来：网络是一个确定的函数，只有抽样靠运气，而且由种子决定；
# - 让一个没有微调过的模型做分类（零样本、少样本），测量它做得怎样，并说明原因。
#
# 对应教程：000 §3.3、§4.3、§7.3、附录 Q1；001 §3.2.3（生成）；002 §2.1；004 §1.2（零样本生成）。
# %% [markdown] lang="en"
# # Lesson 5: sampling and prompts
#
# After this lesson you can
#
# - say what temperature, top-k and top-p do to the distribution of the next token, and write them yourself;
# - say where chance comes from: the network is a function, only the draw is random, and the seed decides it;
# - let a model that was never fine-tuned label texts (zero-shot, few-shot), measure how well it does, and say why.
#
# It goes with 000 §3.3, §4.3, §7.3, appendix Q1; 001 §3.2.3 (generation); 002 §2.1; 004 §1.2 (zero-shot generation).
# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
# %%
import random
import re
import statistics
from collections import Counter
from itertools import islice

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from data.world.judge import judge
from data.world.reviews import write_reviews
from data.world.samples import sample_stories
from data.world.story import stories
from data.world.things import NOUNS
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.labelled import read_examples
from gpt.finetuning.prompting import Prompting, choose_examples, score_labels
from gpt.generate import generate, score
from gpt.inside.interpret import induction_score, trace
from gpt.model import GPT, GPTConfig
from gpt.optim import build_optimizers, learning_rate_scale, set_learning_rate, update
from gpt.running.device import pick_machine
from gpt.sampling import Sampling, probabilities
from notebooks.check import prompts as check

# %%
model, tokenizer = load_model(start.tiny()), load_tokenizer(start.tiny())
end_of_text = tokenizer.end_of_text


def next_logits(text):
    """(V,): what may follow a text. The end-of-text token before it says that a document begins."""
    ids = torch.tensor([[end_of_text, *tokenizer.encode(text)]])  # (1, T)
    with torch.no_grad():
        return model(ids)[0, -1]


# %% [markdown] lang="zh"
# ## 一个真实的分布
#
# 模型读完一段文字，给词表里每个词元打一个分（logit），softmax 把分数变成概率。下面这句话之后，玩具世界的语法只允许六种开头；
# 这六个词元几乎占了全部概率，其余两千多个共享一条很薄的“尾巴”。尾巴里的词元在这里全是错的，例如 *She*：Sam 是男孩。
#
# 教程 000 §4.3 说“按照生成的概率分布，选取下一个词”。怎样选，正是这一课的内容。
# %% [markdown] lang="en"
# ## One real distribution
#
# After reading a text, the model gives every token of its vocabulary a score (a logit), and softmax turns the scores into
# probabilities. After the sentence below, the grammar of the toy world allows six beginnings. These six tokens hold nearly
# all of the probability; the other two thousand share a thin tail. Every token of this tail is wrong here, for example *She*:
# Sam is a boy.
#
# Tutorial 000 §4.3 says to choose the next word "by the probability distribution". How to choose is the subject of this
# lesson.
# %%
prompt = "Once upon a time, there was a tall boy named Sam."
logits = next_logits(prompt)
p, likeliest = logits.softmax(-1).topk(8)
for probability, token in zip(p.tolist(), likeliest.tolist(), strict=True):
    print(f"{probability:7.1%}  {tokenizer.decode([token])!r}")
six = likeliest[:6]
print(f"the other {len(logits) - 6:,} tokens together: {1 - p[:6].sum():.1%}")
assert p[:6].sum() > 0.95 and p[5] > 10 * p[6]


# %% [markdown] lang="zh"
# ## 温度（temperature）
#
# 先把 logit 除以温度 $T$，再做 softmax：$p = \mathrm{softmax}(z / T)$。$T<1$ 让大的更大，$T>1$ 把分布摊平。注意摊平帮了谁：
# 尾巴里每个词元的概率仍然很小，可是尾巴有两千多个词元，加起来就不小了。装了 ipywidgets 的话，图下有一个滑块：把温度从 0.1 推到 3 试试。
# %% [markdown] lang="en"
# ## Temperature
#
# The logits $z$ are divided by the temperature $T$ before the softmax: $p = \mathrm{softmax}(z / T)$. $T<1$ makes the likely
# likelier, $T>1$ flattens the distribution. Look at who gains: each token of the tail stays small, but there are two thousand
# of them. With ipywidgets installed there is a slider below the picture: move the temperature from 0.1 to 3.
# %%
def show_temperatures(T=None):
    """The distribution at the temperature T, or at four temperatures side by side."""
    names = [tokenizer.decode([token]).strip() for token in six] + ["the\nrest"]
    shown = (0.3, 1.0, 1.5, 2.0) if T is None else (T,)
    _, panels = plt.subplots(1, len(shown), figsize=(7, 2.6), sharey=True, squeeze=False)
    for panel, t in zip(panels[0], shown, strict=True):
        p = (logits / t).softmax(-1)  # by hand
        assert torch.allclose(p, probabilities(logits[None], Sampling(t))[0], atol=1e-6)
        heights = [*p[six].tolist(), 1 - p[six].sum().item()]
        panel.bar(names, heights, color=[start.COLOURS[0]] * 6 + [start.COLOURS[1]])
        panel.set_title(f"temperature {t:.1f}", fontsize=9)
        panel.text(6, heights[-1] + 0.02, f"{heights[-1]:.0%}", ha="center", color=start.COLOURS[1])
        panel.tick_params(axis="x", labelsize=7, labelrotation=60)
    panels[0, 0].set(ylabel="probability", ylim=(0, 1.05))
    plt.show()


start.slider(show_temperatures, T=(0.1, 3.0, 0.1))


# %% [markdown] lang="zh"
# ## 剪掉尾巴：top-k 与 top-p
#
# - **top-k**：只留最可能的 $k$ 个。
# - **top-p**（nucleus sampling）：从最可能的开始留，直到它们加起来达到 $p$。
#
# 剩下的重新归一化。下面先亲手写出来，再与 `gpt/sampling.py` 比较。图的纵轴是对数刻度，这样才看得见尾巴（橙色）。
# %% [markdown] lang="en"
# ## Cutting the tail: top-k and top-p
#
# - **top-k** keeps the $k$ likeliest tokens.
# - **top-p** (nucleus sampling) keeps the likeliest ones until they add up to $p$.
#
# What is left is scaled to add up to 1. Both are written by hand first, and then compared with `gpt/sampling.py`. The axis
# of the picture is logarithmic, or the tail (orange) could not be seen.
# %%
def keep_top_k(p, k):
    smallest_kept = p.topk(k).values[-1]
    p = p * (p >= smallest_kept)
    return p / p.sum()


def keep_top_p(p, limit):
    likeliest_first, order = p.sort(descending=True)
    before = likeliest_first.cumsum(0) - likeliest_first  # the sum of all that are likelier
    kept = torch.zeros_like(p).scatter(0, order, likeliest_first * (before < limit))
    return kept / kept.sum()


p = logits.softmax(-1)
assert torch.allclose(keep_top_k(p, 3), probabilities(logits[None], Sampling(top_k=3))[0])
assert torch.allclose(keep_top_p(p, 0.9), probabilities(logits[None], Sampling(top_p=0.9))[0])

first = p.topk(10).indices
names = [tokenizer.decode([token]).strip() for token in first]
settings = {
    "top-k 3": keep_top_k(p, 3),
    "top-k 10": keep_top_k(p, 10),
    "top-p 0.95": keep_top_p(p, 0.95),
}
colours = [start.COLOURS[0] if token in six else start.COLOURS[1] for token in first]
figure, panels = plt.subplots(1, 3, figsize=(7, 2.8), sharey=True)
for panel, (title, kept) in zip(panels, settings.items(), strict=True):
    panel.bar(names, p[first], color="0.85")
    panel.bar(names, kept[first], color=colours)
    panel.set(yscale="log", ylim=(1e-4, 1))
    panel.set_title(f"{title}: {int((kept > 0).sum())} tokens left", fontsize=9)
    panel.tick_params(axis="x", labelsize=7, labelrotation=60)
panels[0].set_ylabel("probability (grey: uncut)")
plt.show()
# %% [markdown] lang="zh"
# 这里合适的个数是六：$k=3$ 剪掉了三个完全正确的词元，$k=10$ 又放进了四个错的。换一个位置，合适的个数就变了，固定的 $k$ 不可能处处合适。
# top-p 留下的个数随分布而变：下面沿着一个故事，逐个位置数一数。
# %% [markdown] lang="en"
# Here the right number is six: $k=3$ cuts three good tokens, $k=10$ lets four wrong ones in. At another place another number
# is right, and no fixed $k$ suits all places. The number that top-p keeps depends on the distribution. Below, it is counted
# place by place along a story.
# %%
story = next(stories(seed=5)).text
ids = [end_of_text, *tokenizer.encode(story)]
with torch.no_grad():
    of_places = model(torch.tensor([ids]))[0, :-1].softmax(-1)  # (T, V)
numbers = [int((keep_top_p(p, 0.95) > 0).sum()) for p in of_places[:60]]
figure, panel = plt.subplots(figsize=(7, 2.4))
panel.bar(range(60), numbers, color=start.COLOURS[0])
panel.axhline(6, color=start.COLOURS[1])
panel.text(59.5, 6.4, "k = 6", color=start.COLOURS[1], ha="right", va="bottom")
panel.set(xlabel="place in the story (tokens)", ylabel="tokens kept", yscale="log")
panel.set_title("top-p 0.95")
plt.show()
widest = numbers.index(max(numbers))
print(f"one token is enough at {numbers.count(1)} of 60 places; {max(numbers)} are kept after")
print(f"    {tokenizer.decode(ids[1 : widest + 1])} …")
assert min(numbers) == 1 and max(numbers) > 10
# %% [markdown] lang="zh"
# ## 温度越高，故事越乱
#
# 教程 000 §1.2 说自回归架构使模型“能够保持前后文的一致性”。从左到右逐个抽样，本身什么也不保证。这个玩具世界有一位裁判
# （`data/world/judge.py`），它能判断每个故事是否合乎语法（图中 grammatical）、是否前后一致（consistent），所以我们可以数一数。
# %% [markdown] lang="en"
# ## The higher the temperature, the wilder the story
#
# Tutorial 000 §1.2 says that the autoregressive architecture "can keep the context consistent". Drawing from left to right
# guarantees nothing by itself. The toy world has a judge (`data/world/judge.py`) that says of each story whether it is
# grammatical, and whether it is consistent, that is, does not contradict itself. So we can count.
# %%
machine = pick_machine("cpu", "float32", "off")
speed_up(model, machine.device, machine.dtype)  # the same answers, faster
temperatures, number = (0.2, 0.5, 0.8, 1.0, 1.3, 1.6), 60
shares = {"grammatical": [], "consistent": []}
for temperature in temperatures:
    told = sample_stories(model, tokenizer, number, temperature, seed=0)
    verdicts = [judge(story) for story in told]
    shares["grammatical"].append(statistics.mean(v.grammatical for v in verdicts))
    shares["consistent"].append(statistics.mean(v.consistent for v in verdicts))
    if temperature == 0.8:
        example = next(v.reason for v in verdicts if v.grammatical and not v.consistent)
figure, panel = plt.subplots(figsize=(5, 2.6))
for (name, values), colour in zip(shares.items(), start.COLOURS, strict=False):
    panel.plot(temperatures, values, "o-", color=colour, label=name)
panel.legend(frameon=False)
panel.set(xlabel="temperature", ylabel=f"share of {number} stories", ylim=(0, 1.05))
plt.show()
print("the judge about a grammatical story that is not consistent:\n   ", example)
assert shares["consistent"][1] < 1 and shares["consistent"][-1] < 0.2 < shares["consistent"][0]


# %% [markdown] lang="zh"
# ## 随机从哪里来
#
# 教程 000 §3.3 说：“由于模型的高度复杂性，输出结果可能存在一定的随机性”。复杂与随机无关。网络是一个函数：同样的输入，同样的输出，
# 一个比特都不差。唯一靠运气的是从分布里抽一个词元，而这个运气由种子（seed）决定。温度为 0 时直接取最可能的词元，连种子也不起作用。
#
# （在另一种机器上，或换一种批大小，浮点舍入不同，logit 的最后几位可能不同；那是舍入，不是随机。）
# %% [markdown] lang="en"
# ## Where chance comes from
#
# Tutorial 000 §3.3 says that outputs "may be random to some degree because the model is so complex". Complexity has nothing
# to do with it. The network is a function: the same input gives the same output, bit for bit. Only the draw of a token from
# the distribution is left to chance, and the seed decides it. At temperature 0 the likeliest token is taken, and the seed
# changes nothing.
#
# (On another kind of machine, or in a batch of another size, the last digits of the logits may differ. That is rounding, not
# chance.)
# %%
def tell(seed, temperature):
    story = generate(model, [end_of_text], 30, seed, end_of_text, temperature=temperature)
    return tokenizer.decode(list(story))


assert torch.equal(next_logits(prompt), next_logits(prompt))
settings = ((0, 0), (0, 1), (1.0, 3), (1.0, 4))  # (temperature, seed)
texts = {(temperature, seed): tell(seed, temperature) for temperature, seed in settings}
for (temperature, seed), text in texts.items():
    print(f"temperature {temperature}, seed {seed}: {text[:80]}…")
assert texts[0, 0] == texts[0, 1]  # temperature 0: the seed does not matter
assert tell(3, 1.0) == texts[1.0, 3] != texts[1.0, 4]  # temperature 1: one seed, one text
# %% [markdown] lang="zh"
# ## 说出去的词收不回来
#
# 教程 002 §2.1 说自回归模型“具有"回溯"的特点，即能够利用已生成部分信息进行下一轮预测”。后半句对，名字却正好相反：回溯（backtracking）是退回去重来，
# 而一个词元一旦抽出，就成了后面所有步骤的输入，再也不会改。
# 做个实验：故事里 Sam 带的是一只哨子（whistle），我们逼模型在下一句写 *banana*，再让它往下写八次；作为对照，写 *whistle* 也来八次。
# %% [markdown] lang="en"
# ## A token once drawn stays
#
# Tutorial 002 §2.1 says that autoregressive models have the property of "backtracking" (回溯), "that is, they use what was
# generated for the next prediction". The second half is right, the name is not: to backtrack is to go back and try again,
# but a token that was drawn is input to every later step and is never changed. An experiment: Sam carries a whistle. We
# force the model to write *banana* in the next sentence, and let it go on eight times; for comparison, eight times after
# *whistle*.
# %%
opening = (
    "Once upon a time, there was a tall boy named Sam. He wanted to be a carpenter one day. "
    "One golden day, Sam went to the kitchen. Sam was carrying a pretty whistle. "
    'There he met Zoe, a wise girl. "May I hold your'
)


def go_on(text, seed):
    ids = [end_of_text, *tokenizer.encode(text)]
    more = generate(model, ids, 100, seed, end_of_text, temperature=0.5)
    return text + tokenizer.decode(list(more))


def nats_per_token(text):
    """The mean log-probability of a text's tokens: how likely the model itself finds it."""
    ids = [end_of_text, *tokenizer.encode(text)]
    return statistics.mean(choice.logprob for choice in score(model, ids))


accepted = {}
for word in (" whistle", " banana"):
    logprob = next_logits(opening).log_softmax(-1)[tokenizer.encode(word)[0]].item()
    told = [go_on(opening + word, seed) for seed in range(8)]
    accepted[word] = sum(judge(text).consistent for text in told)
    print(f"{word.strip()}: log-probability {logprob:.2f}; then {accepted[word]} of 8 consistent")
    print("   …" + told[0][len(opening) - 16 :][:90] + "…")
print("the judge:", judge(told[0]).reason)
assert accepted[" banana"] == 0 and accepted[" whistle"] >= 6
# %% [markdown] lang="zh"
# 有趣的是，模型接着写出来的并不是香蕉：它“知道”香蕉不对（那个词元的对数概率低得多），却没有办法删掉它，这篇故事也就不可能再一致了。
# 要丢掉坏文本，得靠模型之外的东西：多写几篇，再挑一篇。
#
# ## 抽 n 次，取裁判接受的第一篇
#
# 如果一篇被接受的概率是 $p$，$n$ 篇里至少有一篇被接受的概率是 $1-(1-p)^n$（各次抽样互相独立）。“用规则约束模型”
# （教程 001、002、004 §8.4）最简单的做法就是这样。没有裁判的时候，可以让模型自己给每篇打分（每个词元的平均对数概率），挑分数最高的一篇：
# 也有用，但差得多。
# %% [markdown] lang="en"
# The model does not go on with the banana. It "knows" that the banana is wrong (that token's log-probability is far lower),
# but it has no way to delete it, so the story can no longer be consistent. Only something outside the model can
# throw away a bad text: write several, and choose one.
#
# ## Draw n, take the first that the judge accepts
#
# If a story is accepted with probability $p$, at least one of $n$ is accepted with probability $1-(1-p)^n$, as the draws are
# independent. This is the simplest way to let rules guide a model (tutorials 001, 002, 004 §8.4). Without a judge, the model
# itself can score the stories (mean log-probability per token), and the one with the highest score is taken. That helps,
# but much less.
# %%
told = sample_stories(model, tokenizer, 192, 1.0, seed=1000)
ok, own = [judge(story).consistent for story in told], [nats_per_token(story) for story in told]
p = statistics.mean(ok)
sizes, chance = (1, 2, 4, 8, 16), random.Random(0)
by_judge, by_formula, by_model = [], [], []
for n in sizes:
    groups = [chance.sample(range(len(told)), n) for _ in range(2000)]  # n of the stories at a time
    by_judge.append(statistics.mean(any(ok[i] for i in group) for group in groups))
    by_formula.append(1 - (1 - p) ** n)
    by_model.append(statistics.mean(ok[max(group, key=lambda i: own[i])] for group in groups))
figure, panel = plt.subplots(figsize=(6, 2.8))
panel.plot(sizes, by_judge, "o-", label="the judge chooses")
panel.plot(sizes, by_formula, ":", label="1 − (1 − p)ⁿ")
panel.plot(sizes, by_model, "s-", label="the model chooses")
panel.legend(frameon=False, loc="lower right")
panel.set(xscale="log", ylim=(0, 1.05))
panel.set(xlabel="n stories, temperature 1", ylabel="the chosen one is consistent")
panel.set_xticks(sizes, map(str, sizes))
panel.minorticks_off()
plt.show()
assert by_judge[-1] > max(by_model) > by_judge[0]
# %% [markdown] lang="zh"
# ## 常识：两种结局，哪一种更可能？
#
# 打分（`score`）还能用来考模型：把故事里最后一次提到的东西换成另一样，由裁判确认换过之后说不通，再看模型认为哪个故事更可能。
# 不训练，不用标签，只比较两个概率，这就是零样本（zero-shot）的做法。（这道题不难：换上的东西前文没有提过。）
# %% [markdown] lang="en"
# ## Common sense: which of two stories is likelier?
#
# Scores can also test a model. The last mention of a thing in a story is replaced by another thing, and the judge confirms
# that the story is now impossible. Which of the two stories does the model find likelier? No training and no labels, only
# two probabilities: that is zero-shot. (The test is not hard: the new thing was never mentioned before.)
# %%
right = pairs = 0
for number, story in enumerate(islice(stories(seed=77), 150)):
    mentioned = [noun for noun in NOUNS if story.text.count(f" {noun}") >= 2]
    if mentioned:
        others = [noun for noun in NOUNS if noun not in story.text]
        before, _, after = story.text.rpartition(f" {mentioned[0]}")
        changed = f"{before} {others[number % len(others)]}{after}"
        if judge(changed).grammatical and not judge(changed).consistent:
            pairs += 1
            right += nats_per_token(story.text) > nats_per_token(changed)
print(f"the possible story is likelier in {right} of {pairs} pairs; chance would be half of them")
assert right > 0.9 * pairs
# %% [markdown] lang="zh"
# ## 零样本与少样本分类
#
# 同样的办法可以给文本分类：把文本填进模板，用两个**标签词**（verbalizer）代表两个标签，看模型觉得哪个词更可能。
# 前面放几个带答案的例子，就是**少样本**（few-shot），也叫上下文学习（in-context learning）；权重一个也不变。
# 要分类的是玩具世界的评论：每篇说一样东西（电影、饭菜、玩具、地方）的两个方面，两面都好是 positive，都不好是 negative。
#
# 先纠正一个名字。教程 004 §1.2 写：“零样本生成：GPT系列模型能够根据少量示例文本进行生成”。给了“少量示例”就是少样本；零样本一个例子也没有。
# 还有，000 §7.3 说 GPT-2 的论文展示了“零样本和少样本学习”。那篇论文自称零样本（不更新权重），但翻译和问答两个实验在提示里放了例子，
# 按今天的叫法是少样本；“少样本”这个名称和系统的比较来自 GPT-3 的论文（Brown 等，2020）。
#
# 有些词不管放在哪里都更可能，所以要减去它在空文本之后的得分（校准，contextual calibration）。
# 命令行里是 `finetune.py predict --label-words positive=good negative=bad`。
# %% [markdown] lang="en"
# ## Zero-shot and few-shot labelling
#
# Texts can be labelled in the same way. A text is put into a template, two **label words** (verbalisers) stand for two
# labels, and the likelier word decides. With a few answered examples before it, this is **few-shot** or in-context learning;
# no weight changes. The texts are reviews from the toy world. Each judges two sides of a film, a meal, a toy or a place:
# both good is positive, both bad negative.
#
# First, a matter of names. Tutorial 004 §1.2 writes: "zero-shot generation: GPT models can generate from a few examples".
# With a few examples it is few-shot; zero-shot has none. And 000 §7.3 says that the GPT-2 paper shows "zero-shot and few-shot
# learning". That paper calls all it does zero-shot (no weight changes), but in two of its experiments, translation and
# questions, the prompt holds examples: few-shot, as it is called today. The name, and a comparison of the two, come from
# the paper on GPT-3 (Brown et al. 2020).
#
# Some words are likelier than others after any text. So a word's score after an empty text is subtracted (contextual
# calibration). On the command line this is `finetune.py predict --label-words positive=good negative=bad`.
# %%
folder = Path("out/lessons/05/reviews")
if not (folder / "test.csv").is_file():
    write_reviews(folder, 2000, "easy", seed=1, language="en")
train, test = (
    [example for example in read_examples(folder / f"{split}.csv") if example.label != "neutral"]
    for split in ("train", "test")
)
words = {"positive": "good", "negative": "bad"}

# By hand, one review: the label words' log-probabilities, minus those after an empty text.
text = test[0].text
nats = {}
for label, word in words.items():
    token = tokenizer.encode(f" {word}")[0]
    after_text = next_logits(f"{text} It was").log_softmax(-1)[token]
    nats[label] = (after_text - next_logits("It was").log_softmax(-1)[token]).item()
print(text)
print(f"true label: {test[0].label}; by hand:", {k: round(value, 3) for k, value in nats.items()})
prompting = Prompting("{text} It was {word}", words)
by_gpt, _ = score_labels(model, tokenizer, prompting, [text], machine)
assert torch.allclose(by_gpt[0], torch.tensor(list(nats.values())), atol=1e-3)


def accuracy(words, shots=0, seed=0, template="{text} It was {word}."):
    """The share of test reviews that the label words get right after so many examples."""
    prompting = Prompting(template, words, choose_examples(train, list(words), shots, seed))
    texts = [example.text for example in test]
    scores, _ = score_labels(model, tokenizer, prompting, texts, machine)
    answers = [list(words)[i] for i in scores.argmax(1).tolist()]
    return statistics.mean(a == example.label for a, example in zip(answers, test, strict=True))


# %%
print(f"zero-shot on {len(test)} reviews, with several label words and templates:")
for good, bad, template in (
    ("good", "bad", "{text} It was {word}."),
    ("happy", "sad", "{text} I was {word}."),
    ("glad", "unhappy", "{text} I was {word}."),
):
    share = accuracy({"positive": good, "negative": bad}, template=template)
    print(f"   {share:.1%}  {template.replace('{word}', f'{good}/{bad}')}")
    assert 0.4 < share < 0.6
tiny_curve = [(accuracy(words, shots, 0) + accuracy(words, shots, 1)) / 2 for shots in (0, 1, 2)]
print("few-shot, good/bad:", {shots: f"{share:.1%}" for shots, share in enumerate(tiny_curve)})
most_frequent = statistics.multimode(example.label for example in test)[0]
print(f"always {most_frequent}: {statistics.mean(e.label == most_frequent for e in test):.1%}")
read = Counter(re.findall(r"\w+", " ".join(s.text for s in islice(stories(seed=1), 1000))))
words_of_reviews = ("good", "bad", "happy", "sad", "wonderful", "dreadful")
print("times in 1,000 stories:", {word: read[word] for word in words_of_reviews})
assert all(0.4 < share < 0.6 for share in tiny_curve)
# %% [markdown] lang="zh"
# 结果与瞎猜没有区别，换标签词、加例子都没有用。原因有两个：
#
# 1. 这个小模型只读过故事。上面最后一行数过：评论里的 *wonderful*、*dreadful*，连标签词 *bad*，故事里都没有，
#    更没有“评论后面跟着评价”的文字。
# 2. 例子要有用，模型得会在前文里**找到**同样的情形，再**照抄**其后的内容。做这件事的注意力头叫**归纳头**（induction head）。
#    检验的办法：让模型读一串随机词元，再读一遍，看哪个头在第二遍时盯着“上次这个词元的后一个”。`out/tiny` 最强的头也只有约 1% 的注意力放在那里。
#
# ## 少样本能力从哪里来
#
# 那就训练一个用得着归纳头的网络。每篇“文档”有四个名字，各配一个随机的值，共 16 行，每行是一个名字和它的值；下一篇重新配对。
# 答案只能从前文找，背不下来。用同样的数据训练一个两层网络和一个一层网络，数一数：一个名字在前文出现过 0、1、2、4 次之后，它的值猜对了多少。
# %% [markdown] lang="en"
# The result is that of guessing, and neither other label words nor examples change it. There are two reasons:
#
# 1. This small model has read nothing but stories. The last line above counts: *wonderful* and *dreadful*, and even the
#    label word *bad*, do not occur in them, nor does any text in which a verdict follows a review.
# 2. Examples help a model that can **find** the same situation earlier in the text and **copy** what came next. Attention
#    heads that do this are called **induction heads**. A test: the model reads a row of random tokens twice. Does a head, in
#    the second reading, look at the token after the previous occurrence? The best head of `out/tiny` puts about 1 % of its
#    attention there.
#
# ## Where few-shot ability comes from
#
# So let us train a net that needs induction heads. A "document" has four names, each with a random value, and 16 lines of a
# name and its value; the next document has new pairs. The answer stands in the text before, and cannot be learned by heart.
# A net of two layers and one of a single layer are trained on the same data. How often is a name's value right after the
# name has come 0, 1, 2 or 4 times?
# %%
NAMES, VALUES, LINES = 16, 8, 16


def documents(generator, count):
    """ids (count, 2 × LINES): name, value, name, value, …; and which of its names each line has,
    (count, LINES)."""
    names = torch.rand(count, NAMES, generator=generator).argsort(1)[:, :4]
    values = torch.randint(NAMES, NAMES + VALUES, (count, 4), generator=generator)
    which = torch.randint(0, 4, (count, LINES), generator=generator)
    return torch.stack((names.gather(1, which), values.gather(1, which)), -1).flatten(1), which


def train_on_documents(n_layer, steps=500):
    torch.manual_seed(0)
    V, T = NAMES + VALUES + 1, 2 * LINES
    net = GPT(GPTConfig(V, T, n_layer, n_head=4, n_embd=64, position="rotary"))
    twins = speed_up(net, machine.device, machine.dtype)
    optimizers = build_optimizers(net, "muon", 3e-3, 0.03, 0.1, twins)
    generator, scaler = torch.Generator().manual_seed(0), torch.amp.GradScaler("cpu", enabled=False)
    for step in range(steps):
        set_learning_rate(optimizers, learning_rate_scale(step, steps, 20))
        ids, _ = documents(generator, 64)
        F.cross_entropy(net(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
        update(optimizers, scaler, net.parameters(), 1.0, step)
    return net.eval()


def look_at_answer(net):
    """(L, nh): how much of a head's attention goes from a name, where it comes for the second time,
    to the value behind its first mention."""
    shares = []
    for text, names in zip(ids[:50].tolist(), which[:50].tolist(), strict=True):
        _, weights = trace(net, text)  # (L, nh, T, T)
        for i in range(LINES):
            if names[:i].count(names[i]) == 1:
                shares.append(weights[:, :, 2 * i, 2 * names.index(names[i]) + 1])
    return torch.stack(shares).mean(0)


ids, which = documents(torch.Generator().manual_seed(1), 500)
lines = [f"{chr(65 + name)}={value - NAMES}" for name, value in ids[0].view(-1, 2).tolist()]
print("a document:", " ".join(lines))
earlier = torch.stack([(which[:, :i] == which[:, i : i + 1]).sum(1) for i in range(LINES)], 1)
values = ids[:, 1::2]  # (documents, LINES)
counts, curves = (0, 1, 2, 4), {}
for n_layer in (2, 1):
    net = train_on_documents(n_layer)
    with torch.no_grad():
        answers = net(ids).argmax(-1)[:, 0::2]  # (documents, LINES): after each name
    right = answers == values
    curves[n_layer] = [right[earlier == k].float().mean().item() for k in counts]
    stands = torch.stack([(values[:, :i] == answers[:, i : i + 1]).any(1) for i in range(LINES)], 1)
    print(f"layers: {n_layer}; right after {', '.join(map(str, counts))} mentions:",
          ", ".join(f"{share:.1%}" for share in curves[n_layer]))  # fmt: skip
    came_before, best_head = stands[earlier == 1].float().mean(), look_at_answer(net).max()
    print(f"    after 1 mention, {came_before:.0%} of the answers are values that came before;")
    print(f"    the best head puts {best_head:.0%} of its attention on the right one")
print(f"chance 1/{VALUES} = {1 / VALUES:.1%}; random tokens read twice by out/tiny: "
      f"{induction_score(model).max():.1%} of the best head's attention")  # fmt: skip
assert curves[2][0] < 0.2 and curves[2][1] > 0.9 and curves[1][1] < 0.75
# %%
figure, panel = plt.subplots(figsize=(6, 2.8))
panel.plot(counts, curves[2], "o-")
panel.text(2, curves[2][2] - 0.03, "pairs, 2 layers", va="top", color=start.COLOURS[0])
panel.plot(counts, curves[1], "s-")
panel.text(4, curves[1][3] - 0.04, "pairs, 1 layer", color=start.COLOURS[1], va="top", ha="right")
panel.plot((0, 1, 2), tiny_curve, "^-", color=start.COLOURS[2])
panel.text(1, tiny_curve[1] + 0.06, "out/tiny on reviews (chance: 50 %)", color=start.COLOURS[2])
panel.axhline(1 / VALUES, color="0.6", linestyle=":")
panel.text(4, 1 / VALUES + 0.02, "chance for pairs", color="0.4", ha="right")
panel.set(xlabel="examples before it", xticks=counts)
panel.set(ylabel="share of right answers", ylim=(0, 1.05))
plt.show()


# %% [markdown] lang="zh"
# 没有例子时只能猜；**一个例子**之后，两层网络几乎全对，而权重一个也没有变。一层网络做不到，它只学会在前文出现过的几个值里挑一个。
# 归纳需要两步：先由第一层的一个头把“前一个词元是谁”写进每个位置，再由第二层的头按这个线索去找。所以，少样本能力不是“规模”凭空带来的魔法，
# 而是一种具体的机制：训练数据用得着它，网络也放得下它。
#
# ## 练习
#
# ### 练习 1：温度
#
# 写 `my_temperature(logits, temperature)`：logits 的形状是 (B, V)，返回每一行的概率 (B, V)。
# %% [markdown] lang="en"
# Without examples the net can only guess. After **one** example the net of two layers is nearly always right, though no
# weight has changed. A single layer cannot do this; it only learns to pick one of the values that have come. Induction takes
# two steps: a head of the first layer writes into each place which token came before it, and a head of the second layer
# searches by that. So few-shot ability is not magic that comes with scale. It is a mechanism: the training data must call
# for it, and the net must have room for it.
#
# ## Exercises
#
# ### Exercise 1: temperature
#
# Write `my_temperature(logits, temperature)`: logits has the shape (B, V); return the probabilities of each row, (B, V).
# %% tags=["exercise"]
def my_temperature(logits, temperature): ...


check.temperature(my_temperature)


# %% tags=["solution"]
def my_temperature(logits, temperature):
    return (logits / temperature).softmax(-1)


check.temperature(my_temperature)


# %% [markdown] lang="zh"
# ### 练习 2：top-p
#
# 实际抽样时，一批文本一起算。写 `my_top_p(p, limit)`：p 的形状是 (B, V)，返回每一行剪过尾巴、重新归一化的概率 (B, V)。
# 每一行要留下**最少**的、加起来**达到** limit 的词元，而且每个词元仍在原来的位置上。上面的写法只管一行，照抄是不行的。
# %% [markdown] lang="en"
# ### Exercise 2: top-p
#
# In practice a batch of texts is sampled together. Write `my_top_p(p, limit)`: p has the shape (B, V); return each row's
# probabilities without the tail, scaled to add up to 1, (B, V). In each row keep the **fewest** tokens that together
# **reach** the limit, each at its own place. The function above handles a single row, so a copy of it will not do.
# %% tags=["exercise"]
def my_top_p(p, limit): ...


check.top_p(my_top_p)


# %% tags=["solution"]
def my_top_p(p, limit):
    likeliest_first, order = p.sort(descending=True)
    before = likeliest_first.cumsum(-1) - likeliest_first
    kept = torch.zeros_like(p).scatter(-1, order, likeliest_first * (before < limit))
    return kept / kept.sum(-1, keepdim=True)


check.top_p(my_top_p)


# %% [markdown] lang="zh"
# ### 练习 3：要抽几次？
#
# 每篇被接受的概率是 p。写 `my_tries(p, wanted)`：至少要抽几篇，才能以不低于 wanted 的概率得到一篇被接受的？（返回整数。）
# %% [markdown] lang="en"
# ### Exercise 3: how many tries?
#
# A story is accepted with probability p. Write `my_tries(p, wanted)`: how many stories are needed, at least, for one of them
# to be accepted with a probability of `wanted` or more? (Return a whole number.)
# %% tags=["exercise"]
def my_tries(p, wanted): ...


check.tries(my_tries)


# %% tags=["solution"]
def my_tries(p, wanted):
    n = 1
    while 1 - (1 - p) ** n < wanted:
        n += 1
    return n


check.tries(my_tries)


# %% [markdown] lang="zh"
# ### 练习 4：给标签词打分
#
# 写 `my_logprob(model, ids, start)`：在已知 `ids[:start]` 时，`ids[start:]` 的对数概率之和（奈特，浮点数）。`ids` 是词元编号的列表，
# `model` 接收 (1, T) 的张量，给出 (1, T, V) 的 logit。一个标签词可能由几个词元组成，所以要求和。
# %% [markdown] lang="en"
# ### Exercise 4: score a label word
#
# Write `my_logprob(model, ids, start)`: the sum of the log-probabilities of `ids[start:]`, given `ids[:start]`, in nats, as a
# float. `ids` is a list of token ids; the model takes a tensor (1, T) and gives logits (1, T, V). A label word may be several
# tokens, hence the sum.
# %% tags=["exercise"]
def my_logprob(model, ids, start): ...


check.logprob(my_logprob)


# %% tags=["solution"]
def my_logprob(model, ids, start):
    with torch.no_grad():
        logprobs = model(torch.tensor([ids]))[0].log_softmax(-1)  # (T, V); row t: of token t + 1
    return sum(logprobs[t - 1, ids[t]].item() for t in range(start, len(ids)))


check.logprob(my_logprob)
# %% [markdown] lang="zh"
# ## 小结
#
# | 教程的说法 | 实际情况 | 看哪一节 |
# |---|---|---|
# | 000 §3.3、§8.3：因为模型复杂，输出有随机性 | 网络是函数；随机只来自抽样，由种子决定；温度 0 没有随机 | 随机从哪里来 |
# | 000 §1.2：自回归架构能够保持前后文的一致性 | 从左到右抽样不保证什么；一致与否要靠裁判去数，温度越高越差 | 温度越高，故事越乱 |
# | 002 §2.1：自回归模型具有“回溯”的特点 | 它利用已写出的部分，却不能回溯：抽出的词元收不回来，只有模型之外的挑选能丢掉坏文本 | 说出去的词收不回来；抽 n 次 |
# | 004 §1.2：零样本是根据少量示例生成 | 有例子是少样本，零样本没有例子 | 零样本与少样本分类 |
# | 000 §7.3：GPT-2 展示了少样本学习 | GPT-2 的论文自称零样本，只有两个实验给了例子；“少样本”的名称和系统比较来自 GPT-3 的论文 | 零样本与少样本分类 |
# | （常见的想法）例子总有帮助 | 没有归纳头的小模型毫无起色；为此训练的两层网络一个例子就够 | 少样本能力从哪里来 |
# %% [markdown] lang="en"
# ## Summary
#
# | the tutorial says | what is true | see |
# |---|---|---|
# | 000 §3.3, §8.3: outputs are random because the model is complex | the network is a function; chance is in the draw alone, and the seed decides it; temperature 0 has none | Where chance comes from |
# | 000 §1.2: autoregression keeps the context consistent | drawing from left to right guarantees nothing; a judge must count, and higher temperatures are worse | The higher the temperature |
# | 002 §2.1: autoregressive models backtrack | they use what is written, but a token once drawn stays; only a choice outside the model can drop a bad text | A token once drawn stays; Draw n |
# | 004 §1.2: zero-shot is generating from a few examples | with examples it is few-shot; zero-shot has none | Zero-shot and few-shot labelling |
# | 000 §7.3: GPT-2 showed few-shot learning | GPT-2's paper calls itself zero-shot, with examples in two experiments; the name few-shot and the comparison are GPT-3's | Zero-shot and few-shot labelling |
# | (often expected) examples always help | a small model without induction heads gains nothing; a net of two layers trained for it needs one example | Where few-shot ability comes from |
