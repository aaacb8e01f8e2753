"""The same story told in Chinese. {noun:m} is the measure word that goes with the noun: 一只, 一本, 一顶."""

from data.world import people, places, things
from data.world.lexicon import LEXICON
from data.world.telling import Language

# fmt: off
FORMS = {
    # the beginning
    "hero": [
        "从前有一{species:m}{trait}{species}，名叫{name}。",
        "很久以前，有一{species:m}{trait}{species}，名字叫作{name}。",
        "{name}是一{species:m}{trait}{species}。", "这个故事讲的是{name}，一{species:m}{trait}{species}。",
        "你认识{name}吗？那可是一{species:m}{trait}{species}。",
    ],
    "like": ["{who}喜欢{hobby}。", "{who}最喜欢{hobby}。", "{who}平时最爱{hobby}。"],
    "dream": ["{who}长大了想当{job}。", "{who}的梦想是当{job}。"],
    "go": [
        "一个{weather}{daypart}，{who}来到了{place}。", "在一个{weather}{daypart}，{who}去了{place}。",
        "那是一个{weather}{daypart}，{who}在{place:at}。", "{weather}{daypart}，{who}走到了{place}。",
    ],
    "see": [
        "路上，{who}看见了{sight}。", "在来的路上，{who}看到过{sight}。", "{who}在路上停下来看{sight}。",
    ],
    "have": [
        "{who}有一{noun:m}{adjective}{noun}。", "{who}带着一{noun:m}{adjective}{noun}。",
        "{who}带来了一{noun:m}{adjective}{noun}。", "{who}正看着自己那{noun:m}{adjective}{noun}。",
    ],
    "meet": [
        "在那里，{who}遇见了{name}，一{species:m}{trait}{species}。",
        "这时，{who}遇到了一{species:m}{trait}{species}，名叫{name}。",
        "一{species:m}{trait}{species}跑过来跟{who:him}打招呼，原来是{name}。",
    ],
    "greet": [
        "“你好，{to:name}！”{who:name}说。", "“见到你真好，{to:name}。”{who}说。",
        "{who}笑着向{to:him}挥了挥手。", "“我们一起玩好吗？”{who}问{to:him}。",
    ],
    "admire": [
        "“多好的{thing:noun}啊！”{who}说。", "“我喜欢你的{thing:noun}。”{who:name}说。",
        "{who}睁大眼睛看着{thing}。", "“你的{thing:noun}是从哪儿来的？”{who}问。",
    ],
    # lost and found
    "lose": [
        "可是突然，{who}怎么也找不到{thing}了。", "可是{who}再一看，{thing}不见了。",
        "“糟糕！我的{thing:noun}不见了！”{who}叫道。", "后来，{who}把{thing}弄丢了。",
    ],
    "feel": [
        "{who}很{feeling}。", "{who}感到很{feeling}。", "{who}心里真的很{feeling}。",
        "这让{who:him}很{feeling}。",
    ],
    "search": [
        "{who}看了看{spot}，可是{thing}不在那里。", "{who}在{spot}找了找，没有找到{thing}。",
        "“会不会在{spot}？”{who}心想，可是{thing}不在那儿。",
    ],
    "ask": [
        "“你看见我的{thing:noun}了吗？”{who}问{to:him}。",
        "“{to:name}，你知道我的{thing:noun}在哪儿吗？”{who}问。", "{who}向{to:him}打听{thing}在哪里。",
    ],
    "no_idea": [
        "“没看见，不过我来帮你找。”{who:name}说。", "“我不知道，我们一起找吧。”{who}说。",
        "{who}也不知道，但是很想帮忙。",
    ],
    "tell": [
        "“去{spot}看看吧，{thing:noun}就在那儿。”{who}说。", "“{thing:noun}在{spot}。”{who:name}说。",
        "{who}笑了笑，说：“你会在{spot}找到{thing:noun}的。”",
    ],
    "find": [
        "最后，{who}在{spot}找到了{thing}。", "{who}往{spot}一看，{thing}就在那儿！",
        "“找到了！”{who}叫道。原来{thing}就在{spot}。",
    ],
    "give": [
        "{who}把{thing}给了{to:him}。", "{who}把{thing}递给{to:him}。",
        "“给你{thing:noun}。”{who}说着，把它交到{to:him}手里。",
    ],
    "give_back": [
        "{who}把{thing}还给了{to:him}。", "“这是你的{thing:noun}，{to:name}。”{who}说。",
        "于是{who}把{thing}交还给{to:him}。",
    ],
    "thank": [
        "“谢谢你，{to:name}！”{who:name}说。", "“你真好，{to:name}。”{who}说。",
        "{who}抱了抱{to:him}，连声道谢。",
    ],
    # a joke
    "put": [
        "{who}把{thing}放在{spot}。", "{who}把{thing}留在了{spot}。",
        "“{thing:noun}放在{spot}很安全。”{who}说完，就把它放下了。",
    ],
    "leave": ["然后{who}{errand}了。", "“我要{errand}。”{who}说完就走了。", "{who}得{errand}。"],
    "move": [
        "{who}想开个玩笑，把{thing}藏到了{spot}。", "趁没人看见，{who}把{thing}挪到了{spot}。",
        "“这一定很好玩。”{who}想，于是把{thing}藏在{spot}。",
    ],
    "look_first": [
        "不久，{who}回来看了看{spot}，可是{thing}已经不在那里了。",
        "“我明明放在{spot}的。”{who}回来后说，可是{thing}不见了。",
        "过了一会儿，{who}回到{spot}拿{thing}，却怎么也找不到。",
    ],
    "sorry": [
        "“对不起，{to:name}。”{who}说。", "“我不该那样做，请原谅我，{to:name}。”{who:name}说。",
        "{who}向{to:him}道了歉。",
    ],
    "forgive": [
        "“没关系，{to:name}。”{who}说。", "{who}不再怪{to:him}了。",
        "“我原谅你，{to:name}。”{who:name}说。",
    ],
    # broken and mended
    "borrow": [
        "“{to:name}，能让我拿一下你的{thing:noun}吗？”{who}问。",
        "{who}请{to:him}把{thing}借给自己一会儿。", "“我可以看看你的{thing:noun}吗？”{who}问{to:him}。",
    ],
    "drop": [
        "可是{who}没拿稳，把{thing}弄坏了。", "“哎呀”一声，{who}滑了一跤，弄坏了{thing}。",
        "{who}一不小心，把{thing}弄坏了。",
    ],
    "mend": [
        "{who}用{tool}修好了{thing}。", "{who}拿来{tool}，把{thing}修好了。",
        "就这样，{who}用{tool}把{thing}修好了。",
    ],
    "hide": [
        "{who}把{thing}藏在{spot}。", "{who}赶紧把{thing}藏到{spot}。",
        "{who}把{thing}放在{spot}，谁也看不见。",
    ],
    # wanted by two
    "snatch": [
        "突然，{who}从{to:him}手里抢走了{thing}。", "“我要这个！”{who}叫着，从{to:him}那里抢走了{thing}。",
        "{who}问也不问，就从{to:him}那儿拿走了{thing}。",
    ],
    "demand": [
        "“把{thing:noun}还给我！”{who}说。", "“那{thing:m}{thing:noun}是我的！”{who:name}叫道。",
        "{who}想马上要回{thing}。",
    ],
    "come": [
        "就在这时，{elder}走了过来。", "不一会儿，{elder}过来看看出了什么事。", "幸好{elder}就在附近。",
    ],
    "advise": [
        "“要先问一声，再一起分享。”{who}说。", "“好朋友之间要公平。”{who:name}说。",
        "“为什么不轮流来呢？”{who}和气地问。",
    ],
    "share": [
        "于是{who}和{to:name}一起分享了{thing}。", "{who}和{to:name}轮流来，{thing}一人一会儿。",
        "“轮到你了，{to:name}。”{who}说着，高高兴兴地分享了{thing}。",
    ],
    "share food": [
        "于是{who}把{thing}分成两半，一半给了{to:him}。", "{who}和{to:name}一起吃了{thing}。",
        "“一半给你，{to:name}。”{who}说着，把{thing}分了分。",
    ],
    "share drink": [
        "{who}和{to:name}一起喝完了{thing}。", "“我们一起喝吧，{to:name}。”{who}说，{thing}很快就喝完了。",
    ],
    # in need
    "need": ["{who}有点{need}。", "“我好{need}啊。”{who}说。", "{who}看起来很{need}。"],
    "offer": [
        "“你想要我的{thing:noun}吗，{to:name}？”{who}问。",
        "“我的{thing:noun}给你吧，{to:name}。”{who:name}说。", "{who}想了个主意，要把{thing}送给{to:him}。",
    ],
    "use food": ["{who}把{thing}吃光了。", "{who}咬了一口，不一会儿就把{thing}吃完了。"],
    "use drink": ["{who}把{thing}喝光了。", "{who}喝了一大口，不一会儿就把{thing}喝完了。"],
    "use clothes": ["有了{thing}，{who}一下子暖和了。", "{who}有了{thing}，不再发抖了。"],
    "use bedding": ["{who}靠着{thing}休息了一会儿。", "有了{thing}，{who}舒服多了。"],
    "use toy": ["{who}玩着{thing}，笑了起来。", "有了{thing}，{who}再也不闷了。"],
    "use keepsake": ["{who}看着{thing}，好像回到了家里。", "有{thing}在身边，{who}又笑了。"],
    "use light": ["{who}拿着{thing}，不再害怕了。", "有了{thing}，{who}就是在夜里也不怕了。"],
    # a birthday
    "birthday": [
        "今天是{name}的生日，{who:name}想给这{species:m}{trait}{species}一个惊喜。",
        "{who}有个朋友叫{name}，是一{species:m}{trait}{species}，今天过生日。",
    ],
    "arrive": ["不久，{who}来了。", "三点钟，{who}来参加聚会了。", "门铃响了，客人{who:name}到了。"],
    "wish": [
        "“生日快乐，{to:name}！”{who}说。", "{who}为{to:him}唱了生日歌。",
        "“我有个惊喜给你，{to:name}。”{who:name}说。",
    ],
    "guess": [
        "“是{noun}吗？”{who}问。不是。", "“但愿是一{noun:m}{noun}。”{who}说，可是没猜对。",
        "{who}猜是一{noun:m}{noun}，可是猜错了。",
    ],
    # an errand
    "elder_here": ["{elder}也在那里。", "{elder}正在那里忙着。"],
    "request": [
        "“{to:name}，请到{place}帮我拿一{noun:m}{adjective}{noun}来。”{who}说，“就在{spot}。”",
        "{who}请{to:him}去{place}，从{spot}取一{noun:m}{adjective}{noun}来。",
    ],
    "walk": ["于是{who}向{place}跑去。", "{who}直奔{place}。", "{who}马上去了{place}。"],
    "take": [
        "{who}在{spot}看到{thing}，拿了起来。", "{who}往{spot}一看，拿起了{thing}。",
        "没错，{thing}就在{spot}，{who}把它带上了。",
    ],
    "walk_back": ["然后{who}赶回了{place}。", "{who}带着它一路回到{place}。"],
    # the end
    "end_treat": [
        "后来，大家回家吃了{treat}。", "最后，大家一起吃了{treat}。", "那天晚上，每个人都吃到了{treat}。",
    ],
    "end_game": [
        "然后，大家一起{game}，直到该回家了。", "后来，大家{game}，玩了整整一天。",
        "大家一起{game}，笑个不停。",
    ],
    "end_friends": ["从那天起，他们成了最要好的朋友。", "这真是难忘的一天。", "最后，大家都笑着回家了。"],
    "end_lesson_lost": ["从那以后，{who}更爱惜自己的东西了。", "打那以后，{who}变得更仔细了。"],
    "end_lesson_sorry": ["说声对不起，事情就会好起来。", "知错能改，真好。"],
    "end_lesson_kind": ["帮助朋友是一件快乐的事。", "患难见真情。"],
    # a question
    "q_where": ["{thing}当时在哪里？在{spot}。", "大家是在哪里找到{thing}的？是在{spot}找到的。"],
    "q_finder": ["是谁找到了{thing}？是{who:name}。", "谁找到了{thing}？{who:name}找到的。"],
    "q_holder": ["现在{thing}在谁那里？在{who:name}那里。", "最后{thing}归了谁？归了{who:name}。"],
    "q_feeling": [
        "最后{who:name}心情怎么样？{who:she}很{feeling}。",
        "最后{who:name}很{feeling}吗？是的，{who:she}很{feeling}。",
    ],
    "q_breaker": ["是谁弄坏了{thing}？是{who:name}。"],
    "q_tool": ["{thing}是用什么修好的？是用{tool}修好的。"],
    "q_needy": ["一开始谁有点{need}？是{who:name}。"],
    "q_belief": [
        "{who:name}先去哪里找？{who:she}先去{spot}找。",
        "{who:name}以为东西在哪里？{who:she}以为在{spot}。",
    ],
    "q_birthday": ["谁过生日？{who:name}过生日。"],
    "q_place": ["{who:name}去了哪里？{who:she}去了{place}。"],
    "q_like": ["{thing:noun}是什么样的？是{adjective}。"],
}
# fmt: on


def inflect(argument, style, word, text):
    if style == "m":
        if argument == "species":
            return "个" if word in people.CHILDREN else "只"
        return things.MEASURE[word]
    if style == "at":
        return places.AT[word][1]
    return text


CHINESE = Language(
    words=LEXICON,
    pronouns={style: {"she": "她", "he": "他"} for style in ("", "him", "she")},
    the="",
    it="它",
    between="",
    gap="",
    inflect=inflect,
    forms=FORMS,
)
