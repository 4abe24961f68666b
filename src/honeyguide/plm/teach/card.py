"""The model card of a task that was taught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honeyguide.plm.card import Card, render_card
from honeyguide.plm.finetune import FineTuned
from honeyguide.plm.teach.examples import TaskExamples
from honeyguide.plm.teach.heads import CLASSES, PAIRS
from honeyguide.plm.teach.plan import TeachPlan

_SHOWN = 20  # labels that are named


def lesson_card(
    plan: TeachPlan, examples: TaskExamples[Any], found: FineTuned[Any], told: Mapping[str, Any]
) -> str:
    """What somebody who finds the task must know, as a page; `told` is what the artefact says of the lesson."""
    learned, chosen, judged = told["examples"]
    what = "texts (searches and items)" if examples.kind in PAIRS else "texts"
    more = f" and {len(examples.labels) - _SHOWN:,} more" if len(examples.labels) > _SHOWN else ""
    labels = f"it tells apart: {', '.join(examples.labels[:_SHOWN])}{more}"
    folder = Path(plan.checkpoint)
    return render_card(
        Card(
            title=f"A shop's task: {examples.name}",
            base=folder.name if folder.is_dir() else plan.checkpoint,  # where it lies is nobody's business
            purpose=examples.purpose,
            made_from=(
                *examples.told,
                f"{learned:,} {what} to learn from, {chosen:,} to choose by, {judged:,} to judge by at the end",
                *([labels] if examples.labels else []),
            ),
            how=tuple(_how(plan, examples, found)),
            figures=tuple(_figures(told)),
        )
    )


def _how(plan: TeachPlan, examples: TaskExamples[Any], found: FineTuned[Any]) -> Iterator[str]:
    rate = plan.rate(pairs=examples.kind in PAIRS)
    yield f"way of training: {plan.way}; {found.trained:,} of {found.total:,} parameters ({found.share:.2%})"
    yield (
        f"{found.outcome.steps} of at most {plan.steps} steps of AdamW at {rate:g}, weight decay "
        f"{plan.weight_decay:g}; the weights of step {found.outcome.best_step} were kept"
    )
    hardened = [f"dropout {plan.dropout:g}"] if plan.dropout else []
    if plan.noise and examples.kind != "tags":
        hardened.append("noise with synonyms" if plan.synonyms else "noise")
    if plan.adversarial:
        hardened.append(plan.adversarial.upper())
    if examples.kind in CLASSES:
        hardened += [f"R-Drop {plan.rdrop:g}"] if plan.rdrop else []
        hardened += [f"label smoothing {plan.label_smoothing:g}"] if plan.label_smoothing else []
    if hardened:
        yield f"hardened by: {', '.join(hardened)}"
    yield f"texts cut after {plan.max_tokens} tokens, seed {plan.seed}"


def _figures(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, figures in told["after"].items():
        for name, value in figures.items():
            yield f"{name}, {part}", f"{value:.3f}"
            yield f"{name}, {part}, {told['baseline']}", f"{told['before'][part][name]:.3f}"
