"""Counting, combining and dropping events, by values."""

from __future__ import annotations

from netsim.client.event_correlation import BURST, COMBINED, Correlator, Recent

POD, SOURCE, KIND = ("Pod", "ns", "p", "u1"), ("kubelet", "n"), ("Warning", "BackOff")


def judge(correlator: Correlator, message: str, seconds: float = 0.0, kind: tuple[str, str] = KIND) -> tuple[str, bool]:
    verdict = correlator.judge(SOURCE, POD, kind, message, seconds)
    return verdict.message, verdict.sent


def test_the_same_event_has_one_key() -> None:
    correlator = Correlator()
    first, again = (correlator.judge(SOURCE, POD, KIND, "x", t) for t in (0.0, 1.0))
    other = correlator.judge(SOURCE, POD, KIND, "y", 2.0)
    assert first == again
    assert other.key != first.key


def test_the_tenth_similar_one_is_combined_with_those_that_follow() -> None:
    correlator = Correlator()
    told = [correlator.judge(SOURCE, POD, KIND, f"m{n}", float(n)) for n in range(12)]
    assert [v.message.startswith(COMBINED) for v in told] == [False] * 9 + [True] * 3
    assert told[9].message == "(combined from similar events): m9"
    assert len({v.key for v in told[9:]}) == 1


def test_ten_quiet_minutes_end_the_combining() -> None:
    correlator = Correlator()
    for n in range(10):
        judge(correlator, f"m{n}")
    assert judge(correlator, "later", 601.0) == ("later", True)


def test_another_reason_is_not_similar() -> None:
    correlator = Correlator()
    for n in range(10):
        judge(correlator, f"m{n}")
    assert judge(correlator, "m", kind=("Warning", "Other")) == ("m", True)


def test_spam_is_dropped_until_five_minutes_have_passed() -> None:
    correlator = Correlator()
    assert [judge(correlator, "x")[1] for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert not judge(correlator, "x", 299.0)[1]
    assert judge(correlator, "x", 300.5)[1]
    assert not judge(correlator, "x", 301.0)[1]
    other = correlator.judge(SOURCE, ("Pod", "ns", "p2", "u2"), KIND, "x", 0.0)
    assert other.sent


def test_memory_is_bounded() -> None:
    recent: Recent[int] = Recent(2)
    for n in range(3):
        recent.put((str(n),), n)
        recent.get(("0",))
    assert [recent.get((str(n),)) for n in range(3)] == [0, None, 2]
