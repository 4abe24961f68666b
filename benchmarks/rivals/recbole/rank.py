"""RecBole's SASRec, and a UniSRec on its layers, behind the rivals' contract.

    ../.venv-rivals/recbole/bin/python -m rivals.recbole.rank --train train.parquet --ask ask.parquet --out OUT
        --model sasrec --epochs 3

in the folder `benchmarks`.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataloader import TrainDataLoader
from recbole.model.sequential_recommender.sasrec import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

from rivals.exchange import Floats, Histories, Rows
from rivals.progress import Progress
from rivals.ranking import Ranking
from rivals.recbole.unisrec import UniSRec
from rivals.task import Done, Stopwatch, Task, read_task, write_done

PACKAGES = ("recbole", "torch", "numpy")


def main() -> None:
    """Answer what the command line asks."""
    warnings.filterwarnings("ignore")
    task, folder = read_task(("sasrec", "unisrec"), __doc__)
    del sys.argv[1:]  # RecBole reads the command line by itself
    torch.set_num_threads(task.options.threads)
    write_done(folder, task, _trained(task), PACKAGES)


class _TimeUp(Exception):
    """Raised from inside an epoch, which RecBole cannot end otherwise."""


def _trained(task: Task) -> Done:
    options = task.options
    if options.loss != "softmax":
        raise SystemExit(f"RecBole's SASRec has no loss {options.loss}: take softmax")
    if options.device != "cpu":
        raise SystemExit("RecBole is set up for the CPU alone: leave --device out")
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as scratch:
        config = Config(model="SASRec", dataset="given", config_dict=_settings(task, Path(scratch)))
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        dataset._change_feat_format()  # every prefix becomes a row; `build` would hold two items a user out
        loader = TrainDataLoader(config, dataset, None, shuffle=True)
        known = np.array(dataset.field2id_token[dataset.iid_field][1:], dtype=np.int64)
        model = _model(task, config, dataset, known)
        trainer = Trainer(config, model)
    progress = task.progress(lambda held: held.ndcg(_ranking(model, known, held.histories, task)))
    _fit(trainer, loader, progress, per_row=len(task.train.users) / len(dataset))
    seconds = watch.seconds() - progress.valid_seconds
    answer = _ranking(model, known, task.asked, task).best(options.k, keep_seen=options.keep_seen)
    return Done(answer, seconds, sum(p.numel() for p in model.parameters() if p.requires_grad), progress)


def _settings(task: Task, scratch: Path) -> dict[str, Any]:
    options = task.options
    events = task.train.events()
    (scratch / "given").mkdir()
    with (scratch / "given" / "given.inter").open("w") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        np.savetxt(file, np.stack([events.users, events.items, events.positions], axis=1), "%d", "\t")
    own = {name: value for name, value in options.further.items() if name not in UniSRec.SETTINGS}
    return {
        "data_path": str(scratch),
        "checkpoint_dir": str(scratch / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"order": "TO", "split": {"LS": "valid_and_test"}, "group_by": "user", "mode": "full"},
        "MAX_ITEM_LIST_LENGTH": options.length,
        "train_neg_sample_args": None,
        "use_gpu": False,
        "show_progress": False,
        "seed": options.seed,
        "train_batch_size": options.batch or 2048,
        "learning_rate": 0.001 if options.lr is None else options.lr,
        "hidden_size": options.width,
        "n_layers": options.blocks,
        "n_heads": options.heads,
        "hidden_dropout_prob": options.dropout,
        "attn_dropout_prob": options.dropout,
        "loss_type": "CE",
    } | own


def _model(task: Task, config: Any, dataset: Any, known: Rows) -> Any:  # noqa: ANN401
    if task.options.model == "sasrec":
        return SASRec(config, dataset)
    if task.vectors is None:
        raise SystemExit("UniSRec learns from text: give --vectors")
    further = {name: task.options.further[name] for name in UniSRec.SETTINGS if name in task.options.further}
    return UniSRec(config, dataset, torch.from_numpy(task.vectors[known]), **further)


def _fit(trainer: Any, loader: Any, progress: Progress, per_row: float) -> None:  # noqa: ANN401
    """Epochs until it is enough. A row is a prefix of a history, `per_row` of a whole one."""
    model, best, time_up = trainer.model, None, False
    before = 0.0

    def counted(rows: Any) -> Any:  # noqa: ANN401
        nonlocal before
        loss = model.calculate_loss(rows)
        before += len(rows) * per_row
        whole = int(before)
        before -= whole
        if progress.batch(float(loss.detach()), whole):
            raise _TimeUp
        return loss

    while not (time_up or progress.enough()):
        progress.begin()
        try:
            trainer._train_epoch(loader, len(progress.curve), loss_func=counted)
        except _TimeUp:
            time_up = True
        if progress.end() and progress.validate is not None:
            best = copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best)


@torch.no_grad()
def _ranking(model: Any, known: Rows, histories: Histories, task: Task) -> Ranking:  # noqa: ANN401
    """Users are ranked by what they had of the items that training saw; the others have no vector."""
    number = np.zeros(task.n_items, np.int64)
    number[known] = np.arange(len(known)) + 1
    padded, lengths = _right_padded(histories, number, model.max_seq_length)
    told = lengths > 0
    model.eval()
    sequences, counts = torch.from_numpy(padded[told]), torch.from_numpy(lengths[told])
    parts = zip(torch.split(sequences, 256), torch.split(counts, 256), strict=True)
    users: Floats = torch.cat([_users(model, *part) for part in parts]).numpy()
    items: Floats = _items(model)[1:].numpy()
    return Ranking.of_known(users, items, known, histories.of(histories.users[told]), task.n_items)


def _users(model: Any, sequences: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    found: torch.Tensor = (
        model.users(sequences, lengths) if isinstance(model, UniSRec) else model(sequences, lengths)
    )
    return found


def _items(model: Any) -> torch.Tensor:  # noqa: ANN401
    found: torch.Tensor = model.items() if isinstance(model, UniSRec) else model.item_embedding.weight
    return found


def _right_padded(histories: Histories, number: Rows, length: int) -> tuple[Rows, Rows]:
    padded = np.zeros((len(histories.users), length), np.int64)
    lengths = np.zeros(len(histories.users), np.int64)
    for row, items in enumerate(histories):
        kept = number[items]
        kept = kept[kept > 0][-length:]
        padded[row, : len(kept)], lengths[row] = kept, len(kept)
    return padded, lengths


if __name__ == "__main__":
    main()
