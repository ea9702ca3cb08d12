"""Start the server, and stop it without cutting anybody off."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from sampleset.errors import InvalidArgumentError
from sampleset.serve.aliases import Models
from sampleset.serve.app import Server
from sampleset.serve.config import ServeConfig
from sampleset.serve.connections import Connections, raise_file_limit
from sampleset.serve.limits import read_keys

# Clients keep connections for some seconds; closing first would reset a request that is on its way.
_IDLE_SECONDS = 75
# For the errors by which requests end that are cut off.
_LAST_WORDS_SECONDS = 1.0


class GracefulServer(uvicorn.Server):
    """uvicorn's server, which here ends by returning: models are closed after it, and the exit code is 0.

    Args:
        config: uvicorn's own.
        on_start: Called with the port.
        cut_off: Called when requests in work have had their time; they then end by themselves.
        drain: Seconds of that time.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[int], None],
        cut_off: Callable[[], None],
        drain: float,
    ) -> None:
        super().__init__(config)
        self._on_start, self._cut_off, self._drain = on_start, cut_off, drain

    async def startup(self, sockets: Any = None) -> None:
        """Bind, then tell the port."""
        await super().startup(sockets)
        if self.started:
            self._on_start(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop, and cancel requests in work after their time is over."""
        late = asyncio.get_running_loop().call_later(self._drain, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; on a second signal, whichever it is, without waiting for requests in work."""
        if self.should_exit:
            self._cut_off()
            asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, setattr, self, "force_exit", True)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """SIGINT and SIGTERM stop it: no new connections, those in work end. A second one cuts them off."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def serve(
    config: ServeConfig,
    on_start: Callable[[GracefulServer, int], None] | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Serve until stopped.

    Args:
        config: What to serve, where, within which limits.
        on_start: Called with the server and its port once it listens.
        quiet: Print no addresses.

    Raises:
        SampleSetError: The configuration, the address or a model does not do.
    """
    keys = read_keys(config)
    listener = _bound(config.host, config.port)  # a port in use costs no opening of models
    models = Models(config)
    try:
        await models.open()
        answering = Server(config, models, keys)
        connections = Connections(config, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        settings = uvicorn.Config(
            answering.app(),
            http=connections.protocol(),
            ws="none",
            host=config.host,
            port=config.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=math.ceil(config.drain + _LAST_WORDS_SECONDS),
            backlog=2048,
        )
        server: GracefulServer

        def started(port: int) -> None:
            if not quiet:
                _announce(config, models, port)
            if on_start is not None:
                on_start(server, port)

        server = GracefulServer(settings, started, answering.stop.cut_off, config.drain)
        await server.serve([listener])
    finally:
        listener.close()
        await models.close()


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address.

    Raises:
        InvalidArgumentError: It cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InvalidArgumentError(
                f"Port {port} of {host} is in use. Give another --port; 0 takes a free one."
            ) from error
        raise InvalidArgumentError(
            f"Cannot bind to port {port} of {host}: {error.strerror}. Give another --host or --port."
        ) from error
    return listener


def run(config: ServeConfig, *, quiet: bool = False) -> None:
    """Serve until a signal, on the quickest event loop there is.

    Args:
        config: What to serve, where, within which limits.
        quiet: Print nothing but what goes wrong.
    """
    # Other packages' lines stay away: some name addresses, some whole requests.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("sampleset").setLevel(logging.WARNING if quiet else logging.INFO)
    raise_file_limit()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        pass
    with asyncio.Runner(loop_factory=factory) as runner:
        # What is loaded lives as long as the process; full collections need not look through it.
        runner.run(serve(config, lambda server, port: gc.freeze(), quiet=quiet))


def _announce(config: ServeConfig, models: Models, port: int) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    names = ", ".join(models.aliases)
    print(f"serving {names} at http://{host}:{port}/v1, playground at http://{host}:{port}/", file=sys.stderr)
    for alias in models.aliases.values():
        print(f"  {alias.startup_line()}", file=sys.stderr)
