"""A Lightning trainer without overhead, whose epochs are timed, validated on a full ranking, and stopped in time."""

# mypy: disable-error-code="import-not-found,import-untyped,misc"
from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl

from rivals.progress import Progress


class Watch(pl.Callback):
    """Tells the progress of every batch and epoch, and leaves the module as it was after its best epoch."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.best: dict[str, Any] | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Watch:
        """RecTools copies its trainer before it trains; what is told must arrive here all the same."""
        return self

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:  # noqa: ANN401
        """The clock starts."""
        self.progress.begin()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:  # noqa: ANN401
        """A batch is counted."""
        if self.progress.batch(outputs["loss"].detach(), len(batch["x"])):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:  # noqa: ANN401
        """Validation and the decision to go on."""
        best = self.progress.end()
        module.train()
        if best and self.progress.validate is not None:
            self.best = copy.deepcopy(module.state_dict())
        if self.progress.enough():
            trainer.should_stop = True

    def on_fit_end(self, trainer: Any, module: Any) -> None:  # noqa: ANN401
        """Back to the best epoch."""
        if self.best is not None:
            module.load_state_dict(self.best)


def trainer(progress: Progress, device: str, **further: Any) -> Any:  # noqa: ANN401
    """On one CPU or GPU, nothing logged, no validation loop of its own."""
    return pl.Trainer(
        max_epochs=-1 if progress.epochs is None else progress.epochs,
        accelerator=device,
        devices=1,
        barebones=True,
        callbacks=[Watch(progress)],
        **further,
    )
