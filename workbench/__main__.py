"""The command `workbench`, which is `python -m workbench` too: Ctrl-C is watched for before anything slow begins."""

import sys

from workbench import interrupts


def main() -> None:
    """Run a command; what it does and ends with is told in `cli`."""
    interrupts.watch()
    try:
        from workbench import cli

        cli.main()
    except KeyboardInterrupt:
        interrupts.finish()
        print(f"workbench: {interrupts.TOLD}", file=sys.stderr)
        raise SystemExit(2) from None
    finally:
        interrupts.finish()


if __name__ == "__main__":
    main()
