"""The `tradewind` command: finds each floor's verbs, and turns errors into one sentence.

A verb's module is imported only when the verb is used, so that planning starts without what
executing needs. Exit status: 0 done, 1 failed (or infeasible), 2 misused, 3 something is left.
"""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

import click

from datasets.errors import TradewindError

# Verb: (where it lives, its one line in `tradewind --help`).
VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "matrix": ("datasets.cli:matrix", "What was measured: list, show, compare, export."),
        "plan": ("planner.cli:plan", "Plan one transfer by one strategy."),
        "compare": ("planner.cli:compare", "Plan one transfer by several strategies."),
        "frontier": ("planner.frontier_cli:frontier", "Cost against throughput, with the picture."),
        "explain": (
            "planner.frontier_cli:explain",
            "Why a plan is as it is; what could change it.",
        ),
        "check": ("planner.cli:check", "Judge a plan file, its bounds included, unaided."),
        "simulate": (
            "experiments.simulate_cli:simulate",
            "Is the promise kept, and why?",
        ),
        "execute": ("executor.cli:execute", "Carry a plan out, with real gateways and bytes."),
        "run": ("experiments.run_cli:run", "Plan, simulate and execute, side by side."),
        "calibrate": ("experiments.calibrate_cli:calibrate", "Fit the model to executed Runs."),
        "predict": ("experiments.predict_cli:predict", "Register a prediction; score it later."),
        "diff": ("experiments.diff_cli:diff", "Where predicted, simulated and executed part."),
        "figures": ("experiments.figures_cli:figures", "Draw Runs: over time, chunks, trials."),
        "serve": ("executor.site_cli:serve", "Serve a folder to `cp`, until stopped."),
        "cp": ("executor.site_cli:cp", "Copy files to or from a site; goes on when run again."),
        "verify": ("executor.site_cli:verify", "Find later rot in what was copied."),
        "audit": ("executor.cli:audit", "List what transfers left behind."),
        "gc": ("executor.cli:gc", "Remove what transfers left behind."),
    }
)


# A full device, or a reader that is gone.
_OUTPUT_LOST = (errno.ENOSPC, errno.EPIPE)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of a transfer's life."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module and give its command; None where there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{VERBS[cmd_name][0]} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their one line each, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradewind")
def cli() -> None:
    """Move bulk data between cloud regions, by way of other regions where that is faster."""


def main() -> None:
    """Entry point of the command."""
    exit_with(lambda: cli.main(standalone_mode=False))


def _sentence(error: click.ClickException) -> str:
    """One sentence: what was wrong with the words, and where to read on."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" See `{context.command_path} --help`." if context is not None else ""
    return f"{' '.join(error.format_message().split())}{hint}"


def exit_with(command: Callable[[], object]) -> NoReturn:
    """Run a command, and end the process: each error is one sentence and a status."""
    try:
        status = command()
    except click.exceptions.Abort:
        click.echo("Interrupted; nothing is left running.", err=True)
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(_sentence(error), err=True)
        sys.exit(error.exit_code)
    except TradewindError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_status)
    except OSError as error:
        if error.errno not in _OUTPUT_LOST:
            raise
        click.echo(f"The result could not be written: {error.strerror}.", err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
