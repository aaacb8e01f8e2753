"""Adapters: fine-tune a model by small layers between its own ("Parameter-Efficient Transfer Learning for NLP", Houlsby
et al. 2019, section 2.1).

Behind the attention and behind the MLP of every block, before their output is added to the residual stream, stands
h + W_up GELU(W_down h + b_down) + b_up. W_down goes from the C channels to a few, W_up from these back to C. W_up and
b_up start at zero, so training starts at exactly the pretrained function. As in the paper, the norms are trained too.
"""

from torch import Tensor, nn

from gpt.model import GELU, Transformer


class Bottleneck(nn.Module):
    """A linear layer that stays as it is, followed by an adapter that learns. (The dropout of the block comes after
    both; in the paper it stands between them.)"""

    def __init__(self, linear: nn.Linear, width: int):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.down = nn.Linear(linear.out_features, width, **like)
        self.gelu = GELU(exact=False)
        self.up = nn.Linear(width, linear.out_features, **like)
        nn.init.normal_(self.down.weight, std=0.02)
        for weight in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)  # (..., C)
        return h + self.up(self.gelu(self.down(h)))  # (..., C)


def add_bottlenecks(body: Transformer, width: int) -> None:
    """Put an adapter behind the last matrix of the attention and of the MLP of each block. The rest of the body is
    frozen, but for the norms."""
    body.requires_grad_(False)
    body.ln_f.requires_grad_(True)
    for block in body.h:
        for layer in (block.attn, block.mlp):
            layer.c_proj = Bottleneck(layer.c_proj, width)  # type: ignore[assignment]
        for norm in (block.ln_1, block.ln_2):
            norm.requires_grad_(True)
