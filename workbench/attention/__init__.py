"""Attention looked at from outside: what its maps and features are, and how much those of two layers repeat."""
