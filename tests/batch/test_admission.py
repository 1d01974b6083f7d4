from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.batch.admission import Admission


def admitted(admission: Admission) -> list[str]:
    names = []
    while (name := admission.admit()) is not None:
        names.append(name)
    return names


def test_jobs_start_in_the_order_of_their_coming_while_they_fit() -> None:
    admission = Admission(2, 100)
    for name in "abc":
        admission.wait(name, 1, 10)
    assert admitted(admission) == ["a", "b"]
    admission.leave("a")
    assert admitted(admission) == ["c"]


def test_memory_counts_as_cores_do() -> None:
    admission = Admission(8, 100)
    admission.wait("a", 1, 60)
    admission.wait("b", 1, 60)
    assert admitted(admission) == ["a"]
    admission.leave("a")
    assert admitted(admission) == ["b"]


def test_a_small_job_may_overtake_a_large_one_only_so_often() -> None:
    admission = Admission(4, 100, overtakes_max=2)
    admission.wait("running", 2, 1)
    assert admitted(admission) == ["running"]
    admission.wait("large", 4, 1)
    for number in range(5):
        admission.wait(f"small{number}", 1, 1)
    assert admitted(admission) == ["small0", "small1"]
    admission.leave("small0")
    assert admitted(admission) == []
    admission.leave("small1")
    admission.leave("running")
    assert admitted(admission) == ["large"]
    admission.leave("large")
    assert admitted(admission) == ["small2", "small3", "small4"]


def test_only_so_many_waiting_jobs_are_looked_at() -> None:
    admission = Admission(2, 100, lookahead_max=2)
    admission.wait("running", 1, 1)
    assert admitted(admission) == ["running"]
    for name in ("large1", "large2"):
        admission.wait(name, 2, 1)
    admission.wait("small", 1, 1)
    assert admitted(admission) == []


def test_a_job_that_leaves_while_it_waits_takes_and_gives_nothing() -> None:
    admission = Admission(1, 100)
    admission.wait("a", 1, 1)
    admission.leave("a")
    admission.leave("unknown")
    admission.wait("b", 1, 1)
    assert admitted(admission) == ["b"]
    assert len(admission) == 0


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 10)), max_size=40), st.randoms())
def test_no_more_is_given_than_there_is_and_everybody_starts_in_the_end(
    jobs: list[tuple[int, int]], chance: st.DataObject
) -> None:
    admission = Admission(4, 10, overtakes_max=3)
    running: dict[str, tuple[int, int]] = {}
    waiting = [str(number) for number in range(len(jobs))]
    overtaken = dict.fromkeys(waiting, 0)
    for name, (cores, memory) in zip(waiting, jobs, strict=True):
        admission.wait(name, cores, memory)
    while waiting:
        for name in admitted(admission):
            for earlier in waiting[: waiting.index(name)]:
                overtaken[earlier] += 1
            waiting.remove(name)
            running[name] = jobs[int(name)]
            assert sum(cores for cores, _ in running.values()) <= 4
            assert sum(memory for _, memory in running.values()) <= 10
        assert running, "nobody runs and nobody may start"
        name = chance.choice(sorted(running))  # type: ignore[attr-defined]
        del running[name]
        admission.leave(name)
    assert all(times <= 3 for times in overtaken.values())
