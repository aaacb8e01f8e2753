"""The judge's reasons in Chinese.

The world says what is impossible in plain English (`Contradiction`), in one of the sentences below. A test reads the
world's code and holds this list complete.
"""

import re

from data.world.lexicon import LEXICON

CONTRADICTIONS = {
    # the story
    "a story begins with its hero": "故事要从主人公讲起",
    "the story has ended already": "故事已经结束了",
    "nobody called {} is in the story yet": "故事里还没有叫{}的人",
    "there is no {} in the story yet": "故事里还没有{}",
    "{} is in the story already": "{}早就在故事里了",
    "there is already a {} in the story": "故事里已经有{}了",
    "{} is not a {}": "{}不是{}",
    # what a sentence means
    '"it" could be anything: the sentence before does not say': "“它”指什么？前一句没有说清楚",
    '"{}" could be {}: the sentence before does not say': "“{}”可能是{}，前一句没有说清楚",
    "the {} is {}": "{}是{}",
    "nobody does that with a {}": "没有人这样对待{}",
    "it means both {} and {}": "它又指{}又指{}",
    # who is where
    "{} is not there": "{}不在那里",
    "{} and {} are not in the same place": "{}和{}不在同一个地方",
    "{} cannot do that to {}": "{}不能对{}自己这样做",
    "{} has not been away": "{}没有离开过",
    "they are in {} already": "他们已经在{}了",
    "{} was not sent to {}": "没有人让{}去{}",
    "{} did not come from {}": "{}不是从{}来的",
    "{} is in {} already": "{}已经在{}了",
    # who has what
    "{} does not have {}: {}": "{1}不在{0}手里，{2}",
    "{} has {} all the time": "{}手里一直拿着{}",
    "{} can see that {} has it": "{}看得见它在{}手里",
    "{} does not belong to {}": "{}不是{}的",
    # where a thing is
    "{} is {}, so {} would find it there": "{}在{}，{}会在那里找到它",
    "{} is not lost: {}": "{}没有丢，{}",
    "it is known already that {} is not {}": "已经知道{}不在{}",
    "{} did not leave it {}": "{}没有把它放在{}",
    "{} knows where it is": "{}知道它在哪里",
    "{} is not {}: {}": "{}不在{}，{}",
    "somebody looked {} already, and {} was not there": "有人已经看过{}，{}不在那里",
    "{} is {} already": "{}已经在{}了",
    "{} cannot move {}: {}": "{}没法移动{}，{}",
    "{} is there and would see it": "{}就在那里，会看见的",
    "{} is in another place": "{}在别的地方",
    # feelings, needs, wrongs
    "nothing has happened that would make {} {}": "没有发生什么让{}{}的事",
    "{} has no reason to be {} now": "{}现在没有理由{}",
    "{} does not feel {} any more": "{}已经不再{}了",
    "{} does not need {}": "{}不需要{}",
    "{} has done nothing for {} to be thanked for": "{}没有为{}做过值得感谢的事",
    "{} has done {} no wrong": "{}没有对不起{}",
    "{} has not said sorry": "{}没有道过歉",
    "nobody has said sorry": "没有人道过歉",
    "it is not {}'s birthday": "今天不是{}的生日",
    # broken and mended
    "nobody mends a {}, so nobody damages it": "没有人会修{}，所以也没有人弄坏它",
    "{} is broken already": "{}早就坏了",
    "{} is not broken": "{}没有坏",
    "{} cannot mend {}: {}": "{}没法修{}，{}",
    # questions
    "it is a {}, so the answer is yes": "那就是{}，所以猜对了",
    "the story does not say": "故事里没有说",
    "the answer is {}, not {}": "答案是{}，不是{}",
}
WHEREABOUTS = {
    "nobody knows where it is": "没有人知道它在哪里",
    "it is eaten up": "它已经被吃掉了",
    "{} has it": "它在{}手里",
    "it is {}": "它在{}",
}
MISTAKES = {  # of the judge; a text stays as it is
    "there is no text": "没有文字",
    "the story stops before its end": "故事没有讲完",
}
KINDS = ("name", "elder", "species", "noun", "adjective", "feeling", "need", "tool", "place", "spot")
WORDS = {"she": "她", "he": "他", "nobody": "谁也不是"} | {
    english: chinese for kind in KINDS for english, chinese in LEXICON[kind].items()
}


def reason_in_chinese(reason: str) -> str:
    """The `reason` of a verdict in Chinese, with the words of the world in Chinese and the story's text as it is."""
    if found := re.fullmatch(r"sentence (\d+) (cannot be read|should be): (.*)", reason, re.DOTALL):
        number, what, text = found.groups()
        return f"第{number}句{'读不懂' if what == 'cannot be read' else '应该是'}：{text}"
    if found := re.fullmatch(r"sentence (\d+): (.*) But (.*)\.", reason, re.DOTALL):
        number, text, objection = found.groups()
        return f"第{number}句：{text} 可是{translated(objection, CONTRADICTIONS) or objection}。"
    return MISTAKES.get(reason, reason)


def translated(english: str, sentences: dict[str, str]) -> str | None:
    """The translation by the first sentence that fits and whose blanks hold words of the world; None without one."""
    for pattern, chinese in sentences.items():
        if found := re.fullmatch("(.+?)".join(map(re.escape, pattern.split("{}"))), english):
            words = [phrase_in_chinese(word) for word in found.groups()]
            if None not in words:
                return chinese.format(*words)
    return None


def phrase_in_chinese(phrase: str) -> str | None:
    """What can stand in a blank: a word, a thing with its adjective, several people, where a thing is."""
    if phrase in WORDS:
        return WORDS[phrase]
    if " or " in phrase:
        people = [phrase_in_chinese(person) for person in phrase.split(" or ")]
        return None if None in people else "或".join(map(str, people))
    article, _, rest = phrase.partition(" ")
    adjective, _, noun = rest.partition(" ")
    if article == "the" and adjective in LEXICON["adjective"] and noun in LEXICON["noun"]:
        return LEXICON["adjective"][adjective] + LEXICON["noun"][noun]
    return translated(phrase, WHEREABOUTS)
