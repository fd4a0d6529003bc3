"""The cheapest client of uploads that we could make: connections that are kept, and sendfile."""
import http.client
import queue
import socket
import threading
import time
from urllib.parse import urlparse


class Client(threading.Thread):
    """One connection that is kept; takes files off the queue until it is empty."""

    def __init__(self, url, todo, form):
        super().__init__()
        self.address, self.todo, self.form, self.statuses = urlparse(url), todo, form, []

    def run(self):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                path = self.todo.get_nowait()
            except queue.Empty:
                return connection.close()
            self.statuses.append(self.send(connection, path))

    def send(self, connection, path):
        head, tail, kind = b"", b"", "video/mp4"
        if self.form:
            head = (f'--frontier\r\nContent-Disposition: form-data; name="file"; '
                    f'filename="{path.name}"\r\n\r\n').encode()
            tail, kind = b"\r\n--frontier--\r\n", "multipart/form-data; boundary=frontier"
        connection.putrequest(*("POST", "/v1/videos") if self.form
                              else ("PUT", f"/v1/videos/{path.name}"))
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", len(head) + path.stat().st_size + len(tail))
        connection.endheaders(head or None)
        with open(path, "rb") as file:
            connection.sock.sendfile(file)
        connection.sock.sendall(tail)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


def send_all(url, paths, at_once, form=False):
    """Uploads all files, so many at once, as form or as body; every answer must be 201. Seconds."""
    todo = queue.SimpleQueue()
    for path in paths:
        todo.put(path)
    clients = [Client(url, todo, form) for _ in range(at_once)]
    start = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - start
    statuses = [status for client in clients for status in client.statuses]
    assert statuses == [201] * len(paths), statuses
    return seconds
