"""Writes golden.hpp: what the definitions in engine/series give for made series, computed plainly.

    python3 make_golden.py > golden.hpp

Each definition is written out here a second time, with lists and loops; made_series.hpp makes the same series."""
import math

LN10 = math.log(10)
START_S, STEP_S = 1_400_000_000, 1800


def noise(seed):
    """A linear congruential generator: whole numbers from 0 to 999."""
    state = seed
    while True:
        state = (state * 1103515245 + 12345) % 2**31
        yield (state >> 16) % 1000


def daily(rows):
    """A day of 48 rows, busy for half of it; one day without, and a level shift."""
    chance, values = noise(1), []
    for i in range(rows):
        busy = 0 if 480 <= i < 528 else (4000 if 16 <= i % 48 < 40 else 0)
        values.append(1000 + busy + next(chance) + (3000 if i >= 700 else 0))
    return values


def bursts(rows):
    """Quiet noise with bursts, which become larger."""
    chance, values = noise(2), []
    for i in range(rows):
        burst = next(chance)
        values.append(next(chance) + (burst * (50 if i >= 600 else 5) if burst >= 970 else 0))
    return values


def steps(rows):
    """A square wave to the bit, which misses a beat."""
    return [0 if 777 <= i < 790 else (100 if i % 20 < 10 else 0) for i in range(rows)]


class Histogram:
    def __init__(self):
        self.bins, self.total = [0] * 640, 0

    def update(self, value):
        surprise = 0.0
        width, low = 40 * LN10 / 640, -20 * LN10
        if value > 0:
            log = math.log(value)
            bin = min(max(int((log - low) / width), 0), 639)
            if self.total >= 20:
                enough = max(0.02 * self.total, 5)
                held, logs, last = 0, 0.0, 0
                for j in reversed(range(640)):
                    held += self.bins[j]
                    logs += self.bins[j] * (low + (j + 0.5) * width)
                    if self.bins[j] and held >= enough:
                        last = j
                        break
                edge = low + last * width
                if held and log > edge:
                    surprise = -math.log10(held / (self.total + 1)) + (log - edge) / max(logs / held - edge, width) / LN10
                else:
                    above = sum(self.bins[bin + 1:]) + self.bins[bin] / 2 + 1
                    surprise = max(0.0, -math.log10(above / (self.total + 1)))
            self.bins[bin] += 1
        self.total += 1
        return surprise


class Windows:
    def __init__(self, rows, blocks, extremes):
        self.rows, self.blocks, self.extremes = rows, blocks, extremes
        self.block, self.series, self.vectors = [], [], []
        self.histogram, self.surprise = Histogram(), 0.0

    def update(self, value):
        self.block.append(value)
        if len(self.block) == self.rows:
            self.series.append((min(self.block), max(self.block)))
            self.block = []
            if len(self.series) >= self.blocks:
                self.take()
        return self.surprise

    def take(self):
        last = self.series[-self.blocks:]
        vector = [low for low, _ in last] + ([high for _, high in last] if self.extremes else [])
        old = self.vectors[max(0, len(self.vectors) - 1024):max(0, len(self.vectors) - self.blocks + 1)]
        self.surprise = self.histogram.update(min(math.dist(vector, v) for v in old)) if old else 0.0
        self.vectors.append(vector)


class Season:
    def __init__(self, warm_up):
        self.warm_up, self.level, self.count = warm_up, 0.0, 0
        self.day, self.week = [[0.0, 0] for _ in range(48)], [[0.0, 0] for _ in range(168)]
        self.above, self.below = Histogram(), Histogram()

    def update(self, time, value):
        self.count = min(self.count + 1, self.warm_up)
        self.level += (value - self.level) / self.count
        day = self.day[int(time % 86400 / 86400 * 48)]
        week = self.week[int(time % 604800 / 604800 * 168)]
        by_day = (day[0] * day[1] + 0.5 * self.level) / (day[1] + 0.5)
        error = value - (week[0] * week[1] + 0.5 * by_day) / (week[1] + 0.5)
        for slot in (day, week):
            slot[1] = min(slot[1] + 1, 20)
            slot[0] += (value - slot[0]) / slot[1]
        return max(self.above.update(max(error, 0)), self.below.update(max(-error, 0)))


def view(values, warm_up):
    share = lambda parts: max(1, math.floor(warm_up / parts + 0.5))
    channels = [Windows(1, 8, False), Windows(share(200), 8, True), Windows(share(100), 4, True)]
    season, scores = Season(warm_up), []
    for i, value in enumerate(values):
        surprises = [c.update(value) for c in channels] + [season.update(START_S + STEP_S * i, value)]
        scores.append(max(sum(surprises) / 2, 0.8 * max(surprises)))
    return scores


def median(values):
    values, n = sorted(values), len(values)
    return values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2


def detect(values, warm_up):
    first = values[:warm_up]
    centre = median(first)
    spread = 1.4826 * median([abs(v - centre) for v in first])
    compressed = [math.asinh((v - centre) / (2 * spread)) for v in values]
    scores = [max(pair) for pair in zip(view(values, warm_up), view(compressed, warm_up))]
    alarms, bar = [], 0.0
    for row in range(warm_up, len(values)):
        since = row - alarms[-1] if alarms else math.inf
        if since <= 0.16 * warm_up:
            continue
        left = bar * math.exp(-since / (3 * warm_up))
        if scores[row] >= 2.5 + left:
            alarms.append(row)
            bar = left + 0.3
    return scores, alarms


def machine(rows, seed):
    """Three metrics; from row 60 on the third no longer follows the first."""
    chance, values = noise(seed), []
    for i in range(rows):
        load = (i % 40) * 25 + next(chance) // 10
        values.append([load, next(chance), (1000 - load if seed == 4 and i >= 60 else load) + next(chance) // 20])
    return values


def multivariate(train, test):
    low = [min(column) for column in zip(*train)]
    span = [max(column) - bottom for column, bottom in zip(zip(*train), low)]

    def features(rows):
        scaled = [[min(max((v - l) / s, -1), 2) for v, l, s in zip(row, low, span)] for row in rows]
        out = []
        for i, row in enumerate(scaled):
            means, deviations = [], []
            for window in (5, 30):
                past = list(zip(*scaled[max(0, i - window + 1):i + 1]))
                mean = [sum(column) / len(column) for column in past]
                means += mean
                deviations += [2 * math.sqrt(sum((v - m) ** 2 for v in column) / len(column)) for column, m in zip(past, mean)]
            out.append(row + means + deviations)
        return out

    learned = features(train)
    references = [learned[i * (len(train) - 1) // 99] for i in range(100)]
    distances = [sorted(math.dist(row, r) for r in references)[2] for row in features(test)]
    return [sum(distances[max(0, i - 3):i + 1]) / len(distances[max(0, i - 3):i + 1]) for i in range(len(test))]


def numbers(values):
    return "{" + ", ".join(map(repr, values)) + "}"


if __name__ == "__main__":
    print("// Made by make_golden.py; not to be edited.\n#pragma once\n\n#include <cstddef>\n#include <vector>\n")
    print("namespace lanner::engine::golden {\n\n// clang-format off")
    print("inline constexpr std::size_t rows = 900, warm_up = 300, every = 10;\n")
    for make in (daily, bursts, steps):
        scores, alarms = detect(make(900), 300)
        print(f"inline const std::vector<std::size_t> {make.__name__}_alarms{numbers(alarms)};")
        print(f"inline const std::vector<double> {make.__name__}_scores{numbers(scores[300::10])};\n")
    scores = multivariate(machine(250, 3), machine(120, 4))
    print(f"inline const std::vector<double> machine_scores{numbers(scores)};\n")
    print("// clang-format on\n}  // namespace lanner::engine::golden")
