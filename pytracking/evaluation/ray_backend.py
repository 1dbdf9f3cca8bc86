"""The back end of a Ray cluster: actors that each build a tracker once, on whatever machines have room for them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from ltr.errors import UserError
from pytracking.evaluation.execution import Event, Failed, Frames, Lost, Tracked, Unit, Worker, set_threads
from pytracking.evaluation.lockstep import Lockstep
from pytracking.tracker.base import TrackResult

_WAIT_SECONDS = 0.5
_PATIENCE_SECONDS = 30.0
_OBJECT_STORE_BYTES = 200 * 2**20


class RayWorker:
    """The actor: tracks a unit at a time, and tells meanwhile how many frames of it are done."""

    def __init__(self, threads: int) -> None:
        set_threads(threads)
        self._worker = Worker()
        self._progress: dict[int, int] = {}

    def ready(self) -> bool:
        """Answered once the actor is up."""
        return True

    def track(self, units: list[Unit]) -> list[Event]:
        """Track units, several in lockstep; returns what came of each."""
        self._progress = {}

        def on_frame(number: int, image: np.ndarray, result: TrackResult, unit: Unit = units[0]) -> None:
            self._progress[unit.number] = number + 1

        if len(units) == 1:
            return [self._worker.track(units[0], on_frame)]
        lockstep, answers = Lockstep(self._worker, len(units)), list[Event]()
        for unit in units:
            lockstep.submit(unit)
        while len(lockstep):
            for event in lockstep.step():
                if isinstance(event, Frames):
                    self._progress[event.number] = self._progress.get(event.number, 0) + event.count
                else:
                    answers.append(event)
        lockstep.close()
        return answers

    def progress(self) -> dict[int, int]:
        """Frames that are tracked, by number of the unit; runs beside `track`."""
        return dict(self._progress)


@dataclass
class _Actor:
    """An actor, and what it is at.

    Attributes:
        handle: Ray's handle of it.
        pending: answer to come: that it is up, or the outcome of its unit; None for an idle one.
        counting: its answer to how many frames are tracked, asked for but not there yet.
        units: units that it tracks, by number.
        frames: number of frames of each that were reported.
    """

    handle: Any
    pending: Any
    counting: Any = None
    units: dict[int, Unit] = field(default_factory=dict)
    frames: dict[int, int] = field(default_factory=dict)


class RayWorkers:
    """See `pytracking.evaluation.execution.Backend`.

    The cluster is the one that this process is connected to, else that of RAY_ADDRESS, else one that is started on this
    machine and stopped at the end. The package must be installed on every machine, and data sets and weights lie under
    the same paths.

    Args:
        count: number of actors; those that the cluster has no room for stay unused.
        threads: number of threads that torch and OpenCV use in each; as many cores are reserved.
        gpus: reserved for each; None for 1 where the cluster has GPUs.
        batch: units that each is handed at a time and tracks in lockstep.

    Raises:
        UserError: Ray is not installed, there is no cluster at RAY_ADDRESS, or it has no machine that is large enough.
    """

    def __init__(self, count: int, threads: int, gpus: float | None, batch: int = 1) -> None:
        self._ray = _import_ray()
        self._started = _connect(self._ray, count * threads)
        try:
            if gpus is None:
                gpus = 1.0 if self._ray.cluster_resources().get("GPU", 0) else 0.0
            self._needs = {"CPU": float(threads), "GPU": float(gpus)}
            _check_room(self._ray, self._needs)
        except UserError:
            self._disconnect()
            raise
        self._class = self._ray.remote(
            num_cpus=threads, num_gpus=gpus, max_restarts=0, concurrency_groups={"watching": 1}
        )(RayWorker)
        self._threads = threads
        self._batch = batch
        self._actors = [self._new_actor() for _ in range(count)]
        self._heard = time.monotonic()

    def free(self) -> int:
        """Room for units in the actors that are up and not at work."""
        return sum(self._batch - len(actor.units) for actor in self._actors if actor.pending is None)

    def submit(self, unit: Unit) -> None:
        """Keep a unit for an idle actor, one that has units of the same tracker and room if there is one."""
        room = [one for one in self._actors if one.pending is None and len(one.units) < self._batch]
        same = (one for one in room if any(other.spec == unit.spec for other in one.units.values()))
        actor = next(same, None) or next((one for one in room if not one.units), room[0])
        actor.units[unit.number] = unit

    def wait(self, report: Callable[[Event], None]) -> None:
        """Set actors to work and hand over what they answer, and which have died and are replaced."""
        for actor in self._actors:
            if actor.pending is None and actor.units:
                actor.frames = dict.fromkeys(actor.units, 0)
                actor.pending = actor.handle.track.remote([unit.to_send() for unit in actor.units.values()])
        by_answer = {actor.pending: actor for actor in self._actors if actor.pending is not None}
        answers, _ = self._ray.wait(list(by_answer), timeout=_WAIT_SECONDS)
        for answer in answers:
            self._settle(by_answer[answer], report)
        for actor in self._actors:
            if actor.units and actor.pending is not None:
                self._count_frames(actor, report)
        self._complain(bool(answers))

    def close(self) -> None:
        """Kill the actors; the cluster stops too where it was started here."""
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._actors.clear()
        self._disconnect()

    def _new_actor(self) -> _Actor:
        handle = self._class.remote(self._threads)
        return _Actor(handle, handle.ready.remote())

    def _settle(self, actor: _Actor, report: Callable[[Event], None]) -> None:
        units, actor.units = actor.units, {}
        try:
            answer = self._ray.get(actor.pending)
        except self._ray.exceptions.RayActorError as error:
            self._replace(actor)
            reason = f"died ({str(error).strip().splitlines()[0]})"
            for number in units:
                report(Lost(number, reason))
            return
        except self._ray.exceptions.RayTaskError as error:
            # What a tracker raises is an answer; this is Ray's, such as a unit that could not be sent.
            actor.pending = None
            if not units:
                raise UserError(f"a Ray worker could not start: {error.cause}") from None
            for number in units:
                report(Failed(number, str(error.cause), str(error)))
            return
        actor.pending = None
        if not units:
            return
        if any(isinstance(event, Failed) and event.spoiled for event in answer):
            self._replace(actor)
        for event in answer:
            if isinstance(event, Tracked):
                report(Frames(event.number, len(event.result.boxes) - actor.frames[event.number]))
            report(event)

    def _replace(self, dead: _Actor) -> None:
        self._ray.kill(dead.handle)
        self._actors[self._actors.index(dead)] = self._new_actor()

    def _count_frames(self, actor: _Actor, report: Callable[[Event], None]) -> None:
        if actor.counting is None:
            actor.counting = actor.handle.progress.options(concurrency_group="watching").remote()
            return
        if not self._ray.wait([actor.counting], timeout=0)[0]:
            return
        counting, actor.counting = actor.counting, None
        try:
            counted = self._ray.get(counting)
        except self._ray.exceptions.RayError:
            # A dead actor is noticed by its unit.
            return
        # Before the first frame it still tells of the units before.
        for number, frames in counted.items():
            if number in actor.units:
                report(Frames(number, frames - actor.frames[number]))
                actor.frames[number] = frames

    def _complain(self, heard: bool) -> None:
        """Say what is waited for where no actor has come up for a while."""
        now = time.monotonic()
        if heard or any(actor.units for actor in self._actors):
            self._heard = now
        elif now - self._heard > _PATIENCE_SECONDS:
            self._heard = now
            needs = ", ".join(f"{value:g} {name}" for name, value in self._needs.items() if value)
            tqdm.write(f"waiting for the Ray cluster to have {needs} free for a worker", file=sys.stderr)

    def _disconnect(self) -> None:
        if self._started:
            self._ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("--backend ray needs Ray: pip install 'ebm-tracking[ray]'") from None
    return ray


def _connect(ray: Any, cores: int) -> bool:
    """Connect to a cluster, starting one if need be; whether this process is to disconnect at the end."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"no Ray cluster answers at RAY_ADDRESS={address}: {error}") from None
        return True
    # Ray reports its use to its makers unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address="local",
            num_cpus=max(cores, os.cpu_count() or 1),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
    except Exception as error:
        # Ray raises nothing more special where its processes do not come up in time.
        raise UserError(f"Ray could not be started on this machine: {error}") from error
    return True


def _check_room(ray: Any, needs: dict[str, float]) -> None:
    """Raise `UserError` where no machine of the cluster could ever hold a worker."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= value for name, value in needs.items()) for node in nodes):
        wanted = ", ".join(f"{value:g} {name}" for name, value in needs.items() if value)
        raise UserError(f"no machine of the Ray cluster has {wanted}, which one worker needs")
