"""Coverage-guided fuzzing with atheris: ``python -m tests.fuzz TARGET [--seconds N | --runs N]``.

Starts from the shipped corpus, keeps what it finds in a folder of its own, and writes an input that
breaks a promise of SECURITY.md to that folder as `crash-...`.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from pathlib import Path

import atheris

HERE = Path(__file__).parent


def main() -> None:
    """Run the fuzzer until its time or number of runs is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=("container", "payload", "chunk"))
    parser.add_argument("--seconds", type=int, default=0, help="0: no limit")
    parser.add_argument("--runs", type=int, default=-1, help="-1: no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"))
    given, further = parser.parse_known_args()

    with atheris.instrument_imports(include=["eocodec"]):
        from tests.fuzz.chunks import mutate_chunk
        from tests.fuzz.containers import mutate_container
        from tests.fuzz.payloads import mutate_payload
        from tests.fuzz.targets import TARGETS, warm_up

        warm_up()

    warnings.simplefilter("error")
    target = TARGETS[given.target]
    mutators = {"container": mutate_container, "payload": mutate_payload, "chunk": mutate_chunk}
    changed = mutators[given.target]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        def any_change(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, len(part) + 64))

        return changed(data, random.Random(seed), any_change)[:max_size]

    found = given.out / given.target
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={given.seconds}", f"-runs={given.runs}", f"-seed={given.seed}"]
    # The fuzzer itself grows by kilobytes a run; what a run of the code may take, `bounded` limits.
    limits.append("-rss_limit_mb=0")
    options = ["-timeout=60", "-max_len=32768", "-len_control=0", "-print_final_stats=1"]
    crashes = f"-artifact_prefix={given.out}/{given.target}-"
    arguments = [
        sys.argv[0],
        *limits,
        *options,
        crashes,
        *further,
        str(found),
        str(HERE / "corpus" / given.target),
    ]
    atheris.Setup(arguments, target, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
