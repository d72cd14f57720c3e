"""Answers that were reached another way: ray casts, gsplat's reference code, and plain loops."""
