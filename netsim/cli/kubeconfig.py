"""`netsim kubeconfig`: where the lab's kubeconfig is."""

from __future__ import annotations

from netsim.cli.options import Lab, make_app, running_lab

app = make_app()


@app.command(epilog="Example: netsim kubeconfig --lab test")
def kubeconfig(lab: Lab = "default") -> None:
    """Print the path of the lab's kubeconfig (an administrator's, readable by root)."""
    _, paths = running_lab(lab)
    print(paths.kubeconfig)
