"""A process that appends decisions and feedback one by one and says which were acknowledged: to be killed."""

import sys

from honeyguide.checks.journal import sample_decision, sample_feedback
from honeyguide.journal.open import open_journal
from tests.journal_tally import new_learner


def main(place: str, first: int, count: int) -> None:
    journal = open_journal(place)
    learner = new_learner()
    say("ready")
    for number in range(first, first + count):
        decision = sample_decision(number, f"user-{number % 7}", hours=number)
        journal.append([decision])
        say(decision.decision_id)
        feedback = sample_feedback(decision, number % 3)
        journal.append([feedback])
        say(feedback.event_id)
        if number % 5 == 0:
            learner.catch_up(journal)
            journal.save_state(learner.offset, learner.state())
    journal.close()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
