"""Where events happen and where things can be. Any spot can be in any place, so a place gives no hint about a spot."""

from data.world.people import pairs

PLACES = pairs("""
the kitchen/厨房, the bedroom/卧室, the garden/花园, the park/公园, the forest/森林, the beach/海滩, the school/学校,
the farm/农场
""")
AT = {place: (f"in {place}", f"{chinese}里") for place, chinese in PLACES.items()}
AT |= {"the beach": ("on the beach", "海滩上"), "the farm": ("on the farm", "农场里")}
AT |= {"the school": ("at the school", "学校里")}
SPOTS = pairs("""
under the bench/长椅下面, in the basket/篮子里, on the table/桌子上, inside the box/箱子里面,
behind the barrel/木桶后面, near the ladder/梯子附近, beside the bucket/水桶旁边, between the chairs/两把椅子中间
""")

WEATHERS = pairs("""
sunny/阳光明媚的, windy/微风习习的, cloudy/多云的, warm/温暖的, cold/寒冷的, bright/晴朗的,
misty/雾蒙蒙的, quiet/宁静的, lovely/美好的, fine/天气不错的, chilly/凉飕飕的, golden/金灿灿的,
rainy/下过雨的, snowy/下过雪的, cool/凉爽的, grey/灰蒙蒙的, fresh/清新的, stormy/刮大风的,
mild/不冷不热的, peaceful/祥和的
""")
DAYPARTS = pairs("morning/早晨, afternoon/下午, day/日子, evening/傍晚")
ERRANDS = pairs("""
home for lunch/回家吃午饭, home to fetch a coat/回家拿外套, to get some water/去打水,
to wash some apples/去洗苹果, to buy some bread/去买面包, to feed the ducks/去喂鸭子,
to help a neighbour/去帮邻居的忙, to post a card/去寄明信片, to pick some flowers/去摘花,
to look at the clouds/去看云, to call a cousin/去给表弟打电话, to fill a bottle/去灌一瓶水,
to visit the dentist/去看牙医, to water the plants/去浇花, to say hello to a pony/去跟小马打招呼,
to watch a parade/去看游行
""")
SIGHTS = pairs("""
a butterfly/一只蝴蝶, a snail/一只蜗牛, a rainbow/一道彩虹, a ladybird/一只瓢虫, a robin/一只知更鸟,
a beetle/一只甲虫, a sparrow/一只麻雀, a spider/一只蜘蛛, a cricket/一只蟋蟀, a dragonfly/一只蜻蜓,
a bumblebee/一只熊蜂, a pigeon/一只鸽子, a lizard/一只壁虎, a caterpillar/一条毛毛虫, an ant/一只蚂蚁,
a crow/一只乌鸦, a swallow/一只燕子, a moth/一只飞蛾, a magpie/一只喜鹊,
a dragon in the clouds/一朵像龙的云, a sleepy dog/一只打瞌睡的狗, a black hen/一只黑母鸡,
a horse/一匹马, a cow/一头牛, a sheep/一只绵羊, a donkey/一头驴, a peacock/一只孔雀, a swan/一只天鹅,
a goose/一只大鹅, a bus/一辆公共汽车, a tram/一辆电车, a bicycle/一辆自行车, a fire engine/一辆消防车,
a balloon/一个气球, a flag/一面旗子, a statue/一座雕像, a windmill/一座风车, a church/一座教堂,
a puddle/一个水坑, a snowman/一个雪人, a sunflower/一朵向日葵, a tulip/一朵郁金香, a violet/一朵紫罗兰,
a cactus/一棵仙人掌, a clown/一个小丑, a policeman/一位警察, a sailor/一位水手, a singer/一位歌手,
a magician/一位魔术师, a juggler/一位杂耍艺人, a painter/一位画家, a doctor/一位医生,
a postman/一位邮递员, a shadow/一个影子, a feather in the air/一片飘着的羽毛, a parrot/一只鹦鹉,
a seagull/一只海鸥, a woodpecker/一只啄木鸟, a heron/一只苍鹭, a toad/一只蟾蜍, a worm/一条蚯蚓,
a bat/一只蝙蝠, a weasel/一只黄鼠狼, a camel/一头骆驼, a stork/一只鹳, a raccoon/一只浣熊,
a hamster/一只仓鼠, a falcon/一只猎鹰, a grasshopper/一只蚱蜢, a lighthouse/一座灯塔, a ladder/一架梯子,
a scarecrow/一个稻草人, a pinecone/一颗松果, a daffodil/一朵水仙花, a rosebush/一丛玫瑰, a lorry/一辆货车,
a taxi/一辆出租车, a barber/一位理发师, a librarian/一位图书管理员, a plumber/一位水管工,
a violinist/一位小提琴手, a pink cloud/一朵粉色的云, a silver moon/一弯银色的月亮,
a tortoise/一只陆龟, a flamingo/一只火烈鸟, an orchid/一株兰花, a postbox/一个邮筒,
a glider/一架滑翔机, a hydrant/一个消防栓,
a nurse/一位护士, a baker/一位面包师, a farmer/一位农夫, a gardener/一位园丁, a fisherman/一位渔夫,
a cyclist/一位骑车的人, an ostrich/一只鸵鸟, a badger/一只獾, a pelican/一只鹈鹕, a chestnut/一颗栗子,
a maple leaf/一片枫叶, a suitcase/一个手提箱, a wagon/一辆马车, a rowing boat/一条划艇, a canoe/一条独木舟,
a sundial/一个日晷
""")
TREATS = pairs("""
noodles/面条, dumplings/饺子, strawberries/草莓, popcorn/爆米花, corn/玉米, rice cakes/年糕,
grapes/葡萄, cherries/樱桃, toast/烤面包, chocolate/巧克力, pudding/布丁, ice cream/冰淇淋,
potatoes/土豆, roasted nuts/炒坚果, meatballs/肉丸子, honey/蜂蜜, salad/沙拉, pasta/意大利面,
fried rice/炒饭, beans/豆子, omelettes/煎蛋卷, cheese/奶酪, tomatoes/西红柿, raspberries/树莓,
blueberries/蓝莓, oranges/橘子, lemons/柠檬糖, watermelon/西瓜, pineapple/菠萝, coconut/椰子,
jelly/果冻, waffles/华夫饼, doughnuts/甜甜圈, biscuits/苏打饼, crackers/薄脆饼, yoghurt/酸奶,
curry/咖喱饭, tofu/豆腐, mushrooms/蘑菇, spinach/菠菜, peas/豌豆, walnuts/核桃, raisins/葡萄干,
gingerbread/姜饼, lollipops/棒棒糖, plums/李子, mangoes/芒果, buns with jam/果酱面包,
pancakes/薄煎饼, pretzels/椒盐卷饼, nectarines/油桃, sandwiches/三明治, carrots/胡萝卜, pizza/披萨
""")
GAMES = pairs("""
played hide-and-seek/捉迷藏, danced/跳舞, sang songs/唱歌, climbed trees/爬树, jumped in puddles/踩水坑,
told jokes/讲笑话, drew pictures/画画, built a den/搭小窝, skipped stones/打水漂, ran races/赛跑,
rolled down the hill/滚草坡, counted the stars/数星星, made paper planes/折纸飞机,
chased bubbles/追泡泡, read stories/读故事, played football/踢足球, played chess/下棋,
blew dandelions/吹蒲公英, acted out a play/演小戏, hopped like frogs/学青蛙跳, whistled tunes/吹口哨,
solved riddles/猜谜语, watched the clouds/看云, threw snowballs/打雪仗, dug for treasure/挖宝藏,
made daisy chains/编花环, looked for insects/找昆虫, flew balloons/放气球, played the piano/弹钢琴,
baked biscuits/烤饼干, learned a poem/背诗, did magic tricks/变魔术, pretended to be pirates/扮海盗,
juggled lemons/抛柠檬, spun round and round/转圈圈, practised handstands/练倒立
""")
