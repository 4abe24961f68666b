"""RecTools' models behind the rivals' contract: learns from the files, answers in files.

    ../.venv-rivals/rectools/bin/python -m rivals.rectools.rank --train train.parquet --ask ask.parquet --out OUT
        --model sasrec --epochs 3

in the folder `benchmarks`.
"""

from __future__ import annotations

import logging
import warnings

import torch

from rivals.rectools import sequential, simple, textual
from rivals.task import read_task, write_done

MODELS = {
    "popular": simple.popular,
    "als": simple.als,
    "ease": simple.ease,
    "itemknn": simple.item_knn,
    "sasrec": sequential.sasrec,
    "esasrec": sequential.esasrec,
    "bert4rec": sequential.bert4rec,
    "unisrec": textual.unisrec,
}
PACKAGES = ("rectools", "pm-implicit", "pytorch-lightning", "torch", "numpy")


def main() -> None:
    """Answer what the command line asks."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    task, folder = read_task(tuple(MODELS), __doc__)
    torch.set_num_threads(task.options.threads)
    torch.backends.cudnn.allow_tf32 = False  # a GPU would round what convolutions multiply to ten bits
    write_done(folder, task, MODELS[task.options.model](task), PACKAGES)


if __name__ == "__main__":
    main()
