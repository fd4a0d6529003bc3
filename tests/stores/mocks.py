"""Stand-ins for servers that no package brings: Qdrant, Pinecone, and Milvus' REST v2.

Each keeps its points in memory and checks every request against the published contract: the path, the
required members, their types, and that there is no other member. A request that breaks it gets a 4xx and is
noted in `broken`, which the tests want empty. They are not the servers: what these do beyond their
contract is not shown here.
"""

import contextlib
import json
import re
import socket
import threading
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Broken(Exception):
    pass


def members(value, required, optional=""):
    """A JSON object with these members, "name:type" each, and no others."""
    types = {"str": str, "int": int, "num": (int, float), "list": list, "dict": dict, "bool": bool}
    if not isinstance(value, dict):
        raise Broken(f"not an object: {value!r:.80}")
    known = dict(row.split(":") for row in f"{required} {optional}".split())
    for row in required.split():
        if row.split(":")[0] not in value:
            raise Broken(f"{row} is missing")
    for name, item in value.items():
        if name not in known or not isinstance(item, types[known[name]]):
            raise Broken(f"{name} = {item!r:.80}")


class Mock:
    """Subclasses answer(method, path, query, body) with (status, object)."""
    key_header = None

    def __init__(self, dim=None, key=None):
        self.dim, self.key = dim, key
        self.points, self.broken, self.requests = {}, [], []
        self.lock = threading.RLock()
        self.hook = None  # hook(method, path, body): an answer (status, bytes) instead, or None
        self.server = self.thread = None
        self.connections = []
        self.port = 0

    def start(self):
        mock = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = mock.take(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def get_request(self):
                connection, address = super().get_request()
                mock.connections.append(connection)
                return connection, address

            def handle_error(self, *_):
                pass  # the client was killed

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def take(self, method, target, headers, body):
        path, _, query = target.partition("?")
        query = urllib.parse.parse_qs(query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in headers.items()}
        with self.lock:
            self.requests.append((method, target))
            instead = self.hook and self.hook(method, path, body)
            if instead:
                return instead
            if self.key and headers.get(self.key_header[0]) != self.key_header[1] + self.key:
                return 401, b'{"message": "who are you?"}'
            try:
                status, answer = self.answer(method, path, query, json.loads(body) if body else None)
            except (Broken, ValueError, KeyError) as why:
                self.broken.append(f"{method} {target}: {why!r}")
                status, answer = 400, {"status": {"error": str(why)}, "message": str(why), "code": 1100}
            return status, json.dumps(answer).encode()

    def vector(self, value):
        if len(value) != self.dim or not all(isinstance(x, (int, float)) for x in value):
            raise Broken("a vector of another dimension")
        return value


class Qdrant(Mock):
    """OpenAPI of Qdrant: collections, points (upsert, delete, scroll)."""
    key_header = ("api-key", "")

    def answer(self, method, path, query, body):
        name, tail = re.fullmatch(r"/collections/([A-Za-z0-9_-]+)(/.*)?", path).groups()
        return {
            ("GET", None): self.describe, ("PUT", None): self.create, ("PUT", "/points"): self.upsert,
            ("POST", "/points/delete"): self.delete, ("POST", "/points/scroll"): self.scroll,
        }[method, tail](query, body)

    def ok(self, result):
        return 200, {"time": 0.001, "status": "ok", "result": result}

    def describe(self, query, body):
        if self.dim is None:
            return 404, {"time": 0, "status": {"error": "Not found: Collection doesn't exist!"}}
        return self.ok({"status": "green", "points_count": len(self.points),
                        "config": {"params": {"vectors": {"size": self.dim, "distance": "Dot"}}}})

    def create(self, query, body):
        members(body, "vectors:dict")
        members(body["vectors"], "size:int distance:str")
        if body["vectors"]["distance"] not in ("Cosine", "Euclid", "Dot", "Manhattan"):
            raise Broken("distance")
        self.dim = body["vectors"]["size"]
        return self.ok(True)

    def point_id(self, value):
        if isinstance(value, int) and value >= 0:
            return value
        return str(uuid.UUID(value))

    def upsert(self, query, body):
        members(body, "points:list")
        if query not in ({"wait": ["true"]}, {}) or not body["points"]:
            raise Broken("query, or no points")
        for point in body["points"]:
            if set(point) != {"id", "vector", "payload"} or not isinstance(point["payload"], dict):
                raise Broken(f"a point has {sorted(point)}")
            self.points[self.point_id(point["id"])] = (self.vector(point["vector"]), point["payload"])
        return self.ok({"operation_id": len(self.requests), "status": "completed"})

    def delete(self, query, body):
        members(body, "points:list")
        for value in body["points"]:
            self.points.pop(self.point_id(value), None)
        return self.ok({"operation_id": len(self.requests), "status": "completed"})

    def scroll(self, query, body):
        members({k: v for k, v in body.items() if k != "offset"}, "limit:int", "with_vector:bool with_payload:list")
        ids = sorted(self.points)
        at = ids.index(self.point_id(body["offset"])) if "offset" in body else 0
        end = at + min(body["limit"], 7)  # pages are short, so that there are several
        rows = [{"id": i, "payload": {k: v for k, v in self.points[i][1].items() if k in body["with_payload"]}}
                for i in ids[at:end]]
        return self.ok({"points": rows, "next_page_offset": ids[end] if end < len(ids) else None})

    def rows(self):
        return {payload["id"]: (vector, payload) for vector, payload in self.points.values()}


class Pinecone(Mock):
    """OpenAPI of Pinecone's data plane, 2025-01: upsert, delete, list, fetch, describe_index_stats."""
    key_header = ("api-key", "")

    def answer(self, method, path, query, body):
        return {
            ("POST", "/describe_index_stats"): self.stats, ("POST", "/vectors/upsert"): self.upsert,
            ("POST", "/vectors/delete"): self.delete, ("GET", "/vectors/list"): self.list,
            ("GET", "/vectors/fetch"): self.fetch,
        }[method, path](query, body)

    def stats(self, query, body):
        members(body, "", "filter:dict")
        return 200, {"namespaces": {"": {"vectorCount": len(self.points)}}, "dimension": self.dim,
                     "indexFullness": 0, "totalVectorCount": len(self.points)}

    def upsert(self, query, body):
        members(body, "vectors:list", "namespace:str")
        if not 1 <= len(body["vectors"]) <= 1000:
            raise Broken("1 to 1000 vectors")
        for row in body["vectors"]:
            members(row, "id:str values:list", "metadata:dict")
            if not 1 <= len(row["id"]) <= 512 or not row["id"].isascii():
                raise Broken("id")
            for name, value in row["metadata"].items():
                fine = isinstance(value, (str, int, float, bool)) or (
                    isinstance(value, list) and all(isinstance(x, str) for x in value))
                if not fine or name.startswith("$"):
                    raise Broken(f"metadata {name} = {value!r}")
            if len(json.dumps(row["metadata"])) > 40960:
                raise Broken("more than 40 KB of metadata")
            self.points[row["id"]] = (self.vector(row["values"]), row["metadata"])
        return 200, {"upsertedCount": len(body["vectors"])}

    def delete(self, query, body):
        members(body, "ids:list", "namespace:str")
        if not 1 <= len(body["ids"]) <= 1000:
            raise Broken("1 to 1000 ids")
        for name in body["ids"]:
            self.points.pop(name, None)
        return 200, {}

    def list(self, query, body):
        ids = sorted(self.points)
        at = int(query.get("paginationToken", ["0"])[0])
        end = at + min(int(query["limit"][0]), 7)
        answer = {"vectors": [{"id": i} for i in ids[at:end]], "namespace": query["namespace"][0],
                  "usage": {"readUnits": 1}}
        if end < len(ids):
            answer["pagination"] = {"next": str(end)}
        return 200, answer

    def fetch(self, query, body):
        found = {i: {"id": i, "values": self.points[i][0], "metadata": self.points[i][1]}
                 for i in query["ids"] if i in self.points}
        return 200, {"vectors": found, "namespace": query["namespace"][0]}

    def rows(self):
        return {i: (vector, {"id": i, **metadata}) for i, (vector, metadata) in self.points.items()}


class MilvusV2(Mock):
    """Milvus' REST API v2: collections (list, describe, create), entities (upsert, delete, query)."""
    key_header = ("authorization", "Bearer ")

    def answer(self, method, path, query, body):
        if method != "POST":
            raise Broken("v2 has POST alone")
        kind, action = re.fullmatch(r"/v2/vectordb/(collections|entities)/(\w+)", path).groups()
        return 200, getattr(self, f"{kind}_{action}")(body)

    def collections_list(self, body):
        members(body, "")
        return {"code": 0, "data": ["clips"] if self.dim else []}

    def collections_describe(self, body):
        members(body, "collectionName:str")
        if not self.dim:
            return {"code": 100, "message": "can't find collection[database=default][collection=clips]"}
        return {"code": 0, "data": {"collectionName": "clips", "autoId": False, "enableDynamicField": True, "fields": [
            {"name": "id", "type": "VarChar", "primaryKey": True, "autoId": False,
             "params": [{"key": "max_length", "value": "64"}]},
            {"name": "vector", "type": "FloatVector", "primaryKey": False, "autoId": False,
             "params": [{"key": "dim", "value": str(self.dim)}]}]}}

    def collections_create(self, body):
        members(body, "collectionName:str schema:dict indexParams:list")
        members(body["schema"], "fields:list", "autoId:bool enableDynamicField:bool")
        for field in body["schema"]["fields"]:
            members(field, "fieldName:str dataType:str", "isPrimary:bool elementTypeParams:dict")
        for index in body["indexParams"]:
            members(index, "fieldName:str metricType:str", "indexName:str params:dict")
        self.dim = int(body["schema"]["fields"][1]["elementTypeParams"]["dim"])
        return {"code": 0, "data": {}}

    def entities_upsert(self, body):
        members(body, "collectionName:str data:list")
        for row in body["data"]:
            if not isinstance(row["id"], str) or len(row["id"]) > 64:
                raise Broken("id")
            self.points[row["id"]] = (self.vector(row["vector"]), {k: v for k, v in row.items() if k != "vector"})
        return {"code": 0, "data": {"upsertCount": len(body["data"]), "upsertIds": [r["id"] for r in body["data"]]}}

    def entities_delete(self, body):
        members(body, "collectionName:str filter:str")
        ids = re.fullmatch(r"id in \[('[^']*'(?:,'[^']*')*)\]", body["filter"])[1]
        for name in re.findall(r"'([^']*)'", ids):
            self.points.pop(name, None)
        return {"code": 0, "data": {}}

    def entities_query(self, body):
        members(body, "collectionName:str filter:str", "limit:int outputFields:list consistencyLevel:str")
        last = re.fullmatch(r"id > '([^']*)'", body["filter"])[1]
        rows = [self.points[i][1] for i in sorted(self.points) if i > last][:body["limit"]]
        return {"code": 0, "data": [{k: row[k] for k in body["outputFields"] if k in row} for row in rows]}

    def rows(self):
        return dict(self.points)
