"""Contenders in turn, round after round, so that what else the machine does meets them alike."""

from __future__ import annotations

import time

import numpy as np


# Threads of who was before go on spinning for a while, at the cost of the process whose CPU time is read.
SETTLING_S = 0.1


class Timing:
    """Of one contender: seconds a call, a median over rounds. `cpu` counts every thread of the process."""

    def __init__(self, cpu, wall):
        self.cpu = float(np.median(cpu))
        self.wall = float(np.median(wall))
        self.spread = float(np.max(cpu) / np.min(cpu))


def _calls(work, calls):
    time.sleep(SETTLING_S)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        work()
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def interleaved(contenders, rounds=5, least_s=0.05):
    """contenders: name -> work, a function of nothing. Each is called once to warm up, then in every round as often as
    fills `least_s`.
    """
    calls = {}
    for name, work in contenders.items():
        work()
        calls[name] = max(1, int(np.ceil(least_s / max(_calls(work, 1)[1], 1e-7))))
    seen = {name: ([], []) for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            cpu, wall = _calls(work, calls[name])
            seen[name][0].append(cpu)
            seen[name][1].append(wall)
    return {name: Timing(*both) for name, both in seen.items()}
