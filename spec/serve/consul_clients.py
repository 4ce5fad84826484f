# Debian's python3-consul against an agent, unchanged: consul_clients.py PORT. Blocking reads by its rules. (What it
# writes with GET, as Consul allowed before 1.0, is written here by hand.)
import http.client
import sys
import threading
import consul

PORT = int(sys.argv[1])


def client():
    return consul.Consul(port=PORT)


def put(path):
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("PUT", path)
    assert connection.getresponse().status == 200, path


def until(condition):
    """Reads that block, as its documentation has it, until what they read is so."""
    index, answer = None, None
    for _ in range(100):
        index, answer = client().health.service("python", index=index, wait="30s")
        if condition(answer):
            return index, answer
    raise AssertionError(answer)


def later(what, *words, **more):
    """In a thread of its own, while the caller waits for news."""
    thread = threading.Thread(target=what, args=words, kwargs=more)
    thread.start()
    return thread


# One that is not there has an index, and is waited for.
index, none = client().health.service("python")
assert int(index) >= 1 and none == [], (index, none)
begun = later(client().agent.service.register, "python", service_id="p1", address="10.0.0.7", port=80,
              tags=["a"], check=consul.Check.ttl("60s"))
later_index, found = client().health.service("python", index=index, wait="60s")
begun.join()
assert int(later_index) > int(index) and found[0]["Service"]["Port"] == 80, found

# A check that passes is news; so is an end.
passing = later(put, "/v1/agent/check/pass/service:p1?note=fine")
index, found = until(lambda all: all[0]["Checks"][-1]["Status"] == "passing")
passing.join()
assert found[0]["Checks"][-1]["Output"] == "fine", found
names_index, names = client().catalog.services()
assert names["python"] == ["a"], names
ended = later(put, "/v1/agent/service/deregister/p1")
index, found = until(lambda all: all == [])
ended.join()

# A time that runs out gives the same index, and the answer.
same, found = client().health.service("python", index=index, wait="10ms")
assert same == index and found == [], (same, index, found)
try:
    client().health.service("python", index="nonsense")
    raise AssertionError("a bad index was taken")
except consul.ConsulException as e:
    assert "400" in str(e), e
print("well")
