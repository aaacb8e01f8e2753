"""What is said in a dialogue about a story: each form is a question and its answer.

"That one" and "the other one" say nothing about man or woman: the two children of a story are a girl and a boy, so
"she" would give away who is meant without the turns before.
"""

from data.world.tasks.speech import with_forms

# fmt: off
TALK = {
    "en": with_forms("en", {
        # people
        "about": ["What is {who:name} like? {trait:a} {species}."],
        "like": ["What is that one like? {trait:a} {species}."],
        "other": ["And the other one? {trait:a} {species}."],
        "else": ["And who is the other one? {who:name}."],
        "name": ["What is that one called? {who:name}."],
        # in whose hands the thing was
        "first": ["Who had {thing} first? {who:name}."],
        "last": ["Who had {thing} last? {who:name}."],
        "then": ["And then? {who:name}."],
        "before": ["And before that? {who:name}."],
        # an errand
        "place": ["Where did {who:name} go first? To {place}."],
        "sent": ["Where did {elder} send {who:name}? To {place}."],
        "next": ["And where next? To {place}."],
        "somebody": ["Was anybody else there? Yes, {elder} was."],
        "nobody": ["Was anybody else there? No, nobody."],
        # a joke
        "put": ["Who put it there? {who:name} did."],
        "really": ["And where was it really? It was {spot}."],
        "earlier": ["And before that? It was {spot}."],
    }),
    "zh": with_forms("zh", {
        "about": ["{who:name}是什么样的？是一{species:m}{trait}{species}。"],
        "like": ["那一位是什么样的？是一{species:m}{trait}{species}。"],
        "other": ["另一位呢？是一{species:m}{trait}{species}。"],
        "else": ["另一位是谁？是{who:name}。"],
        "name": ["那一位叫什么名字？叫{who:name}。"],
        "first": ["{thing}一开始在谁手里？在{who:name}手里。"],
        "last": ["{thing}最后到了谁手里？到了{who:name}手里。"],
        "then": ["然后呢？在{who:name}手里。"],
        "before": ["在那之前呢？在{who:name}手里。"],
        "place": ["{who:name}先去了哪里？去了{place}。"],
        "sent": ["{elder}让{who:name}去哪里？去{place}。"],
        "next": ["接着又去了哪里？去了{place}。"],
        "somebody": ["那里还有别人吗？有，{elder}在那里。"],
        "nobody": ["那里还有别人吗？没有别人。"],
        "put": ["是谁放在那里的？是{who:name}。"],
        "really": ["其实在哪里？在{spot}。"],
        "earlier": ["在那之前呢？在{spot}。"],
    }),
}
# fmt: on
