"""One target in the fuzzer's own process: atheris takes it over and never gives it back.

`run.py` starts it: the target's name, then libFuzzer's own options and folders.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import atheris


def main() -> None:
    name = sys.argv.pop(1)
    # Only what is imported in here is instrumented. Without that the fuzzer sees no coverage.
    with atheris.instrument_imports(include=["teltonika.codecs"]):
        import teltonika.codecs.findings
        import teltonika.codecs.hextext  # noqa: F401
    from fuzz.targets import TARGETS

    atheris.Setup(sys.argv, TARGETS[name].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
