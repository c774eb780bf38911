"""A figure: what was measured of each contender, in rounds; its ratios and whether a goal is reached."""

import statistics

from tools import Unavailable

SUBJECT = "rexec"


def spread(values):
    """Median, extremes and quartiles of a sample."""
    ordered = sorted(values)
    if len(ordered) > 1:
        q1, _, q3 = statistics.quantiles(ordered, n=4, method="inclusive")
    else:
        q1 = q3 = ordered[0]
    return {"median": statistics.median(ordered), "min": ordered[0], "q1": q1, "q3": q3, "max": ordered[-1],
            "n": len(ordered)}


def percentile(values, share):
    """The value that `share` of the sample does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Goal:
    """A bound for a ratio: of the subject to another contender, or (inverse) of that to the subject; or, against
    nobody, for the value itself."""

    def __init__(self, text, bound, against=None, at_least=False, inverse=False, subject=SUBJECT):
        self.text, self.bound, self.against = text, bound, against
        self.at_least, self.inverse, self.subject = at_least, inverse, subject

    def reached(self, ratio):
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def wants(self):
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


class Figure:
    """One thing that is measured. Values come in rounds; a value's round is its place in its list."""

    def __init__(self, section, name, unit, limit=None, note=None, higher=False):
        self.section, self.name, self.unit, self.limit, self.note = section, name, unit, limit, note
        self.higher = higher            # more is better; None: neither is
        self.values, self.missing, self.goals = {}, {}, []

    def add(self, contender, value):
        self.values.setdefault(contender, []).append(value)

    def miss(self, contender, reason):
        self.missing[contender] = str(reason)

    def goal(self, text, bound, **more):
        self.goals.append(Goal(text, bound, **more))
        return self

    def ratio(self, one, other):
        """The median of one's rounds over other's; None if either was not measured."""
        if not self.values.get(one) or not self.values.get(other):
            return None
        pairs = list(zip(self.values[one], self.values[other]))
        return statistics.median(a / b for a, b in pairs) if all(b for _, b in pairs) else None

    def judge(self, goal):
        """(ratio or value, reached, why not judged)"""
        if not self.values.get(goal.subject):
            return None, None, f"{goal.subject}: {self.missing.get(goal.subject, 'not measured')}"
        if goal.against is None:
            value = statistics.median(self.values[goal.subject])
            return value, goal.reached(value), None
        pair = (goal.against, goal.subject) if goal.inverse else (goal.subject, goal.against)
        ratio = self.ratio(*pair)
        if ratio is None:
            return None, None, f"{goal.against}: {self.missing.get(goal.against, 'not measured')}"
        return ratio, goal.reached(ratio), None

    def contenders(self):
        """The subject first, then in the order in which they came, the limit last."""
        names = list(dict.fromkeys([*self.values, *self.missing]))
        return sorted(names, key=lambda name: (name != SUBJECT, name == self.limit))

    def as_json(self):
        peers = {}
        for name in self.contenders():
            if name in (SUBJECT, self.limit):
                continue
            peers[name] = self.contender_json(name)
        goals = []
        for goal in self.goals:
            ratio, reached, reason = self.judge(goal)
            goals.append({"goal": goal.text, "subject": goal.subject, "against": goal.against, "ratio": ratio,
                          "wanted": goal.wants(), "reached": reached, "why_not_judged": reason})
        return {"section": self.section, "figure": self.name, "unit": self.unit, "more_is_better": self.higher,
                "note": self.note, "rexec": self.contender_json(SUBJECT), "peers": peers,
                "limit": dict(self.contender_json(self.limit), name=self.limit) if self.limit else None,
                "goals": goals}

    def contender_json(self, name):
        if not self.values.get(name):
            return {"missing": self.missing.get(name, "not measured")}
        result = spread(self.values[name])
        result["rexec_is_times"] = self.ratio(SUBJECT, name)
        if name in self.missing:
            result["stopped"] = self.missing[name]
        return result


class Book:
    """All figures of a run."""

    def __init__(self, progress):
        self.figures, self.progress = [], progress

    def figure(self, *words, **more):
        figure = Figure(*words, **more)
        self.figures.append(figure)
        return figure

    def rounds(self, count, contenders, figures):
        """Calls each contender's function once a round, in an order that turns: what the machine does in between
        hits all of them. One that cannot go on is left out, and the figures told why."""
        left = dict(contenders)
        for number in range(count):
            names = list(left)
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                self.progress(f"{figures[0].section}: round {number + 1} of {count}: {name}")
                try:
                    left[name]()
                except Unavailable as reason:
                    for figure in figures:
                        figure.miss(name, reason)
                    del left[name]
