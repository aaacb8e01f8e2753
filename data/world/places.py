"""Where things happen: every place has six spots where a thing can lie, so no place gives a guess away.

One line per place: English, English with its preposition, Chinese, Chinese with its postposition; then the spots.
"""

from data.world.people import pairs

_TABLE = """
the kitchen|in the kitchen|厨房|厨房里|under the table/桌子底下, in the cupboard/橱柜里, behind the stove/炉子后面, beside the sink/水槽旁边, on the fridge/冰箱顶上, in the drawer/抽屉里
the bedroom|in the bedroom|卧室|卧室里|under the bed/床底下, in the wardrobe/衣柜里, behind the curtain/窗帘后面, beside the desk/书桌旁边, on the windowsill/窗台上, in the slippers/拖鞋里
the attic|in the attic|阁楼|阁楼里|in the old trunk/旧箱子里, behind the chimney/烟囱后面, under the blankets/毯子堆底下, beside the ladder/梯子旁边, on the beam/横梁上, in the dusty corner/积灰的角落里
the garden|in the garden|花园|花园里|under the apple tree/苹果树下, behind the shed/小木屋后面, in the wheelbarrow/手推车里, beside the pond/池塘边, among the roses/玫瑰丛中, in the watering can/洒水壶里
the park|in the park|公园|公园里|under the bench/长椅下面, behind the fountain/喷泉后面, in the bushes/灌木丛里, beside the swing/秋千旁边, on the slide/滑梯上, near the gate/大门附近
the forest|in the forest|森林|森林里|under the oak tree/橡树下, in the hollow log/空树干里, behind the big rock/大石头后面, beside the stream/小溪边, among the mushrooms/蘑菇丛中, under the ferns/蕨叶下面
the beach|on the beach|海滩|海滩上|under the umbrella/遮阳伞下, in the sandcastle/沙堡里, behind the dune/沙丘后面, beside the rock pool/岩石水洼边, on the towel/浴巾上, in the bucket/水桶里
the school|at the school|学校|学校里|under the chair/椅子下面, in the schoolbag/书包里, behind the blackboard/黑板后面, beside the globe/地球仪旁边, on the teacher's desk/讲台上, in the locker/储物柜里
the library|in the library|图书馆|图书馆里|behind the bookshelf/书架后面, under the stairs/楼梯下面, in the reading corner/阅读角里, beside the computer/电脑旁边, on the top shelf/书架最上层, among the magazines/杂志堆里
the farm|on the farm|农场|农场里|under the tractor/拖拉机底下, in the barn/谷仓里, behind the haystack/干草堆后面, beside the well/水井边, on the fence/篱笆上, in the henhouse/鸡舍里
the market|at the market|集市|集市上|under the stall/货摊底下, in the flower cart/花车里, behind the barrels/木桶后面, beside the scales/秤旁边, among the pumpkins/南瓜堆里, in the crate/木箱里
the station|at the station|车站|车站里|under the seat/座位底下, in the waiting room/候车室里, behind the ticket office/售票处后面, beside the timetable/时刻表旁边, on the platform/站台上, in the suitcase/行李箱里
the harbour|at the harbour|港口|港口|under the fishing net/渔网下面, in the rowing boat/划艇里, behind the lighthouse/灯塔后面, beside the anchor/船锚旁边, on the pier/码头上, among the ropes/缆绳堆里
the meadow|in the meadow|草地|草地上|under the daisies/雏菊丛下, in the tall grass/高高的草丛里, behind the hedge/树篱后面, beside the path/小路边, near the beehive/蜂箱附近, among the poppies/罂粟花丛中
the river|by the river|河边|河边|under the bridge/桥下, in the reeds/芦苇丛里, behind the willow/柳树后面, beside the jetty/栈桥旁边, on the sandbank/沙洲上, among the pebbles/鹅卵石堆里
the orchard|in the orchard|果园|果园里|under the pear tree/梨树下, in the fruit basket/果篮里, behind the stone wall/石墙后面, beside the scarecrow/稻草人旁边, on the low branch/矮树枝上, among the fallen leaves/落叶堆里
the castle|in the castle|城堡|城堡里|under the throne/宝座下面, in the tower/塔楼里, behind the armour/盔甲后面, beside the fireplace/壁炉旁边, on the balcony/阳台上, in the treasure chest/宝箱里
the treehouse|in the treehouse|树屋|树屋里|under the rug/地毯下面, in the hanging basket/吊篮里, behind the door/门后面, beside the rope ladder/绳梯旁边, on the roof/屋顶上, in the toy box/玩具箱里
the greenhouse|in the greenhouse|温室|温室里|under the tomato plants/番茄藤下, in the clay pot/陶盆里, behind the cactus/仙人掌后面, beside the hose/水管旁边, on the workbench/工作台上, among the seedlings/幼苗丛中
the campsite|at the campsite|营地|营地里|under the hammock/吊床底下, in the tent/帐篷里, behind the backpack/背包后面, beside the campfire/篝火旁边, on the picnic rug/野餐垫上, in the sleeping bag/睡袋里
the playground|in the playground|操场|操场上|under the seesaw/跷跷板下面, in the sandpit/沙坑里, behind the climbing frame/攀爬架后面, beside the goal/球门旁边, on the roundabout/转盘上, in the tunnel/隧道里
the workshop|in the workshop|工坊|工坊里|under the sawdust/锯末堆下, in the toolbox/工具箱里, behind the paint pots/油漆罐后面, beside the broom/扫帚旁边, on the stool/凳子上, among the planks/木板堆里
"""

PLACES, AT, SPOTS, SPOTS_OF = {}, {}, {}, {}
for _line in _TABLE.strip().splitlines():
    _place, _at, _chinese, _chinese_at, _spots = _line.split("|")
    PLACES[_place] = _chinese
    AT[_place] = (_at, _chinese_at)
    SPOTS_OF[_place] = list(pairs(_spots))
    SPOTS |= pairs(_spots)
assert all(len(spots) == 6 for spots in SPOTS_OF.values()) and len(set(SPOTS.values())) == 6 * len(PLACES)

WEATHERS = pairs("""
sunny/阳光明媚的, windy/微风习习的, cloudy/多云的, warm/温暖的, cold/寒冷的, bright/晴朗的, misty/雾蒙蒙的, quiet/宁静的,
lovely/美好的, fine/天气不错的, chilly/凉飕飕的, golden/金灿灿的
""")
DAYPARTS = pairs("morning/早晨, afternoon/下午, day/日子, evening/傍晚")
ERRANDS = pairs("""
home for lunch/回家吃午饭, home to fetch a coat/回家拿外套, to get some water/去打水, to wash some apples/去洗苹果,
to buy some bread/去买面包, to feed the ducks/去喂鸭子, to help a neighbour/去帮邻居的忙, to post a card/去寄明信片,
to pick some flowers/去摘花, to look at the clouds/去看云
""")
SIGHTS = pairs("""
a butterfly/一只蝴蝶, a snail/一只蜗牛, a rainbow/一道彩虹, a ladybird/一只瓢虫, a robin/一只知更鸟, a beetle/一只甲虫,
a sparrow/一只麻雀, a spider/一只蜘蛛, a cricket/一只蟋蟀, a dragonfly/一只蜻蜓, a bumblebee/一只蜜蜂, a pigeon/一只鸽子,
a lizard/一只壁虎, a caterpillar/一条毛毛虫, an ant/一只蚂蚁, a crow/一只乌鸦, a swallow/一只燕子, a moth/一只飞蛾,
a magpie/一只喜鹊, a cloud like a dragon/一朵像龙的云, a cloud like a whale/一朵像鲸鱼的云, a white cat/一只白猫,
a sleepy dog/一只打瞌睡的狗, a black hen/一只黑母鸡
""")
TREATS = pairs("""
noodles/面条, dumplings/饺子, strawberries/草莓, popcorn/爆米花, corn/玉米, rice cakes/年糕, grapes/葡萄, cherries/樱桃,
toast/烤面包, chocolate/巧克力, pudding/布丁, ice cream/冰淇淋, potatoes/土豆, roasted nuts/炒坚果, meatballs/肉丸子, honey cakes/蜂蜜蛋糕
""")
GAMES = pairs("""
played hide-and-seek/捉迷藏, danced/跳舞, sang songs/唱歌, climbed trees/爬树, jumped in puddles/踩水坑, told jokes/讲笑话,
drew pictures/画画, built a den/搭小窝, skipped stones/打水漂, ran races/赛跑, rolled down the hill/滚草坡, counted the stars/数星星,
made paper planes/折纸飞机, chased bubbles/追泡泡, played cards/打牌, read stories/读故事
""")
