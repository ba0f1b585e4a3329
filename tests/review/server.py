"""The page in a process of its own, as a user starts it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

PROJECT = Path(__file__).parents[2]


class Server:
    """Started on a free port; ``links`` holds the one-time link of each reviewer."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "counterfeit.review", str(folder), "--port", "0", *options]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env=environment
        )
        self.links: dict[str, str] = {}
        for line in self.process.stdout:
            if "enter?token=" in line:
                name, _, link = line.strip().partition(": ")
                self.links[name] = link
            if "works once" in line:
                break
        assert self.links, self.process.communicate()[1]
        self.base = next(iter(self.links.values())).partition("/enter")[0]

    def enter(self, client: httpx.Client, reviewer: str) -> str:
        """Enter, and return the token that forms need."""
        page = client.get(self.links[reviewer], follow_redirects=True)
        assert page.status_code == 200
        return re.search(r'name="form_token" value="([^"]+)"', page.text)[1]

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
