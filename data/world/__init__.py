"""The toy world: we made it, so the probability, truth and labels of its texts are known.

    stories(seed, language, start) -> an endless iterator of Story(text, bits, sentences)
    judge(text, language) -> Verdict(grammatical, consistent, reason, bits, events)

The modules: `people`, `things` and `places` hold the words. `state` is the world; `events`, `dealings` and `endings`
are what can happen in it. `plots` gives the order of events. `english` and `chinese` hold the sentence forms;
`telling` writes and reads sentences. `story` makes a story, `recorder` counts its choices, `judge` goes backwards, and
`by_sentence` gives its verdict for each sentence, `reasons` its reasons in Chinese.
`reviews` makes labelled texts. `tasks` makes questions, translations, dialogues and more, with exact answers.

The bound. The choices determine the text, and the text determines the choices (the judge recovers them). So -log2
of a text's probability is the sum over its choices, including the choice to end. The mean over many stories is the
entropy of the world. No model, however large, has a lower expected loss on new stories, if that loss is summed over
every token of whole stories (including the end-of-text token) and divided by the number of stories or of bytes. On a
given set of stories a model can be below the bound by chance, but only a little. A model that starts in the middle
of a story (a window cut anywhere) does not know what came before, so it cannot reach the bound even if it knows the
world perfectly. The size of this gap: 0.6 % of the English stories are longer than `tiny`'s window of 176 tokens. The
bound is 0.197 bits per byte; one trained model has 0.202 in windows of 208 tokens, which hold any story. Its loss is
higher by 0.0006 bits per byte with windows of 176, by 0.013 with 144, by 0.035 with 128 and by 0.159 with 64.
"""

from data.world.judge import Verdict, judge
from data.world.story import Story, stories

__all__ = ["Story", "Verdict", "judge", "stories"]
