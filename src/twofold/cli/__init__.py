"""The command ``twofold``: parse, call, print. Nothing heavy is imported before a command needs it."""

from twofold.cli.app import main

__all__ = ["main"]
