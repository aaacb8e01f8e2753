"""Look inside a model: pictures of its predictions, attention and embeddings.

    python look.py surprise  --model out/tiny --text "Once upon a time there was a cat."
    python look.py attention --model out/tiny --text "the cat sat on the mat, and the cat" --layer 2
    python look.py lens      --model out/tiny --text "Once upon a time"
    python look.py without   --model out/tiny --data data/stories-2048
    python look.py patch     --model out/tiny --text "... Tom ..." --from-text "... Sam ..."
    python look.py fairness  --model out/tiny
    python look.py sizes
    python look.py runs out/a out/b

Each command prints its numbers and the path of its picture. gpt/inside/interpret.py has the functions behind them.
"""

import functools
from collections.abc import Callable

import tyro

from gpt.inside import look_at_names, look_at_parts, look_at_texts, look_at_weights, runs
from gpt.inside.given import check_picture
from gpt.running.command_line import parse_flags, run_main

COMMANDS = {
    "surprise": look_at_texts.show_surprise,
    "next-tokens": look_at_texts.show_next_tokens,
    "attention": look_at_texts.show_attention,
    "heads": look_at_texts.show_heads,
    "lens": look_at_texts.show_lens,
    "layers": look_at_texts.show_layers,
    "neighbours": look_at_weights.show_neighbours,
    "embeddings": look_at_weights.show_embeddings,
    "places": look_at_weights.show_places,
    "without": look_at_parts.show_without,
    "reasons": look_at_texts.show_reasons,
    "patch": look_at_texts.show_patch,
    "fairness": look_at_names.show_fairness,
    "sizes": look_at_weights.show_sizes,
    "runs": runs.show_runs,
}


def later(command: Callable) -> Callable:
    """Delay a command: called with its flags, it checks --out and returns a function that runs the command."""

    @functools.wraps(command)
    def filled_in(**flags) -> Callable:
        if "out" in flags:
            check_picture(flags["out"])
        return functools.partial(command, **flags)

    return filled_in


def main() -> None:
    commands = {name: later(command) for name, command in COMMANDS.items()}
    parse_flags(lambda: tyro.extras.subcommand_cli_from_dict(commands, description=__doc__))()


if __name__ == "__main__":
    run_main(main)
