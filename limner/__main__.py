"""`python -m limner VERB ...`: the command where its script is not on the path."""

from limner.cli import run

if __name__ == "__main__":
    run()
