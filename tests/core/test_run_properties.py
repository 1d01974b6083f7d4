"""Whatever the graph, the outcomes and the order of facts: the rules of a run hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from penstock.core.graph import ancestors
from penstock.core.rerun import rerun
from penstock.core.retry import EVICTIONS_FORGIVEN, Retry
from penstock.core.run import (
    ENDED,
    Call,
    Cancel,
    Command,
    End,
    Fact,
    Phase,
    RetryDue,
    Run,
    Start,
    StepFailed,
    Stop,
    Succeeded,
    Wait,
    advance,
)
from penstock.core.snapshot import restore, snapshot
from penstock.core.workflow import Join, Step, Workflow, validate
from penstock.testing.simulation import simulated_run

MANY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FACTS_MAX = 2_000

Attempt = tuple[str, int, int]


@st.composite
def workflows(draw: st.DrawFn, maps: bool = True) -> Workflow:
    """Any graph of up to 8 steps, with joins, choices, retries and, if wanted, maps."""
    steps: list[Step] = []
    before: dict[str, tuple[str, ...]] = {}
    for number in range(draw(st.integers(1, 8))):
        name = f"s{number}"
        after = tuple(
            draw(st.lists(st.sampled_from(sorted(before)), unique=True, max_size=3)) if before else []
        )
        before[name] = after
        sources = sorted(ancestors(before)[name])
        steps.append(
            Step(
                name=name,
                function="test/f@1",
                after=after,
                join=draw(st.sampled_from(Join)),
                when=draw(st.sampled_from(["", "", "", "generation < 100", "FALSE"])),
                each=draw(st.sampled_from(["", *sources])) if maps else "",
                window=draw(st.integers(1, 3)),
                tolerate=draw(st.integers(0, 2)),
                retry=Retry(attempts=draw(st.integers(1, 3))),
            )
        )
    made = Workflow(tenant="local", name="test/w", version=1, steps=tuple(draw(st.permutations(steps))))
    validate(made)
    return made


@dataclass
class World:
    """Answers commands in any order, repeats itself, and checks the rules after each fact."""

    workflow: Workflow
    run: Run
    luck: Random
    fails: float
    cancels: float
    called: set[Attempt] = field(default_factory=set)
    flying: set[Attempt] = field(default_factory=set)
    waiting: list[RetryDue] = field(default_factory=list)
    told: list[Fact] = field(default_factory=list)
    answered: list[list[Command]] = field(default_factory=list)

    def play(self) -> World:
        self.tell(Start())
        while self.run.phase not in ENDED:
            assert len(self.told) < FACTS_MAX, "it does not end"
            self.tell(self.next_fact())
        return self

    def next_fact(self) -> Fact:
        chance = self.luck.random()
        if chance < self.cancels:
            return Cancel("enough")
        if chance < 0.2:
            return self.honest(self.luck.choice(self.told))
        if chance < 0.3 and self.called:  # perhaps a zombie: an attempt that was called, and may have ended
            step, number, item = self.luck.choice(sorted(self.called))
            attempt = max(0, number + self.luck.choice([-1, 0, 0, 1]))
            return self.honest(Succeeded(step, attempt, Raw(b"[0]"), item))
        if self.luck.randrange(len(self.flying) + len(self.waiting)) < len(self.flying):
            return self.outcome(self.luck.choice(sorted(self.flying)))
        return self.waiting.pop(self.luck.randrange(len(self.waiting)))

    def honest(self, fact: Fact) -> Fact:
        """Facts may lie about attempts that are not in flight, and of those that are tell the outcome."""
        if isinstance(fact, Succeeded | StepFailed):
            attempt = (fact.step, fact.attempt, fact.item)
            return self.outcome(attempt) if attempt in self.flying else fact
        return fact

    def outcome(self, attempt: Attempt) -> Fact:
        """Depends on the attempt alone, so that the order of facts does not change outcomes."""
        step, number, item = attempt
        luck = Random(f"{attempt}{self.fails}")
        if luck.random() < self.fails:
            retryable, evicted = luck.random() < 0.7, luck.random() < 0.3
            return StepFailed(step, number, f"bad luck {number}", retryable, item, evicted)
        answer = luck.choice([b"[]", b"[1]", b"[1,2,3,4]", b"[1,2]", b"7"])
        return Succeeded(step, number, Raw(answer), item)

    def tell(self, fact: Fact) -> None:
        before = snapshot(self.run)
        is_news = self.is_news(fact)
        commands = advance(self.workflow, self.run, fact)
        assert is_news or (commands == [] and snapshot(self.run) == before), f"{fact} is no news"
        self.told.append(fact)
        self.answered.append(commands)
        if isinstance(fact, Succeeded | StepFailed):
            self.flying.discard((fact.step, fact.attempt, fact.item))
        for command in commands:
            self.check(command)
        assert [type(command) for command in commands[:-1]].count(End) == 0, "the end comes last"
        assert any(isinstance(command, End) for command in commands) == (is_news and self.run.phase in ENDED)

    def is_news(self, fact: Fact) -> bool:
        if isinstance(fact, Succeeded | StepFailed):
            return (fact.step, fact.attempt, fact.item) in self.flying
        if isinstance(fact, RetryDue):
            return (fact.step, fact.attempt, fact.item) not in self.called
        return fact not in self.told

    def check(self, command: Command) -> None:
        match command:
            case Call():
                self.check_call(command)
            case Wait():
                forgiven = command.attempt - 1 - command.failed_attempts
                assert 0 <= forgiven <= EVICTIONS_FORGIVEN
                assert command.evictions == 0 or command.evictions == forgiven
                self.waiting.append(RetryDue(command.step, command.attempt, command.item))
            case Stop():
                self.flying.remove((command.step, command.attempt, command.item))
            case End():
                assert not self.flying, "nothing is in flight at the end"

    def check_call(self, call: Call) -> None:
        attempt = (call.step, call.attempt, call.item)
        step = next(step for step in self.workflow.steps if step.name == call.step)
        assert attempt not in self.called, "an attempt is called once"
        assert call.attempt == 1 or (call.step, call.attempt - 1, call.item) in self.called
        assert call.attempt <= step.retry.attempts + EVICTIONS_FORGIVEN
        assert all(self.run.steps[name].phase in ENDED for name in step.after), "what is before has ended"
        self.called.add(attempt)
        self.flying.add(attempt)
        assert len([name for name, _, _ in self.flying if name == call.step]) <= (
            step.window if step.each else 1
        )


worlds = st.builds(
    lambda workflow, luck, fails, cancels: World(workflow, simulated_run(), luck, fails, cancels),
    workflows(),
    st.integers(0, 2**32).map(Random),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([0.0, 0.0, 0.05]),
)


@MANY
@given(worlds)
def test_every_run_ends_with_every_step_ended(world: World) -> None:
    run = world.play().run
    assert run.steps.keys() == {step.name for step in world.workflow.steps}
    assert all(step.phase in ENDED for step in run.steps.values())
    assert run.open == 0
    failed = [name for name, step in run.steps.items() if step.phase is Phase.FAILED]
    if run.phase is Phase.CANCELLED:
        assert run.error == "cancelled: enough"
    elif failed:
        assert run.phase is Phase.FAILED
        assert run.error is not None
        assert run.error.startswith(f"step {failed[0]!r} failed: ")
    else:
        assert (run.phase, run.error) == (Phase.SUCCEEDED, None)


@MANY
@given(worlds)
def test_steps_end_as_the_rules_say(world: World) -> None:
    run = world.play().run
    for step in world.workflow.steps:
        then = run.steps[step.name]
        before = [run.steps[name] for name in step.after]
        blocked = step.join is Join.ALL and any(
            other.phase is Phase.FAILED or other.blocked_by for other in before
        )
        if then.phase in (Phase.SUCCEEDED, Phase.FAILED):
            assert not blocked
            assert step.when != "FALSE"
        if then.phase is Phase.SKIPPED and then.blocked_by:
            assert run.steps[then.blocked_by].phase is Phase.FAILED
            assert then.error == f"skipped because step {then.blocked_by!r} failed"
        assert (then.result is not None) == (then.phase is Phase.SUCCEEDED)


@MANY
@given(worlds)
def test_the_same_facts_give_the_same_run_and_commands(world: World) -> None:
    world.play()
    again = simulated_run()
    assert [advance(world.workflow, again, fact) for fact in world.told] == world.answered
    assert snapshot(again) == snapshot(world.run)


@MANY
@given(worlds)
def test_a_run_restored_between_any_two_facts_goes_on_the_same(world: World) -> None:
    world.play()
    run = simulated_run()
    for fact, commands in zip(world.told, world.answered, strict=True):
        run = restore(snapshot(run))
        assert advance(world.workflow, run, fact) == commands
    assert snapshot(run) == snapshot(world.run)


@MANY
@given(workflows(maps=False), st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 2**32), st.integers(0, 2**32))
def test_without_maps_the_order_of_facts_does_not_matter(
    workflow: Workflow, fails: float, first: int, second: int
) -> None:
    runs = [World(workflow, simulated_run(), Random(seed), fails, 0.0).play().run for seed in (first, second)]
    assert runs[0].error == runs[1].error
    assert snapshot(runs[0]) == snapshot(runs[1])


@MANY
@given(worlds)
def test_a_rerun_calls_nothing_that_it_keeps_and_repairs_what_failed(world: World) -> None:
    old = world.play().run
    if old.phase is Phase.SUCCEEDED:
        return
    before = snapshot(old)
    new = rerun(world.workflow, old, "again", 1, None)
    assert snapshot(old) == before
    kept = {name for name, step in new.steps.items() if step.phase in ENDED}
    lucky = World(world.workflow, new, world.luck, fails=0.0, cancels=0.0).play()
    assert not kept & {step for step, _, _ in lucky.called}
    assert all(bytes(old.steps[name].result or b"") == bytes(new.steps[name].result or b"") for name in kept)
    failed = [step.error or "" for step in new.steps.values() if step.phase is Phase.FAILED]
    assert all("is no list" in error for error in failed)
