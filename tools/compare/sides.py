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


def answers_in_turns(sides, rounds, warm_up=2, patience=30):
    """What each side answered, by side: each does its work `rounds` times in turns, after some that do not count. A turn that took more
    than `patience` seconds always counts, and a side that has had three of those is not asked again."""
    answers = {name: [] for name in sides}
    for turn in range(rounds + warm_up):
        for name, side in sides.items():
            if sum(answer["seconds"] > patience for answer in answers[name]) >= 3:
                continue
            answer = side.step()
            if turn >= warm_up or answer["seconds"] > patience:
                answers[name].append(answer)
            print(f"{turn + 1}/{rounds + warm_up} {name}: {answer['seconds']:.4f} s", file=sys.stderr)
    for side in sides.values():
        side.close()
    return answers


def in_turns(sides, rounds, warm_up=2, patience=30):
    """Medians of the seconds of `answers_in_turns`."""
    answers = answers_in_turns(sides, rounds, warm_up, patience)
    return {name: statistics.median(answer["seconds"] for answer in given) for name, given in answers.items()}
