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
# 五篇教程按编号称呼：000 讲 GPT-3，001 讲 GPT-3.5，002 比较 GPT 家族，003 讲微调，004 讲 GPT 系列。
# %% [markdown] lang="en"
# # Lesson 1: from text to tokens
#
# After this lesson you can
#
# - do byte pair encoding (BPE) by hand and watch a vocabulary grow, merge by merge;
# - tell words from tokens, and say why one Chinese sentence has different lengths in different vocabularies;
# - build bigram and trigram language models by counting, and compare their loss with a GPT's and with the lowest
#   possible loss.
#
# It goes with 000 §4.3 (the worked example); 001 §5.2–5.3; 002 Q4 (long texts), §6 (cleaning); 004 §1.1 (statistical
# language models). The five tutorials go by number: 000 is about GPT-3, 001 about GPT-3.5, 002 compares the GPT family,
# 003 is about fine-tuning, 004 about the GPT series.
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
from gpt.fast.bpe import train_bpe_with_heap
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.tokenizer import Tokenizer, train_bpe
from notebooks.check import tokens as check

# %% [markdown] lang="zh"
# ## 1　文字就是字节
#
# 模型读写的单位叫**词元**（token）：词表（vocabulary）里的一项，可能是一个字节、半个词、一个词，甚至一句话。每个词元有一个编号（id），
# 模型只认编号。那么词表里有什么？
#
# 计算机里的文字是一串字节（byte），每个字节是 0 到 255 的一个数。UTF-8 用 1 个字节写一个英文字母，用 3 个字节写一个常用汉字，
# 用 4 个字节写一个表情符号。GPT-2 的词表从这 256 个字节出发，所以任何文字都写得出来，不需要“未知词”（unknown token）。
# %% [markdown] lang="en"
# ## 1. Text is bytes
#
# A model reads and writes **tokens**: the entries of a vocabulary. A token may be a byte, part of a word, a word, or even
# a sentence. Each has a number, its id, and the model sees nothing but ids. What is in the vocabulary?
#
# In a computer, text is a sequence of bytes, each a number from 0 to 255. UTF-8 writes an English letter with 1 byte, a
# common Chinese character with 3, an emoji with 4. GPT-2's vocabulary starts from these 256 bytes, so it can write any
# text and needs no "unknown token".
# %%
for text in ("fox", "人", "人工智能", "🦊"):
    print(f"{text}: characters: {len(text)}, bytes: {len(text.encode())} {list(text.encode())}")

assert bytes([228, 186, 186]).decode() == "人"
print("the first two bytes of 人 alone are no character:", bytes([228, 186]).decode(errors="replace"))

# %% [markdown] lang="zh"
# ## 2　BPE：反复合并最常见的相邻对
#
# 规则只有一条：数出所有相邻的两个词元，把出现次数最多的一对合并成一个新词元，加进词表；然后重来。
# 下面先把这一条规则写出来，再看 `gpt/tokenizer.py` 的 `train_bpe` 是不是得到同样的结果。
# （GPT-2 先用一个正则表达式把文字切成单词，合并不会跨过单词；这里也一样，单词前面的空格算在单词里，打印成 `_`。）
# %% [markdown] lang="en"
# ## 2. BPE: merge the most frequent neighbours, again and again
#
# There is one rule: count all pairs of neighbouring tokens, join the most frequent pair into a new token, add it to the
# vocabulary, and start again. The cell writes this rule out, then compares the result with `train_bpe` in
# `gpt/tokenizer.py`. (GPT-2 first cuts the text into words with a regular expression, and no merge crosses a word. So do
# we. The space before a word belongs to the word and is printed as `_`.)
# %%
text = ("low " * 5 + "lower " * 2 + "newest " * 6 + "widest " * 3).strip()
words = Counter(text.replace(" ", "\n ").split("\n"))  # word -> how often it occurs
parts = {word: [bytes([byte]) for byte in word.encode()] for word in words}  # its tokens so far

merges = []
for number in range(1, 11):
    count = Counter()
    for word, times in words.items():
        for left, right in pairwise(parts[word]):
            count[left + right] += times
    best = min(count, key=lambda token: (-count[token], token))  # of equals, the first by its bytes
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

assert merges == train_bpe([text], vocab_size=256 + 1 + 10)  # the bytes, an end-of-text token, ten merges
print("the same ten tokens as gpt.tokenizer.train_bpe")

# %% [markdown] lang="zh"
# ## 3　“人工智能”在四个词表里
#
# 教程 000 §4.3 把“人工智能是一个令人着迷的领域”切成七个词，从 `x_1 = "人工智能"` 到 `x_7 = "领域"`，好像一个词就是一个词元。
# 其实词元由词表决定，词表又由训练它的文本决定。
#
# 这些课的文本来自一个**玩具世界**：一个程序按规则随机编写短故事，中英文都会写。`out/tiny` 是用其中的英文故事训练的小 GPT（约 86 万个权重）。
# 下面比较四个词表：只有字节的；`out/tiny` 的英文词表；只用中文故事训练的；中文故事之外还读了几百遍谈人工智能的话的。
# %% [markdown] lang="en"
# ## 3. 人工智能 in four vocabularies
#
# Tutorial 000 §4.3 cuts 人工智能是一个令人着迷的领域 ("artificial intelligence is a fascinating field") into seven words,
# from `x_1 = "人工智能"` to `x_7 = "领域"`, as if a word were a token. In fact the vocabulary decides what a token is, and
# the text it was trained on decides the vocabulary.
#
# The texts of these lessons come from a **toy world**: a program that writes short random stories by rules, in English
# and in Chinese. `out/tiny` is a small GPT (about 860,000 weights) trained on the English ones. Compare four
# vocabularies: bytes alone; the English one of `out/tiny`; one trained on Chinese stories; and one trained on Chinese
# stories plus a few sentences about AI, each repeated hundreds of times.
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
columns = {"人工智能": "word", sentence: "sentence"}
columns |= {chinese_stories[0]: "Chinese story", english_story: "English story"}
print(f"{'number of tokens':<20}" + "".join(f"{name:>15}" for name in columns.values()))
for name, vocabulary in vocabularies.items():
    print(f"{name:<20}" + "".join(f"{len(vocabulary.encode(text)):>15}" for text in columns))
    assert all(vocabulary.decode(vocabulary.encode(text)) == text for text in columns)  # nothing is lost

assert len(english.encode("人工智能")) == 12 and len(english.encode(sentence)) == 42
last = vocabularies["stories + AI"]
assert len(last.encode("人工智能")) == len(last.encode(sentence)) == 1
print("stories + AI:", " | ".join(last.decode([token]) for token in last.encode(sentence + "。" + sentence)))

# %% [markdown] lang="zh"
# 英文词表里没有中文的合并，所以每个汉字仍是 3 个字节、3 个词元：“人工智能”是 12 个词元，不是 1 个。
# 只读过故事的词表没见过“人工智能”：故事里常见的“人”是一个词元，另外三个字各要两个。读过几百遍谈人工智能的话，“人工智能”才成为一个词元；
# 教程的整句话也成了**一个**词元，而不是七个：中文不写空格，两个标点之间的一整段就是一个“单词”，合并可以一直做到整段。
#
# 四个词表都能一字不差地还原原文，区别只是长短：同样的上下文长度，词表合适就能装下更多文字。
# %% [markdown] lang="en"
# The English vocabulary has no merges for Chinese, so each character stays 3 bytes and 3 tokens: 人工智能 is 12 tokens,
# not 1. The vocabulary of Chinese stories never saw the word: 人, common in stories, is one token, and the other three
# characters take two each. 人工智能 becomes one token where the training text repeats it hundreds of times. So does the
# tutorial's whole sentence: **one** token, not seven. Chinese has no spaces, so everything between two punctuation marks
# counts as one "word", and merging can go on until it is a single token.
#
# All four vocabularies give back the text exactly. They differ in length: with a fitting vocabulary, more text fits into
# the same context.
# %% [markdown] lang="zh"
# ## 4　填充（padding）
#
# 教程 001 §5.2 用 `padding='max_length'` 调用 GPT-2 的分词器。GPT-2 没有填充词元，这一行会报错：
# `ValueError: Asking to pad but the tokenizer does not have a padding token`（transformers 5.24）。
#
# 一批文字长短不一，要补成矩形才能一起算。补什么都可以：GPT 是**因果**的，每个位置只看得到它前面的词元（第 2 课）。
# 所以**填在右边**，读最后一个真实词元处的输出，答案就和填充物无关；填在左边，模型读到的就是另一篇文章，除非另外把填充物遮住。
# 下面比较的 logits 是模型给每个可能的下一个词元打的分，softmax 以后就是概率。
# %% [markdown] lang="en"
# ## 4. Padding
#
# Tutorial 001 §5.2 calls GPT-2's tokenizer with `padding='max_length'`. GPT-2 has no padding token, and that line raises
# `ValueError: Asking to pad but the tokenizer does not have a padding token` (transformers 5.24).
#
# Texts of different lengths must be filled up to a rectangle before they can be computed together. Any token will do: a
# GPT is **causal**, which means that each position sees only the tokens before it (lesson 2). So put the padding **on the
# right** and read the output at the last real token; the padding cannot change it. With padding on the left, the model
# reads a different text, unless the padding is masked. The logits compared below are the model's scores for each possible
# next token; softmax turns them into probabilities.
# %%
tiny = load_model(start.tiny())
ids = [english.end_of_text, *english.encode("Once there was a fox called Mia. Mia had")]
fillers = {"end-of-text": english.end_of_text, "' fox'": english.encode(" fox")[0]}
with torch.no_grad():
    alone = tiny(torch.tensor([ids]))[0, -1]
    for name, filler in fillers.items():
        right = tiny(torch.tensor([ids + [filler] * 20]))[0, len(ids) - 1]
        left = tiny(torch.tensor([[filler] * 20 + ids]))[0, -1]
        same_right, same_left = (torch.allclose(logits, alone, atol=1e-4) for logits in (right, left))
        print(f"20 x {name:<11} same logits with padding on the right: {same_right}, on the left: {same_left}")
        assert same_right and not same_left


# %% [markdown] lang="zh"
# ## 5　统计语言模型：只数不学
#
# 怎样比较语言模型？看它们给真正出现的下一个词元多大的概率 $p$。一个词元的**损失**是 $-\ln p$，单位是奈特（nat）；
# 全部词元取平均，就是模型的损失，越低越好。在 2,048 个词元里瞎猜，损失是 $\ln 2048 = 7.62$。
#
# 教程 004 §1.1 提到“统计语言模型”。它就是计数：二元模型（bigram）看前一个词元，数它后面跟过什么；三元模型（trigram）看前两个。
# 没见过的组合怎么办？退回到短一些的历史。Witten 和 Bell（1991）的办法：$c(\cdot)$ 表示出现的次数，历史 $h$ 后面出现过 $n(h)$ 种不同的词元，那么
#
# $$p(w\mid h) = \frac{c(hw) + n(h)\,p(w\mid h')}{c(h) + n(h)}$$
#
# 其中 $h'$ 是去掉最早一个词元的历史。
# %% [markdown] lang="en"
# ## 5. Statistical language models: counting, no learning
#
# How do we compare language models? By the probability $p$ that they give to the token that really comes next. The
# **loss** of one token is $-\ln p$, in nats. Its mean over all tokens is the loss of the model: the lower, the better.
# Guessing among 2,048 tokens has a loss of $\ln 2048 = 7.62$.
#
# Tutorial 004 §1.1 mentions statistical language models. They count: a bigram model looks at one token and counts what has
# followed it, a trigram model looks at two. For a combination never seen, they fall back on a shorter history. The method
# of Witten and Bell (1991): $c(\cdot)$ is how often something occurs, $n(h)$ is how many different tokens followed the
# history $h$, and
#
# $$p(w\mid h) = \frac{c(hw) + n(h)\,p(w\mid h')}{c(h) + n(h)}$$
#
# where $h'$ is the history without its earliest token.
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


counted = TokensFolder(start.corpus()).train[:1_000_000].tolist()
tables = count_histories(counted, longest=5)
assert abs(sum(probability(tables, counted[500:504], token) for token in range(2048)) - 1) < 1e-9
for n, (runs, _, _) in enumerate(tables, start=1):
    once = sum(times == 1 for times in runs.values()) / len(runs)
    print(f"{len(runs):7,} different runs of {n} token{'s' * (n > 1)}, {once:.0%} of them seen only once")

# %% [markdown] lang="zh"
# 玩具世界是自己写的，每篇故事的概率可以精确算出（`story.bits`，单位是比特），它们的平均就是**下限**：没有模型的平均损失能更低。
# 现在把所有模型放在一起，用同样的新故事打分：
# %% [markdown] lang="en"
# We wrote the toy world ourselves, so the probability of each story can be computed exactly (`story.bits`). The mean is the
# **lowest possible loss**: no model can do better on average. Now score all models on the same new stories:
# %%
fresh = list(islice(stories("lesson 1, fresh"), 120))  # stories that no model here has seen
texts = [[english.end_of_text, *english.encode(story.text), english.end_of_text] for story in fresh]
targets = sum(len(ids) - 1 for ids in texts)  # how many tokens are predicted


def nats(tables, ids):
    """The loss of each token of a text but the first, by counting."""
    return [-math.log(probability(tables, ids[:t], ids[t])) for t in range(1, len(ids))]


@torch.no_grad()
def gpt_nats(ids):
    """The same, by the GPT."""
    return F.cross_entropy(tiny(torch.tensor([ids[:-1]]))[0], torch.tensor(ids[1:]), reduction="none")


losses = {"guessing": math.log(2048)}
for n, name in enumerate(("unigram", "bigram", "trigram", "4-gram", "5-gram"), start=1):
    losses[name] = sum(sum(nats(tables[:n], ids)) for ids in texts) / targets
losses["GPT (out/tiny)"] = sum(gpt_nats(ids).sum().item() for ids in texts) / targets
floor = sum(story.bits for story in fresh) * math.log(2) / targets  # from bits to nats
in_order = list(losses.values())
assert in_order == sorted(in_order, reverse=True) and in_order[-1] > floor

bars = plt.barh(list(losses), in_order, color=start.COLOURS[0])
plt.bar_label(bars, fmt="%.2f", padding=3)
plt.axvline(floor, color=start.COLOURS[1], linestyle="--")
plt.text(floor + 0.05, -0.9, f"lowest possible: {floor:.2f}", color=start.COLOURS[1], va="center")
plt.gca().invert_yaxis()
plt.xlabel("loss on stories that no model has seen (nats per token)")
plt.show()


# %% [markdown] lang="zh"
# 多看一个词元，损失就降一截，但越降越少：看得越长，没数过的就越多（5 个词元的组合，一半以上只见过一次）。
# GPT 看得到整篇故事（谁是谁、谁拿着什么），所以几乎贴着下限。这个比较是公平的：同样的词表、同样的故事、同样的单位。
# %% [markdown] lang="en"
# Each further token lowers the loss, but by less and less: the longer the run of tokens, the fewer of them were counted
# before (of the runs of 5, more than half were seen once only). The GPT looks at the whole story (who is who, who carries
# what), so it nearly reaches the lowest possible loss. The comparison is fair: the same vocabulary, stories and unit.
# %% [markdown] lang="zh"
# ## 6　长文本：分块的代价
#
# 教程 002 Q4 说，分块可以“保证模型可以处理任意长度的文本”。能处理，不等于看得见：每一块都不知道前面的块里谁是主角。
# 下面把故事切成 16 到 128 个词元的块，一种是首尾相接，一种是重叠一半（每块只计新的那一半的损失）。
# %% [markdown] lang="en"
# ## 6. Long texts: what chunks cost
#
# Tutorial 002 Q4 says that chunks let a model handle texts of any length. To handle a text is not to see it: no chunk
# knows who the hero of the chunk before was. The cell cuts stories into chunks of 16 to 128 tokens, either side by side or
# overlapping by half (then only the new half of each chunk is scored).
# %%
@torch.no_grad()
def chunked_loss(length, step):
    """Nats per token when the model reads `length` tokens at a time, beginning every `step` tokens."""
    total = 0.0
    for ids in texts:
        scored = 1  # tokens that are done; the first of a story is given
        for begin in range(0, len(ids) - 1, step):
            chunk = ids[begin : begin + length + 1]
            total += gpt_nats(chunk)[scored - begin - 1 :].sum().item()
            scored = begin + len(chunk)
            if scored == len(ids):
                break
    return total / targets


lengths = [16, 32, 64, 96, 128]
side_by_side = [chunked_loss(length, length) for length in lengths]
overlapping = [chunked_loss(length, length // 2) for length in lengths]
assert side_by_side[0] > 2 * losses["GPT (out/tiny)"]
assert all(a > b for a, b in zip(side_by_side, overlapping, strict=True))

plt.plot(lengths, side_by_side, "o-")
plt.plot(lengths, overlapping, "s-")
plt.axhline(losses["GPT (out/tiny)"], color=start.COLOURS[2], linestyle="--")
plt.text(18, losses["GPT (out/tiny)"] + 0.03, "whole stories", color=start.COLOURS[2])
plt.text(34, side_by_side[1], "side by side", color=start.COLOURS[0])
plt.text(34, overlapping[1] + 0.05, "overlapping by half", color=start.COLOURS[1])
plt.xlabel("length of a chunk (tokens)")
plt.ylabel("loss (nats per token)")
plt.show()


# %% [markdown] lang="zh"
# 块越短，损失越高；重叠能补回一部分，代价是每个词元读两遍。与虚线的差距，就是“往回看才知道”的那部分信息。
# （这里的模型是按整篇故事训练的，没见过从半截开始的文字，所以差距里也有它不习惯短块的成分；换成按短块训练的模型，看不见的仍然看不见。）
# %% [markdown] lang="en"
# Shorter chunks have a higher loss. Overlap wins some of it back, at the price of reading each token twice. The gap to the
# dashed line is what can only be known by looking back. (This model was trained on whole stories and never saw a text that
# starts in the middle, so part of the gap is that short chunks are strange to it. A model trained on short chunks still
# cannot see what is not there.)
# %% [markdown] lang="zh"
# ## 7　清洗：重复的文章会骗你
#
# 教程 002 §6 的流程都有“清洗”一步，却没有代码。最要紧的一件是去重（deduplication）。模型从**训练集**学习，
# 在留出来的**验证集**上打分；验证集里若混进了训练集的文章，分数就是背出来的。下面先用指纹（哈希值）去掉重复，再看“背过”能骗人到什么程度。
# %% [markdown] lang="en"
# ## 7. Cleaning: repeated documents deceive you
#
# The recipes in tutorial 002 §6 all have a step called cleaning, and no code. The most important part is deduplication. A
# model learns from the **training set** and is scored on a **validation set** kept apart. If a document is in both, the
# model may know it by heart. The cell removes repetitions by their fingerprints (hashes), then shows how much knowing by
# heart can deceive.
# %%
def fingerprint(text):
    """Equal for texts that differ in spaces and capital letters only."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()


originals = [story.text for story in islice(stories("lesson 1, cleaning"), 300)]
copies = [text.upper() for text in originals[:40]]
copies += [text.replace(" ", "  ") for text in originals[40:60]]
kept = {}
for text in originals + copies:
    kept.setdefault(fingerprint(text), text)  # the first one of each
print(f"{len(originals + copies)} documents, {len(kept)} without repetitions")
assert list(kept.values()) == originals

rows = [[english.end_of_text, *english.encode(text)] for text in originals]
memory = count_histories([token for ids in rows for token in ids], longest=5)
for name, some in (("it has counted", rows[:40]), ("it has never seen", texts[:40])):
    loss = np.mean([cost for ids in some for cost in nats(memory, ids)])
    print(f"5-gram model of {len(rows)} stories, on stories {name}: {loss:.2f} nats per token")


# %% [markdown] lang="zh"
# 同一个模型，数过的故事损失低得多，和第 5 节的 GPT 差不多。只看这个数，你会以为计数就够了。
#
# ## 练习
#
# 把 `...` 换成你的代码，再运行这一格；检查会用一行告诉你对不对、错在哪里。答案在 `notebooks/solutions/`。
#
# ### 练习 1　合并
# 从左往右，把相邻且拼成 `token` 的两个词元合并，返回新的列表。`my_merge([b"a", b"b", b"a", b"b", b"a"], b"ab")` 应得 `[b"ab", b"ab", b"a"]`。
# %% [markdown] lang="en"
# The same model has a much lower loss on stories that it has counted, about as low as the GPT in section 5. That number
# alone would make you think that counting is enough.
#
# ## Exercises
#
# Replace `...` with your code and run the cell: the check says in one line whether it is right, or what is wrong.
# Solutions are in `notebooks/solutions/`.
#
# ### Exercise 1: merge
# From the left, join two neighbours that spell `token`, and return the new list.
# `my_merge([b"a", b"b", b"a", b"b", b"a"], b"ab")` gives `[b"ab", b"ab", b"a"]`.
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
# 给一个单词的字节 `word` 和词表 `ids`（词元 → 编号，编号小的先学到）。先从单个字节出发；每一步，在所有能合并的相邻对里，选**编号最小**的合并，
# 直到没有可合并的。返回编号的列表。例如 `ids` 里有 `b"yz"`（256）和 `b"xy"`（257），`b"xyz"` 就先合并 `yz`，得 `[120, 256]`。
# %% [markdown] lang="en"
# ### Exercise 2: encode
# You get the bytes of a word and a vocabulary `ids` (token -> id; a lower id was learned earlier). Start from single bytes.
# In each step, of all neighbours that spell a token, join the two whose token has the **lowest id**, until no two spell a
# token. Return the list of ids. For example, with `b"yz"` (256) and `b"xy"` (257) in `ids`, `b"xyz"` first merges `yz` and
# gives `[120, 256]`.
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
# `pairs[a, b]` 是词元 a 后面紧跟 b 的次数；没出现过的对不在里面。用“加一平滑”（Laplace）写出 $p(b\mid a) = (c(ab)+1)/(c(a)+V)$，
# $c(a)$ 是以 a 开头的所有对的次数之和，$V$ 是词表大小。没见过的 a、没见过的 b 也要有答案。
# %% [markdown] lang="en"
# ### Exercise 3: a bigram model
# `pairs[a, b]` says how often token b followed token a; pairs that never occurred are not in it. Write
# $p(b\mid a) = (c(ab)+1)/(c(a)+V)$ (add-one smoothing, Laplace), where $c(a)$ adds up all pairs that begin with a, and $V$
# is the size of the vocabulary. There must be an answer for an unseen a or b, too.
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
# 把一串编号切成长度不超过 `length` 的窗口，相邻窗口的起点相差 `step`（`step <= length`）。最后一个窗口到末尾为止，一个词元也不能丢，
# 也不要多出一个完全包含在前一个里的窗口。例如 `my_windows([0, 1, 2, 3, 4], 4, 2)` 得 `[[0, 1, 2, 3], [2, 3, 4]]`。
# %% [markdown] lang="en"
# ### Exercise 4: windows
# Cut a list of ids into windows of at most `length` tokens that begin `step` tokens apart (`step <= length`). The last one
# ends with the last token. No token may be lost, and no window may lie completely within the one before. For example,
# `my_windows([0, 1, 2, 3, 4], 4, 2)` gives `[[0, 1, 2, 3], [2, 3, 4]]`.
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
# | 000 §4.3：`x_1 = "人工智能"` | 词元由词表决定：英文词表里它是 12 个词元，整句话也可以是 1 个 | 第 3 节 |
# | 001 §5.2：`padding='max_length'`（GPT-2） | GPT-2 没有填充词元；填在右边，读最后一个真实词元，填什么都一样 | 第 4 节 |
# | 004 §1.1：统计语言模型“来估计不同词汇序列的概率分布” | 对，但历史一长就数不到；损失介于瞎猜和 GPT 之间 | 第 5 节 |
# | 002 Q4：分块“保证模型可以处理任意长度的文本” | 能读，但看不到别的块；块越短损失越高 | 第 6 节 |
# | 002 §6：“清洗”只有一个名字 | 至少要去重：数过的文章损失低，不等于模型好 | 第 7 节 |
# %% [markdown] lang="en"
# ## Summary
#
# | The tutorial says | What is true | Where you saw it |
# |---|---|---|
# | 000 §4.3: `x_1 = "人工智能"` | The vocabulary decides: 12 tokens in an English one, and even the whole sentence can be 1 | section 3 |
# | 001 §5.2: `padding='max_length'` (GPT-2) | GPT-2 has no padding token; pad on the right with anything, read the last real token | section 4 |
# | 004 §1.1: statistical models estimate the probabilities of sequences | Yes, but long histories are too rare to count; their loss is between guessing and a GPT's | section 5 |
# | 002 Q4: with chunks a model handles texts of any length | It reads them but sees no other chunk; the shorter the chunks, the higher the loss | section 6 |
# | 002 §6: cleaning is only a name | At least remove repetitions: a low loss on documents already counted does not make a good model | section 7 |
