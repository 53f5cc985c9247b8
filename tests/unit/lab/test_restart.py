from netsim.lab.restart import FIRST_DELAY, LONGEST_DELAY, Backoff


def test_dying_young_waits_longer_each_time_up_to_a_limit():
    delays, backoff = [], Backoff()
    for _ in range(12):
        backoff = backoff.after_run(0.1)
        delays.append(backoff.delay)
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY


def test_a_steady_run_is_started_again_quickly():
    assert Backoff(LONGEST_DELAY).after_run(3600).delay == FIRST_DELAY
