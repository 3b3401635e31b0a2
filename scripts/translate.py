"""Turn portrait photos into sketches: `python scripts/translate.py PHOTO_OR_FOLDER... --model DIR --out out/`."""

from limner.commands.translate import main
from limner.core.util.errors import run_command

if __name__ == "__main__":
    run_command(main)
