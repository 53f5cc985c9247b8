"""The commands of `netsim-cni` executables, done in the node's own process, which has all imports behind it.

An executable finds the process that serves its network namespace by the name of its socket, `cni-INODE.sock`, with the
namespace's inode number. It sends, joined by NUL bytes: PROTOCOL, the inode number of its mount namespace, its
variables CNI_…=VALUE, an empty text, and the configuration; then it shuts its side. The answer is a status (DONE,
FAILED, DECLINED), the document's length in 4 bytes, big-endian, and the document. An executable that is declined does
the command itself, as it does when nobody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from netsim_cni.plugin import run

PROTOCOL = b"netsim-cni/1"
DONE, FAILED, DECLINED = b"0", b"1", b"-"
THREADS = 4
BACKLOG = 128
MAX_REQUEST = 1 << 20
MAX_SECONDS = 10.0
_CREDENTIALS = struct.Struct("=iII")


def socket_path(directory: str) -> str:
    """Where the process in this network namespace listens; `directory` is the lab's, in /run/netsim."""
    return f"{directory}/cni-{os.stat('/proc/thread-self/ns/net').st_ino}.sock"


async def serve_cni(directory: str) -> None:
    """Serve until cancelled. The threads that do the work are in the network namespace of the calling thread."""
    path = socket_path(directory)
    listener = _listen(path)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="cni") as threads:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _serve_one(reader, writer, threads)

        server = await asyncio.start_unix_server(serve, sock=listener)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            with contextlib.suppress(FileNotFoundError):  # the lab's directory is just being removed
                os.unlink(path)


def _listen(path: str) -> socket.socket:
    """Before it listens nobody is let in, and then root only."""
    with contextlib.suppress(FileNotFoundError):  # a process that was killed leaves it
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(BACKLOG)
    return listener


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, threads: ThreadPoolExecutor) -> None:
    """An executable that was killed halfway is no error: what it asked for is done to the end."""
    try:
        async with asyncio.timeout(MAX_SECONDS):
            request = await _read(reader)
        if request is not None and _is_root(writer):
            loop = asyncio.get_running_loop()
            writer.write(await loop.run_in_executor(threads, answer, request))
            await writer.drain()
    except (ConnectionError, TimeoutError):
        pass  # nobody is there to be told
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    """A whole request, None for one that is longer than any configuration."""
    parts = bytearray()
    while part := await reader.read(65536):
        parts += part
        if len(parts) > MAX_REQUEST:
            return None
    return bytes(parts)


def _is_root(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return bool(uid == 0)


def answer(request: bytes) -> bytes:
    """Do what a request asks for; blocks."""
    parsed = parse_request(request)
    if parsed is None:
        return render_answer(DECLINED, b"")
    mounts, env, config = parsed
    if mounts != os.stat("/proc/self/ns/mnt").st_ino:
        return render_answer(DECLINED, b"")  # its paths are other files than ours of the same name
    status, document = run(config, env)
    text = b"" if document is None else (json.dumps(document, indent=2) + "\n").encode()
    return render_answer(FAILED if status else DONE, text)


def parse_request(request: bytes) -> tuple[int, Mapping[str, str], bytes] | None:
    """(mount namespace, variables, configuration); None for what is no request of this version."""
    head, _, config = request.partition(b"\0\0")
    protocol, *fields = head.split(b"\0")
    if protocol != PROTOCOL or not fields or not fields[0].isdigit():
        return None
    pairs = (field.decode(errors="surrogateescape").partition("=") for field in fields[1:])
    return int(fields[0]), {key: value for key, _, value in pairs}, config


def render_answer(status: bytes, document: bytes) -> bytes:
    return status + len(document).to_bytes(4, "big") + document
