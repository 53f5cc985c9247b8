"""An address management that is another executable (specification, section 4 "Plugin Delegation")."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from netsim.host.exec import CommandFailed, CommandMissing, run
from netsim_cni.errors import DECODING_FAILURE, INVALID_ENVIRONMENT, IO_FAILURE, CniError
from netsim_cni.request import Request

TIMEOUT = 30.0


def delegate(command: str, request: Request) -> dict[str, Any]:
    """Run the IPAM plugin with the whole configuration and environment of this one; its result, {} if it prints none.

    CniError with its own code and words when it fails; what it logs goes to stderr.
    """
    kind = request.config.ipam.kind
    path = request.env.get("CNI_PATH", "")
    found = next((f"{part}/{kind}" for part in path.split(":") if part and os.access(f"{part}/{kind}", os.X_OK)), None)
    if found is None:
        raise CniError(INVALID_ENVIRONMENT, f"CNI_PATH {path!r} has no IPAM plugin {kind!r}", "see ipam.type")
    env = {**os.environ, **request.env, "CNI_COMMAND": command}
    try:
        done = run([found], input=json.dumps(dict(request.document)).encode(), env=env, timeout=TIMEOUT, check=False)
    except (CommandFailed, CommandMissing, subprocess.SubprocessError, OSError) as error:
        raise CniError(IO_FAILURE, f"IPAM plugin {found} did not run", str(error)) from error
    sys.stderr.write(done.stderr.decode(errors="replace"))
    answer = _read(done.stdout, found)
    if done.returncode != 0:
        raise _failure(answer, found, done.returncode)
    return answer


def _read(stdout: bytes, path: str) -> dict[str, Any]:
    try:
        answer = json.loads(stdout) if stdout.strip() else {}
    except ValueError as error:
        raise CniError(DECODING_FAILURE, f"IPAM plugin {path} answered no JSON", str(error)) from error
    if not isinstance(answer, dict):
        raise CniError(DECODING_FAILURE, f"IPAM plugin {path} answered no JSON object", repr(answer))
    return answer


def _failure(answer: dict[str, Any], path: str, status: int) -> CniError:
    code = answer.get("code")
    words = str(answer.get("msg") or f"status {status}")
    return CniError(
        code if isinstance(code, int) else IO_FAILURE, f"IPAM plugin {path}: {words}", str(answer.get("details") or "")
    )
