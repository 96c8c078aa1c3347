"""A PostgreSQL server on a host of its own (network.py); every other host of the network may use it."""

from __future__ import annotations

import shutil

from tests.databases.postgresql import PrivateServer
from tests.hosts.network import Host


class HostServer(PrivateServer):
    """The server of one host. It syncs to disk, and is killed with everything else on its host."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self.port = 5432
        self.url = f"postgresql://postgres@{host.address}:{self.port}/postgres"
        self.settings |= {"port": self.port, "listen_addresses": host.address, "fsync": "on"}

    def make(self) -> None:
        """The folder has a new database cluster; takes a second."""
        super().make()
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")

    def _command(self) -> list[str]:
        # Into the namespace as root, and only then another user.
        user = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups", "--"]
        assert shutil.which("setpriv")
        return [*self._host.inside, *(user if self._user else []), *super()._command()]

    def _starts_as(self) -> dict[str, object]:
        return {}
