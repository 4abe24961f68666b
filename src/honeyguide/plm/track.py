"""Where the figures of a training job go: JSON Lines always, TensorBoard and Weights & Biases where asked for."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from honeyguide.errors import InvalidInput, MissingExtra


class Tracker(Protocol):
    """Takes figures as they come; a figure of a step that was logged before replaces it when it is read."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note the figures of a step."""
        ...

    def close(self) -> None:
        """Write out what is still held back."""
        ...


class NoTracker:
    """Forgets everything."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note nothing."""

    def close(self) -> None:
        """Hold nothing back."""


class JsonlTracker:
    """One JSON object a line: {"step": 10, "loss": 1.5}; a job that goes on appends to its file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the line at once, so that a killed job has told what it saw."""
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardTracker:
    """Event files that TensorBoard draws."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtra("tensorboard", "track") from None
        self._writer: Any = SummaryWriter(str(folder))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One scalar a figure."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush the event file."""
        self._writer.close()


class WandbTracker:
    """Weights & Biases; without an account it writes a run that `wandb sync` can send later."""

    def __init__(self, folder: Path, *, project: str = "honeyguide", run: str | None = None) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtra("wandb", "track") from None
        folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("wandb").setLevel(logging.ERROR)
        mode: Literal["online", "offline"] = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        self._run: Any = wandb.init(
            project=project, name=run, dir=str(folder), mode=mode, settings=wandb.Settings(silent=True)
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One row of the run's history."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class Trackers:
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    @classmethod
    def named(cls, names: Sequence[str], folder: Path) -> Self:
        """Trackers by their names (jsonl, tensorboard, wandb) that write below `folder`."""
        made: list[Tracker] = []
        for name in names:
            if name == "jsonl":
                made.append(JsonlTracker(folder / "figures.jsonl"))
            elif name == "tensorboard":
                made.append(TensorBoardTracker(folder / "tensorboard"))
            elif name == "wandb":
                made.append(WandbTracker(folder / "wandb"))
            else:
                raise InvalidInput(f"{name!r} is no tracker: choose from jsonl, tensorboard, wandb")
        return cls(made)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Tell all of them."""
        for tracker in self._trackers:
            tracker.log(step, figures)

    def close(self) -> None:
        """Close all of them."""
        for tracker in self._trackers:
            tracker.close()


def read_figures(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves in a JSON Lines file: per figure (step, value), ascending; of a step that came again the last.

    A half-written last line, as a killed job leaves it, is passed over.
    """
    curves: dict[str, dict[int, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            figures = json.loads(line)
        except ValueError:
            continue
        step = int(figures.pop("step"))
        for name, value in figures.items():
            curves.setdefault(name, {})[step] = float(value)
    return {name: sorted(curve.items()) for name, curve in curves.items()}
