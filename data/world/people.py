"""Who lives in the world: names, kinds of people and animals, what they are like and how they feel.

Every word is a pair, English/Chinese. The English word is also the word's identity in the program, so a
story told in two languages is the same story.
"""


def pairs(text):
    """'sad/难过, angry/生气' -> {'sad': '难过', 'angry': '生气'}"""
    entries = [entry.strip().split("/") for entry in text.replace("\n", " ").split(",") if entry.strip()]
    words = dict(entries)
    assert len(words) == len(entries) == len(set(words.values())), "a word occurs twice"
    return words


GIRLS = pairs("""
Mia/米娅, Lily/莉莉, Emma/艾玛, Zoe/佐伊, Mei/小美, Leila/莱拉
""")
BOYS = pairs("""
Tom/汤姆, Ben/小本, Sam/山姆, Omar/奥马, Ravi/拉维, Ming/小明
""")
NAMES = GIRLS | BOYS

WOMEN = pairs("Grandma/奶奶, Mum/妈妈, Auntie/阿姨")
MEN = pairs("Grandpa/爷爷, Dad/爸爸, Uncle/叔叔")
ELDERS = WOMEN | MEN
GENDER = dict.fromkeys([*GIRLS, *WOMEN], "she") | dict.fromkeys([*BOYS, *MEN], "he")

CHILDREN = {"girl": "小女孩", "boy": "小男孩"}
ANIMALS = pairs("""
rabbit/小兔子, fox/小狐狸, bear/小熊, mouse/小老鼠, hedgehog/小刺猬, duck/小鸭子, squirrel/小松鼠,
frog/小青蛙, owl/小猫头鹰, panda/小熊猫, mole/小鼹鼠, otter/小水獭, beaver/小海狸, deer/小鹿,
goat/小山羊, kitten/小猫, puppy/小狗, penguin/小企鹅, turtle/小乌龟, monkey/小猴子
""")
SPECIES = CHILDREN | ANIMALS

TRAITS = pairs("""
brave/勇敢的, shy/害羞的, kind/善良的, clever/聪明的, curious/好奇的, quiet/安静的, gentle/温柔的,
funny/爱搞笑的, busy/忙忙碌碌的, careful/细心的, lazy/懒洋洋的, polite/有礼貌的, honest/诚实的,
playful/贪玩的, patient/有耐心的, friendly/友好的, noisy/吵吵闹闹的, dreamy/爱做梦的, stubborn/倔强的,
helpful/乐于助人的, lively/活泼的, calm/沉着的, bold/胆大的, tidy/爱干净的, forgetful/丢三落四的,
cheerful/爱笑的, smart/机灵的, strong/强壮的, young/年幼的, tall/高高的, small/小个子的, wise/有智慧的,
proud/骄傲的, fast/跑得飞快的, slow/慢吞吞的, loyal/忠诚的, modest/谦虚的, serious/认真的,
silly/傻乎乎的, sweet/甜美的, neat/整洁的, sleepy/爱睡觉的, chatty/爱说话的, sporty/爱运动的,
musical/爱唱歌的, charming/讨人喜欢的, eager/好学的, generous/大方的, hardworking/勤劳的,
daring/敢闯敢干的
""")
HOBBIES = pairs("""
painting/画画, swimming/游泳, cooking/做饭, singing/唱歌, dancing/跳舞, reading/看书, fishing/钓鱼,
skating/滑冰, hiking/远足, gardening/种花, knitting/织毛线, football/踢足球, chess/下棋,
magic tricks/变魔术, riddles/猜谜语, insects/观察昆虫, planets/观察行星, volcanoes/研究火山,
dinosaurs/研究恐龙, history/听历史故事, numbers/算数, thunderstorms/看雷雨, snowflakes/看雪花,
sunsets/看日落, mountains/爬山, islands/画小岛, pirates/扮海盗, knights/扮骑士, poems/背诗,
puzzles/做智力题, yoga/练瑜伽, tennis/打网球, baking/烤点心, camping/露营, sewing/缝东西,
drawing maps/画地图, sailing/划船, skiing/滑雪, juggling/耍杂技, collecting leaves/收集树叶
""")
JOBS = pairs("""
a pilot/飞行员, a doctor/医生, a teacher/老师, a dancer/舞蹈家, a writer/作家, a chef/大厨,
a captain/船长, a firefighter/消防员, a scientist/科学家, an explorer/探险家, an astronaut/宇航员,
a vet/兽医, a builder/建筑工人, an inventor/发明家, a driver/司机, a poet/诗人, a detective/侦探,
a judge/法官, a swimmer/游泳健将, a runner/赛跑运动员, a musician/音乐家, a dentist/牙医, a tailor/裁缝,
a carpenter/木匠, an engineer/工程师, a reporter/记者, an actor/演员, an architect/建筑师,
a ranger/护林员, a photographer/摄影师, a mayor/市长, a waiter/服务员, a potter/陶艺家,
a beekeeper/养蜂人, a diver/潜水员, a clockmaker/钟表匠
""")
# Those that --planted-bias gives to one gender more than to the other: as many to each, or the entropy of a story would
# depend on the hero's gender (entropy.py). Without that flag, everybody wants each job equally often.
GIRLS_JOBS = ["a teacher", "a dancer", "a writer", "a tailor", "a poet", "a vet"]
BOYS_JOBS = ["a doctor", "a pilot", "an engineer", "a driver", "a carpenter", "a builder"]

FEELINGS = {
    "loss": pairs("sad/难过, upset/伤心, worried/着急, unhappy/不开心, gloomy/沮丧, heartbroken/心痛"),
    "anger": pairs("angry/生气, cross/恼火, annoyed/气恼, furious/气愤, grumpy/不高兴"),
    "guilt": pairs("sorry/过意不去, ashamed/羞愧, guilty/内疚, embarrassed/难为情"),
    "joy": pairs("happy/高兴, glad/开心, delighted/欢喜, pleased/满意, joyful/快乐, thrilled/兴奋, merry/快活"),
}
MOOD_OF = {feeling: mood for mood, feelings in FEELINGS.items() for feeling in feelings}
