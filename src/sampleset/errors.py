"""Every error the package raises on purpose.

SampleSetError
├── InvalidArgumentError (ValueError)       an option or argument has no meaning as given
│   └── UnknownNameError                    no aggregator, backend, dataset ... of that name
├── InputNotFoundError (FileNotFoundError)  a file or folder is not there
├── DataError (ValueError)                  a file is there, its content cannot be used
│   ├── MalformedRecordError                one row; carries the file and the line
│   └── MissingGoldError                    gold answers are needed and absent
├── MissingExtraError (ImportError)         an optional part is not installed
├── UnsupportedByMachineError (OSError)     the kernel, or a container, does not allow what was asked
├── BackendError (RuntimeError)             a model could not be asked
│   ├── TransientBackendError               worth another try (429, 5xx, reset, timeout)
│   ├── RequestRefusedError                 the server takes other requests, or none; this one it refuses
│   ├── QuotaError                          the account has no credit left
│   ├── BackendUnreachableError             nothing answers at the address
│   ├── AuthenticationError                 the server refuses the key
│   ├── UnknownModelError                   the server does not know the model
│   ├── PromptError                         this prompt, where others are answered
│   │   ├── ContextOverflowError            prompt and completion exceed the context
│   │   └── RefusedPromptError              the server's content filter withholds an answer
│   └── UnsupportedByBackendError           this backend cannot do what was asked
└── SamplingError (RuntimeError)            too few samples of a question came back
    └── CapReachedError                     the cap in tokens or money leaves no room for a call

`exit_code` is what the command line leaves with: 2 where the user's input is at fault,
1 where the world is. Every message says what failed, shows the value and names the remedy.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal


class SampleSetError(Exception):
    """Base of all errors raised by sampleset."""

    exit_code = 1


class InvalidArgumentError(SampleSetError, ValueError):
    """An option or argument is out of range or contradicts another."""

    exit_code = 2


class UnknownNameError(InvalidArgumentError):
    """Nothing is registered under the name given."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names) or 'none'}."
        super().__init__(f"No {kind} named {name!r}. {hint}")
        self.name = name


class InputNotFoundError(SampleSetError, FileNotFoundError):
    """A file or folder that was named does not exist."""

    exit_code = 2


class DataError(SampleSetError, ValueError):
    """A file exists but what it holds cannot be used."""

    exit_code = 2


class MalformedRecordError(DataError):
    """One row cannot be read; the message opens with `file:line`."""


class MissingGoldError(DataError):
    """Gold answers are needed to grade, and some problems have none."""


class MissingExtraError(SampleSetError, ImportError):
    """An optional dependency is not installed; the message holds the install command.

    The command `pip install 'sampleset[NAME]'` is made into one for the checkout that this package runs from,
    if it runs from one.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        checkout = Path(__file__).resolve().parents[2]
        if (checkout / "pyproject.toml").is_file():
            here = f"{sys.executable} -m pip install -e '{checkout}["
            message = message.replace("pip install 'sampleset[", here)
        super().__init__(message)


class UnsupportedByMachineError(SampleSetError, OSError):
    """The operating system cannot do, or forbids, what was asked of it."""

    exit_code = 2


class BackendError(SampleSetError, RuntimeError):
    """A model could not be asked, and asking again the same way will not help.

    Attributes:
        kind: What happened in a word or two, without a word of the server's: `status 400`, `damaged reply`.
        said: The server's own words on a request, `None` if it is not about the request.
    """

    def __init__(self, message: str, *, kind: str | None = None, said: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.said = said


class TransientBackendError(BackendError):
    """A model could not be asked just now.

    Attributes:
        retry_after: Seconds the server asked to wait, or `None`.
        waits_for: What all calls of the server have to wait for: that its limit of requests ends (`limit`),
            or that it has loaded its model (`loading`). `None` where only this call failed.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        waits_for: Literal["limit", "loading"] | None = None,
        kind: str | None = None,
        said: str | None = None,
    ) -> None:
        super().__init__(message, kind=kind, said=said)
        self.retry_after = retry_after
        self.waits_for: Literal["limit", "loading"] | None = waits_for


class RequestRefusedError(BackendError):
    """The server refuses a request, for a reason that may lie in its prompt or in what all requests share.

    What the server did before tells: where it has taken others, the prompt is at fault.
    """


class QuotaError(BackendError):
    """The account has no credit left, or none for this model; no other request would fare better."""


class BackendUnreachableError(BackendError):
    """Nothing answers at the address of the server."""


class AuthenticationError(BackendError):
    """The server refuses the API key, or wants one."""


class UnknownModelError(BackendError):
    """The server, or this machine, has no model of that name."""

    exit_code = 2


class PromptError(BackendError):
    """The model does not answer this prompt; others it may."""


class ContextOverflowError(PromptError):
    """Prompt and completion together exceed the model's context."""

    exit_code = 2


class RefusedPromptError(PromptError):
    """The server answers others, but its content filter withholds an answer to this prompt."""


class UnsupportedByBackendError(BackendError):
    """The backend cannot do what was asked of it."""

    exit_code = 2


class SamplingError(SampleSetError, RuntimeError):
    """Fewer samples of a question came back than the quorum asks for."""


class CapReachedError(SamplingError):
    """What is left of a cap in tokens or money does not cover the worst case of a call.

    Attributes:
        of_question: Whether it is the cap of one question, not of the run.
    """

    def __init__(self, message: str, *, of_question: bool) -> None:
        super().__init__(message)
        self.of_question = of_question
