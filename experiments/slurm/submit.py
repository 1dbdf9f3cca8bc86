"""Train a recipe on a Slurm cluster by submitit (pip install submitit), which starts one process a GPU itself.

    python -m experiments.slurm.submit dimp_nceplus --nodes 2 --gpus 4 --workspace /shared/runs \\
        --set batch_size=160 --set micro_batches=8

When pre-empted (SIGTERM) the run saves and ends, for Slurm to put back in the queue. Before its time limit submitit
puts the job back itself, and it goes on from its newest checkpoint. `--cluster local` runs on this machine.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.common import command_line
from ltr.run_training import main as train
from ltr.trainers.processes import STATUS_STOPPED


@dataclass
class Job:
    """One process of a run, as submitit calls it on each GPU.

    Attributes:
        arguments: arguments of `ltr/run_training.py`.
    """

    arguments: list[str]

    def __call__(self) -> int:
        """Train. Raises RuntimeError for any exit status but 0 and those of a run that stopped and saved."""
        submitit = importlib.import_module("submitit")
        place = submitit.JobEnvironment()
        os.environ.update(process_variables(place.global_rank, place.local_rank, place.num_tasks, place.hostnames[0]))
        status = train(self.arguments)
        if status not in (0, *STATUS_STOPPED.values()):
            raise RuntimeError(f"training ended with status {status}; the reason is in the log above")
        return status

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit puts back into the queue when the job is stopped: the same run, which resumes."""
        return importlib.import_module("submitit").helpers.DelayedSubmission(self)


def process_variables(rank: int, local_rank: int, processes: int, master: str, port: int = 29400) -> dict[str, str]:
    """The environment variables by which the processes of a run find one another (as torchrun sets them)."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": master,
        "MASTER_PORT": str(port),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Submit a run. Returns 0, or 2 without submitit."""
    parser = command_line("slurm.submit", __doc__)
    parser.epilog = "Other arguments go to ltr/run_training.py."
    parser.add_argument("--cluster", default="slurm", help="slurm, or local to try it out (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=1, help="machines (default: %(default)s)")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs a machine, a process each (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=24.0, help="time limit (default: %(default)s)")
    parser.add_argument("--partition", help="partition of the cluster")
    parser.add_argument("--logs", type=Path, default=Path("slurm_logs"), help="folder of logs (default: %(default)s)")
    options, rest = parser.parse_known_args(arguments)
    try:
        submitit = importlib.import_module("submitit")
    except ImportError:
        print("error: this needs submitit: pip install submitit", file=sys.stderr)
        return 2
    executor = submitit.AutoExecutor(folder=options.logs, cluster=options.cluster)
    executor.update_parameters(
        nodes=options.nodes,
        tasks_per_node=options.gpus,
        gpus_per_node=options.gpus,
        cpus_per_task=8,
        timeout_min=round(60 * options.hours),
        slurm_signal_delay_s=120,
        **({"slurm_partition": options.partition} if options.partition else {}),
    )
    job = executor.submit(Job(rest))
    print(f"job {job.job_id}, logs in {options.logs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
