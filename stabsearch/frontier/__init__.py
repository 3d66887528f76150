"""What the facts say: how high the learning rate may go per context, and how sure that is."""

from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.frontier.confirmation import confirmation_trials, failure_bound
from stabsearch.frontier.fit import fit
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.trials import TableError
from stabsearch.frontier.verdict import ContextVerdict

__all__ = [
    "Answer",
    "Confirmation",
    "ContextVerdict",
    "Frontier",
    "Recommendation",
    "TableError",
    "Verdict",
    "confirmation_trials",
    "failure_bound",
    "fit",
]
