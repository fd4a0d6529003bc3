"""Behind nginx, set up as src/server/README.md says."""

import re
import shutil
import socket
import subprocess
import time

import make as samples
import pytest
import requests

README = (samples.ROOT / "src/server/README.md").read_text()
NAME = "videos.example.com"

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(start):
    return start("--host", NAME)


@pytest.fixture
def proxy(server, tmp_path):
    """A session that sends requests to the public name through nginx, as alice."""
    key, certificate, users = (tmp_path / name for name in ("key.pem", "certificate.pem", "users"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}",
                    "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    users.write_text("alice:{PLAIN}secret\n")
    port = free_port()
    site = re.search(r"^```nginx\n(.*?)^```", README, re.S | re.M).group(1)
    for documented, here in {"443": f"127.0.0.1:{port}", f"/etc/ssl/certs/{NAME}.pem": str(certificate),
                             f"/etc/ssl/private/{NAME}.key": str(key), "/etc/nginx/vidx.htpasswd": str(users),
                             "http://127.0.0.1:8000": server.url}.items():
        assert site.count(documented) == 1, documented
        site = site.replace(documented, here)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"""
        daemon off; user root; pid {tmp_path}/pid; error_log stderr; events {{}}
        http {{
            access_log off;
            client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;
            fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
            {site}
        }}""")
    process = subprocess.Popen(["nginx", "-p", tmp_path, "-c", configuration])
    session = requests.Session()
    session.trust_env, session.verify = False, str(certificate)
    session.auth = ("alice", "secret")
    session.url = f"https://{NAME}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        resolve = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", lambda host, *more, **named: resolve(
            "127.0.0.1" if host == NAME else host, *more, **named))
        deadline = time.monotonic() + 20
        while True:
            try:
                session.get(f"{session.url}/v1/health/live", timeout=5)
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
        yield session
    session.close()
    process.terminate()
    process.wait(20)


def test_everything_works_under_the_public_name(proxy, clip):
    page = {"Origin": proxy.url, "Sec-Fetch-Site": "same-origin"}  # as the web page sends
    with open(clip(161), "rb") as file:
        stored = proxy.post(f"{proxy.url}/v1/videos", files={"file": file}, headers=page, timeout=180)
    assert stored.status_code == 201, stored.text
    video = proxy.get(proxy.url + stored.headers["Location"], timeout=20)
    assert video.json() == stored.json()
    content = proxy.get(f"{proxy.url}/v1/videos/{video.json()['id']}/content", timeout=20)
    assert content.content == clip(161).read_bytes()
    with open(clip(162), "rb") as file:
        job = proxy.post(f"{proxy.url}/v1/videos", params={"wait": "false"}, data=file, headers=page, timeout=180).json()
    with proxy.get(f"{proxy.url}/v1/jobs/{job['id']}/events", stream=True, timeout=180) as events:
        assert "event: end" in events.text
    assert proxy.delete(proxy.url + stored.headers["Location"], headers=page, timeout=20).status_code == 204


def test_proxy_asks_for_the_password(proxy):
    assert requests.get(f"{proxy.url}/v1/videos", verify=proxy.verify, timeout=20).status_code == 401


def test_other_sites_are_refused_behind_the_proxy_too(proxy):
    answer = proxy.post(f"{proxy.url}/v1/videos", data=b"x", headers={"Origin": "https://evil.example"}, timeout=20)
    assert answer.status_code == 403 and answer.json()["type"] == "/problems/cross-origin"
    answer = proxy.get(f"{proxy.url}/v1/videos", headers={"Host": "evil.example"}, timeout=20)
    assert answer.status_code == 403 and answer.json()["type"] == "/problems/host-not-allowed"
