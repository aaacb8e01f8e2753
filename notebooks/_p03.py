import matplotlib; matplotlib.use('agg')
# cell 2
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "gpt").is_dir())))
from notebooks import start

start.here()
import time as _t; print('--- cell 2', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_2.png'); _p.close(_n)

# cell 3
import contextlib
import copy
import io
import math
import time

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from data.world.entropy import story_entropy
from data.world.reviews import write_reviews
from data.world.story import stories
from gpt.classifier import GPTClassifier, pad
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tables import read_rows
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.generate import score
from gpt.model import GPT, GPTConfig
from gpt.muon import Muon, orthogonalize
from gpt.optim import SGD, AdamW, build_optimizers, learning_rate_scale, set_learning_rate
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import TrainConfig
from notebooks.check import pretraining as check
from train import train
import time as _t; print('--- cell 3', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_3.png'); _p.close(_n)

# cell 6
corpus = TokensFolder(start.corpus())
tokenizer = load_tokenizer(corpus.folder)
dataset = corpus.dataset(context_length=176, batch_size=8)
x, y = dataset.batch(0)  # 2 × (8, 176)
for name, row in (("input ", x[0, :9]), ("target", y[0, :9])):
    print(name, [tokenizer.decode([token]) for token in row.tolist()])
assert torch.equal(x[:, 1:], y[:, :-1])  # the target of each place is the next place's input
import time as _t; print('--- cell 6', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_6.png'); _p.close(_n)

# cell 9
tiny = load_model(start.tiny())
end = tokenizer.end_of_text
source = stories(seed=2024)  # none of them was trained on
some = [next(source) for _ in range(60)]
model_bits, first_word_bits = [], []
for story in some:
    costs = [-choice.logprob / math.log(2) for choice in score(tiny, [end, *tokenizer.encode(story.text), end])]
    model_bits.append(sum(costs))
    first_word_bits.append(costs[0])
mean = lambda values: sum(values) / len(values)  # noqa: E731
true_bits = mean([story.bits for story in some])
print(f"entropy of the world      {story_entropy():6.2f} bits in an average story (computed, not sampled)")
print(f"these 60 stories, truth   {true_bits:6.2f} bits")
print(f"these 60 stories, out/tiny{mean(model_bits):6.2f} bits, of which the first word costs {mean(first_word_bits):.2f}")
assert true_bits < mean(model_bits) < 1.15 * true_bits
assert mean(first_word_bits) > 1  # what the formula of 002 leaves out
import time as _t; print('--- cell 9', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_9.png'); _p.close(_n)

# cell 14
SHAPE = GPTConfig(corpus.vocab_size, context_length=176, n_layer=2, n_head=4, n_embd=64, position="rotary")
CPU = torch.device("cpu")
FLOOR = corpus.meta["entropy_bits_per_byte"] / corpus.bits_per_byte(1.0)  # nats per token
STEPS = 100


def new_model():
    torch.manual_seed(0)  # all runs begin at the same weights
    model = GPT(SHAPE)
    speed_up(model, CPU, torch.float32)
    return model


def pretrain(model, optimizers, schedule, dtype=torch.float32, steps=STEPS):
    """The loss of each step. schedule(step) -> share of the peak learning rate."""
    losses = []
    for step in range(steps):
        inputs, targets = dataset.batch(step)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(inputs)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # a gradient longer than 1 is scaled down to 1
        set_learning_rate(optimizers, schedule(step))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def smooth(losses, width=8):
    return [mean(losses[max(0, i - width + 1) : i + 1]) for i in range(len(losses))]


def usual(step):
    return learning_rate_scale(step, STEPS, 10)  # 10 steps of warm-up, then a straight line to 0


def adamw(model, rate):
    return build_optimizers(model, "adamw", rate, 0.03, 0.1)


print(f"{new_model().num_params():,} weights; floor {FLOOR:.3f} nats/token; guessing costs {math.log(corpus.vocab_size):.3f}")
import time as _t; print('--- cell 14', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_14.png'); _p.close(_n)

# cell 17
def sgd(weight, grad, state, lr, decay=0.0):
    return weight - lr * (grad + decay * weight)


def adamw_by_hand(weight, grad, state, lr, decay=0.1, beta1=0.9, beta2=0.95):
    state["t"] = t = state.get("t", 0) + 1
    state["mean"] = beta1 * state.get("mean", 0) + (1 - beta1) * grad
    state["square"] = beta2 * state.get("square", 0) + (1 - beta2) * grad**2
    mean, square = state["mean"] / (1 - beta1**t), state["square"] / (1 - beta2**t)
    return weight - lr * (mean / (square.sqrt() + 1e-8) + decay * weight)


def muon(weight, grad, state, lr, decay=0.1, mu=0.95):
    state["momentum"] = mu * state.get("momentum", 0) + (1 - mu) * grad
    direction = orthogonalize(mu * state["momentum"] + (1 - mu) * grad)  # all singular values become about 1
    return weight * (1 - lr * decay) - lr * max(1, weight.size(0) / weight.size(1)) ** 0.5 * direction


def difference(by_hand, build):
    """The largest difference to the optimizer of gpt/ after ten steps along the same gradients."""
    torch.manual_seed(0)
    ours, state = torch.randn(48, 16), {}
    theirs = torch.nn.Parameter(ours.clone())
    optimizer = build([{"params": [theirs], "weight_decay": 0.1}])
    for _ in range(10):
        theirs.grad = torch.randn(48, 16)
        ours = by_hand(ours, theirs.grad, state, 0.02, 0.1)
        optimizer.step()
    return (ours - theirs).abs().max().item()


for by_hand, build in (
    (sgd, lambda groups: SGD(groups, 0.02)),
    (adamw_by_hand, lambda groups: AdamW(groups, 0.02, betas=(0.9, 0.95))),
    (muon, lambda groups: Muon(groups, 0.02)),
):
    assert difference(by_hand, build) < 1e-5
print("by hand = gpt/optim.py and gpt/muon.py, for all three")
import time as _t; print('--- cell 17', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_17.png'); _p.close(_n)

# cell 20
curves = {}
for name, rate in (("sgd", 1.0), ("adamw", 6e-3), ("muon", 6e-3)):
    model = new_model()
    curves[name] = pretrain(model, build_optimizers(model, name, rate, 0.03, 0.1), usual)
fig, ax = plt.subplots()
for name, losses in curves.items():
    ax.plot(smooth(losses))
    ax.annotate(name, (STEPS - 1, smooth(losses)[-1]), xytext=(4, 0), textcoords="offset points", va="center")
ax.axhline(FLOOR, color="black", ls="--", lw=1)
ax.annotate("exact floor", (0, FLOOR), xytext=(2, 3), textcoords="offset points")
ax.set(xlabel="step", ylabel="loss, nats per token", xlim=(0, STEPS + 10), ylim=(0, 8))
plt.show()
last = {name: smooth(losses)[-1] for name, losses in curves.items()}
print("mean loss of the last 8 steps:", {name: round(loss, 2) for name, loss in last.items()})
assert FLOOR < last["muon"] < last["adamw"] < last["sgd"]
import time as _t; print('--- cell 20', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_20.png'); _p.close(_n)

# cell 25
RATES = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
pretrained, moved = {}, {}
for rate in RATES:
    model = new_model()
    before = model.transformer.h[0].mlp.c_fc.weight.clone()
    pretrained[rate] = smooth(pretrain(model, adamw(model, rate), usual))[-1]
    moved[rate] = (model.transformer.h[0].mlp.c_fc.weight - before).abs().max().item()
    print(f"rate {rate:7.0e}: loss {pretrained[rate]:6.2f}, the furthest that a weight of an MLP moved: {moved[rate]:.4f}")
assert moved[1e-5] < STEPS * 1e-5  # a weight moves at most about one learning rate a step
assert pretrained[1e-5] > 2 * min(pretrained.values())
import time as _t; print('--- cell 25', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_25.png'); _p.close(_n)

# cell 26
folder = Path("out/lessons/03/reviews")
with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
    write_reviews(folder, 2000, "easy", seed=3, language="en")
LABELS = ("negative", "neutral", "positive")


def read_reviews(split, count):
    rows = [row for _, row in read_rows(folder / f"{split}.csv", ("text", "label"))][:count]
    tokens, lengths = pad([[end, *tokenizer.encode(row["text"])] for row in rows])
    return tokens, lengths, torch.tensor([LABELS.index(row["label"]) for row in rows])


TRAIN, VAL = read_reviews("train", 1024), read_reviews("val", 200)


def finetune(rate, steps=60):
    """(Loss of the last steps on the training texts, accuracy on new ones) after full fine-tuning."""
    torch.manual_seed(0)
    net = GPTClassifier(tiny.config, LABELS)
    net.transformer.load_state_dict(tiny.transformer.state_dict())
    speed_up(net, CPU, torch.float32)
    optimizers = build_optimizers(net, "adamw", rate, 0.03, 0.1)
    losses = []
    for step in range(steps):
        rows = torch.arange(16 * step, 16 * (step + 1)) % 1024
        tokens, lengths, labels = (part[rows] for part in TRAIN)
        loss = F.cross_entropy(net(tokens, lengths), labels)
        loss.backward()
        set_learning_rate(optimizers, learning_rate_scale(step, steps, 6))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    with torch.no_grad():
        return mean(losses[-10:]), (net(*VAL[:2]).argmax(-1) == VAL[2]).float().mean().item()


tuned = {rate: finetune(rate) for rate in RATES}
for rate, (loss, accuracy) in tuned.items():
    print(f"rate {rate:7.0e}: training loss {loss:6.3f} (guessing: {math.log(3):.3f}), accuracy on new reviews {accuracy:.0%}")
import time as _t; print('--- cell 26', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_26.png'); _p.close(_n)

# cell 27
fig, (left, right) = plt.subplots(1, 2)
left.plot(RATES, pretrained.values(), "o-")
left.axhline(FLOOR, color="black", ls="--", lw=1)
left.annotate("exact floor", (1e-5, FLOOR), xytext=(0, 3), textcoords="offset points")
left.set(title="pretraining, 100 steps", ylabel="loss, nats per token", ylim=(0, 8))
right.plot(RATES, [accuracy for _, accuracy in tuned.values()], "o-", color=start.COLOURS[1])
right.axhline(1 / 3, color="black", ls="--", lw=1)
right.annotate("guessing", (1e-2, 1 / 3), xytext=(0, 3), textcoords="offset points")
right.set(title="fine-tuning, 60 steps", ylabel="accuracy on new reviews", ylim=(0, 1.05))
for ax in (left, right):
    ax.set(xscale="log", xlabel="peak learning rate of AdamW")
    ax.axvline(1e-5, color="grey", lw=1, ls=":")
    ax.annotate("the tutorials'\n1e-5", (1e-5, ax.get_ylim()[1] * 0.62), xytext=(4, 0), textcoords="offset points")
plt.show()
best = max(RATES, key=lambda rate: tuned[rate][1])
print(f"best here: {min(pretrained, key=pretrained.get):.0e} for pretraining, {best:.0e} for fine-tuning")
assert best > 1e-5 and tuned[1e-5][1] < tuned[best][1] - 0.2
assert tuned[1e-1][0] > tuned[best][0] + 0.3  # too large a rate: the TRAINING loss is bad, so this is no over-fitting
import time as _t; print('--- cell 27', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_27.png'); _p.close(_n)

# cell 32
schedules = {
    "constant": lambda step: 1.0,
    "decay only": lambda step: learning_rate_scale(step, STEPS, 0),
    "warm-up and decay": usual,
}
found = {}
fig, (left, right) = plt.subplots(1, 2)
for name, schedule in schedules.items():
    model = new_model()
    losses = smooth(pretrain(model, adamw(model, 3e-2), schedule))
    found[name] = losses[-1]
    left.plot([3e-2 * schedule(step) for step in range(STEPS)])
    right.plot(losses, label=name)
left.set(xlabel="step", ylabel="learning rate", ylim=(0, 0.036))
right.set(xlabel="step", ylabel="loss, nats per token")
right.legend(frameon=False)
plt.show()
print("mean loss of the last 8 steps:", {name: round(loss, 2) for name, loss in found.items()})
import time as _t; print('--- cell 32', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_32.png'); _p.close(_n)

# cell 37
def gradients(parts, divide=True):
    model = new_model()
    inputs, targets = dataset.batch(0)
    for x, y in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        (loss / parts if divide else loss).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


whole, accumulated, forgotten = gradients(1), gradients(4), gradients(4, divide=False)
torch.testing.assert_close(accumulated, whole, atol=1e-5, rtol=0)
print(f"length of the gradient: whole batch {whole.norm():.4f}, 4 parts {accumulated.norm():.4f}, ", end="")
print(f"4 parts without dividing {forgotten.norm():.4f}")
assert abs(forgotten.norm() / whole.norm() - 4) < 1e-3
import time as _t; print('--- cell 37', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_37.png'); _p.close(_n)

# cell 40
precision = {}
for dtype in (torch.float32, torch.bfloat16):
    model = new_model()
    losses = pretrain(model, build_optimizers(model, "muon", 6e-3, 0.03, 0.1), usual)
    trained = sum(weight.numel() for weight in model.parameters() if weight.grad is not None or weight.requires_grad)
    kinds = {str(weight.dtype) for weight in model.parameters()}
    precision[dtype] = smooth(losses)[-1]
    print(f"{str(dtype):15} {trained:,} weights trained, kept as {kinds}; last loss {precision[dtype]:.3f}")
    assert trained == model.num_params() and kinds == {"torch.float32"}
assert abs(precision[torch.float32] - precision[torch.bfloat16]) < 0.1
import time as _t; print('--- cell 40', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_40.png'); _p.close(_n)

# cell 41
x = torch.randn(512, 512)
for dtype in (torch.float32, torch.bfloat16):
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        product = x @ x
    error = (product.double() - x.double() @ x.double()).abs().max().item()
    print(f"{str(dtype):15} a product comes out as {product.dtype}, its largest error {error:.1e}")
import time as _t; print('--- cell 41', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_41.png'); _p.close(_n)

# cell 44
STRENGTH = 0.1
counts = torch.bincount(dataset.batch(0)[0].flatten(), minlength=corpus.vocab_size)
for step in range(1, STEPS):
    counts += torch.bincount(dataset.batch(step)[0].flatten(), minlength=corpus.vocab_size)
groups = {"never seen": counts == 0, "seen 1 to 20 times": (counts > 0) & (counts <= 20), "seen often": counts > 200}


def train_with(l2, decay):
    """AdamW by hand for all matrices, with λθ in the gradient (l2) or beside it (decay)."""
    model = new_model()
    states = {name: {} for name, _ in model.named_parameters()}
    for step in range(STEPS):
        inputs, targets = dataset.batch(step)
        F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                is_matrix = weight.ndim == 2
                grad = weight.grad + l2 * is_matrix * weight
                weight.copy_(adamw_by_hand(weight, grad, states[name], 6e-3 * usual(step), decay * is_matrix))
                weight.grad = None
    with torch.no_grad():
        inputs, targets = dataset.batch(STEPS)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item()
    embedding = model.transformer.wte.weight.detach()
    return loss, {name: embedding[rows].norm(dim=1).mean().item() for name, rows in groups.items()}


norms = {"at the start": new_model().transformer.wte.weight.detach()}
norms = {"at the start": {name: norms["at the start"][rows].norm(dim=1).mean().item() for name, rows in groups.items()}}
loss_decay, norms["decoupled decay"] = train_with(0.0, STRENGTH)
loss_l2, norms["L2 in the loss"] = train_with(STRENGTH, 0.0)
print(f"{'mean length of an embedding':30}" + "".join(f"{name:>22}" for name in groups))
for name, row in norms.items():
    print(f"{name:30}" + "".join(f"{length:22.3f}" for length in row.values()))
print(f"loss on a new batch: decoupled {loss_decay:.2f}, L2 {loss_l2:.2f} nats/token")
import time as _t; print('--- cell 44', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_44.png'); _p.close(_n)

# cell 47
def run(name, n_layer):
    config = TrainConfig(
        GPTConfig(corpus.vocab_size, 176, n_layer, 4, 64, position="rotary"),
        Path("out/lessons/03") / name,
        max_steps=80,
        batch_size=8,
        warmup_steps=10,
        eval_every=80,
        data=corpus.folder,
        precision="float32",
        log_every=4,
        overwrite=True,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(config)
    return read_metrics(config.out)


fig, ax = plt.subplots()
for n_layer, colour in ((1, start.COLOURS[0]), (3, start.COLOURS[1])):
    rows = run(f"{n_layer}-layers", n_layer)
    training = [(row["step"], row["train_loss"]) for row in rows if "train_loss" in row]
    validation = [(row["step"], row["val_loss"]) for row in rows if "val_loss" in row]
    ax.plot(*zip(*training, strict=True), color=colour)
    ax.plot(*zip(*validation, strict=True), "o", color=colour)
    ax.annotate(f"{n_layer} layers", training[-1], xytext=(10, 0), textcoords="offset points", va="center", color=colour)
    print(f"{n_layer} layers: validation loss {validation[-1][1]:.3f} nats/token, floor {FLOOR:.3f}")
    assert validation[-1][1] > FLOOR
ax.axhline(FLOOR, color="black", ls="--", lw=1)
ax.annotate("exact floor", (0, FLOOR), xytext=(2, 3), textcoords="offset points")
ax.set(xlabel="step", ylabel="loss, nats per token", xlim=(0, 90), ylim=(0, 8))
plt.show()
import time as _t; print('--- cell 47', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_47.png'); _p.close(_n)

# cell 51
def my_adamw(weight, grad, mean, square, t, lr, decay, beta1=0.9, beta2=0.95, eps=1e-8):
    mean = beta1 * mean + (1 - beta1) * grad
    square = beta2 * square + (1 - beta2) * grad**2
    unbiased_mean, unbiased_square = mean / (1 - beta1**t), square / (1 - beta2**t)
    return weight - lr * (unbiased_mean / (unbiased_square.sqrt() + eps) + decay * weight), mean, square


check.adamw(my_adamw)
import time as _t; print('--- cell 51', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_51.png'); _p.close(_n)

# cell 55
def my_schedule(step, max_steps, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return (max_steps - step) / (max_steps - warmup)


check.schedule(my_schedule)
import time as _t; print('--- cell 55', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_55.png'); _p.close(_n)

# cell 59
def my_accumulation(model, loss_of, inputs, targets, parts):
    total = 0.0
    for x, y in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        loss = loss_of(model, x, y) / parts
        loss.backward()
        total += loss.item()
    return total


check.accumulation(my_accumulation)
import time as _t; print('--- cell 59', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_59.png'); _p.close(_n)

# cell 63
def my_bits_per_byte(nats_per_token, tokens, bytes):
    return nats_per_token / math.log(2) * tokens / bytes


check.bits_per_byte(my_bits_per_byte)
import time as _t; print('--- cell 63', round(_t.process_time(),1), 's CPU')
import matplotlib.pyplot as _p
for _n in _p.get_fignums(): _p.figure(_n).savefig(f'/tmp/w/b/fig_03_63.png'); _p.close(_n)
