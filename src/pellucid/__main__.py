"""`python -m pellucid`: which gene sets each latent unit stands for, from a file to figures."""

from ._cli import main

raise SystemExit(main())
