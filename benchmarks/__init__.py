"""Speed and memory against named peers and stated floors; `python -m benchmarks NAME`.

Each module without a leading underscore is a benchmark with a `main(arguments)`.
"""
