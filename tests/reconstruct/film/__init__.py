"""Films: what is drawn, what is written, and what an interruption leaves."""
