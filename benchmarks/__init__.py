"""How fast it is, beside what people use today: ``python -m benchmarks NAME…``.

Every row compares one of our calls with the fastest rival for the same work in the same process. Rounds are
interleaved, so that a busy machine is busy for all of them, and what counts is the median.
"""
