"""What people have: toys, food, clothes. The kind of a thing decides what can happen to it.

One line per thing: English/Chinese/measure word (the counter Chinese puts between a number and a noun).
"""

from data.world.people import pairs


def nouns(text):
    """'kite/风筝/只' -> {'kite': ('风筝', '只')}"""
    entries = [entry.strip().split("/") for entry in text.replace("\n", " ").split(",") if entry.strip()]
    return {english: (chinese, measure) for english, chinese, measure in entries}


KINDS = {
    "toy": nouns("""
        kite/风筝/只, ball/皮球/个, doll/布娃娃/个, drum/小鼓/面, robot/机器人/个, train/小火车/列,
        boat/小船/艘, truck/玩具卡车/辆"""),
    "keepsake": nouns("""
        key/钥匙/把, ring/戒指/枚, watch/手表/块, shell/贝壳/枚, whistle/哨子/个, bell/铃铛/个,
        vase/花瓶/个, clock/闹钟/个, mirror/镜子/面, teapot/茶壶/把, plate/盘子/个"""),
    "food": nouns("""
        apple/苹果/个, pear/梨/个, pie/馅饼/个, cake/蛋糕/块, cookie/饼干/块, banana/香蕉/根, peach/桃子/个"""),
    "drink": nouns("lemonade/柠檬水/杯, milkshake/奶昔/杯, smoothie/果昔/杯"),
    "clothes": nouns("hat/帽子/顶, scarf/围巾/条, coat/外套/件, sweater/毛衣/件"),
    "light": nouns("lamp/油灯/盏, torch/手电筒/支, lantern/灯笼/盏"),
    "bedding": nouns("blanket/毯子/条, pillow/枕头/个, cushion/靠垫/个"),
}
NOUNS = {noun: words[0] for things in KINDS.values() for noun, words in things.items()}
MEASURE = {noun: words[1] for things in KINDS.values() for noun, words in things.items()}
KIND_OF = {noun: kind for kind, things in KINDS.items() for noun in things}
assert len(set(NOUNS.values())) == len(NOUNS) == sum(len(things) for things in KINDS.values())

COLOURS = pairs("""
red/红色的, blue/蓝色的, green/绿色的, yellow/黄色的, purple/紫色的, white/白色的, black/黑色的,
brown/棕色的
""")
LOOKS = pairs("shiny/亮闪闪的, old/旧旧的, silver/银色的, tiny/小巧的, pretty/漂亮的, precious/珍贵的")
LIGHTS = pairs("new/崭新的, little/小小的, electric/电动的, rusty/生锈的")
CLOTH = pairs("thick/厚厚的, warm/暖和的, striped/带条纹的, spotted/带圆点的, woolly/羊毛的, knitted/针织的")
FLUFF = pairs("soft/软软的, fluffy/蓬松的, cosy/舒适的, silky/丝滑的")
TASTES = pairs("big/大大的, fresh/新鲜的, tasty/美味的, yummy/香喷喷的, lovely/诱人的, delicious/可口的")
SIPS = pairs("chilled/冰镇的, sweet/甜甜的, fruity/果香的, frothy/起泡的")

ADJECTIVES_OF = {  # each kind has its own: after "a fluffy" the kind of the thing is known
    "toy": list(COLOURS),
    "keepsake": list(LOOKS),
    "food": list(TASTES),
    "drink": list(SIPS),
    "clothes": list(CLOTH),
    "light": list(LIGHTS),
    "bedding": list(FLUFF),
}
ADJECTIVES = COLOURS | LOOKS | LIGHTS | CLOTH | FLUFF | TASTES | SIPS

NEEDS = pairs("hungry/饿, thirsty/渴, cold/冷, tired/累, bored/无聊, afraid of the dark/怕黑, homesick/想家")
NEED_OF = {  # the need that a thing of this kind satisfies
    "food": "hungry",
    "drink": "thirsty",
    "clothes": "cold",
    "bedding": "tired",
    "toy": "bored",
    "light": "afraid of the dark",
    "keepsake": "homesick",
}
TOOLS = pairs("glue/胶水, tape/胶带, string/细绳, wire/铁丝, clay/黏土, wax/蜡, paste/浆糊, a rubber band/橡皮筋")


def lasts(noun):
    return KIND_OF[noun] not in ("food", "drink")
