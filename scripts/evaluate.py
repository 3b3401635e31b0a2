"""Evaluate a generator on a dataset: `python scripts/evaluate.py --model DIR --data DIR --out eval/`."""

from limner.commands.evaluate import main
from limner.core.util.errors import run_command

if __name__ == "__main__":
    run_command(main)
