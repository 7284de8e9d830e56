"""The draws of a data order, by another implementation of what Sources/TrainingData/DataOrder.swift says.

    python3 tools/compare/data_order.py

prints the golden of DataOrderTests: source, epoch and piece of 40 draws of seed 42.
"""

MASK = (1 << 64) - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15


def finalize(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def key(*words):
    state = GOLDEN_RATIO
    for word in words:
        state = finalize(state + finalize(word + GOLDEN_RATIO & MASK) & MASK)
    return state


def permute(position, count, k):
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = position >> half, position & mask
        for step in range(1, 9):
            left, right = right, left ^ finalize((right + k + step * GOLDEN_RATIO) & MASK) & mask
        position = left << half | right
        if position < count:
            return position


def draws(seed, sources, number):
    """sources: (weight, pieces of the first epoch, pieces of later ones)"""
    total = sum(weight for weight, _, _ in sources)
    state = [[0, 0] for _ in sources]
    result = []
    for drawn in range(number):
        share = (key(seed, drawn) >> 11) / 2.0**53 * total
        source = 0
        while share >= sum(weight for weight, _, _ in sources[: source + 1]):
            source += 1
        epoch, position = state[source]
        pieces = sources[source][1 if epoch == 0 else 2]
        result.append([source, epoch, permute(position, pieces, key(seed, source, epoch, 1))])
        state[source] = [epoch, position + 1] if position + 1 < pieces else [epoch + 1, 0]
    return result


if __name__ == "__main__":
    print(draws(42, [(1, 7, 9), (2.5, 100, 100), (0.5, 1, 1)], 40))
