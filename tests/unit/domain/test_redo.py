"""What is to be done again when a run goes on from somewhere."""

from __future__ import annotations

from uuid import UUID

from taskengine.domain.redo import Again, Row, again


def run(*rows: tuple[str, str | None, str], edges: str = "", roots: str) -> Again:
    """Rows as (name, parent, kind); edges as "a>b b>c"."""
    made = {
        number(name): Row(number(name), kind, "completed", None if parent is None else number(parent))
        for name, parent, kind in rows
    }
    pairs = [(number(pair[0]), number(pair[2])) for pair in edges.split()]
    return again(made, pairs, [number(name) for name in roots])


def number(name: str) -> UUID:
    return UUID(int=ord(name))


def names(ids: frozenset[UUID]) -> str:
    return "".join(sorted(chr(row_id.int) for row_id in ids))


def test_what_follows_is_done_again_and_what_came_before_is_kept() -> None:
    rows = [("a", None, "task"), ("b", None, "task"), ("c", None, "task"), ("d", None, "task")]
    what = run(*rows, edges="a>b b>c", roots="b")
    assert (names(what.reset), names(what.reopened), names(what.dropped)) == ("bc", "", "")


def test_steps_around_it_go_on_and_what_follows_those_is_done_again() -> None:
    rows = [("p", None, "parallel"), ("a", "p", "task"), ("b", "p", "task"), ("z", None, "task")]
    what = run(*rows, edges="p>z", roots="a")
    assert (names(what.reset), names(what.reopened)) == ("az", "p")


def test_a_step_is_done_again_with_all_that_is_in_it() -> None:
    rows = [("p", None, "parallel"), ("a", "p", "task"), ("s", "p", "sequential"), ("b", "s", "task")]
    assert names(run(*rows, roots="p").reset) == "abps"


def test_rounds_of_a_loop_that_is_done_again_are_left_behind() -> None:
    rows = [("l", None, "loop"), ("i", "l", "sequential"), ("a", "i", "task")]
    what = run(*rows, roots="l")
    assert (names(what.reset), names(what.dropped)) == ("l", "ai")


def test_one_step_of_a_round_is_done_again_in_its_round() -> None:
    rows = [("l", None, "loop"), ("i", "l", "sequential"), ("a", "i", "task"), ("b", "i", "task")]
    what = run(*rows, edges="a>b", roots="a")
    assert (names(what.reset), names(what.reopened), names(what.dropped)) == ("ab", "il", "")


def test_a_child_of_an_expansion_reopens_the_expansion() -> None:
    rows = [("x", None, "expansion"), ("a", "x", "task"), ("z", None, "task")]
    what = run(*rows, edges="x>z", roots="a")
    assert (names(what.reset), names(what.reopened)) == ("az", "x")


def test_a_step_around_two_roots_of_which_one_depends_on_it_is_reset_once() -> None:
    rows = [("p", None, "parallel"), ("a", "p", "task"), ("q", None, "parallel"), ("b", "q", "task")]
    what = run(*rows, edges="p>q", roots="ab")
    assert (names(what.reset), names(what.reopened)) == ("abq", "p")
