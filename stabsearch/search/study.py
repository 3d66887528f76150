"""The study: every plan and every record of a sweep, durably, exactly once."""

from __future__ import annotations

import uuid
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from stabsearch.config import Search
from stabsearch.frontier.bridges import at_base_horizon
from stabsearch.frontier.kept import Kept
from stabsearch.frontier.labels import relabel
from stabsearch.records import Context, Grade, OutcomeRules, Stage, TrialPlan, TrialRecord
from stabsearch.records.hyperparameters import HYPERPARAMETERS
from stabsearch.records.ramp import as_ramp
from stabsearch.search.seeds import trial_seeds
from stabsearch.search.stored import (
    END,
    LOSSES,
    NODE_LOSSES,
    PLAN,
    RECORD,
    STARTS,
    STUDY_NAME,
    SWEEP,
    SWEEP_ID,
    VOID,
    records_in,
    unfinished_in,
)

SamplerFor = Callable[[int, Callable[[Sequence[FrozenTrial]], "list[float | None]"]], BaseSampler]
"""Trial number, evidence of given trials -> sampler."""


def score(record: TrialRecord) -> float | None:
    """Return what a sampler is told: 1.0 survived, 0.5 degraded, 0.0 failed, None proves nothing."""
    if not record.is_evidence:
        return None
    if record.outcome.is_failure:
        return 0.0
    return 0.5 if record.grade is Grade.DEGRADED else 1.0


_SCORES: Kept[TrialRecord, float | None] = Kept(score)


def search_space(search: Search, warmups: Sequence[int]) -> dict[str, BaseDistribution]:
    """Return what Optuna samples from; warmups are optimizer steps."""
    return {
        "learning_rate": FloatDistribution(search.learning_rate.low, search.learning_rate.high, log=True),
        "precision": CategoricalDistribution(list(search.precision)),
        "warmup_steps": CategoricalDistribution(list(warmups)),
        "max_grad_norm": CategoricalDistribution(list(search.max_grad_norm)),
        **{name: CategoricalDistribution(list(values)) for name, values in search.further.items()},
    }


class SweepStudy:
    """An Optuna study that holds a whole TrialPlan and TrialRecord per trial.

    A trial is RUNNING from the moment it is asked for until its record is told. What a killed
    process left behind is put right when the study is opened: a record that was stored but not
    told is told, a trial that has no plan yet is closed, everything else is ``unfinished``.

    Args:
        storage: where it is kept; one process at a time writes.
        space: distribution per searched parameter.
        sampler_for: trial number and evidence function -> the sampler that proposes it.
        seed: the sweep's seed; with a trial's number it decides that trial's seeds.
        horizon: optimizer steps per trial.
        rules: thresholds for labels that depend on other trials.
        name: of the study in its storage; a database may hold many.
    """

    def __init__(
        self, storage: BaseStorage, space: dict[str, BaseDistribution], sampler_for: SamplerFor,
        *, seed: int, horizon: int, rules: OutcomeRules, name: str = STUDY_NAME,
    ) -> None:  # fmt: skip
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._space, self._sampler_for = space, sampler_for
        self._seed, self._horizon, self._rules = seed, horizon, rules
        self._records: dict[int, TrialRecord] = {}
        self._numbers: list[int] = []
        self._in_order: list[TrialRecord] = []
        self._before: list[TrialRecord] = []
        self._labelled: dict[int, TrialRecord] | None = None
        self._scored: dict[int, float | None] | None = None
        if SWEEP_ID not in self._study.user_attrs:
            self._study.set_user_attr(SWEEP_ID, uuid.uuid4().hex)
        self._recover()

    @property
    def sweep_id(self) -> str:
        """Return the identity of this sweep, made once."""
        return str(self._study.user_attrs[SWEEP_ID])

    @property
    def raw_records(self) -> list[TrialRecord]:
        """Return one record per finished trial as its worker told it, in trial order."""
        return list(self._in_order)

    @property
    def records(self) -> list[TrialRecord]:
        """Return one record per finished trial with final labels, in trial order."""
        return list(self._by_number().values())

    def labelled(self, number: int) -> TrialRecord:
        """Return the record of a finished trial with the label it has among the others now."""
        return self._by_number()[number]

    def _by_number(self) -> dict[int, TrialRecord]:
        """Return the labelled records in trial order, labelled anew once a trial has ended.

        Labels follow from everything else in the records, so those of before may stand meanwhile.
        """
        if self._labelled is None:
            self._before = relabel(self._before, self._rules)
            self._labelled = dict(zip(self._numbers, self._before, strict=True))
        return self._labelled

    def _take(self, record: TrialRecord) -> None:
        """Keep a record, in trial order; labels and scores of the others may change with it."""
        number = record.plan.number
        self._records[number] = record
        place = bisect(self._numbers, number)
        self._numbers.insert(place, number)
        self._in_order.insert(place, record)
        self._before.insert(place, record)
        self._labelled = self._scored = None

    def unfinished(self) -> list[TrialPlan]:
        """Return the plans that have been asked for and not told, in trial order."""
        return unfinished_in(self._study)

    @property
    def sweep(self) -> dict[str, Any] | None:
        """Return what the study was made for, None when that has not been stored yet."""
        return cast("dict[str, Any] | None", self._study.user_attrs.get(SWEEP))

    def keep_sweep(self, sweep: dict[str, Any]) -> None:
        """Store what the study was made for, so that reports need nothing but the study."""
        self._study.set_user_attr(SWEEP, sweep)

    def keep_end(self, status: str) -> None:
        """Store how this run of the sweep ended; empty: it is at work."""
        self._study.set_user_attr(END, status)

    def ask(self) -> TrialPlan:
        """Return the next search trial, proposed by the sampler."""
        self._study.sampler = self._sampler_for(self._next, self._evidence)
        trial = self._study.ask(fixed_distributions=self._space)
        return self._planned(trial, Stage.SEARCH)

    def ask_fixed(
        self, context: Context, learning_rate: float, stage: Stage,
        *, confirms: float | None = None, horizon: int | None = None,
    ) -> TrialPlan:  # fmt: skip
        """Return a trial on exactly this configuration, inside the searched space or not.

        Args:
            context: everything but the learning rate.
            learning_rate: where it runs.
            stage: what it is run for.
            confirms: the lower learning rate that it vouches for, when it is a stress test.
            horizon: optimizer steps, when it goes on for longer than the others.
        """
        params = {"learning_rate": learning_rate, **context.settings}
        further: dict[str, Any] = {"confirms": confirms, "horizon": horizon or self._horizon}
        if self._holds(params):
            self._study.sampler = RandomSampler(seed=0)
            self._study.enqueue_trial(params)
            return self._planned(self._study.ask(fixed_distributions=self._space), stage, further)
        plan = replace(self._plan(self._next, params, stage), **further)
        return self._added(plan)

    def _added(self, plan: TrialPlan) -> TrialPlan:
        """Store a plan that Optuna does not see the parameters of."""
        self._study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={PLAN: asdict(plan)}))
        self._next += 1
        return plan

    def ask_ramp(self, context: Context, low: float, high: float) -> TrialPlan:
        """Return a learning-rate ramp from ``low`` to ``high``; for Optuna it proves nothing."""
        plan = self._plan(self._next, {"learning_rate": high, **context.settings}, Stage.RAMP)
        return self._added(as_ramp(plan, low, high))

    def count_start(self, number: int) -> int:
        """Count a start of a trial, durably, and return how often it has been started."""
        return self._count(number, STARTS)

    def starts(self, number: int) -> int:
        """Return how often a trial has been started."""
        return self._counted(number, STARTS)

    def unended_starts(self, number: int) -> int:
        """Return how many of a trial's starts nobody saw the end of: their whole run was over before."""
        return self.starts(number) - self._counted(number, LOSSES) - self._counted(number, NODE_LOSSES)

    def count_loss(self, number: int, *, by_node: bool) -> int:
        """Count that a trial's worker went away, durably, and return how often one went this way."""
        return self._count(number, NODE_LOSSES if by_node else LOSSES)

    def _count(self, number: int, name: str) -> int:
        count = self._counted(number, name) + 1
        self._keep(number, name, count)
        return count

    def _counted(self, number: int, name: str) -> int:
        return int(self._storage.get_trial(self._trial_id(number)).user_attrs.get(name, 0))

    def tell(self, record: TrialRecord) -> bool:
        """Record a finished trial; False when it has a record already, which then stays.

        The record is stored before the trial is closed: killed in between, the next opening
        closes it.
        """
        number = record.plan.number
        if number in self._records:
            return False
        self._keep(number, RECORD, record.to_json())
        self._take(record)
        self._close(number)
        return True

    def _close(self, number: int) -> None:
        """Tell Optuna a finite value, or FAIL where the trial proves nothing."""
        value = self._scores()[number]
        self._study.sampler = RandomSampler(seed=0)  # the proposing sampler has no say in closing
        trial = Trial(self._study, self._trial_id(number))
        if value is None or not trial.params:
            self._study.tell(number, state=TrialState.FAIL)
            return
        if not trial.constraints:  # set already when this process's predecessor was killed right here
            trial.set_constraint("failed", 1.0 if value == 0.0 else -1.0)
        self._study.tell(number, value)

    def _scores(self) -> dict[int, float | None]:
        if self._scored is None:
            at_horizon = at_base_horizon(self.records, self._rules)
            self._scored = dict(zip(self._numbers, _SCORES.of(at_horizon), strict=True))
        return self._scored

    def _evidence(self, trials: Sequence[FrozenTrial]) -> list[float | None]:
        """Return the current score of each trial; labels may have changed since it was told."""
        scores = self._scores()
        return [scores.get(trial.number) for trial in trials]

    def _planned(self, trial: Trial, stage: Stage, further: Mapping[str, Any] | None = None) -> TrialPlan:
        self._next = trial.number + 1
        plan = replace(self._plan(trial.number, trial.params, stage), **(further or {}))
        trial.set_user_attr(PLAN, asdict(plan))
        return plan

    def _plan(self, number: int, params: dict[str, Any], stage: Stage) -> TrialPlan:
        model_seed, data_seed = trial_seeds(self._seed, number)
        searched: dict[str, Any] = {name: HYPERPARAMETERS[name].read(value) for name, value in params.items()}
        return TrialPlan(
            number=number,
            stage=stage,
            model_seed=model_seed,
            data_seed=data_seed,
            horizon=self._horizon,
            **searched,
        )

    def _holds(self, params: dict[str, Any]) -> bool:
        """Return whether Optuna can see these as a trial of the searched space: all of it, and inside it."""
        return params.keys() == self._space.keys() and all(
            value in distribution.choices
            if isinstance(distribution := self._space[name], CategoricalDistribution)
            else distribution._contains(distribution.to_internal_repr(value))
            for name, value in params.items()
        )

    @property
    def _storage(self) -> BaseStorage:
        return self._study._storage

    def _keep(self, number: int, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._trial_id(number), name, value)

    def _trial_id(self, number: int) -> int:
        found: int = self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        return found

    def _recover(self) -> None:
        self._next = len(self._study.get_trials(deepcopy=False))
        for record in records_in(self._study):
            self._take(record)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            if RECORD in trial.user_attrs:
                self._close(trial.number)
            elif PLAN not in trial.user_attrs:
                self._void(trial)

    def _void(self, trial: FrozenTrial) -> None:
        """Close a trial that was killed before it had a plan: nothing was run for it."""
        self._storage.set_trial_user_attr(trial._trial_id, VOID, True)
        self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
