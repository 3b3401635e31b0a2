"""`limner translate` as a script."""

from limner.cli import run

if __name__ == "__main__":
    run("translate")
