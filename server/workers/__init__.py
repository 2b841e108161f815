"""Several processes on one port: a supervisor, and workers that are an instance each."""

from teltonika.server.workers.run import WorkerCommand
from teltonika.server.workers.supervisor import serve_with_workers
from teltonika.server.workers.worker import run_worker

__all__ = ["WorkerCommand", "run_worker", "serve_with_workers"]
