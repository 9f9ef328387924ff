"""A Git LFS server: it checks each batch request as the protocol has it, and gives a place and a token for the file."""

import json

from tests.downloads.servers import SHA256, Handler

TOKEN = "RemoteAuth t0ken"
STORE = "/team/model.git/info/lfs"
MEDIA_TYPE = "application/vnd.git-lfs+json"


class LfsHandler(Handler):
    """The files are served under /objects/, to whoever has the token of the batch answer."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.files.authorizations.append(self.headers.get("Authorization", ""))
        self.files.asked.append((self.path, "POST"))
        asked = (body["operation"], body["transfers"], self.headers["Accept"], self.headers["Content-Type"])
        (wanted,) = body["objects"]
        if asked != ("download", ["basic"], MEDIA_TYPE, MEDIA_TYPE):
            self._answer(422, b"")
        elif self.path != f"{STORE}/objects/batch":
            self._answer(404, b"")
        else:
            self._answer(200, json.dumps({"transfer": "basic", "objects": [self._found(wanted)]}).encode())

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != TOKEN:
            self._answer(403, b"")
            return
        super().do_GET()

    def _found(self, wanted: dict[str, object]) -> dict[str, object]:
        if wanted["oid"] != SHA256:
            return wanted | {"error": {"code": 404, "message": "Object does not exist"}}
        place = f"http://{self.headers['Host']}/objects/{SHA256}?token=s3cret"
        return wanted | {"actions": {"download": {"href": place, "header": {"Authorization": TOKEN}}}}
