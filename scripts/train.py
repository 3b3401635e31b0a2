"""`limner train` as a script, for `ray job submit` and torchrun."""

from limner.cli import run

if __name__ == "__main__":
    run("train")
