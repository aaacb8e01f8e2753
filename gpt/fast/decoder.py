"""The same GPT, written for speaking: plain function calls around a cache of keys and values.

Generating asks for one token at a time, and then a small model's time goes into calling, not into computing. So here
the network of model.py is written out once more as the formula it is: no modules to call, no dropout, and weights
laid out for a single token. A test holds the two equal.

Keys and values of what was read stay in the cache, so the next token costs one token's work. Texts of different
lengths share a batch by leaving the places in front of the shorter ones empty (left padding):

    slot        0  1  2  3  4  5         padding
    row 0       A  B  C  D  E  F  ...    0
    row 1       .  .  .  .  A  B  ...    4: hidden from its queries, and its positions start at slot 4

Shapes at the ends of lines: B rows, T tokens of this call, S slots in use, C channels, nh heads, hs channels of a
head, V vocabulary.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.model import GPT

Function = Callable[[Tensor], Tensor]


def linear(layer: nn.Module) -> Function:
    """A layer's x Wᵀ + b for x of (N, in), made for few rows on a CPU.

    One token is one row, and a row times a matrix waits for the memory: what counts is to read every weight once, in
    one stream for each core. PyTorch hands the product to MKL, which reads several rows of W at once, on one core if x
    is a single row. So W is laid out anew, in blocks of 32 output channels, each read from its beginning to its
    end, and the cores share the blocks. A small matrix stays in the core's own cache, where one product of the
    transposed matrix has the least to call; one too large to copy, and the head, go to oneDNN, which uses all cores.
    """
    if not isinstance(layer, nn.Linear) or layer.weight.device.type != "cpu":
        return layer.forward  # .forward, past nn.Module's own call, which looks for hooks each time
    weight, bias = layer.weight.detach(), layer.bias
    size, (channels, inputs) = weight.numel(), weight.shape
    if bias is not None and size <= 2**16:
        transposed, bias = weight.t().contiguous(), bias.detach()
        return lambda x: torch.addmm(bias, x, transposed)
    if bias is not None and size <= 2**22 and channels % 32 == 0:
        blocks = weight.view(-1, 32, inputs).transpose(1, 2).contiguous()  # (out/32, in, 32)
        biases = bias.detach().view(-1, 1, 32)

        def in_blocks(x: Tensor) -> Tensor:
            if len(x) > 16:  # a prompt: enough rows to keep the cores computing
                return layer.forward(x)
            y = torch.baddbmm(biases, x.expand(len(biases), -1, -1), blocks)  # (out/32, N, 32)
            return y.transpose(0, 1).reshape(len(x), channels)

        return in_blocks
    if size > 2**20 and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        product = torch.ops.mkldnn._linear_pointwise  # not public, but what torch.compile makes of a Linear
        bias = None if bias is None else bias.detach()
        return lambda x: product(x, weight, bias, "none", [], "")
    return layer.forward


def useful_threads(model: GPT) -> int:
    """How many CPU threads pay when this model generates: one for a model up to 128 wide, whose products are over
    before a second thread has begun (measured: 2,800 tokens a second instead of 2,400, and no waiting for a busy
    neighbour), else all that PyTorch was given."""
    return 1 if model.config.n_embd <= 128 else torch.get_num_threads()


def norm(layer: nn.LayerNorm) -> Function:
    shape, weight, bias, eps = layer.normalized_shape, layer.weight.detach(), layer.bias.detach(), layer.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


class Decoder:
    """A model and the cache of what it has read in every row of a batch. Room for `capacity` tokens a row."""

    def __init__(self, model: GPT, capacity: int):
        self.config, self.capacity = model.config, capacity
        self.length = 0  # slots in use
        self.padding: Tensor | None = None  # (B,) empty slots at the start of each row; None when there are none
        transformer = model.transformer
        self.embed, self.final_norm, self.head = transformer.wte.forward, norm(transformer.ln_f), linear(model.lm_head)
        if self.config.position == "learned":
            self.positions = transformer.wpe.weight  # (context, C)
        else:  # both halves of a head's channels side by side, so that rotating is two products and a sum
            self.cos = transformer.cos  # (context, hs)
            self.sin = transformer.sin  # (context, hs)
        self.blocks = [
            (
                norm(block.ln_1),
                linear(block.attn.c_attn),
                linear(block.attn.c_proj),
                norm(block.ln_2),
                linear(block.mlp.c_fc),
                block.mlp.gelu.forward,
                linear(block.mlp.c_proj),
            )
            for block in transformer.h
        ]
        self.like = transformer.ln_f.weight  # a float weight, for the cache's type and device
        self.keys: list[Tensor] = []  # one (B, nh, capacity, hs) for each block
        self.values: list[Tensor] = []

    @torch.inference_mode()
    def read(self, texts: list[list[int]]) -> Tensor:
        """Forget everything, read one text in each row, at most `capacity` tokens; logits (B, V) of what is next."""
        B, T = len(texts), max(map(len, texts))
        self.length = 0
        padding = [T - len(text) for text in texts]
        tokens = torch.tensor([[0] * n + text for n, text in zip(padding, texts, strict=True)], device=self.like.device)
        shape = (B, self.config.n_head, self.capacity, self.config.head_size)
        self.keys = [self.like.new_empty(shape) for _ in self.blocks]
        self.values = [self.like.new_empty(shape) for _ in self.blocks]
        if not any(padding):
            self.padding = None
            return self.forward(tokens)
        self.padding = torch.tensor(padding, device=self.like.device)
        slots = torch.arange(self.capacity, device=self.like.device)
        self.visible = slots >= self.padding[:, None]  # (B, capacity)
        earlier = slots[:T] <= slots[:T, None]  # (T, T)
        mask = self.visible[:, None, :T] & earlier  # (B, T, T)
        mask |= torch.eye(T, dtype=torch.bool, device=mask.device)  # an empty slot sees itself: no softmax of nothing
        return self.forward(tokens, mask[:, None])

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> Tensor:
        """Read one more token in each row; logits (B, V) of what comes next."""
        mask = None if self.padding is None else self.visible[:, None, None, : self.length + 1]  # (B, 1, 1, S)
        return self.forward(torch.tensor(tokens, device=self.like.device)[:, None], mask)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows of the cache alone, in this order. A row named twice is copied: two samples of
        one prompt need not read it twice."""
        index = torch.tensor(rows, device=self.like.device)
        self.keys = [keys[index] for keys in self.keys]
        self.values = [values[index] for values in self.values]
        if self.padding is not None:
            self.padding, self.visible = self.padding[index], self.visible[index]

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, V) after the last of `tokens` (B, T), which take the next T slots. The mask is true where a
        query may look; without one, several tokens see their past and a single one sees everything."""
        B, T = tokens.shape
        start, self.length = self.length, self.length + T
        C, heads = self.config.n_embd, (B, T, 3, self.config.n_head, self.config.head_size)
        x = self.embed(tokens)  # (B, T, C)
        rotary = self.config.position == "rotary"
        if rotary:
            cos, sin = (self.places(table, start, T).unsqueeze(-3) for table in (self.cos, self.sin))  # ([B,] 1, T, hs)
        else:
            x = x + self.places(self.positions, start, T)
        x = x.view(B * T, C)  # one row for each token: only attention asks which text it belongs to
        for (ln_1, c_attn, attn_proj, ln_2, c_fc, gelu, mlp_proj), keys, values in zip(
            self.blocks, self.keys, self.values, strict=True
        ):
            qkv = c_attn(ln_1(x)).view(heads).permute(2, 0, 3, 1, 4)  # (3, B, nh, T, hs)
            q, k, v = qkv.unbind(0)  # 3 × (B, nh, T, hs)
            if rotary:
                qk = qkv.narrow(0, 0, 2)  # (2, B, nh, T, hs)
                q, k = torch.addcmul(qk * cos, qk.roll(q.size(-1) // 2, -1), sin).unbind(0)
            keys.narrow(2, start, T).copy_(k)
            values.narrow(2, start, T).copy_(v)
            k, v = keys.narrow(2, 0, self.length), values.narrow(2, 0, self.length)  # 2 × (B, nh, S, hs)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and T > 1)
            x = x + attn_proj(y.transpose(1, 2).reshape(B * T, C))
            x = x + mlp_proj(gelu(c_fc(ln_2(x))))
        last = x.view(B, T, C)[:, -1]  # (B, C): only the last place says what comes next
        return self.head(self.final_norm(last))  # (B, V)

    def places(self, table: Tensor, start: int, T: int) -> Tensor:
        """The rows of a table of positions for T slots from `start`: (T, ...), or (B, T, ...) where rows differ."""
        if self.padding is None:
            return table.narrow(0, start, T)
        slots = torch.arange(start, start + T, device=table.device)
        return table[(slots - self.padding[:, None]).clamp(min=0)]
