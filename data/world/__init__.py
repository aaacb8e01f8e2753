"""The toy world: texts whose probability, truth and labels are known, because we made the world they tell of.

    stories(seed, language, start) -> Story(text, bits, sentences), without end
    judge(text, language) -> Verdict(grammatical, consistent, reason, bits, events)

Where to read: `people`, `things` and `places` are the words; `state` and `events` (with `endings`) the world and
what can happen in it; `plots` how a story goes; `english` and `chinese` how it is told, with `telling`, which tells
and reads sentences; `story` makes a story of all that, `recorder` counts its choices, and `judge` goes backwards.

What the number of bits bounds. A text is determined by the choices that made it, and the choices by the text (the
judge recovers them), so -log2 of the text's probability is the sum over its choices, the choice to end included.
Over many stories its mean is the entropy of the world: no model, however large, has a lower expected loss on new
stories, when that loss is summed over every token of whole stories (the end-of-text token included) and divided
by the number of stories, or of their bytes. On a given set of stories a model can be luckier than that by chance,
but only a little. A model that begins to read in the middle of a story (a window cut anywhere) does not know what
came before, so it cannot reach the bound even if it knows the world by heart. By how much it misses: 0.6 % of the
English stories are longer than `tiny`'s window of 176 tokens, and one trained model (0.197 bits per byte the bound,
0.202 in windows of 208 tokens, which hold any story) has a loss higher by 0.0006 bits per byte with windows of 176, by
0.013 with 144, by 0.035 with 128 and by 0.159 with 64.
"""

from data.world.judge import Verdict, judge
from data.world.story import Story, stories

__all__ = ["Story", "Verdict", "judge", "stories"]
