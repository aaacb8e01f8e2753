# %% [markdown] lang="zh"
# # 第 1 课　从文字到词元
#
# 学完这一课，你能够：
#
# - 亲手做一次字节对编码（byte pair encoding，BPE），看懂词表是怎样一步一步合并出来的；
# - 说清“词”和“词元”（token）的区别，以及同一句中文为什么在不同词表里长短不一；
# - 用计数做出二元、三元语言模型，把它们的损失放到 GPT 和理论下限之间比较。
#
# 对应教程：000 §4.3（案例分析）；001 §5.2–5.3；002 Q4（长文本）、§6（清洗）；004 §1.1（统计语言模型）。
# %% [markdown] lang="en"
# # Lesson 1: from text to tokens
#
# After this lesson you can
#
# - make a byte pair encoding (BPE) by hand and see how a vocabulary grows, merge by merge;
# - tell words from tokens, and say why one Chinese sentence has different lengths in different vocabularies;
# - build bigram and trigram language models by counting, and compare their loss with a GPT's and with the lowest possible
#   loss.
#
# It goes with 000 §4.3 (the worked example); 001 §5.2–5.3; 002 Q4 (long texts), §6 (cleaning); 004 §1.1 (statistical
# language models).
# %%
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
# %%
import hashlib
import math
from collections import Counter
from itertools import islice, pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from data.world.story import stories
from gpt.dataset import IGNORED
from gpt.fast.bpe import train_bpe_with_heap
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.tokenizer import Tokenizer, train_bpe
from notebooks.check import tokens as check

# %% [markdown] lang="zh"
# ## 1　文字就是字节
#
# 计算机里的文字是一串字节（byte），每个字节是 0 到 255 的一个数。UTF-8 用 1 个字节写一个英文字母，用 3 个字节写一个常用汉字，
# 用 4 个字节写一个表情符号。GPT-2 的词表从这 256 个字节出发，所以任何文字都写得出来，不需要“未知词”（unknown token）。
# %% [markdown] lang="en"
# ## 1. Text is bytes
#
# In a computer a text is a row of bytes, each a number from 0 to 255. UTF-8 writes an English letter with 1 byte, a common
# Chinese character with 3, an emoji with 4. GPT-2's vocabulary begins with these 256 bytes, so any text can be written, and no
# "unknown token" is needed.
# %%
for text in ("fox", "人", "人工智能", "🦊"):
    print(f"{text}: {len(text)} characters, {len(text.encode())} bytes: {list(text.encode())}")

assert bytes([228, 186, 186]).decode() == "人"
print("the first two of these three bytes alone:", bytes([228, 186]).decode(errors="replace"))
# %% [markdown] lang="zh"
# ## 2　BPE：反复合并最常见的相邻对
#
# 规则只有一条：数出所有相邻的两个词元，把出现次数最多的一对合并成一个新词元，加进词表；然后重来。
# 下面先把这一条规则写出来，再看 `gpt/tokenizer.py` 的 `train_bpe` 是不是得到同样的结果。
# （真正的 GPT-2 先用一个正则表达式把文字切成单词，合并不会跨过单词；这里也一样，单词前面的空格算在单词里。）
# %% [markdown] lang="en"
# ## 2. BPE: merge the most frequent neighbours, again and again
#
# There is one rule: count all pairs of neighbours, join the most frequent pair into a new token, add it to the vocabulary; begin
# again. The cell writes this rule out, and then compares it with `train_bpe` of `gpt/tokenizer.py`. (GPT-2 first cuts the text
# into words by a pattern, and no merge crosses a word; so do we, and the space before a word belongs to the word.)
# %%
text = "low low low low low lower lower newest newest newest newest newest newest widest widest widest"
words = Counter(text.replace(" ", "\n ").split("\n"))  # word -> how often it occurs
parts = {word: [bytes([byte]) for byte in word.encode()] for word in words}  # word -> its tokens so far

merges = []
for number in range(1, 11):
    count = Counter()
    for word, times in words.items():
        for left, right in pairwise(parts[word]):
            count[left + right] += times
    best = min(count, key=lambda token: (-count[token], token))  # of equals, the first in the alphabet
    merges.append(best)
    for word, tokens in parts.items():
        joined = []
        for token in tokens:  # join neighbours that spell the new token, from the left
            if joined and joined[-1] + token == best and joined[-1] != best:
                joined[-1] += token
            else:
                joined.append(token)
        parts[word] = joined
    newest = " | ".join(token.decode().replace(" ", "_") for token in parts[" newest"])
    print(f"merge {number:2}: {best.decode()!r:10} seen {count[best]:2} times;  newest is {newest}")

assert merges == train_bpe([text], vocab_size=257 + 10)
print("the same ten tokens as gpt.tokenizer.train_bpe")
# %% [markdown] lang="zh"
# ## 3　“人工智能”在三个词表里
#
# 教程 000 §4.3 写道：`x_1 = "人工智能"`，好像一个词就是一个词元，一个向量。其实词元是词表说了算，词表又是训练文本说了算。
# 下面的词表有三种：只有字节的；`out/tiny` 的英文词表；中文词表，一个只从小世界的中文故事训练，另一个还读了几句谈人工智能的话。
# %% [markdown] lang="en"
# ## 3. 人工智能 in three vocabularies
#
# Tutorial 000 §4.3 writes `x_1 = "人工智能"`, as if a word were a token and a vector. But the vocabulary decides what a token is,
# and the text that it was trained on decides the vocabulary. Here are three kinds: bytes alone; the English vocabulary of
# `out/tiny`; and Chinese ones, one trained on stories of our toy world alone, one also on some sentences about AI.
# %%
sentence = "人工智能是一个令人着迷的领域"  # the tutorial's
english = load_tokenizer(start.tiny())
chinese_stories = [story.text for story in islice(stories("lesson 1", "zh"), 600)]
about_ai = [sentence, "我们学习人工智能", "人工智能可以写故事", "什么是人工智能"] * 300
vocabularies = {
    "bytes alone": Tokenizer([]),
    "English (out/tiny)": english,
    "Chinese stories": Tokenizer.train(chinese_stories, 1024, train_bpe_with_heap),
    "stories + AI": Tokenizer.train([*chinese_stories, *about_ai], 1024, train_bpe_with_heap),
}
english_story = next(stories("lesson 1")).text
rows = {"人工智能": "word", sentence: "sentence"}
rows |= {chinese_stories[0]: "Chinese story", english_story: "English story"}
print(f"{'tokens':<20}" + "".join(f"{name:>15}" for name in rows.values()))
for name, vocabulary in vocabularies.items():
    print(f"{name:<20}" + "".join(f"{len(vocabulary.encode(text)):>15}" for text in rows))
    assert all(vocabulary.decode(vocabulary.encode(text)) == text for text in rows)  # nothing is lost

assert len(english.encode("人工智能")) == 12 and len(english.encode(sentence)) == 42
last = vocabularies["stories + AI"]
assert len(last.encode("人工智能")) == len(last.encode(sentence)) == 1
print("with texts about AI:", " | ".join(last.decode([token]) for token in last.encode(sentence)))
# %% [markdown] lang="zh"
# 英文词表里没有中文的合并，所以每个汉字仍是 3 个字节、3 个词元：“人工智能”是 12 个词元，不是 1 个。
# 只读过故事的中文词表没见过“人工智能”，也不能把它当作一个词元；读过几百遍谈人工智能的话，它才成为一个词元；
# 教程的整句话也成了**一个**词元，而不是教程列出的七个“词”。
# 四个词表都能一字不差地还原原文，区别只是长短：同样的上下文长度，词表合适就能装下更多文字。
# %% [markdown] lang="en"
# The English vocabulary has no merges for Chinese, so each character stays 3 bytes and 3 tokens: 人工智能 is 12 tokens, not 1. A
# Chinese vocabulary that never saw the word cannot make one token of it either. It becomes one token where the training text has
# it hundreds of times, and so does the tutorial's whole sentence: **one** token, not the seven words of the tutorial. All four give back the text exactly. They differ in length:
# with a fitting vocabulary, more text fits into the same context.
# %% [markdown] lang="zh"
# ## 4　填充（padding）
#
# 教程 001 §5.2 用 `padding='max_length'` 调用 GPT-2 的分词器。GPT-2 没有填充词元，这一行会直接报错。
# 一批文字要排成矩形，填什么都可以：因果模型看不到后面，所以**填在右边**，读最后一个真实词元的输出，答案就和填充物无关。
# 填在左边却不加掩码，就变成了另一篇文章。
# %% [markdown] lang="en"
# ## 4. Padding
#
# Tutorial 001 §5.2 calls GPT-2's tokenizer with `padding='max_length'`. GPT-2 has no padding token, and that line raises an
# error. To make a rectangle of several texts, any token will do: a causal model does not see what comes later, so put the
# padding **on the right** and read the output at the last real token. Padding on the left, without a mask, makes another text.
# %%
tiny = load_model(start.tiny())
ids = [english.end_of_text, *english.encode("Once there was a fox called Mia. Mia had")]
with torch.no_grad():
    alone = tiny(torch.tensor([ids]))[0, -1]
    for name, filler in (("end-of-text", english.end_of_text), ("'banana'", english.encode(" banana")[0])):
        right = tiny(torch.tensor([ids + [filler] * 20]))[0, len(ids) - 1]
        left = tiny(torch.tensor([[filler] * 20 + ids]))[0, -1]
        print(f"20 x {name:<12} on the right: the same logits: {torch.allclose(right, alone, atol=1e-4)};  "
              f"on the left: {torch.allclose(left, alone, atol=1e-4)}")  # fmt: skip
        assert torch.allclose(right, alone, atol=1e-4) and not torch.allclose(left, alone, atol=1e-2)


# %% [markdown] lang="zh"
# ## 5　统计语言模型：只数不学
#
# 教程 004 §1.1 提到“统计语言模型”。它就是计数：二元模型（bigram）用前一个词元出现的次数，三元模型（trigram）用前两个。
# 没见过的组合怎么办？退回到短一些的历史。Witten 和 Bell（1991）的办法：历史 $h$ 后面出现过 $n(h)$ 种不同的词元，那么
#
# $$p(w\mid h) = \frac{c(hw) + n(h)\,p(w\mid h')}{c(h) + n(h)}$$
#
# 其中 $h'$ 是去掉最早一个词元的历史。我们的小世界是自己写的，每篇故事的概率都知道，所以损失的下限也知道。
# %% [markdown] lang="en"
# ## 5. Statistical language models: only counting
#
# Tutorial 004 §1.1 mentions statistical language models. They count: a bigram model knows how often each token followed the
# token before, a trigram model the two tokens before. For a pair never seen, they fall back on a shorter history. Witten and
# Bell (1991): if $n(h)$ different tokens were seen after the history $h$, then
#
# $$p(w\mid h) = \frac{c(hw) + n(h)\,p(w\mid h')}{c(h) + n(h)}$$
#
# where $h'$ is the history without its earliest token. We wrote the toy world ourselves, so the probability of each story is
# known, and with it the lowest possible loss.
# %%
def count_histories(tokens, longest):
    """For each n: how often each run of n tokens occurs, each history, and how many kinds follow it."""
    tables = []
    for n in range(1, longest + 1):
        runs = Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
        total, kinds = Counter(), Counter()
        for run, times in runs.items():
            total[run[:-1]] += times
            kinds[run[:-1]] += 1
        tables.append((runs, total, kinds))
    return tables


def probability(tables, history, token, vocab_size=2048):
    """p(token | history): each longer history corrects the estimate of the shorter ones."""
    p = 1 / vocab_size
    for n, (runs, total, kinds) in enumerate(tables):
        h = tuple(history[len(history) - n :])
        if total[h]:
            p = (runs[*h, token] + kinds[h] * p) / (total[h] + kinds[h])
    return p


counted = TokensFolder(start.corpus()).train[:2_000_000].tolist()
tables = count_histories(counted, longest=3)
assert abs(sum(probability(tables, counted[500:502], token) for token in range(2048)) - 1) < 1e-9
print(f"{len(counted):,} tokens hold {len(tables[1][0]):,} different pairs and {len(tables[2][0]):,} different triples")
# %%
fresh = list(islice(stories("lesson 1, fresh"), 120))  # stories that no model here has seen
texts = [[english.end_of_text, *english.encode(story.text), english.end_of_text] for story in fresh]
targets = sum(len(ids) - 1 for ids in texts)


def counting_loss(n):
    """Nats per token of the model that looks at n - 1 tokens."""
    places = ((ids[max(0, t - n + 1) : t], ids[t]) for ids in texts for t in range(1, len(ids)))
    return -sum(math.log(probability(tables[:n], history, token)) for history, token in places) / targets


@torch.no_grad()
def gpt_loss(ids):
    """Nats of one text, summed."""
    return F.cross_entropy(tiny(torch.tensor([ids[:-1]]))[0], torch.tensor(ids[1:]), reduction="sum").item()


losses = {"guessing": math.log(2048)}
losses |= {name: counting_loss(n) for n, name in ((1, "unigram"), (2, "bigram"), (3, "trigram"))}
losses["GPT (out/tiny)"] = sum(map(gpt_loss, texts)) / targets
floor = sum(story.bits for story in fresh) * math.log(2) / targets
assert losses["guessing"] > losses["unigram"] > losses["bigram"] > losses["trigram"] > losses["GPT (out/tiny)"] > floor

bars = plt.barh(list(losses), list(losses.values()), color=start.COLOURS[0])
plt.bar_label(bars, fmt="%.2f", padding=3)
plt.axvline(floor, color=start.COLOURS[1], linestyle="--")
plt.text(floor + 0.05, -0.9, f"lowest possible: {floor:.2f}", color=start.COLOURS[1], va="center")
plt.gca().invert_yaxis()
plt.xlabel("loss on stories that no model has seen (nats per token)")
plt.show()


# %% [markdown] lang="zh"
# 多看一个词元，损失就降一截；但计数走不远：再长的历史，大多数只出现过一次。GPT 用一样的数据，却看得到整篇故事（谁是谁、谁拿着什么），
# 所以它几乎贴着下限。注意比较要公平：同样的词表、同样的故事、同样的单位（每词元多少奈特 nats）。
# %% [markdown] lang="en"
# Each further token that a model looks at lowers the loss. But counting does not go far: most longer histories occur only once. The
# GPT looks at the whole story (who is who, who carries what), so it nearly reaches the lowest possible loss. The comparison is
# fair: the same vocabulary, the same stories, the same unit (nats per token).
# %% [markdown] lang="zh"
# ## 6　长文本：分块的代价
#
# 教程 002 Q4 说，分块可以“保证模型可以处理任意长度的文本”。能处理，不等于看得见：每一块都不知道前面的块里谁是主角。
# 下面把故事切成 16 到 128 个词元的块，一种是首尾相接，一种是重叠一半（每块只计后一半的损失）。
# %% [markdown] lang="en"
# ## 6. Long texts: the price of chunks
#
# Tutorial 002 Q4 says that chunks let a model handle texts of any length. Handling is not seeing: no chunk knows who the hero of
# the chunk before was. The cell cuts stories into chunks of 16 to 128 tokens, either side by side or overlapping by half (then
# only the new half of each counts).
# %%
@torch.no_grad()
def chunked_loss(length, step):
    """Nats per token when the model reads windows of `length` tokens that begin `step` tokens apart."""
    total = 0.0
    for ids in texts:
        inputs, targets_of, done = [], [], 0
        for begin in range(0, len(ids) - 1, step):
            window = ids[begin : begin + length + 1]
            gap = length + 1 - len(window)
            new = [IGNORED] * (done - begin) + window[1 + done - begin :]  # what an earlier window has not yet counted
            inputs.append((window + [0] * gap)[:-1])
            targets_of.append(new + [IGNORED] * gap)
            done = begin + len(window) - 1
            if done == len(ids) - 1:
                break
        logits = tiny(torch.tensor(inputs))
        total += F.cross_entropy(logits.flatten(0, 1), torch.tensor(targets_of).flatten(), reduction="sum").item()
    return total / targets


lengths = [16, 32, 64, 96, 128]
side_by_side = [chunked_loss(length, length) for length in lengths]
overlapping = [chunked_loss(length, length // 2) for length in lengths]
assert side_by_side[0] > 2 * losses["GPT (out/tiny)"] and all(
    a > b for a, b in zip(side_by_side, overlapping, strict=True)
)

plt.plot(lengths, side_by_side, "o-", label="side by side")
plt.plot(lengths, overlapping, "s-", label="overlapping by half")
plt.axhline(losses["GPT (out/tiny)"], color=start.COLOURS[2], linestyle="--")
plt.text(18, losses["GPT (out/tiny)"] + 0.03, "whole stories", color=start.COLOURS[2])
plt.text(34, side_by_side[1], "side by side", color=start.COLOURS[0])
plt.text(34, overlapping[1] + 0.05, "overlapping by half", color=start.COLOURS[1])
plt.xlabel("length of a chunk (tokens)")
plt.ylabel("loss (nats per token)")
plt.show()


# %% [markdown] lang="zh"
# 块越短，损失越高；重叠能补回一部分，代价是每个词元读两遍。差距正是“往回看才知道”的那部分信息。
# （这里的模型是按整篇故事训练的，短块的开头对它格外陌生；按短块训练的模型会好一些，但看不见的仍然看不见。）
# %% [markdown] lang="en"
# Shorter chunks have a higher loss. Overlap wins some of it back, and each token is read twice for it. The gap is what can only
# be known by looking back. (This model was trained on whole stories, so the beginning of a short chunk is particularly strange to
# it. One trained on short chunks would do better, and would still not see what it cannot see.)
# %% [markdown] lang="zh"
# ## 7　清洗：重复的文章会骗你
#
# 教程 002 §6 的流程都有“清洗”一步，却没有代码。最要紧的一件是去重（deduplication）：验证集里若有训练集的文章，损失就是背出来的。
# %% [markdown] lang="en"
# ## 7. Cleaning: repeated documents deceive you
#
# The recipes of tutorial 002 §6 all have a step called cleaning, and no code. The most important part is deduplication: a document
# of the training split that is in the validation split too has a loss learned by heart.
# %%
def fingerprint(text):
    """Equal for texts that differ in spaces and capital letters only."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()


originals = [story.text for story in islice(stories("lesson 1, cleaning"), 300)]
copies = [text.upper() for text in originals[:40]] + [text.replace(" ", "  ") for text in originals[40:60]]
kept = {fingerprint(text): text for text in reversed(originals + copies)}  # reversed: the first one of each stays
print(f"{len(originals + copies)} documents, {len(kept)} without repetitions")
assert set(kept.values()) == set(originals)

memory = count_histories([i for text in originals for i in [english.end_of_text, *english.encode(text)]], longest=5)
for name, some in (("seen while counting", originals[:40]), ("never seen", [story.text for story in fresh[:40]])):
    rows = [[english.end_of_text, *english.encode(text)] for text in some]
    loss = [-math.log(probability(memory, ids[max(0, t - 4) : t], ids[t])) for ids in rows for t in range(1, len(ids))]
    print(f"five-gram model of {len(originals)} stories, loss on stories {name}: {np.mean(loss):.2f} nats per token")


# %% [markdown] lang="zh"
# 同一个模型，背过的故事损失低得多。只看这个数，你会以为计数已经赢了 GPT。
#
# ## 练习
#
# 每题填好空格再运行，检查会告诉你对不对。答案在 `notebooks/solutions/`。
#
# ### 练习 1　合并
# 从左往右，把相邻且拼成 `token` 的两个词元合并。`merge([b"a", b"b", b"a", b"b", b"a"], b"ab")` 应得 `[b"ab", b"ab", b"a"]`。
# %% [markdown] lang="en"
# The same model has a much lower loss on stories that it has learned by heart. That number alone would make counting look better
# than a GPT.
#
# ## Exercises
#
# Fill in the blank and run the cell: the check says whether it is right. Solutions are in `notebooks/solutions/`.
#
# ### Exercise 1: merge
# From the left, join two neighbours that spell `token`. `merge([b"a", b"b", b"a", b"b", b"a"], b"ab")` gives
# `[b"ab", b"ab", b"a"]`.
# %% tags=["exercise"]
def my_merge(parts, token): ...


check.merge(my_merge)


# %% tags=["solution"]
def my_merge(parts, token):
    merged, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] + parts[i + 1] == token:
            merged.append(token)
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


check.merge(my_merge)


# %% [markdown] lang="zh"
# ### 练习 2　编码
# 给一个单词的字节和词表 `ids`（词元 → 编号，编号小的先学到）。先从单个字节出发；每一步，在所有能合并的相邻对里，选**编号最小**的合并，
# 直到没有可合并的。返回编号的列表。
# %% [markdown] lang="en"
# ### Exercise 2: encode
# You get a word's bytes and a vocabulary `ids` (token -> id; a lower id was learned earlier). Begin with single bytes. In each
# step, of all neighbours that spell a token, join the two whose token has the **lowest id**, until no two spell a token. Return
# the ids.
# %% tags=["exercise"]
def my_encode(word, ids): ...


check.encode(my_encode)


# %% tags=["solution"]
def my_encode(word, ids):
    parts = [bytes([byte]) for byte in word]
    while True:
        joins = [(ids[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ids]
        if not joins:
            return [ids[part] for part in parts]
        i = min(joins)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


check.encode(my_encode)


# %% [markdown] lang="zh"
# ### 练习 3　二元模型
# `pairs[a, b]` 是词元 a 后面紧跟 b 的次数。用“加一平滑”（Laplace）写出 $p(b\mid a) = (c(ab)+1)/(c(a)+V)$，
# $c(a)$ 是以 a 开头的所有对的次数之和，$V$ 是词表大小。没见过的 a 也要有答案。
# %% [markdown] lang="en"
# ### Exercise 3: a bigram model
# `pairs[a, b]` says how often token b followed token a. Write $p(b\mid a) = (c(ab)+1)/(c(a)+V)$ (add-one smoothing, Laplace),
# where $c(a)$ adds up all pairs that begin with a, and $V$ is the size of the vocabulary. An a never seen needs an answer, too.
# %% tags=["exercise"]
def my_bigram(pairs, a, b, vocab_size): ...


check.bigram(my_bigram)


# %% tags=["solution"]
def my_bigram(pairs, a, b, vocab_size):
    begins_with_a = sum(times for (first, _), times in pairs.items() if first == a)
    return (pairs.get((a, b), 0) + 1) / (begins_with_a + vocab_size)


check.bigram(my_bigram)


# %% [markdown] lang="zh"
# ### 练习 4　窗口
# 把一串编号切成长度不超过 `length` 的窗口，相邻窗口的起点相差 `step`（`step <= length`），最后一个窗口到末尾为止，一个词元也不能丢，
# 也不要多出一个完全包含在前一个里的窗口。
# %% [markdown] lang="en"
# ### Exercise 4: windows
# Cut a row of ids into windows of at most `length` tokens that begin `step` tokens apart (`step <= length`). The last one ends
# with the last token: none may be lost, and no window may lie completely within the one before.
# %% tags=["exercise"]
def my_windows(ids, length, step): ...


check.windows(my_windows)


# %% tags=["solution"]
def my_windows(ids, length, step):
    windows = []
    for begin in range(0, len(ids), step):
        windows.append(ids[begin : begin + length])
        if begin + length >= len(ids):
            break
    return windows


check.windows(my_windows)
# %% [markdown] lang="zh"
# ## 小结
#
# | 教程的说法 | 实际情况 | 在哪里看到 |
# |---|---|---|
# | 000 §4.3：`x_1 = "人工智能"` | 词元由词表决定：只有英文合并的词表里它是 12 个词元 | 第 3 节 |
# | 001 §5.2：`padding='max_length'`（GPT-2） | GPT-2 没有填充词元；填在右边，读最后一个真实词元，填什么都一样 | 第 4 节 |
# | 004 §1.1：统计语言模型“来估计不同词汇序列的概率分布” | 对，但历史一长就数不到；损失介于瞎猜和 GPT 之间 | 第 5 节 |
# | 002 Q4：分块“保证模型可以处理任意长度的文本” | 能读，但看不到别的块；块越短损失越高 | 第 6 节 |
# %% [markdown] lang="en"
# ## Summary
#
# | The tutorial says | What is true | Where you saw it |
# |---|---|---|
# | 000 §4.3: `x_1 = "人工智能"` | The vocabulary decides: it is 12 tokens where all merges are English | section 3 |
# | 001 §5.2: `padding='max_length'` (GPT-2) | GPT-2 has no padding token; pad on the right with anything, read the last real token | section 4 |
# | 004 §1.1: statistical models estimate the probabilities of sequences | Yes, but long histories are too rare to count; their loss is between guessing and a GPT's | section 5 |
# | 002 Q4: with chunks a model handles texts of any length | It reads them but sees no other chunk; the shorter the chunks, the higher the loss | section 6 |
