from __future__ import annotations

import argparse
from importlib import import_module
from pkgutil import iter_modules

import benchmarks


def main() -> None:
    """Run the benchmark that the command line names."""
    modules = [x for x in iter_modules(benchmarks.__path__) if not x.ispkg]
    names = [x.name for x in modules if not x.name.startswith("_")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see NAME --help")
    given = parser.parse_args()
    import_module(f"benchmarks.{given.name}").main(given.arguments)


if __name__ == "__main__":
    main()
