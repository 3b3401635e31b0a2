"""Generate portraits from noise: `python scripts/sample.py --model DIR --count 64 --seed 0 --out out/`."""

from limner.commands.sample import main
from limner.core.util.errors import run_command

if __name__ == "__main__":
    run_command(main)
