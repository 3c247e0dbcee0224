"""A server on this machine that speaks the Hugging Face Hub's protocol, as far as this package uses it.

Files by HEAD and GET of `resolve`, with a commit and a checksum in the head; writing by `repos/create`, `preupload`,
large files by Git LFS, `commit` as lines of JSON. It keeps what it is given in memory, and a list of what was asked.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_of_these_tests_alone"


class HubServer(ThreadingHTTPServer):
    """`repositories[name][revision]` is a commit, `files[commit]` its files, bytes by name."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.away = False  # then nobody gets an answer, over an open connection either
        self.repositories, self.files, self.large, self.asked = {}, {}, {}, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repository, files, revision="main"):
        """Put files there as a new commit; its number."""
        before = self.files.get(self.repositories.setdefault(repository, {}).get(revision), {})
        number = hashlib.sha1(repr((repository, revision, sorted(files.items()))).encode()).hexdigest()
        self.files[number] = before | files
        self.repositories[repository] |= {revision: number, number: number}
        return number

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def parse_request(self):
        return super().parse_request() and not self._leave()

    def _leave(self):
        self.close_connection = self.close_connection or self.server.away
        return self.server.away

    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            return self._file(*found.groups())
        return self._fail(404)

    do_HEAD = do_GET

    def _file(self, repository, revision, name):
        if repository not in self.server.repositories:
            return self._fail(404, "RepoNotFound")
        commit = self.server.repositories[repository].get(revision)
        if commit is None:
            return self._fail(404, "RevisionNotFound")
        body = self.server.files[commit].get(name)
        if body is None:
            return self._fail(404, "EntryNotFound")
        about = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        return self._answer(body, about)

    def do_POST(self):
        self.server.asked.append(f"POST {self.path}")
        body = (
            self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self._chunks()
        )
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._fail(401)
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":  # the front of a README
            return self._json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or asked['name'].partition('/')[0]}/{asked['name'].rpartition('/')[2]}"
            there = name in self.server.repositories
            if not there:
                self.server.commit(name, {})
            return self._json({"url": f"{self.server.url}/{name}"}, 409 if there else 200)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", path):
            mode = {True: "lfs", False: "regular"}
            return self._json(
                {
                    "files": [
                        {"path": f["path"], "uploadMode": mode["model" in f["path"]], "shouldIgnore": False}
                        for f in json.loads(body)["files"]
                    ]
                }
            )
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": o["oid"],
                    "size": o["size"],
                    "actions": {"upload": {"href": f"{self.server.url}/lfs/{o['oid']}"}},
                }
                for o in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", path):
            return self._commit(*found.groups(), [json.loads(line) for line in body.splitlines()])
        return self._fail(404)

    def _commit(self, repository, revision, lines):
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        commit = self.server.commit(repository, files, revision)
        return self._json({"commitOid": commit, "commitUrl": f"{self.server.url}/{repository}/commit/{commit}"})

    def do_PUT(self):
        self.server.asked.append("PUT /lfs")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._answer(b"")

    def _chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _json(self, value, status=200):
        self._answer(json.dumps(value).encode(), {"Content-Type": "application/json"}, status)

    def _fail(self, status, code=None):
        self._answer(b"{}", {"X-Error-Code": code} if code else {}, status)

    def _answer(self, body, headers=(), status=200):
        self.send_response(status)
        for name, value in {**dict(headers), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass
