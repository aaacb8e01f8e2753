"""The words and sentence forms of the reviews, in English and Chinese."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReviewWords:
    good: list  # about a thing; on `easy` these words show the label
    bad: list
    middling: list  # neither good nor bad
    happy: list  # about a person; `hard` uses feelings, as the stories do
    unhappy: list
    people: list  # who can have an opinion
    dish: list
    toy: list
    company: list
    day: list
    topics: dict  # topic -> (opening sentences, the sides that are judged)
    plain: list  # (form, True): the writer means the word
    twins: list  # (form, does the writer mean the word?), each next to its twin with the opposite meaning
    gap: str  # between two sentences


def words(text):
    return text.split()


ENGLISH = ReviewWords(
    good=words("""
        wonderful great lovely charming delightful brilliant excellent superb pleasant amazing perfect
        marvellous beautiful splendid fantastic nice
    """),
    bad=words("""
        awful terrible dreadful horrible boring poor ugly disappointing bad dull unpleasant dreary
        hopeless miserable nasty weak
    """),
    middling=words("okay average ordinary middling passable fair so-so usual"),
    happy=words("happy glad delighted pleased thrilled joyful cheerful"),
    unhappy=words("unhappy upset angry annoyed cross furious gloomy grumpy"),
    people=words("brother sister friend uncle aunt cousin teacher neighbour grandfather grandmother"),
    dish=words("noodles dumplings pancakes pies sandwiches potatoes strawberries waffles muffins cherries"),
    toy=words("kite ball doll drum robot train boat puzzle rocket truck dinosaur scooter wagon guitar"),
    company=[
        "with my family",
        "with a friend",
        "on my own",
        "with my class",
        "with my cousins",
        "with our neighbours",
    ],
    day=words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    topics={
        "film": (
            [
                "On {day} I saw a film about a {trait} {species}.",
                "We watched a film about a {species} from far away.",
                "I saw the new film {company}.",
                "The film was about a {species} in {place}.",
            ],
            ["the story", "the music", "the ending", "the singing", "the beginning", "the dancing"],
        ),
        "meal": (
            [
                "On {day} I ate {dish} {company}.",
                "We had {dish} for dinner.",
                "I went out for {dish} on {day}.",
                "We went to eat {company}.",
            ],
            ["the food", "the service", "the smell", "the soup", "the cake", "the tea"],
        ),
        "toy": (
            [
                "I got a {toy} on {day}.",
                "We bought a {toy} for the holidays.",
                "On my birthday I got a new {toy}.",
                "I played with the {toy} {company}.",
            ],
            ["the colour", "the shape", "the sound", "the box", "the look", "the feel"],
        ),
        "place": (
            [
                "On {day} I went to {place}.",
                "We spent a day at the new park {company}.",
                "I went to {place} {company}.",
                "Last {day} we visited {place}.",
            ],
            ["the view", "the walk", "the way there", "the food", "the music", "the playground"],
        ),
    },
    plain=[
        ("I found {side} {word}.", True),
        ("For me, {side} was {word}.", True),
        ("I must say that {side} was {word}.", True),
        ("In my opinion {side} was {word}.", True),
        ("I thought {side} was really {word}.", True),
    ],
    twins=[
        ("It is true that {side} made me {word}.", True),
        ("It is not true that {side} made me {word}.", False),
        ("I thought I would be {word} about {side}, and so I was.", True),
        ("I thought I would be {word} about {side}, but it was the opposite.", False),
        ("My {person} was {word} about {side}, and so was I.", True),
        ("My {person} was {word} about {side}, but I felt the opposite.", False),
        ("My {person} said I would be {word} about {side}, and that was right.", True),
        ("My {person} said I would be {word} about {side}, but that was wrong.", False),
        ("I felt {word} about {side} in the end, but not at first.", True),
        ("I felt {word} about {side} at first, but not in the end.", False),
        ("Was I {word} about {side}? Yes, I was.", True),
        ("Was I {word} about {side}? No, just the opposite.", False),
        ("Like everyone, I was {word} about {side}.", True),
        ("Unlike me, everyone was {word} about {side}.", False),
        ("If you think that {side} made me {word}, you are right.", True),
        ("If you think that {side} made me {word}, you are wrong.", False),
    ],
    gap=" ",
)

CHINESE = ReviewWords(
    good=words("""
        很棒 很出色 很美妙 很迷人 很完美 很精彩 很讨人喜欢 很了不起 很美好 很舒服 很有意思 很优秀
        很动人 很让人满意 很不错 很好
    """),
    bad=words("""
        很糟糕 很差劲 很难看 很无聊 很可怕 很讨厌 很乏味 很失败 很让人失望 很没劲 很糟 很粗糙 很别扭
        很烦人 很差 很沉闷
    """),
    middling=words("一般 普通 平平常常 马马虎虎 还过得去 不好也不坏 中规中矩 没什么特别"),
    happy=words("高兴 开心 欢喜 满意 快乐 兴奋 愉快"),
    unhappy=words("不高兴 不开心 伤心 沮丧 生气 恼火 气恼 气愤"),
    people=words("哥哥 姐姐 弟弟 妹妹 朋友 叔叔 阿姨 表哥 老师 邻居 爷爷 奶奶"),
    dish=words("面条 饺子 煎饼 馅饼 三明治 土豆 草莓 松饼 包子 樱桃"),
    toy=words("风筝 皮球 布娃娃 小鼓 机器人 小火车 小船 拼图 玩具火箭 玩具卡车 玩具恐龙 滑板车 小推车 小吉他"),
    company=words("和家人 和朋友 一个人 和全班同学 和表弟 和邻居"),
    day=words("星期一 星期二 星期三 星期四 星期五 星期六 星期天"),
    topics={
        "film": (
            [
                "{day}，我看了一部电影，讲的是{trait}{species}的故事。",
                "我们看了一部关于{species}的电影。",
                "我{company}去看了那部新电影。",
                "电影讲的是{species}在{place}的故事。",
            ],
            ["故事", "音乐", "结尾", "歌声", "开头", "舞蹈"],
        ),
        "meal": (
            [
                "{day}，我{company}吃了{dish}。",
                "晚饭我们吃了{dish}。",
                "{day}，我去外面吃了{dish}。",
                "我{company}去吃了一顿饭。",
            ],
            ["饭菜", "服务", "味道", "汤", "点心", "环境"],
        ),
        "toy": (
            [
                "{day}，我得到了一个新玩具：{toy}。",
                "我们买了{toy}过节。",
                "生日那天，我收到了{toy}。",
                "我{company}一起玩了{toy}。",
            ],
            ["颜色", "形状", "声音", "包装", "样子", "手感"],
        ),
        "place": (
            [
                "{day}，我去了{place}。",
                "我{company}在新公园待了一天。",
                "我{company}去了{place}。",
                "上个{day}，我们去{place}玩。",
            ],
            ["风景", "小路", "空气", "吃的", "音乐", "游乐设施"],
        ),
    },
    plain=[
        ("我觉得{side}{word}。", True),
        ("对我来说，{side}{word}。", True),
        ("我得说，{side}{word}。", True),
        ("在我看来，{side}{word}。", True),
        ("说实话，{side}真的{word}。", True),
    ],
    twins=[
        ("说{side}让我很{word}，一点没错。", True),
        ("说{side}让我很{word}，那可不对。", False),
        ("我以为{side}会让我很{word}，果然如此。", True),
        ("我以为{side}会让我很{word}，结果正相反。", False),
        ("{side}让我{person}很{word}，我也是。", True),
        ("{side}让我{person}很{word}，我却相反。", False),
        ("我{person}说{side}会让我很{word}，说对了。", True),
        ("我{person}说{side}会让我很{word}，说错了。", False),
        ("说起{side}，后来我很{word}，一开始可没有。", True),
        ("说起{side}，一开始我很{word}，后来可没有。", False),
        ("{side}让我很{word}吗？是的。", True),
        ("{side}让我很{word}吗？恰恰相反。", False),
        ("{side}让大家都很{word}，我也不例外。", True),
        ("{side}让大家都很{word}，只有我例外。", False),
        ("你要是猜{side}让我很{word}，那就猜对了。", True),
        ("你要是猜{side}让我很{word}，那就猜错了。", False),
    ],
    gap="",
)

WORDS = {"en": ENGLISH, "zh": CHINESE}
