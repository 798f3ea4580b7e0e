"""`lushan export --push`: a folder arrives whole at a stand-in for the hub, or nothing begins."""

import base64
import http.server
import json
import threading

import pytest
import yaml
from huggingface_hub import constants

from lushan.errors import RunFailed, UserError
from lushan.export import hf_folder
from lushan.export.card import Terms
from lushan.export.hf_folder import export


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files asks for."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        if self.path == "/api/repos/create":
            self.server.repo = json.loads(body)
            self.answer({"url": f"{self.server.url}/me/model", "id": "me/model"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            found = [{"path": f["path"], **mode} for f in files]
            self.answer({"files": found})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
            url = f"{self.server.url}/me/model/commit/1"
            self.answer({"commitOid": "1", "commitUrl": url, "success": True})
        else:
            self.send_error(404)

    def answer(self, content):
        data = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        server.asked, server.files, server.repo, server.status = [], {}, None, 200
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_all_files_arrive_and_the_card_has_what_the_hub_reads(reviews_run, tmp_path, hub):
    folder = tmp_path / "exported"
    terms = Terms("apache-2.0", ["en", "zh"])
    lines = export(reviews_run, folder, push="me/model", private=True, terms=terms).lines
    assert lines[-1] == f"uploaded: {hub.url}/me/model"
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (hub.repo["name"], hub.repo["organization"]) == ("model", "me")
    assert hub.repo.get("private") or hub.repo.get("visibility") == "private"
    assert {token for _, token in hub.asked} == {"Bearer hf_test"}
    head = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (head["license"], head["language"]) == ("apache-2.0", ["en", "zh"])
    (index,) = head["model-index"]
    results = {one["dataset"]["split"]: one["metrics"] for one in index["results"]}
    stored = json.loads((reviews_run / "result.json").read_text(encoding="utf-8"))
    accuracy = next(one for one in results["test"] if one["type"] == "accuracy")
    assert accuracy["value"] == stored["metrics"]["test/accuracy"]
    assert accuracy["args"]["interval_95"] == stored["ci"]["test/accuracy"]


def test_a_hub_that_refuses_is_said_and_the_folder_stays(reviews_run, tmp_path, hub):
    hub.status = 403
    with pytest.raises(RunFailed, match="was not uploaded"):
        export(reviews_run, tmp_path / "exported", push="me/model")
    assert (tmp_path / "exported/README.md").is_file()


@pytest.mark.parametrize(
    ("token", "repo", "problem"),
    [
        ("", "me/model", "no Hub token"),
        ("hf_test", "model", "not a repository name"),
        ("hf_test", "a b/c", "name"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_before_any_work(
    token, repo, problem, tmp_path, hub, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr(hf_folder, "load", None)
    with pytest.raises(UserError, match=problem):
        export(tmp_path, tmp_path / "exported", push=repo)
    assert not hub.asked
