"""Sides of a comparison: programs that do the same work whenever they are asked, one after the other."""

import json
import os
import statistics
import subprocess
import sys


class Side:
    """A process that does its work once for each line it gets, and answers with a line of JSON: seconds, and more if it likes."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[:3]} ended early")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def in_turns(sides, rounds, warm_up=2, patience=30):
    """Medians of seconds, by side: each does its work `rounds` times in turns, after some that do not count. A side that took more
    than `patience` seconds three times is not asked again."""
    times = {name: [] for name in sides}
    for turn in range(rounds + warm_up):
        for name, side in sides.items():
            if sum(value > patience for value in times[name]) >= 3:
                continue
            seconds = side.step()["seconds"]
            if turn >= warm_up or seconds > patience:
                times[name].append(seconds)
            print(f"{turn + 1}/{rounds + warm_up} {name}: {seconds:.4f} s", file=sys.stderr)
    for side in sides.values():
        side.close()
    return {name: statistics.median(values) for name, values in times.items()}
