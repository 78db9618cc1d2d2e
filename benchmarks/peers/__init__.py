"""Scripts that a peer's own interpreter executes; `benchmarks._peers.run` starts them.

One per peer. They import numpy and the peer alone, for a peer's environment need hold nothing of
this package.
"""
