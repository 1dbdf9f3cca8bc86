"""Public weights of PyTracking and OSTrack: where they lie, downloaded, checked and converted to safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ltr.admin.convert import convert
from ltr.admin.inputs import read_json
from ltr.admin.public_checkpoint import load_public_checkpoint
from ltr.admin.torch_file import MAX_FILE_BYTES
from ltr.errors import CheckpointError, MissingPackageError, UserError, unknown_name
from pytracking.networks import network_folders

# Seconds without an answer or a byte, and how often a broken connection is taken up again.
_TIMEOUT, _RETRIES = 60, 5
# The name that a user of PyTracking types for a network whose file is called otherwise.
_ALIASES = {"atom": "atom_default"}


def models() -> dict[str, dict[str, Any]]:
    """Network name -> its entry in `public.json`: file name, address, constructor, published figures."""
    entries: dict[str, dict[str, Any]] = read_json(Path(__file__).with_name("public.json"))["models"]
    return entries


def fetch(name: str, source: Path | None = None, overwrite: bool = False) -> Path:
    """Put public weights into the first of `network_folders`, as `<name>.safetensors` with a card.

    Args:
        name: a name of `models`, or 'atom' for 'atom_default'.
        source: a file that is already downloaded; without it, the file is downloaded, or a download that was cut off
            is continued.
        overwrite: replace a network of that name.

    Returns:
        The network's path.

    Raises:
        UserError: an unknown name, a network that is already there, a download that failed, a file that is not this
            network. Nothing is left but a part of the download, which the next call continues.
    """
    name = _ALIASES.get(name, name)
    known = models()
    if name not in known:
        raise unknown_name("public network", name, [*known, *_ALIASES])
    entry, target = known[name], network_folders()[0] / f"{name}.safetensors"
    if target.exists() and not overwrite:
        raise UserError(f"{target} is already there; --overwrite replaces it")
    file = source if source is not None else target.parent / str(entry["file"])
    if source is None:
        if "drive_id" not in entry:
            raise UserError(
                f"download {entry['file']} from https://drive.google.com/drive/folders/{entry['drive_folder']} in a "
                f"browser and give the file by --from: {entry['zoo_name']} has no address of its own"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        download(str(entry["drive_id"]), file)
    try:
        _check(file, str(entry["constructor"]), entry.get("arguments", {}))
        convert(file, target, overwrite=overwrite)
    finally:
        if source is None:
            file.unlink(missing_ok=True)
    return target


def download(drive_id: str, target: Path) -> None:
    """Download a file of Google Drive with a progress bar, past its page that asks to confirm.

    Raises:
        MissingPackageError: gdown is not installed.
        UserError: no connection, a cut-off download (the next call continues it), or a page instead of the file.
    """
    try:
        import gdown
        from gdown.exceptions import DownloadError
    except ImportError as error:
        raise MissingPackageError(
            "fetching from Google Drive needs gdown: pip install 'ebm-tracking[models]', or download "
            f"https://drive.google.com/uc?id={drive_id} in a browser and give the file by --from"
        ) from error

    def refuse_giants(_: int, total: int | None) -> None:
        if total is not None and total > MAX_FILE_BYTES:
            raise UserError(f"the server announces {total} bytes, more than the limit of {MAX_FILE_BYTES}")

    try:
        gdown.download(
            id=drive_id,
            output=str(target),
            resume=True,
            use_cookies=False,
            timeout=_TIMEOUT,
            retries=_RETRIES,
            progress=refuse_giants,
        )
    except (DownloadError, OSError, KeyError) as error:
        said = ascii(" ".join(str(error).split()).replace("'", ""))[1:-1][:300]
        raise UserError(
            f"cannot download https://drive.google.com/uc?id={drive_id}: {said}. Try again later (what has come is "
            "kept and continued), or download it in a browser and give the file by --from"
        ) from error


def _check(file: Path, constructor: str, arguments: dict[str, Any]) -> None:
    """Raise `CheckpointError` where a file is a web page or holds another network than the name promises."""
    if not file.is_file():
        raise CheckpointError(f"there is no file {file}")
    with open(file, "rb") as stream:
        start = stream.read(256).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(
            f"{file} is a web page, not a checkpoint; open it in a browser to see what the server says"
        )
    found = load_public_checkpoint(file).constructor
    if found.name != constructor:
        raise CheckpointError(f"{file} holds the network '{found.name}', not '{constructor}'")
    for key, value in arguments.items():
        if found.arguments.get(key) != value:
            raise CheckpointError(f"{file} holds a network of {key}={found.arguments.get(key)}, not {value}")
