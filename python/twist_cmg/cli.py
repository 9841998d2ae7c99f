"""What all commands share: options, exit codes, and errors in one sentence.

Exit codes: 0 success, 1 a run that failed, 2 wrong use or input.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

SUCCESS, FAILED, WRONG_USE = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence."""

    def __init__(self, program: str, description: str, examples: str) -> None:
        super().__init__(
            prog=f"python -m twist_cmg.{program}",
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and leaves with exit code 2."""
        self.exit(WRONG_USE, f"error: {message}; {self.prog} --help shows the usage\n")


def run_command(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Calls `main` and turns what it raises into one sentence and an exit code."""
    try:
        return main(arguments)
    except KeyboardInterrupt:
        return _complain("interrupted", FAILED)
    except BrokenPipeError:  # whoever read our output has gone
        return FAILED
    except Exception as error:  # the door: nothing leaves as a traceback unless --debug
        if "--debug" in arguments:
            traceback.print_exc()
        if isinstance(error, ValueError):  # includes UserError of the C++ core
            return _complain(f"error: {_sentence(error)}", WRONG_USE)
        if isinstance(error, OSError | RuntimeError):
            return _complain(f"error: {_sentence(error)}", FAILED)
        kind = type(error).__name__
        hint = "this is a defect of the program, --debug shows where"
        return _complain(f"error: {kind}: {_sentence(error)}; {hint}", FAILED)


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return number


def _sentence(error: BaseException) -> str:
    """The message on one line (C++ messages of LibTorch end with a stack trace)."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error).partition("\nException raised from")[0]
    return " ".join(text.split()) or type(error).__name__


def _complain(sentence: str, code: int) -> int:
    sys.stderr.write(sentence + "\n")
    return code
