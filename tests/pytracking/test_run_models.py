"""Public weights by name, from a local server that behaves like Google Drive does: it redirects, asks, breaks off."""

from __future__ import annotations

import http.server
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from golden import fill_by_rule
from public_files import write_public

from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import MissingPackageError, UserError, exit_status
from pytracking import load_tracker
from pytracking.networks import find_network, public
from pytracking.run_models import main

ATOM = ("atom_resnet18", "ltr.models.bbreg.atom")
# One line, as Drive's page is.
FORM = (
    '<html><body><form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" value="t"></form></body></html>'
)


class Drive(http.server.BaseHTTPRequestHandler):
    """`/uc` redirects to a page that asks to confirm; only its form leads to the file. `behaviour` says what fails."""

    content, behaviour, cut, served = b"", "", 0, 0

    def do_GET(self):
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        if address.path == "/uc":
            self.answer(303, b"", Location=f"https://drive.usercontent.google.com/ask?id={query['id']}")
        elif address.path == "/ask" and self.behaviour == "quota":
            page = b'<html><p class="uc-error-subcaption">Too many users have viewed\nthis file</p></html>'
            self.answer(200, page.replace(b"\n", b" "), **{"Content-Type": "text/html; charset=utf-8"})
        elif address.path == "/ask":
            page = FORM.format(id=query["id"]).encode()
            self.answer(200, page, **{"Content-Type": "text/html; charset=utf-8"})
        elif query.get("confirm") == "t":
            self.file()

    def file(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        body, total = type(self).content[start:], len(type(self).content)
        end = {"Content-Type": "application/octet-stream", "Content-Disposition": 'attachment; filename="x.pth"'}
        if start:
            end["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        if self.behaviour == "cut" and type(self).cut:
            type(self).cut -= 1
            self.answer(206 if start else 200, body[: len(body) // 3], length=len(body), **end)
            self.close_connection = True
        else:
            self.answer(206 if start else 200, body, **end)

    def answer(self, status, body, length=None, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body) if length is None else length, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)
        type(self).served += len(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def atom_file(tmp_path_factory):
    net = fill_by_rule(NetworkConstructor("atom_resnet18").build())
    return write_public(tmp_path_factory.mktemp("zoo") / "atom.pth", "zip", net.state_dict(), *ATOM), net


@pytest.fixture
def drive(monkeypatch, tmp_path, atom_file):
    """A server in Drive's place: what is sent to its hosts goes there."""

    class Served(Drive):
        content = atom_file[0].read_bytes()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    send = requests.adapters.HTTPAdapter.send

    def redirected(adapter, request, **options):
        host, rest = urlsplit(request.url).hostname, request.url.partition("google.com")[2]
        if host not in ("drive.google.com", "drive.usercontent.google.com"):
            pytest.fail(f"a request to {host}")
        request.url = f"http://127.0.0.1:{server.server_port}{rest}"
        response = send(adapter, request, **{**options, "proxies": {}})
        response.url = f"https://{host}{rest}"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirected)
    monkeypatch.setattr(public, "_RETRIES", 0)
    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path / "networks"))
    yield Served
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetched_weights_track_by_name(drive, tmp_path, atom_file, capsys):
    assert main(["fetch", "atom"]) == 0
    captured = capsys.readouterr()
    assert "100%" in captured.err, "a progress bar"
    assert sorted(path.name for path in (tmp_path / "networks").iterdir()) == [
        "atom_default.json",
        "atom_default.safetensors",
    ]
    tracker = load_tracker("default", "atom", device="cpu")
    fetched = find_network("atom_default")
    assert fetched is not None and str(fetched) in captured.out
    assert tracker.weights_sha256
    with pytest.raises(UserError, match="is already there; --overwrite"):
        main(["fetch", "atom_default"])
    assert main([]) == 0
    assert "converted from atom_default.pth" in capsys.readouterr().out


def test_a_cut_connection_is_continued_by_the_next_call(drive, tmp_path, capsys):
    drive.behaviour, drive.cut = "cut", 1
    assert exit_status(lambda: main(["fetch", "atom"])) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: cannot download https://drive.google.com/uc?id=") and "incomplete" in error
    assert [path.suffix for path in (tmp_path / "networks").iterdir()] == [".part"]
    before = drive.served
    assert main(["fetch", "atom"]) == 0
    assert drive.served - before < len(drive.content), "only the rest came"


def test_a_broken_connection_is_taken_up_again_within_one_call(drive, monkeypatch):
    monkeypatch.setattr(public, "_RETRIES", 2)
    drive.behaviour, drive.cut = "cut", 1
    assert main(["fetch", "atom"]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "is a web page, not a checkpoint"),
        (b"PK\x03\x04 and no more", "cut off or damaged"),
        (b"nothing", "not a file that torch.save wrote"),
        (b"", "not a file that torch.save wrote"),
    ],
)
def test_another_file_than_the_network_is_refused_and_not_kept(drive, tmp_path, capsys, content, message):
    drive.content = content
    assert exit_status(lambda: main(["fetch", "atom"])) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert list((tmp_path / "networks").iterdir()) == []


def test_what_drive_says_instead_of_the_file_is_passed_on(drive, capsys):
    drive.behaviour = "quota"
    assert exit_status(lambda: main(["fetch", "super_dimp"])) == 2
    assert "Too many users have viewed this file" in capsys.readouterr().err.splitlines()[-1]


def test_a_file_that_is_already_downloaded(tmp_path, monkeypatch, atom_file):
    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path / "networks"))
    with pytest.raises(UserError, match="holds the network 'atom_resnet18', not 'dimpnet50'"):
        main(["fetch", "dimp50", "--from", str(atom_file[0])])
    assert main(["fetch", "atom", "--from", str(atom_file[0])]) == 0
    assert atom_file[0].is_file(), "the user's own file stays"
    with pytest.raises(UserError, match="did you mean 'super_dimp'"):
        main(["fetch", "superdimp"])


def test_a_public_checkpoint_in_the_networks_folder_is_found(tmp_path, monkeypatch, atom_file, capsys):
    (tmp_path / "atom_default.pth.tar").write_bytes(atom_file[0].read_bytes())
    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path))
    assert find_network("atom_default") == tmp_path / "atom_default.pth.tar"
    load_tracker("default", "atom", device="cpu")
    assert main(["list"]) == 0
    assert "PyTracking checkpoint, used as it is" in capsys.readouterr().out


def test_without_gdown_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path))
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'ebm-tracking\[models\]'.*--from"):
        main(["fetch", "dimp50"])


def test_the_table_names_networks_that_trackers_ask_for():
    assert set(public.models()) >= {"dimp18", "dimp50", "prdimp18", "prdimp50", "super_dimp", "atom_default"}
    for entry in public.models().values():
        assert len(entry.get("drive_id", entry.get("drive_folder"))) == 33 and entry["file"].endswith(
            (".pth", ".pth.tar")
        )
