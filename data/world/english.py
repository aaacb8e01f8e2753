"""The story told in English: the words, and a few ways to say each event.

{who} may be a name or "she"; {to:him} a name or "her"; {who:her} is "her" or "his"; {noun:a} gets its article.
"""

from data.world import places
from data.world.lexicon import LEXICON
from data.world.telling import Language

# fmt: off
FORMS = {
    # the beginning
    "hero": [
        "Once there was {species:a} called {name}, who was very {trait}.",
        "Once upon a time, there was {trait:a} {species} named {name}.",
        "Here is a story about {name}, {trait:a} {species}.",
        "This is the story of {name}, {trait:a} {species}.", "Do you know {name}, the {trait} {species}?",
    ],
    "like": [
        "{who} loved {hobby}.", "{who} liked {hobby} best of all.", "What {who} liked best was {hobby}.",
    ],
    "dream": ["{who} wanted to be {job} one day.", "{who} dreamed of being {job}."],
    "go": [
        "One {weather} {daypart}, {who} went to {place}.", "{who} went to {place} one {weather} {daypart}.",
        "It was {weather:a} {daypart}, and {who} was {place:at}.",
        "On {weather:a} {daypart}, {who} walked to {place}.",
    ],
    "see": [
        "On the way, {who} saw {sight}.", "{who} had seen {sight} on the way.",
        "{who} stopped on the way to look at {sight}.",
    ],
    "have": [
        "{who} had {adjective:a} {noun}.", "{who} was carrying {adjective:a} {noun}.",
        "{who} had brought {adjective:a} {noun}.", "{who} was looking after {adjective:a} {noun}.",
    ],
    "meet": [
        "There {who} met {name}, {trait:a} {species}.", "Then {who} met {trait:a} {species} called {name}.",
        "{trait:a} {species} was there too, and {who} said hello. It was {name}.",
    ],
    "greet": [
        '"Hello, {to:name}!" said {who:name}.', '"Good to see you, {to:name}," {who} said.',
        "{who} smiled and waved to {to:him}.", '"Shall we do something together?" {who} asked {to:him}.',
    ],
    "admire": [
        '"What a nice {thing:noun}!" {who} said.', '"I like your {thing:noun}," said {who:name}.',
        "{who} looked at {thing} with big eyes.", '"Where did you get that {thing:noun}?" {who} asked.',
    ],
    # lost and found
    "lose": [
        "But suddenly {who} could not find {thing} anywhere.",
        "But when {who} looked again, {thing} was gone.", '"Oh no! My {thing:noun} is gone!" {who} cried.',
        "A little later, {who} lost {thing}.",
    ],
    "feel": [
        "{who} was {feeling}.", "{who} felt very {feeling}.", "Oh, how {feeling} {who} was!",
        "This made {who:him} {feeling}.",
    ],
    "search": [
        "{who} looked {spot}, but {thing} was not there.",
        "{who} searched {spot} and did not find {thing}.",
        '"Is it {spot}?" {who} wondered, but {thing} was not there.',
    ],
    "ask": [
        '"Have you seen my {thing:noun}?" {who} asked {to:him}.',
        '"Do you know where my {thing:noun} is, {to:name}?" {who} asked.',
        "{who} asked {to:him} about {thing}.",
    ],
    "no_idea": [
        '"No," said {who:name}, "but I will help you."',
        '"I have not seen it," {who} said. "Let us look together."',
        "{who} did not know, but wanted to help.",
    ],
    "tell": [
        '"Look {spot}," {who} said. "The {thing:noun} is there."',
        '"The {thing:noun} is {spot}," said {who:name}.',
        '{who} smiled. "You will find the {thing:noun} {spot}."',
    ],
    "find": [
        "At last, {who} found {thing} {spot}.", "{who} looked {spot}, and there was {thing}!",
        '"Here it is!" {who} cried. {thing} was {spot}.',
    ],
    "give": [
        "{who} gave {thing} to {to:him}.", "{who} handed {thing} to {to:him}.",
        '"Here is the {thing:noun}," {who} said, and gave it to {to:him}.',
    ],
    "give_back": [
        "{who} gave {thing} back to {to:him}.", '"Here is your {thing:noun}, {to:name}," {who} said.',
        "So {who} brought {thing} back to {to:him}.",
    ],
    "thank": [
        '"Thank you, {to:name}!" said {who:name}.', '"You are so kind, {to:name}," {who} said.',
        "{who} thanked {to:him} with a big hug.",
    ],
    # a joke
    "put": [
        "{who} put {thing} down {spot}.", "{who} left {thing} {spot}.",
        '"My {thing:noun} will be safe {spot}," {who} said, and left it there.',
    ],
    "leave": [
        "Then {who} went {errand}.", '"I am going {errand}," {who} said, and off {who} went.',
        "{who} had to go {errand}.",
    ],
    "move": [
        "For a joke, {who} moved {thing} and hid it {spot}.",
        "While nobody was looking, {who} put {thing} {spot}.",
        '"This will be funny," {who} thought, and hid {thing} {spot}.',
    ],
    "look_first": [
        "Soon {who} came back and looked {spot}, but {thing} was not there any more.",
        '"I left it {spot}," {who} said after coming back, but {thing} was gone.',
        "When {who} came back to get {thing} {spot}, it had disappeared.",
    ],
    "sorry": [
        '"I am sorry, {to:name}," {who} said.',
        '"I should not have done that," said {who:name}. "Please forgive me, {to:name}."',
        "{who} said sorry to {to:him}.",
    ],
    "forgive": [
        '"That is all right, {to:name}," {who} said.', "{who} was not cross with {to:him} any more.",
        '"I forgive you, {to:name}," said {who:name}.',
    ],
    # broken and mended
    "borrow": [
        '"May I hold your {thing:noun}, {to:name}?" {who} asked.',
        "{who} asked {to:him} to lend out {thing} for a moment.",
        '"Can I look at your {thing:noun}?" {who} asked {to:him}.',
    ],
    "drop": [
        "But {who} dropped {thing} and damaged it.", "Oh dear! {who} slipped and damaged {thing}.",
        "{who} was not careful enough and damaged {thing}.",
    ],
    "mend": [
        "{who} mended {thing} with {tool}.", "With {tool}, {who} fixed {thing}.",
        "{who} took {tool} and repaired {thing}.",
    ],
    "hide": [
        "{who} hid {thing} {spot}.", "Quickly {who} hid {thing} {spot}.",
        "{who} put {thing} {spot}, where nobody would see it.",
    ],
    # wanted by two
    "snatch": [
        "Then {who} snatched {thing} away from {to:him}.",
        '"I want it!" {who} cried, and took {thing} from {to:him}.',
        "Without asking, {who} grabbed {thing} from {to:him}.",
    ],
    "demand": [
        '"Give me back my {thing:noun}!" {who} said.', '"That {thing:noun} is mine!" cried {who:name}.',
        "{who} wanted {thing} back at once.",
    ],
    "come": [
        "Just then {elder} came by.", "Soon {elder} came over to see what was wrong.",
        "Luckily {elder} was near.",
    ],
    "advise": [
        '"Always ask first, and then share," {who} said.',
        '"Friends should be fair to each other," said {who:name}.',
        '"Why not take turns?" {who} asked kindly.',
    ],
    "share": [
        "Then {who} shared {thing} with {to:him}.", "{who} and {to:name} took turns with {thing}.",
        '"You can have a turn, {to:name}," {who} said, and they shared the {thing:noun}.',
    ],
    "share food": [
        "Then {who} cut {thing} in two, one half for {to:him}.",
        "{who} and {to:name} ate {thing} together.",
        '"Half for you, {to:name}," {who} said, and they ate the {thing:noun}.',
    ],
    "share drink": [
        "{who} and {to:name} drank {thing} together.",
        '"Let us both drink, {to:name}," {who} said, and soon the {thing:noun} was finished.',
    ],
    # in need
    "need": ["{who} was {need}.", '"I am so {need}," {who} said.', "{who} looked {need}."],
    "offer": [
        '"Would you like my {thing:noun}, {to:name}?" {who} asked.',
        '"You can have my {thing:noun}, {to:name}," said {who:name}.',
        "{who} had an idea and offered {thing} to {to:him}.",
    ],
    "use food": ["{who} ate {thing} up.", "{who} took a bite, and soon {thing} was all gone."],
    "use drink": ["{who} drank {thing} up.", "{who} took a long drink, and soon {thing} was empty."],
    "use clothes": [
        "{who} put on {thing} and was warm again.", "Wrapped in {thing}, {who} stopped shivering.",
    ],
    "use bedding": [
        "{who} lay down with {thing} for a little rest.",
        "{who} cuddled up with {thing} and felt much better.",
    ],
    "use toy": ["{who} played with {thing} and laughed.", "With {thing}, {who} had lots of fun."],
    "use keepsake": [
        "{who} looked at {thing} and felt at home again.", "With {thing} close by, {who} smiled again.",
    ],
    "use light": [
        "{who} held {thing} tight and was not afraid any more.",
        "With {thing}, {who} felt safe even in the dark.",
    ],
    # a birthday
    "birthday": [
        "It was the birthday of {name}, {trait:a} {species}, and {who:name} wanted to give a surprise.",
        "{who} had a friend, {name}, {trait:a} {species}, whose birthday it was.",
    ],
    "arrive": [
        "Soon {who} arrived.", "At three o'clock {who} came to the party.",
        "Then the guest, {who:name}, was there.",
    ],
    "wish": [
        '"Happy birthday, {to:name}!" {who} said.', "{who} sang a birthday song for {to:him}.",
        '"I have a surprise for you, {to:name}," said {who:name}.',
    ],
    "guess": [
        '"Is it {noun:a}?" {who} asked. It was not.',
        '"I hope it is {noun:a}," {who} said, but it was something else.',
        "{who} thought it was {noun:a}, but that was wrong.",
    ],
    # an errand
    "elder_here": ["{elder} was there too.", "There {elder} was very busy."],
    "request": [
        '"Please bring me {adjective:a} {noun} from {place}, {to:name}," {who} said. "It is {spot}."',
        "{who} asked {to:him} to go to {place} and get {adjective:a} {noun}, which was {spot}.",
    ],
    "walk": ["So {who} ran to {place}.", "{who} went straight to {place}.", "Off {who} went to {place}."],
    "take": [
        "{who} found {thing} {spot} and took it.", "{who} looked {spot} and picked up {thing}.",
        "Yes, {spot} {who} saw {thing} and took it.",
    ],
    "walk_back": ["Then {who} hurried back to {place}.", "{who} carried it all the way back to {place}."],
    # the end
    "end_treat": [
        "Then they went home and had {treat}.", "In the end, they all ate {treat} together.",
        "That evening everyone had {treat}.",
    ],
    "end_game": [
        "Then they {game} until it was time to go home.", "After that, they {game} all day long.",
        "They {game} and laughed.",
    ],
    "end_friends": [
        "They were best friends from that day on.", "It was a day they would never forget.",
        "And they all went home smiling.",
    ],
    "end_lesson_lost": [
        "From then on, {who} took better care of things.", "After that, {who} was more careful.",
    ],
    "end_lesson_sorry": ["Saying sorry makes things better.", "It is good to say sorry."],
    "end_lesson_kind": ["It feels good to help a friend.", "A friend in need is a friend indeed."],
    # a question
    "q_where": ["Where was {thing}? It was {spot}.", "Where did they find {thing}? They found it {spot}."],
    "q_finder": ["Who found {thing}? {who:name} did.", "Who found {thing}? It was {who:name}."],
    "q_holder": ["Who has {thing} now? {who:name} has it.", "Who had {thing} in the end? {who:name} did."],
    "q_feeling": [
        "How did {who:name} feel in the end? {who:she} felt {feeling}.",
        "Was {who:name} {feeling} in the end? Yes, {who:she} was.",
    ],
    "q_breaker": ["Who damaged {thing}? {who:name} did."],
    "q_tool": ["What did they mend {thing} with? They used {tool}."],
    "q_needy": ["Who was {need} at first? {who:name} was."],
    "q_belief": [
        "Where did {who:name} look first? {who:she} looked {spot}.",
        "Where did {who:name} think it was? {who:she} thought it was {spot}.",
    ],
    "q_birthday": ["Who had a birthday? {who:name} did."],
    "q_place": ["Where did {who:name} go? {who:she} went to {place}."],
    "q_like": ["What was the {thing:noun} like? It was {adjective}."],
}
# fmt: on


def inflect(argument, style, word, text):
    if style == "a":
        return f"an {text}" if text[0] in "aeiou" or text == "honest" else f"a {text}"
    if style == "at":
        return places.AT[word][0]
    return text


ENGLISH = Language(
    words={argument: {word: word for word in words} for argument, words in LEXICON.items()},
    pronouns={
        "": {"she": "she", "he": "he"},
        "him": {"she": "her", "he": "him"},
        "her": {"she": "her", "he": "his"},
        "she": {"she": "she", "he": "he"},
    },
    the="the ",
    it="it",
    between=" ",
    inflect=inflect,
    gap=" ",
    forms=FORMS,
)
