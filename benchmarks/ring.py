"""A model of weak scaling past one machine, for links that are not at hand."""

LINKS_GBIT = (1, 10, 100, 400)
MACHINES = (2, 4, 8, 16, 64)
OVERLAP = 0.5
"""Fraction of a step that hides DDP's all-reduce: the backward passes except their last bucket."""


def efficiency_table(step_s: float, gradient_mb: float) -> str:
    """Render the efficiency of weak scaling by `ring_step_s` as a Markdown table.

    step_s: of one worker alone; gradient_mb: exchanged in each step, in 1e6 bytes.
    """
    lines = [
        f"Modelled efficiency, step {step_s:g} s, gradients {gradient_mb:g} MB, overlap {OVERLAP:g}:",
        f"| link | {' | '.join(f'{number} machines' for number in MACHINES)} |",
        f"|---|{'--:|' * len(MACHINES)}",
    ]
    for gbit in LINKS_GBIT:
        steps = [ring_step_s(step_s, gradient_mb * 1e6, number, gbit * 1e9 / 8, OVERLAP) for number in MACHINES]
        lines.append(f"| {gbit} Gbit/s | {' | '.join(f'{step_s / step:.0%}' for step in steps)} |")
    return "\n".join(lines)


def ring_step_s(step_s: float, gradient_bytes: float, workers: int, link_bytes_per_s: float, overlap: float) -> float:
    """Model the seconds of a step with a ring all-reduce of the gradients, without latency.

    Each worker sends and receives 2 (n - 1) / n of the gradients' bytes (Patarasuk and Yuan 2009, "Bandwidth optimal
    all-reduce"). overlap: fraction of the step, 0 to 1, that hides the exchange.
    """
    exchange_s = 2.0 * (workers - 1) / workers * gradient_bytes / link_bytes_per_s
    return step_s + max(0.0, exchange_s - overlap * step_s)
