"""Comparisons keep their limits and work from threads, event loops and forked processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sampleset.answers import (
    canonical,
    count_choices,
    extract_answer,
    group_answers,
    matches_gold,
    same_answer,
)
from sampleset.answers.maths.equality import workers
from support.hostile_texts import HOSTILE

# Processor time of this process: the workers' own is limited by the kernel, however busy the machine is.
ALLOWED_SECONDS = 1.0


@pytest.fixture(scope="module", autouse=True)
def _warm_worker() -> None:
    assert same_answer(r"\sqrt{8}", r"2\sqrt{2}").equal is True


def run_python(code: str) -> str:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_read_and_compared_in_time(name: str) -> None:
    text = HOSTILE[name]
    start = time.process_time()
    found = extract_answer(text)
    extract_answer(text, choices=4)
    count_choices(text)
    canonical(text)
    answer = found.text if found else text
    assert matches_gold(answer, "the gold").equal is not True
    verdict = same_answer(answer, r"\sqrt{5}+1")
    assert time.process_time() - start < ALLOWED_SECONDS
    assert verdict.equal is not True


def test_hostile_texts_cost_little_memory() -> None:
    megabytes = run_python(
        """
        import resource
        from support.hostile_texts import HOSTILE
        from sampleset.answers import canonical, extract_answer, group_answers

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, text in HOSTILE.items():
            extract_answer(text)
            canonical(text)
        group_answers([text for text in HOSTILE.values() if len(text) > 5000])
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
        """
    )
    assert int(megabytes) < 100


def test_a_worker_takes_no_more_memory_than_its_limit() -> None:
    largest = run_python(
        """
        import resource
        from sampleset.answers import same_answer
        from sampleset.answers.maths.equality import workers

        print(same_answer(r"10^{10^{9}}", r"\\sqrt{2}").equal)
        print(same_answer(r"7^{2000000000}+1", r"\\sqrt{2}").equal)
        workers.close_workers()
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 < 512)
        """
    )
    assert largest.split() == ["None", "None", "True"]


def test_threads_share_the_workers() -> None:
    pairs = [(rf"\sqrt{{{4 * n}}}", rf"2\sqrt{{{n}}}") for n in range(2, 40)]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda pair: same_answer(*pair).equal, pairs))
    assert verdicts == [True] * len(pairs)
    assert len(workers.worker_process_ids()) <= min(4, os.cpu_count() or 1)


async def test_an_event_loop_may_call_directly_and_through_a_thread() -> None:
    assert same_answer(r"\sqrt{12}", r"2\sqrt{3}").equal is True
    verdict = await asyncio.to_thread(same_answer, r"\sqrt{20}", r"2\sqrt{5}")
    assert verdict.equal is True


def test_a_worker_that_was_killed_is_replaced() -> None:
    before = workers.worker_process_ids()
    for process in before:
        os.killpg(process, signal.SIGKILL)
    time.sleep(0.1)
    assert same_answer(r"\sqrt{164}", r"2\sqrt{41}").equal is True
    assert not set(before) & set(workers.worker_process_ids())


def test_a_worker_killed_in_the_middle_of_a_comparison_is_replaced() -> None:
    workers.close_workers()
    assert same_answer(r"\sqrt{172}", r"2\sqrt{43}").equal is True
    (process,) = workers.worker_process_ids()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(same_answer, "8^{8^{8^8}}", r"\sqrt{2}")
        time.sleep(0.2)
        os.killpg(process, signal.SIGKILL)
        assert pending.result(timeout=30).equal is None
    assert same_answer(r"\sqrt{188}", r"2\sqrt{47}").equal is True


def test_after_a_timeout_the_next_comparison_is_fast() -> None:
    assert same_answer("7^{7^{7^7}}", r"\sqrt{2}").equal is None
    before = workers.worker_process_ids()
    assert same_answer(r"\sqrt{212}", r"2\sqrt{53}").equal is True
    # Nothing was imported again: the process that forks the next child is the same.
    assert workers.worker_process_ids() == before


def test_closed_workers_start_again() -> None:
    workers.close_workers()
    assert workers.worker_process_ids() == []
    assert same_answer(r"\sqrt{236}", r"2\sqrt{59}").equal is True


def test_a_forked_process_starts_workers_of_its_own_and_leaves_its_parents_alone() -> None:
    output = run_python(
        r"""
        import multiprocessing
        from sampleset.answers import same_answer
        from sampleset.answers.maths.equality import workers

        def child(queue):
            queue.put((same_answer(r"\sqrt{12}", r"2\sqrt{3}").equal, workers.worker_process_ids()))

        print(same_answer(r"\sqrt{8}", r"2\sqrt{2}").equal)
        parents = workers.worker_process_ids()
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        equal, childs = queue.get()
        process.join()
        print(equal, set(childs).isdisjoint(parents), process.exitcode)
        print(same_answer(r"\sqrt{20}", r"2\sqrt{5}").equal, workers.worker_process_ids() == parents)
        """
    )
    assert output.split() == ["True", "True", "True", "0", "True", "True"]


def test_workers_end_with_the_process_that_started_them() -> None:
    process = int(
        run_python(
            r"""
            from sampleset.answers import same_answer
            from sampleset.answers.maths.equality import workers
            same_answer(r"\sqrt{8}", r"2\sqrt{2}")
            print(*workers.worker_process_ids())
            """
        )
    )
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_importing_is_light_and_imports_no_algebra() -> None:
    output = run_python(
        """
        import sys
        import sampleset.answers
        heavy = {"asyncio", "math_verify", "numpy", "openai", "pydantic", "rich", "sympy", "typer", "yaml"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    assert output == "[]"


def test_plain_answers_need_no_worker() -> None:
    output = run_python(
        """
        from sampleset.answers import group_answers, matches_gold
        from sampleset.answers.maths.equality import workers
        group_answers(["5", "yes", "B", "1/2", "(1,2)", "05/01/2021", "5 eggs", "1, 2"])
        matches_gold("six", "7")
        print(workers.worker_process_ids())
        """
    )
    assert output == "[]"


def test_a_stranger_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "sympy.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            r"from sampleset.answers import same_answer; print(same_answer(r'\sqrt{8}', r'2\sqrt{2}').equal)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "True\n"


def test_grouping_gives_up_on_an_answer_that_keeps_timing_out() -> None:
    others = [rf"\sqrt{{{n}}}+x" for n in (2, 3, 5, 7, 11)]
    budget = workers.Budget(10.0)
    grouping = group_answers(["6^{6^{6^6}}+x^{6^{6^{6^6}}}", *others], budget)
    assert budget.left > 10.0 - 3 * workers.TIME_LIMIT
    assert len(grouping.groups) == 6


def test_a_set_takes_no_more_than_its_budget_and_what_is_undecided_stays_apart() -> None:
    slow = [rf"{n}^{{{n}^{{{n}^{{{n}}}}}}}+x" for n in range(5, 15)]
    budget = workers.Budget(1.5)
    grouping = group_answers([*slow, r"\sqrt{8}+y", r"2\sqrt{2}+y"], budget)
    assert budget.left > -workers.TIME_LIMIT
    assert len(grouping.groups) >= len(slow)
    assert "timeout" in grouping.notes


def test_work_stops_when_its_caller_has_left() -> None:
    slow = [rf"{n}^{{{n}^{{{n}^{{{n}}}}}}}+z" for n in range(5, 15)]
    budget = workers.Budget(60.0)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(group_answers, slow, budget)
        time.sleep(0.2)
        budget.cancel()
        assert "cancelled" in pending.result(timeout=60).notes
    assert budget.left == 0


def test_callers_take_turns() -> None:
    """One caller with much work does not keep another from its single comparison."""
    slow = [rf"{n}^{{{n}^{{{n}^{{{n}}}}}}}+w" for n in range(5, 20)]
    budgets = [workers.Budget(60.0) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(group_answers, slow[at:], budget) for at, budget in enumerate(budgets)]
        time.sleep(0.2)
        assert same_answer(r"\sqrt{332}", r"2\sqrt{83}").equal is True
        assert not all(one.done() for one in pending)
        for budget in budgets:
            budget.cancel()


def test_a_verdict_does_not_depend_on_the_load_of_the_machine() -> None:
    process = same_answer(r"\sqrt{388}", r"2\sqrt{97}")
    assert process.equal is True
    (stopped, *_) = workers.worker_process_ids()
    with ThreadPoolExecutor(1) as pool:
        os.killpg(stopped, signal.SIGSTOP)
        pending = pool.submit(same_answer, r"\sqrt{404}", r"2\sqrt{101}")
        # Longer on the clock than a comparison may take of a processor.
        time.sleep(1.5 * workers.TIME_LIMIT)
        os.killpg(stopped, signal.SIGCONT)
        assert pending.result(timeout=60).equal is True
