"""All tasks, by the name that --task gives them."""

from gpt.finetuning.answering import AnswerTask, WorldScore
from gpt.finetuning.classification import LabelTask
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.tagging import TagTask
from gpt.finetuning.task import Task
from gpt.tokenizer import Tokenizer


def load_task(
    config: FinetuneConfig, tokenizer: Tokenizer, context_length: int, world_score: WorldScore | None = None
) -> Task:
    """Read config.data for a model with this tokenizer and context. Raises UserError for data that does not suit.

    world_score: see AnswerTask.
    """
    if config.task == "answer":
        return AnswerTask(config, tokenizer, context_length, world_score)
    return (TagTask if config.task == "tags" else LabelTask)(config, tokenizer, context_length)
